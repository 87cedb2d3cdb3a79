"""Files that a participant may have made into anything, read with care and copied aside."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of
from evaluation.representation.limits import Limits

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
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)


def _remove(folder: Path) -> None:
    """Removes a folder, and its lock last: without one no later run would sweep it."""
    for member in folder.iterdir():
        if member.is_dir() and not member.is_symlink():
            shutil.rmtree(member, ignore_errors=True)
        elif member.name != _LOCK:
            member.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def copy_aside(path: Path, stage: Path, limits: Limits) -> tuple[Path, str]:
    """A copy of the representation under `stage`, and its hash.

    Raises:
        KitError: as `digest_of`, or it changes meanwhile.
    """
    copy = stage / path.name
    try:
        before = digest_of(path, limits)
        if path.is_dir():
            shutil.copytree(path, copy, symlinks=True)
        else:
            shutil.copyfile(path, copy)
        digest = sha256_of(copy)
        after = digest_of(path, limits)
    except (OSError, shutil.Error) as error:
        raise unreadable(path, error) from None
    if not before == digest == after:
        raise KitError(
            "REPRESENTATION-CHANGED",
            f"{path} changed while it was read",
            "Wait until its export has ended and grade it again",
        )
    return copy, digest


def digest_of(path: Path, limits: Limits) -> str:
    """The hash of a file or folder that may be anything.

    Raises:
        KitError: it cannot be read, is empty or too large, leads elsewhere, or has links in it.
    """
    try:
        _refuse_odd(path, limits)
        return sha256_of(path)
    except (OSError, RuntimeError) as error:
        raise unreadable(path, error) from None


def _refuse_odd(path: Path, limits: Limits) -> None:
    """Looks at all that is there, and stops at the first that is too much, before any is read."""
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        raise _link(path, f"leads out of {path.parent}")
    size = 0
    for files, member in enumerate(_members(path), start=1):
        if member != path and member.is_symlink():
            raise _link(member, f"lies in {path}")
        status = member.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise unreadable(member, OSError("it is neither a file nor a folder"))
        size += status.st_size
        if files > limits.representation_files or size > limits.representation_bytes:
            raise KitError(
                "REPRESENTATION-SIZE",
                f"{path} has more than {limits.representation_gib:g} GiB or "
                f"{limits.representation_files:,} files",
                "Make it smaller, or raise --max-representation-gib or --max-representation-files",
            )
    if size == 0:
        raise KitError("REPRESENTATION-EMPTY", f"{path} is empty", "Export it anew")


def _members(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from path.rglob("*")


def _link(member: Path, problem: str) -> KitError:
    return KitError(
        "REPRESENTATION-SYMLINK",
        f"{member} is a link that {problem}",
        "Put the file or folder itself there",
    )


def unreadable(path: Path, error: Exception) -> KitError:
    """The refusal of what the system does not let us read."""
    reason = getattr(error, "strerror", None) or str(error)
    return KitError(
        "REPRESENTATION-UNREADABLE",
        f"cannot read {path}: {reason}",
        "Make it a file or folder that this user can read",
    )
