"""How the scheduler of gradings and studies holds up: jobs that sleep as long as real ones take.

    python -m tests.benchmarks.bench_studies --workers 16 --faster 60
    python -m tests.benchmarks.bench_studies --ray --workers 1600 --jobs 10000

Lengths are drawn from those that were measured, or all are `--seconds`. Sleeping takes no CPU, so
many workers fit on one machine: processes, or with `--ray` the threads of a few of Ray's processes,
since what counts is how many answers the one process waits for that hands out the jobs. It prints
what that process spends on a job, and how long a worker waits for its next one. Times are divided
by `--faster`; what the scheduler itself costs is not.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.terminal import silent
from evaluation.many import cluster
from evaluation.many.connecting import LOCAL, connected
from evaluation.many.jobs import Work
from evaluation.many.nodes import Checkout, Worker
from evaluation.many.processes import in_processes

# fmt: off
MEASURED = (
    35.0, 39.7, 27.2, 26.0, 25.7, 25.9, 26.7, 24.6, 25.6, 24.9, 26.1, 26.9,
    27.4, 27.7, 27.4, 26.6, 28.0, 25.8, 27.8, 27.7, 27.4, 27.4, 28.2, 26.6,
)
# fmt: on
"""Seconds of training and grading of each run of `bench_vae_study`, on a quiet AMD EPYC (Zen 3)
with two cores and two workers."""

_PROCESSES = 8
"""Of Ray, in whose threads the workers sleep."""


@dataclass(frozen=True)
class Sleep:
    """A job that takes some seconds of a worker, and no CPU."""

    name: str
    folder: Path
    seconds: float

    @property
    def subject(self) -> str:
        return self.name


class Slept(NamedTuple):
    """Who slept, and when that began and ended, on the machine's monotonic clock."""

    worker: tuple[int, int]
    began: float
    ended: float


def opened() -> bool:
    return True


def sleep(job: Sleep, opened: bool) -> Slept:  # noqa: ARG001
    began = time.monotonic()
    time.sleep(job.seconds)
    return Slept((os.getpid(), threading.get_ident()), began, time.monotonic())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=320)
    parser.add_argument("--seconds", type=float, help="what each job takes, not as measured")
    parser.add_argument("--faster", type=float, default=60.0)
    parser.add_argument("--ray", action="store_true", help="as --cluster does it")
    arguments = parser.parse_args(argv)
    chosen = MEASURED if arguments.seconds is None else (arguments.seconds,)
    lengths = np.random.default_rng(0).choice(chosen, arguments.jobs) / arguments.faster
    work = Work(opened, sleep, "Sleeping")
    on_ray = partial(_on_ray, arguments.workers)
    scheduler = on_ray if arguments.ray else in_processes(arguments.workers)
    with tempfile.TemporaryDirectory() as folder, silent(True):
        jobs = [Sleep(str(place), Path(folder), length) for place, length in enumerate(lengths)]
        processor, slept = 0.0, []
        for _, result in scheduler(jobs, work):
            if isinstance(result, KitError):
                raise result
            processor = processor or time.process_time()  # from the first result on
            slept.append(result)
        processor = time.process_time() - processor
    assert len(slept) == len(jobs)
    waits = np.sort(_waits(slept))
    whole = max(one.ended for one in slept) - min(one.began for one in slept)
    least = lengths.sum() / arguments.workers
    print(f"{len(jobs)} jobs of {lengths.mean():.3f} s by {arguments.workers} workers")
    print(f"From the first job's start to the last one's end {whole:.1f} s; at least {least:.1f} s")
    print(
        f"A worker waits between two jobs: median {np.median(waits) * 1000:.1f} ms, "
        f"90 % within {np.quantile(waits, 0.9) * 1000:.1f} ms"
    )
    print(
        f"CPU time of the process that hands out jobs: {processor / len(jobs) * 1000:.2f} ms a job"
    )
    return 0


def _on_ray(workers: int, jobs: Sequence[Sleep], work: Work) -> Iterator[tuple[str, Any]]:
    """Does the jobs as `--cluster` does, with threads in place of processes."""
    with connected(LOCAL, _PROCESSES) as ray:
        crowd = _Crowd(ray, None, lambda: None, workers, work)
        yield from cluster._on_workers(crowd, jobs, work.title)


@dataclass(frozen=True)
class _Crowd(cluster._Cluster):
    """A cluster whose workers are threads."""

    number: int
    work: Work

    @property
    def cpus(self) -> int:
        return self.number

    def workers(self, number: int) -> list[Any]:
        at_once = -(-number // _PROCESSES)
        actor = self.ray.remote(num_cpus=1, max_concurrency=at_once)(Worker)
        here = Checkout({}, "", None)
        started = [actor.remote(self.work, here, None) for _ in range(min(_PROCESSES, number))]
        self.ray.get([worker.node.remote() for worker in started])
        return [started[place % len(started)] for place in range(number)]


def _waits(slept: Sequence[Slept]) -> NDArray[np.float64]:
    """Seconds between the end of a job and the start of the next by the same worker."""
    by_worker: dict[tuple[int, int], list[Slept]] = {}
    for one in sorted(slept, key=lambda one: one.began):
        by_worker.setdefault(one.worker, []).append(one)
    return np.array(
        [
            following.began - before.ended
            for own in by_worker.values()
            for before, following in pairwise(own)
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
