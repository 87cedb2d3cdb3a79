"""A folder of runs that still grows, as it is at one moment.

What lies in it may be the participants' work. So nothing is read through a link, and a run that
cannot be read is one problem among the runs.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from urllib.parse import quote

from evaluation import outputs
from evaluation.common.errors import KitError
from evaluation.report.page import NAME
from evaluation.report.runs.reading import MOST_BYTES, run_of, unreadable
from evaluation.representation.reading import text_below
from evaluation.scores import Report

_MOST_OF_A_PAGE = 16_000_000

FileState = tuple[int, int, int]
"""Time of the last change in nanoseconds, size in bytes, and number of the inode."""

FolderState = tuple[tuple[str, FileState, bool], ...]


class SeenRun(NamedTuple):
    """A folder with a `scores.json`.

    Args:
        name: Its path below the folder of runs.
        report: The scores; None if they cannot be read.
        problem: Why they cannot be read; None if they can.
        graded: When they were written, in UTC.
        has_page: Whether `report.html` lies beside them.
    """

    name: str
    report: Report | None
    problem: str | None
    graded: str
    has_page: bool

    @property
    def link(self) -> str:
        """The name as a part of an address. It holds any bytes that a file name may have."""
        return quote(os.fsencode(self.name), safe="")


class RunFolder:
    """The runs below a folder. Scores that did not change are not read again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, tuple[FileState, Report | KitError]] = {}
        self._lock = Lock()

    def state(self) -> FolderState:
        """Which runs there are, from the earliest to the latest. It is equal while none changes."""
        return tuple(sorted(self._found(), key=lambda run: (run[1][0], run[0])))

    def runs(self, state: FolderState) -> list[SeenRun]:
        """The runs of a `state`, in its order."""
        with self._lock:
            before, self._read = self._read, {}
            return [self._seen(before, *run) for run in state]

    def page_of(self, name: str) -> str | None:
        """The page of a run; None where there is no such run, or it has no page.

        Args:
            name: Any text. Only names of runs that are there lead to a file.
        """
        if any(run[0] == name and run[2] for run in self._found()):
            return text_below(self.folder, f"{name}/{NAME}", _MOST_OF_A_PAGE)
        return None

    def _found(self) -> Iterator[tuple[str, FileState, bool]]:
        for folder, _, files in os.walk(self.folder):  # which follows no links
            if outputs.SCORES in files:
                with suppress(FileNotFoundError):  # removed meanwhile
                    status = os.lstat(Path(folder) / outputs.SCORES)
                    state = status.st_mtime_ns, status.st_size, status.st_ino
                    name = Path(folder).relative_to(self.folder).as_posix()
                    yield name, state, NAME in files and _is_plain(Path(folder) / NAME)

    def _seen(
        self,
        before: dict[str, tuple[FileState, Report | KitError]],
        name: str,
        state: FileState,
        has_page: bool,
    ) -> SeenRun:
        known = before.get(name)
        if known is None or known[0] != state:
            known = state, self._scores_of(name)
        self._read[name] = known
        graded = datetime.fromtimestamp(state[0] // 10**9, timezone.utc).strftime("%Y-%m-%d %H:%M")
        found = known[1]
        if isinstance(found, KitError):
            return SeenRun(name, None, found.problem, graded, has_page)
        return SeenRun(name, found, None, graded, has_page)

    def _scores_of(self, name: str) -> Report | KitError:
        shown = Path(name) / outputs.SCORES
        text = text_below(self.folder, f"{name}/{outputs.SCORES}", MOST_BYTES)
        if text is None:
            return unreadable(shown, "it is a link, no file, or too large")
        try:
            return run_of(text, shown)
        except KitError as error:
            return error


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
