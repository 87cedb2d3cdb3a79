"""What it costs to grade many tables of codes at once, beyond the metrics themselves.

    python -m tests.benchmarks.bench_many --tables 10 100 1000

Each number of tables, 10 codes of each image of mpi3d_sim_real_mini, is graded one after another on
one core, one after another on all cores, and by two workers, which have a share of the cores each.
The time of two workers is held against both: metrics use the cores that they find. Then this
process grades them, and takes the time that is not the metrics', and its memory every so often. On
a machine that others share, only seconds of the processor say something.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from evaluation import grading
from evaluation.common.devices import Placement
from evaluation.common.environment import REPOSITORY, SCRATCH, data_root
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

    def __str__(self) -> str:
        return (
            f"{self.clock:.1f} s, {self.processor:.1f} s of the processor, at most "
            f"{self.memory:.0f} MB a process"
        )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tables", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--metrics", default=METRICS)
    parser.add_argument("--folder", type=Path, default=SCRATCH / "many", help="of tables, results")
    arguments = parser.parse_args(argv)
    folder = arguments.folder.absolute()
    make_tables(folder / "tables", max(arguments.tables))
    for number in arguments.tables:
        cores = os.sched_getaffinity(0)
        one_core = grade(folder, number, 1, arguments.metrics, {min(cores)})
        all_cores = grade(folder, number, 1, arguments.metrics, cores)
        together = grade(folder, number, arguments.workers, arguments.metrics, cores)
        print(f"{number} tables")
        print(f"  one after another, on one core: {one_core}")
        print(f"  one after another, on {len(cores)} cores: {all_cores}")
        print(f"  {arguments.workers} workers: {together}")
        print(
            f"  {arguments.workers} workers take {together.clock / one_core.clock:.3f} of the time "
            f"of one core, {together.clock / all_cores.clock:.3f} of that of {len(cores)}; of the "
            f"processor's time {together.processor / one_core.processor:.3f}",
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


def grade(folder: Path, number: int, workers: int, metrics: str, cores: set[int]) -> Cost:
    """Grades the first tables anew on some cores."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    tables = [str(folder / "tables" / f"{seed}.npy") for seed in range(number)]
    words = [sys.executable, "-m", "evaluation", "--dataset", DATASET, "--metrics", metrics]
    words += ["--data-root", str(data_root()), "--workers", str(workers), "--no-page", "--quiet"]
    words += ["--output", str(folder / "out"), "--codes", *tables]
    # The children of this child are counted with it.
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # which the child inherits
    try:
        subprocess.run(words, cwd=REPOSITORY, check=True)
    finally:
        os.sched_setaffinity(0, all_cores)
    clock, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(clock, processor, after.ru_maxrss / 1000)


def overhead(folder: Path, number: int, metrics: str) -> str:
    """What a grading takes beyond the metrics, by tenths of the tables, and memory then."""
    in_metrics, marks = np.zeros(2), []
    evaluate = grading.evaluate_seeds

    def timed(*arguments: Any) -> list[Evaluation]:
        start = _times()
        try:
            return evaluate(*arguments)
        finally:
            in_metrics[:] += _times() - start

    def scheduler(jobs: Any, work: Any) -> Iterator[Any]:
        marks.append((*_times(), 0.0))
        for result in one_after_another(jobs, work):
            yield result
            marks.append((*(_times() - in_metrics), _resident()))

    shutil.rmtree(folder / "out", ignore_errors=True)
    founds = [Found(folder / "tables" / f"{seed}.npy", "codes") for seed in range(number)]
    rules = Rules(metrics=tuple(metrics.split(",")), placement=Placement("cpu"))
    data = open_dataset(DATASET)
    with mock.patch.object(grading, "evaluate_seeds", timed), silent(True):
        grading.grade_all(founds, [], data, rules, folder / "out", grader=scheduler)
    step = max(1, number // 10)
    processor, clock, memory = np.array(marks[::step]).T
    kept = (memory[-1] - memory[1]) / max(1, number - step) * 1000
    return (
        f"  each {step} of them in this process, beyond the metrics, ms of the processor a table: "
        f"{_listed(np.diff(processor) / step * 1000)}\n"
        f"  the same in ms of the clock: {_listed(np.diff(clock) / step * 1000)}\n"
        f"  memory after each {step}, MB: {_listed(memory[1:])}; {kept:.1f} kB a table"
    )


def _times() -> NDArray[np.float64]:
    """Seconds of the processor and of the clock."""
    return np.array([time.process_time(), time.monotonic()])


def _listed(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.1f}" for value in values)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
