"""The private folder that a representation is copied to and works in, and what is left of it."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TextIO

from evaluation.common.errors import KitError
from evaluation.representation.limits import Limits
from evaluation.representation.reading import digest_of

_COPY = "representation"
"""What a copy is called, whatever its maker called it."""

_PREFIX = "representation-"
_LOCK = ".lock"


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yields a new temporary folder, and removes it, and those of graders that were killed.

    A grader holds a lock in its folder. The system lets go of it when the grader ends, however it
    ends, so a folder whose lock can be had is nobody's.
    """
    _sweep(Path(tempfile.gettempdir()))
    folder, lock = _locked_folder()
    try:
        yield folder
    finally:
        _remove(folder)
        lock.close()


def _locked_folder() -> tuple[Path, TextIO]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = (folder / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / _LOCK).exists():
            return folder, lock
        lock.close()  # it was swept before it was locked


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another's, or another sweeps too
            # One look: what is another user's may be a link to our own folder a moment later.
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)


def _remove(folder: Path) -> None:
    """Removes a folder, and its lock last: without one no later run would sweep it."""
    with suppress(OSError):
        _empty(folder)
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()


def _empty(folder: Path) -> None:
    """Removes all but the lock, however deep a representation made it, and whatever its modes are.

    Folders are moved to the top before they are emptied, so that no path becomes too long.
    """
    folders = [member for member in folder.iterdir() if _is_folder(member)]
    numbers = count()
    while folders:
        inner = folders.pop()
        inner.chmod(0o700)
        for member in inner.iterdir():
            if _is_folder(member):
                member.chmod(0o700)
                folders.append(member.rename(folder / f"{next(numbers)}"))
            else:
                member.unlink()
        inner.rmdir()
    for member in folder.iterdir():
        if member.name != _LOCK:
            member.unlink()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def copy_aside(path: Path, stage: Path, limits: Limits) -> tuple[Path, str]:
    """A copy of the representation under `stage`, and its hash.

    The copy has nothing that the hash does not tell: no names but those in a folder, no times.

    Raises:
        KitError: as `digest_of`, or it changes meanwhile.
    """
    copy = stage / _COPY
    digest = digest_of(path, limits, copy)
    if digest_of(path, limits) != digest:
        raise KitError(
            "REPRESENTATION-CHANGED",
            f"{path} changed while it was read",
            "Wait until its export has ended and grade it again",
        )
    return copy, digest
