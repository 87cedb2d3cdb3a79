"""What a study will take: time and disk, from its own runs where some are done."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from evaluation.common.errors import KitError
from evaluation.common.files import free_bytes, readable_size
from evaluation.common.terminal import console
from submission.study.course import Course
from submission.study.notes import is_made, seconds_of
from submission.study.plan import Run, steps_for
from submission.study.records import Record
from submission.study.settings import counted, labels

SECONDS_A_RUN = 90.0
SECONDS_A_STEP = 180.0
BYTES_A_RUN = 60_000_000
"""The rule while nothing is measured: about what stage2_quick.gin takes on one CPU."""


SECONDS_TO_FIND = 5.0
"""What a training takes that finds its result there: the start of a process."""


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


def in_words(seconds: float) -> str:
    """A time such as "40 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def expectation(course: Course, workers: int) -> Estimate:
    """What is left to do.

    Args:
        course: The study.
        workers: Number of runs at once.
    """
    known = {**course.earlier, **course.records}.values()
    done = [record for record in known if record.state == "done"]
    each, grading, disk = SECONDS_A_RUN, 0.0, float(BYTES_A_RUN)
    if done:
        grading = sum(map(_seconds_of_grading, done)) / len(done)
        each = sum(record.seconds for record in done) / len(done) + grading
        disk = sum(record.disk for record in done) / len(done)
    pending = course.pending
    graded_again = sum(run.key in course.earlier for run in pending)
    new = len(pending) + course.untried - graded_again
    seconds = _rounds(new, workers) * each + _rounds(graded_again, workers) * (
        SECONDS_TO_FIND + grading
    )
    return Estimate(_seconds_of_steps(course, workers) + seconds, new * disk, len(done))


def _seconds_of_steps(course: Course, workers: int) -> float:
    """What the shared steps take that are not made."""
    taken = [seconds_of(step) for step in course.plan.steps]
    known = [seconds for seconds in taken if seconds is not None]
    each = sum(known) / len(known) if known else SECONDS_A_STEP
    needed = steps_for(course.plan.steps, course.pending)
    kinds = Counter(step.kind for step in needed if not is_made(step, course.doing.features_dir))
    return sum(_rounds(number, workers) for number in kinds.values()) * each


def _rounds(jobs: int, workers: int) -> int:
    return -(-jobs // workers)


def _seconds_of_grading(record: Record) -> float:
    return sum(graded.seconds for graded in record.graded.values())


def require_disk(folder: Path, expected: Estimate) -> None:
    """Checks that the disk has room for what is left.

    Raises:
        KitError: `STUDY-DISK`, it has not.
    """
    free = free_bytes(folder.absolute())
    if expected.disk > free:
        raise KitError(
            "STUDY-DISK",
            f"the runs to do need about {readable_size(expected.disk)}, but {folder} has "
            f"{readable_size(free)} free",
            "Choose a folder with more room by --output, or fewer settings or seeds",
        )


def show(course: Course, workers: int) -> None:
    """Prints what a study consists of and what is left of it, without doing anything."""
    plan, pending = course.plan, course.pending
    by_setting: dict[str, list[Run]] = {}
    named = labels([run.setting for run in plan.runs])
    for run, name in zip(plan.runs, named, strict=True):
        by_setting.setdefault(f"{name}, on {run.dataset}", []).append(run)
    stopped = {run.key for run in plan.runs if course.is_stopped(run)}
    done = {run.key for run in plan.runs} - stopped - {run.key for run in pending}
    early = f"{len(stopped)} stopped by the search, " if stopped else ""
    untried = f", and {counted(course.untried, 'run')} of settings to try" * bool(course.untried)
    console.print(
        f"{counted(len(plan.runs), 'run')} of {counted(len(by_setting), 'setting')}: "
        f"{len(done)} done, {early}{len(pending)} to do{untried}"
    )
    for name, runs in by_setting.items():
        seeds = [str(run.seed) for run in runs if run.key in done]
        console.print(
            f"  {name}: {len(seeds)} of {len(runs)} done"
            + (f" (seeds {', '.join(seeds)})" if seeds else "")
            + (", stopped by the search" if any(run.key in stopped for run in runs) else ""),
            markup=False,
        )
    steps = steps_for(plan.steps, pending)
    kinds = [step.kind for step in steps]
    made = sum(is_made(step, course.doing.features_dir) for step in steps)
    console.print(
        f"Shared steps: {counted(kinds.count('finetune'), 'fine-tuning')}, "
        f"{counted(kinds.count('extract'), 'extraction')} of features"
        + (f"; {made} of these {len(steps)} made" if made else "")
    )
    expected = expectation(course, workers)
    source = (
        f"from {counted(expected.measured, 'measured run')}"
        if expected.measured
        else "by a rule, since no run is measured: 90 s a run, 180 s a shared step, 60 MB a run"
    )
    console.print(
        f"About {in_words(expected.seconds)} with {counted(workers, 'worker')}, and "
        f"{readable_size(expected.disk)} of disk, of which {plan.folder} has "
        f"{readable_size(free_bytes(plan.folder))} free ({source})",
        markup=False,
    )
