"""Work for graders, in a module that their processes can import."""

import os
import signal
import time
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.many.jobs import Grading, Work
from evaluation.representation.finding import Found

FACTOR = 3


def opened() -> int:
    return FACTOR


def measured(job: Grading, factor: int) -> int:
    """The length of the job's name times `factor`; what some names say happens instead."""
    what = job.name.partition("-")[0]
    marks = job.folder / "tries"
    with marks.open("a") as file:
        file.write("x")
    if what == "refused":
        raise KitError("TEST-REFUSED", f"{job.name} is refused", "Do nothing")
    if what == "bug":
        raise RuntimeError("a bug")
    if what == "ends" or (what == "once" and marks.stat().st_size == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "slow":
        time.sleep(0.2)
    return len(job.name) * factor


def jobs_of_their_own(folder: Path, names: list[str]) -> list[Grading]:
    """Each with a folder, in which it leaves how often it was tried."""
    made = [Grading(name, Found(folder / name, "codes"), folder / name) for name in names]
    for job in made:
        job.folder.mkdir(parents=True)
    return made


WORK = Work(opened, measured)
