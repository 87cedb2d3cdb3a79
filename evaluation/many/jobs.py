"""What is to be done, a job each, and what all jobs share."""

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from evaluation.common.errors import KitError, first_line
from evaluation.representation.finding import Found


class Job(Protocol):
    """One thing to do, in a form that another process can be handed."""

    @property
    def name(self) -> str:
        """What tells it from the other jobs."""

    @property
    def folder(self) -> Path:
        """Where it writes to."""

    @property
    def subject(self) -> str:
        """What it is done to, as a message says it."""


Shared = TypeVar("Shared")
Result = TypeVar("Result")
AnyJob = TypeVar("AnyJob", bound=Job)


@dataclass(frozen=True)
class Grading:
    """The job to grade what was found, by its name, into its folder."""

    name: str
    found: Found
    folder: Path

    @property
    def subject(self) -> str:
        return str(self.found.path)


@dataclass(frozen=True)
class Work(Generic[AnyJob, Shared, Result]):
    """What to do with each job, in a form that another process can be handed.

    Args:
        open: Called once in each process that works; what it returns is given to `do`.
        do: Does one job, and raises a `KitError` where it cannot be done.
        title: What is done, as the bar and messages say it.
    """

    open: Callable[[], Shared]
    do: Callable[[AnyJob, Shared], Result]
    title: str = "Grading"


def jobs_in(folder: Path, named: Mapping[str, Found], alone: bool) -> list[Grading]:
    """A job each: one alone writes to `folder`, each of several to one of its own in there."""
    return [
        Grading(name, found, folder if alone else folder / name) for name, found in named.items()
    ]


class Scheduler(Protocol):
    """Does jobs in any order, and yields each job's name with its result or its refusal.

    A refusal never stops the other jobs.
    """

    def __call__(
        self, jobs: Sequence[AnyJob], work: Work[AnyJob, Shared, Result]
    ) -> Iterator[tuple[str, Result | KitError]]: ...


def one_after_another(
    jobs: Sequence[AnyJob], work: Work[AnyJob, Shared, Result]
) -> Iterator[tuple[str, Result | KitError]]:
    """Does the jobs in this process, in their order. A bug stops it."""
    shared = work.open()
    for job in jobs:
        try:
            yield job.name, work.do(job, shared)
        except KitError as refusal:
            yield job.name, refusal


def attempt(job: AnyJob, work: Work[AnyJob, Shared, Result], shared: Shared) -> Result | KitError:
    """The result of a job, or its refusal; a bug refuses only this job."""
    try:
        return work.do(job, shared)
    except KitError as refusal:
        return refusal
    except Exception as error:
        print(traceback.format_exc(), file=sys.stderr)
        return KitError(
            "JOB-BUG",
            f"{work.title} {job.subject} was stopped by a bug of the kit: {first_line(error)}",
            "Do it alone and report the traceback",
        )


def running_and_refused(running: int, refused: int) -> str:
    """What the bar says beside the number of jobs that are done, and the time left."""
    return f"{running} running, {refused} refused"


def ended(job: Job, title: str, times: int, how: str) -> KitError:
    """The refusal of a job whose process ended, `times` times, and `how` the last time."""
    return KitError(
        "JOB-ENDED",
        f"{title} {job.subject} ended its process {times} times, the last time {how}",
        "Do it alone, and give it more memory if the system ended it for want of memory",
    )
