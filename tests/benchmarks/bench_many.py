"""What it costs to grade many tables of codes at once, beyond the metrics themselves.

    python -m tests.benchmarks.bench_many --tables 10 100 1000 --folder /tmp/many

Each number of tables is graded one after another and by two workers: 10 codes of each image of
mpi3d_sim_real_mini. Then this process grades them, and takes the processor time that is not the
metrics', and its memory every so often. On a machine that others share, only seconds of the
processor say something.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from evaluation import grading
from evaluation.common.devices import Placement
from evaluation.common.environment import REPOSITORY, data_root
from evaluation.common.terminal import silent
from evaluation.data import open_dataset
from evaluation.many.jobs import one_after_another
from evaluation.representation.finding import Found
from evaluation.rules import Rules
from evaluation.scoring import Evaluation

DATASET = "mpi3d_sim_real_mini"
METRICS = "factor_vae_metric,sap_score,mig,irs"
DIMS = 10


class Cost(NamedTuple):
    """What a command took: seconds of the clock and of the processor, and memory in MB."""

    clock: float
    processor: float
    memory: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tables", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--metrics", default=METRICS)
    parser.add_argument("--folder", type=Path, required=True, help="gets the tables and results")
    arguments = parser.parse_args(argv)
    folder = arguments.folder.absolute()
    make_tables(folder / "tables", max(arguments.tables))
    for number in arguments.tables:
        alone = grade(folder, number, 1, arguments.metrics)
        together = grade(folder, number, arguments.workers, arguments.metrics)
        print(
            f"{number} tables: one after another {alone.clock:.1f} s ({alone.processor:.1f} s of "
            f"the processor, {alone.memory:.0f} MB); "
            f"{arguments.workers} workers {together.clock:.1f} s ({together.processor:.1f} s, "
            f"{together.memory:.0f} MB): {together.clock / alone.clock:.2f} of the time",
            flush=True,
        )
        print(overhead(folder, number, arguments.metrics), flush=True)
    return 0


def make_tables(folder: Path, number: int) -> None:
    """Tables that know the factors to some degree, each another mix of them."""
    folder.mkdir(parents=True, exist_ok=True)
    data = open_dataset(DATASET)
    factors = np.stack(np.unravel_index(np.arange(len(data)), data.factor_sizes), axis=1)
    for seed in range(number):
        path = folder / f"{seed}.npy"
        if not path.exists():
            generator = np.random.RandomState(seed)
            mixed = factors @ generator.rand(factors.shape[1], DIMS)
            np.save(path, (mixed + generator.randn(*mixed.shape)).astype(np.float32))


def grade(folder: Path, number: int, workers: int, metrics: str) -> Cost:
    """Grades the first tables anew; each process has one thread, as a worker of two has."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    tables = [str(folder / "tables" / f"{seed}.npy") for seed in range(number)]
    words = [sys.executable, "-m", "evaluation", "--dataset", DATASET, "--metrics", metrics]
    words += ["--data-root", str(data_root()), "--workers", str(workers), "--no-page", "--quiet"]
    words += ["--output", str(folder / "out"), "--codes", *tables]
    # The children of this child are counted with it.
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(words, cwd=REPOSITORY, env=variables, check=True)
    clock, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(clock, processor, after.ru_maxrss / 1000)


def overhead(folder: Path, number: int, metrics: str) -> str:
    """Processor time of a grading beyond the metrics, by tenths of the tables, and memory then."""
    in_metrics, marks = [0.0], []
    evaluate = grading.evaluate_seeds

    def timed(*arguments: Any) -> list[Evaluation]:
        start = time.process_time()
        try:
            return evaluate(*arguments)
        finally:
            in_metrics[0] += time.process_time() - start

    def scheduler(jobs: Any, work: Any) -> Iterator[Any]:
        for result in one_after_another(jobs, work):
            yield result
            marks.append((time.process_time() - in_metrics[0], _resident()))

    shutil.rmtree(folder / "out", ignore_errors=True)
    founds = [Found(folder / "tables" / f"{seed}.npy", "codes") for seed in range(number)]
    rules = Rules(metrics=tuple(metrics.split(",")), placement=Placement("cpu"))
    data = open_dataset(DATASET)
    with mock.patch.object(grading, "evaluate_seeds", timed), silent(True):
        grading.grade_all(founds, [], data, rules, folder / "out", grader=scheduler)
    step = max(1, number // 10)
    shown = marks[::step]
    each = [(after[0] - before[0]) / step * 1000 for before, after in pairwise(shown)]
    return (
        f"  beyond the metrics, ms a table: {', '.join(f'{one:.1f}' for one in each)}; "
        f"memory, MB: {', '.join(f'{memory:.0f}' for _, memory in shown)}"
    )


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
