"""A config's scores over several seeds: their mean, its 95 % interval, and the processor time.

    python -m tests.benchmarks.bench_seeds CONFIG DATASET --seeds 1 2 3 4 5
    python -m tests.benchmarks.bench_seeds CONFIG DATASET --verbs train --postprocess normalise ica

Each seed is fine-tuned, trained and graded by the commands that a user runs, in a folder of its own
below `scratch/seeds/`. With `--postprocess`, the codes of that grading are scored again after each
of these steps, as `postprocess.method` would make them, without another run of the network. What is
there is not run again.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from evaluation.common.environment import REPOSITORY, SCRATCH
from evaluation.common.files import write_json
from evaluation.data import open_dataset
from evaluation.metrics import score
from submission.vae.postprocessing import fit_postprocessing
from tests.benchmarks import processor

METRICS = ("factor_vae_metric", "dci", "sap_score", "mig", "irs")
AS_TRAINED = "as trained"


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean, and half the width of Student's 95 % interval of the mean; nan for one value."""
    spread = stats.sem(values) if len(values) > 1 else np.nan
    return float(values.mean()), float(spread * stats.t.ppf(0.975, len(values) - 1))


@dataclass(frozen=True)
class Seed:
    """One seed of a config on a dataset.

    Args:
        config: The gin file.
        dataset: Name of the dataset.
        number: The seed.
        bindings: Gin bindings beside the file.
        verbs: What trains: verbs of `python -m submission`.
    """

    config: Path
    dataset: str
    number: int
    bindings: tuple[str, ...]
    verbs: tuple[str, ...]

    @property
    def folder(self) -> Path:
        key = hashlib.sha256(json.dumps(self.bindings).encode()).hexdigest()[:8]
        return SCRATCH / "seeds" / f"{self.config.stem}-{self.dataset}-{key}-{self.number}"

    def as_trained(self) -> dict[str, float]:
        """The scores, and the processor seconds of training and of grading."""
        result = self.folder / "result.json"
        if not result.exists():
            training = sum(self._submission(verb) for verb in self.verbs)
            grading = self._run(
                "evaluation", "--representation", str(self.folder / "x/representation"),
                "--dataset", self.dataset, "--output", str(self.folder / "x"), "--no-page",
            )  # fmt: skip
            scores = json.loads((self.folder / "x/scores.json").read_text("utf-8"))["scores"]
            found = {name: scores[name] for name in METRICS}
            write_json(result, {**found, "training_s": training, "grading_s": grading})
        return json.loads(result.read_text(encoding="utf-8"))

    def processed(self, method: Literal["normalise", "ica"]) -> dict[str, float]:
        """The scores of the graded codes after a step of `postprocess.method`, and its seconds.

        The step is fitted to all graded codes: with a config that trains on all images, that is
        what `python -m submission` does.
        """
        result = self.folder / f"{method}.json"
        if not result.exists():
            with np.load(self.folder / "x/codes.npz") as stored:
                codes, indices = stored["codes"], stored["indices"]
            start = time.process_time()
            step = fit_postprocessing(codes, self.number, method)
            seconds = time.process_time() - start
            processed = step(torch.from_numpy(codes)).numpy()
            factors = open_dataset(self.dataset).factors_of(indices)
            scores = score(processed, factors, METRICS).scores
            write_json(result, {**scores, "fitting_s": seconds})
        return json.loads(result.read_text(encoding="utf-8"))

    def _submission(self, verb: str) -> float:
        bound = [f"main.seed = {self.number}", *self.bindings]
        options = [part for binding in bound for part in ("--binding", binding)]
        return self._run("submission", verb, str(self.config), "x", *options)

    def _run(self, *arguments: str) -> float:
        """Runs `python -m ARGUMENTS`, and gives its processor time in seconds."""
        variables = {
            **os.environ,
            "AICROWD_DATASET_NAME": self.dataset,
            "AICROWD_OUTPUT_PATH": str(self.folder),
            "TORCH_HOME": str(self.folder / "torch"),
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=REPOSITORY,
            env=variables,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    quick = Path("submission/configs/quick.gin")
    parser.add_argument("config", type=Path, nargs="?", default=quick)
    parser.add_argument("dataset", nargs="?", default="mpi3d_sim_real_mini")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--binding", action="append", default=[], dest="bindings")
    parser.add_argument("--verbs", nargs="+", default=["finetune", "train"])
    parser.add_argument("--postprocess", nargs="+", choices=("normalise", "ica"), default=[])
    arguments = parser.parse_args(argv)
    print(f"{arguments.config.stem} on {arguments.dataset}; {processor.describe()}")
    rows: dict[str, list[dict[str, float]]] = {}
    for number in arguments.seeds:
        seed = Seed(
            arguments.config,
            arguments.dataset,
            number,
            tuple(arguments.bindings),
            tuple(arguments.verbs),
        )
        found = {AS_TRAINED: seed.as_trained()}
        found |= {method: seed.processed(method) for method in arguments.postprocess}
        for step, row in found.items():
            rows.setdefault(step, []).append(row)
            print(f"seed {number}, {step}: ", "  ".join(f"{k} {v:.3f}" for k, v in row.items()))
        sys.stdout.flush()
    for step, of_seeds in rows.items():
        print(f"{step}; seeds: {len(of_seeds)}")
        for name in of_seeds[0]:
            mean, half = interval(np.array([row[name] for row in of_seeds]))
            print(f"{name:20} {mean:8.3f} +- {half:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
