"""What is graded, a job each, and what all jobs share."""

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from evaluation.common.errors import KitError, first_line
from evaluation.representation.finding import Found

Shared = TypeVar("Shared")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """One subject to grade, by its name, into its folder."""

    name: str
    found: Found
    folder: Path


@dataclass(frozen=True)
class Work(Generic[Shared, Result]):
    """What to do with each job, in a form that another process can be handed.

    Args:
        open: Called once in each process that grades; what it returns is given to `do`.
        do: Does one job, and raises a `KitError` where it cannot be done.
    """

    open: Callable[[], Shared]
    do: Callable[[Job, Shared], Result]


def jobs_in(folder: Path, named: Mapping[str, Found], alone: bool) -> list[Job]:
    """A job each: one alone writes to `folder`, each of several to one of its own in there."""
    return [Job(name, found, folder if alone else folder / name) for name, found in named.items()]


class Grader(Protocol):
    """Does jobs in any order, and yields each job's name with its result or its refusal.

    A refusal never stops the other jobs.
    """

    def __call__(
        self, jobs: Sequence[Job], work: Work[Shared, Result]
    ) -> Iterator[tuple[str, Result | KitError]]: ...


def one_after_another(
    jobs: Sequence[Job], work: Work[Shared, Result]
) -> Iterator[tuple[str, Result | KitError]]:
    """Does the jobs in this process, in their order. A bug stops it."""
    shared = work.open()
    for job in jobs:
        try:
            yield job.name, work.do(job, shared)
        except KitError as refusal:
            yield job.name, refusal


def attempt(job: Job, work: Work[Shared, Result], shared: Shared) -> Result | KitError:
    """The result of a job, or its refusal; a bug refuses only this job."""
    try:
        return work.do(job, shared)
    except KitError as refusal:
        return refusal
    except Exception as error:
        print(traceback.format_exc(), file=sys.stderr)
        return KitError(
            "GRADER-BUG",
            f"a bug of the kit stopped the grading of {job.found.path}: {first_line(error)}",
            "Grade it alone and report the traceback",
        )


def ended(job: Job, times: int, how: str) -> KitError:
    """The refusal of a job whose process ended, `times` times, and `how` the last time."""
    return KitError(
        "GRADER-ENDED",
        f"the process that graded {job.found.path} ended {times} times, the last time {how}",
        "Grade it alone, and give it more memory if the system ended it for want of memory",
    )
