"""A config's scores over several seeds: their mean, its 95 % interval, and the processor time.

    python -m tests.benchmarks.bench_transfer CONFIG DATASET --seeds 1 2 3 4 5

Each seed is fine-tuned, trained and graded by the commands that a user runs, in a folder of its own
below `scratch/seeds/`. A seed that is there is not run again.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluation.common.environment import REPOSITORY, SCRATCH
from evaluation.common.files import write_json
from tests.benchmarks import processor

METRICS = ("factor_vae_metric", "dci", "sap_score", "mig", "irs")


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean, and half the width of Student's 95 % interval of the mean; nan for one value."""
    spread = stats.sem(values) if len(values) > 1 else np.nan
    return float(values.mean()), float(spread * stats.t.ppf(0.975, len(values) - 1))


def run_seed(config: Path, dataset: str, seed: int, bindings: Sequence[str]) -> dict[str, float]:
    """The scores of a seed, and the processor time in seconds of training and of grading."""
    folder = SCRATCH / "seeds" / f"{config.stem}-{dataset}-{seed}"
    result = folder / "result.json"
    if result.exists():
        return json.loads(result.read_text(encoding="utf-8"))
    variables = {
        **os.environ,
        "AICROWD_DATASET_NAME": dataset,
        "AICROWD_OUTPUT_PATH": str(folder),
        "TORCH_HOME": str(folder / "torch"),
    }
    bound = [f"main.seed = {seed}", *bindings]
    options = [part for binding in bound for part in ("--binding", binding)]

    def run(*arguments: str) -> float:
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

    training = sum(run("submission", verb, str(config), "x", *options) for verb in VERBS)
    representation = str(folder / "x/representation")
    grading = run(
        "evaluation", "--representation", representation, "--dataset", dataset,
        "--output", str(folder / "x"),
    )  # fmt: skip
    scores = json.loads((folder / "x/scores.json").read_text(encoding="utf-8"))["scores"]
    found = {name: scores[name] for name in METRICS}
    write_json(result, {**found, "training_s": training, "grading_s": grading})
    return json.loads(result.read_text(encoding="utf-8"))


VERBS = ("finetune", "train")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--binding", action="append", default=[], dest="bindings")
    arguments = parser.parse_args(argv)
    print(f"{arguments.config.stem} on {arguments.dataset}; {processor.describe()}")
    rows = []
    for seed in arguments.seeds:
        rows.append(run_seed(arguments.config, arguments.dataset, seed, arguments.bindings))
        print(f"seed {seed}: ", "  ".join(f"{k} {v:.3f}" for k, v in rows[-1].items()), flush=True)
    for name in rows[0]:
        mean, half = interval(np.array([row[name] for row in rows]))
        print(f"{name:20} {mean:8.3f} +- {half:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
