"""A config's scores over several seeds: their mean, its 95 % interval, and the processor time.

    python -m tests.benchmarks.bench_seeds CONFIG DATASET --seeds 1 2 3 4 5
    python -m tests.benchmarks.bench_seeds CONFIG DATASET --verbs train --postprocess normalise ica

Each seed is fine-tuned, trained and graded by the commands that a user runs, in a folder of its own
below `scratch/seeds/`. With `--postprocess`, the codes are graded again after each of these steps.
What is there is not run again.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.common.environment import REPOSITORY, SCRATCH
from evaluation.common.files import write_json
from tests.benchmarks import processor

METRICS = ("factor_vae_metric", "dci", "sap_score", "mig", "irs")
AS_TRAINED = "none"


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

    def scores(self, step: str) -> dict[str, float]:
        """The scores after a step of post-processing, and processor seconds of making and grading.

        Args:
            step: A value of `postprocess.method`. `AS_TRAINED` trains, and has to come first.
        """
        result = self.folder / f"{step}.json"
        if result.exists():
            return json.loads(result.read_text(encoding="utf-8"))
        if step == AS_TRAINED:
            made = sum(self._submission(verb) for verb in self.verbs)
        else:
            made = self._submission("export", f"postprocess.method = '{step}'")
        graded = self.folder / step
        grading = self._run(
            "evaluation", "--representation", str(self.folder / "x/representation"),
            "--dataset", self.dataset, "--output", str(graded), "--no-page",
        )  # fmt: skip
        scores = json.loads((graded / "scores.json").read_text(encoding="utf-8"))["scores"]
        found = {name: scores[name] for name in METRICS}
        write_json(result, {**found, "making_s": made, "grading_s": grading})
        return json.loads(result.read_text(encoding="utf-8"))

    def _submission(self, verb: str, *more: str) -> float:
        bound = [f"main.seed = {self.number}", *self.bindings, *more]
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
    parser.add_argument("config", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--binding", action="append", default=[], dest="bindings")
    parser.add_argument("--verbs", nargs="+", default=["finetune", "train"])
    parser.add_argument("--postprocess", nargs="+", default=[])
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
        for step in (AS_TRAINED, *arguments.postprocess):
            row = seed.scores(step)
            rows.setdefault(step, []).append(row)
            print(f"seed {number}, {step}: ", "  ".join(f"{k} {v:.3f}" for k, v in row.items()))
            sys.stdout.flush()
    for step, found in rows.items():
        print(f"post-processing: {step}; seeds: {len(found)}")
        for name in found[0]:
            mean, half = interval(np.array([row[name] for row in found]))
            print(f"{name:20} {mean:8.3f} +- {half:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
