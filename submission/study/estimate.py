"""What a study will take: time and disk, from its own runs where some are done."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from submission.study.plan import Plan, Run, Step
from submission.study.records import Record
from submission.study.running import seconds_of

SECONDS_A_RUN = 90.0
SECONDS_A_STEP = 180.0
BYTES_A_RUN = 60_000_000
"""The rule while nothing is measured: about what stage2_quick.gin takes on one CPU."""


class Estimate(NamedTuple):
    """What is left of a study.

    Args:
        seconds: With the given number of workers.
        disk: Bytes.
        measured: Number of runs whose means these are; of 0 it is the stated rule.
    """

    seconds: float
    disk: float
    measured: int


def estimate(
    plan: Plan,
    records: Mapping[str, Record],
    pending: Sequence[Run],
    steps: Sequence[Step],
    workers: int,
) -> Estimate:
    """What pending runs and their steps will take.

    Args:
        plan: The study.
        records: What is known of its runs, by key.
        pending: The runs to do.
        steps: The steps that they need.
        workers: Number of runs at once.
    """
    done = [record for record in records.values() if record.state == "done"]
    each, disk = SECONDS_A_RUN, float(BYTES_A_RUN)
    if done:
        each = sum(map(seconds_of_run, done)) / len(done)
        disk = sum(record.disk for record in done) / len(done)
    known = [seconds for step in plan.steps if (seconds := seconds_of(step)) is not None]
    a_step = sum(known) / len(known) if known else SECONDS_A_STEP
    first = 0.0
    for kind in dict.fromkeys(step.kind for step in steps):
        of_kind = [step for step in steps if step.kind == kind and seconds_of(step) is None]
        first += -(-len(of_kind) // workers) * a_step
    rounds = -(-len(pending) // workers)
    return Estimate(first + rounds * each, len(pending) * disk, len(done))


def seconds_of_run(record: Record) -> float:
    """What a run took, its gradings too."""
    return record.seconds + sum(graded.seconds for graded in record.graded.values())


def in_words(seconds: float) -> str:
    """A time such as "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
