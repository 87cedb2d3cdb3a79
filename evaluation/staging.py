"""Files that a participant may have made into anything, read with care."""

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from evaluation.errors import KitError
from evaluation.files import sha256_of


def copy_aside(path: Path, stage: Path) -> tuple[Path, str]:
    """A copy of the representation under `stage`, and its hash.

    Raises:
        KitError: it cannot be read, is empty, leads out of its folder, or changes meanwhile.
    """
    copy = stage / path.name
    try:
        before = digest_of(path)
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copyfile(path, copy)
        digest = sha256_of(copy)
        after = digest_of(path)
    except (OSError, shutil.Error) as error:
        raise unreadable(path, error) from None
    if not before == digest == after:
        raise KitError(
            "REPRESENTATION-CHANGED",
            f"{path} changed while it was read",
            "Wait until its export has ended and grade it again",
        )
    return copy, digest


def digest_of(path: Path) -> str:
    """The hash of a file or folder that may be anything.

    Raises:
        KitError: it cannot be read, is empty, or leads out of its folder.
    """
    try:
        for member in _members(path):
            _refuse_odd_file(member, path)
        return sha256_of(path)
    except OSError as error:
        raise unreadable(path, error) from None


def _members(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from path.rglob("*")


def _refuse_odd_file(member: Path, path: Path) -> None:
    folder = (path if path.is_dir() else path.parent).resolve()
    if member != folder and not member.resolve().is_relative_to(folder):
        raise KitError(
            "REPRESENTATION-SYMLINK",
            f"{member} is a link that leads out of {folder}",
            "Put the file itself there",
        )
    mode = member.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise unreadable(member, OSError("it is neither a file nor a folder"))
    if stat.S_ISREG(mode) and member == path and member.stat().st_size == 0:
        raise KitError("REPRESENTATION-EMPTY", f"{member} is empty", "Export it anew")


def unreadable(path: Path, error: Exception) -> KitError:
    """The refusal of what the system does not let us read."""
    reason = getattr(error, "strerror", None) or str(error)
    return KitError(
        "REPRESENTATION-UNREADABLE",
        f"cannot read {path}: {reason}",
        "Make it a file or folder that this user can read",
    )
