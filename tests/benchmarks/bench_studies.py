"""How the scheduler of gradings and studies holds up: jobs that sleep as long as real ones take.

    python -m tests.benchmarks.bench_studies --workers 16 --seconds 60 --faster 600

Sleeping takes no CPU, so many workers fit on one machine. All times are divided by `--faster`; what
the scheduler itself costs is not. It is measured as how long a worker waits between two jobs, since
the start of the processes, which a busy machine makes long, happens once.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.terminal import silent
from evaluation.many.jobs import Work
from evaluation.many.processes import in_processes


@dataclass(frozen=True)
class Sleep:
    """A job that takes some seconds of a worker, and no CPU."""

    name: str
    folder: Path
    seconds: float

    @property
    def subject(self) -> str:
        return self.name


def opened() -> bool:
    return True


Slept = tuple[int, float, float]
"""The process, and when it began and ended, on the machine's monotonic clock."""


def sleep(job: Sleep, opened: bool) -> Slept:  # noqa: ARG001
    began = time.monotonic()
    time.sleep(job.seconds)
    return os.getpid(), began, time.monotonic()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--jobs-a-worker", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="what a run takes")
    parser.add_argument("--spread", type=float, default=0.2, help="deviation, as a share of it")
    parser.add_argument("--faster", type=float, default=300.0)
    arguments = parser.parse_args(argv)
    number = arguments.workers * arguments.jobs_a_worker
    drawn = np.random.default_rng(0).normal(1, arguments.spread, number).clip(0.1)
    lengths = drawn * arguments.seconds / arguments.faster
    work = Work(opened, sleep, "Sleeping")
    with tempfile.TemporaryDirectory() as folder, silent(True):
        jobs = [Sleep(str(place), Path(folder), length) for place, length in enumerate(lengths)]
        processor = time.process_time()
        slept = [
            result
            for _, result in in_processes(arguments.workers)(jobs, work)
            if not isinstance(result, KitError)
        ]
        processor = time.process_time() - processor
    assert len(slept) == number
    waits = np.sort(_waits(slept))
    own = processor / number
    print(f"{number} jobs of {lengths.mean():.3f} s by {arguments.workers} workers")
    print(
        f"A worker waits between two jobs: median {np.median(waits) * 1000:.1f} ms, "
        f"90 % within {np.quantile(waits, 0.9) * 1000:.1f} ms"
    )
    print(f"The scheduler's own CPU time: {own * 1000:.2f} ms a job")
    print(
        f"Of jobs of {arguments.seconds:.0f} s that is {np.median(waits) / arguments.seconds:.3%}"
    )
    return 0


def _waits(slept: Sequence[Slept]) -> NDArray[np.float64]:
    """Seconds between the end of a job and the start of the next in the same process."""
    by_process: dict[int, list[tuple[float, float]]] = {}
    for process, began, ended in sorted(slept, key=lambda one: one[1]):
        by_process.setdefault(process, []).append((began, ended))
    return np.array(
        [
            following[0] - before[1]
            for spans in by_process.values()
            for before, following in pairwise(spans)
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
