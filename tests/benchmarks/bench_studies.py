"""How the scheduler of gradings and studies holds up: jobs that sleep as long as real ones take.

    python -m tests.benchmarks.bench_studies --workers 16 --seconds 60 --faster 600

Sleeping takes no CPU, so many workers fit on one machine. All times are divided by `--faster`; what
the scheduler itself costs is not, and so weighs as much more. The last lines say what that comes to
for 10,000 models on 100 nodes of 16 workers.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.common.terminal import silent
from evaluation.many.jobs import Work
from evaluation.many.processes import in_processes

_MODELS = 10_000
_NODES = 100


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


def sleep(job: Sleep, opened: bool) -> float:  # noqa: ARG001
    """Sleeps, and returns when it began."""
    began = time.monotonic()
    time.sleep(job.seconds)
    return began


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
        began = [
            result
            for _, result in in_processes(arguments.workers)(jobs, work)
            if isinstance(result, float)
        ]
        ended = time.monotonic()
        processor = time.process_time() - processor
    # From the first job on: starting a process takes as long however long the jobs are.
    wall = ended - min(began)
    ideal = lengths.sum() / arguments.workers
    own = processor / number
    print(f"{number} jobs of {lengths.mean():.3f} s by {arguments.workers} workers")
    print(f"Wall time {wall:.2f} s, with no scheduler and no last round {ideal:.2f} s")
    print(f"The scheduler's own CPU time: {own * 1000:.2f} ms a job")
    _on_paper(arguments.seconds, own)
    return 0


def _on_paper(seconds: float, own: float) -> None:
    """What the measured times come to for a large study."""
    workers = 16 * _NODES
    rounds = -(-_MODELS // workers)
    print(f"On paper, {_MODELS:,} models by {workers:,} workers:")
    print(f"  {rounds} rounds of {seconds:.0f} s: {rounds * seconds / 60:.1f} min")
    print(f"  the driver's CPU: {_MODELS * own:.0f} s")
    print(f"  it keeps up with {seconds / own:,.0f} workers")


if __name__ == "__main__":
    raise SystemExit(main())
