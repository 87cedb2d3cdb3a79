"""Files that a participant may have made into anything, read with care."""

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of
from evaluation.representation.limits import Limits


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
