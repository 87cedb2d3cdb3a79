"""Files that a participant may have made into anything, read with care.

Each is opened once, without following a link and without waiting, and looked at as it was opened:
what is put in its place meanwhile is not read.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of_members
from evaluation.representation.limits import Limits

_AS_IT_IS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DEEPEST = 32
"""Folders in folders; a SavedModel has two."""

_BLOCK = 1 << 22


def digest_of(path: Path, limits: Limits, copy: Path | None = None) -> str:
    """The hash of a file or folder that may be anything, as `files.sha256_of` gives it.

    Args:
        path: The file or folder.
        limits: How large it may be.
        copy: Where to copy what is read, if anywhere.

    Raises:
        KitError: it cannot be read, is empty or too large, leads elsewhere, or has links in it.
    """
    reading = _Reading(path, limits, copy)
    try:
        leads_to = _without_links(path)
        with _opened_there(leads_to, shown=path) as handle:
            reading.take(handle, Path())
    except (OSError, RuntimeError) as error:
        raise unreadable(path, error) from None
    return reading.digest


def text_below(folder: Path, name: str, most_bytes: int) -> str | None:
    """The text of a file below a participant's folder; what is no text in it is replaced.

    None where there is no such file, where it is larger, or where a link leads to another place.
    """
    try:
        place = folder.resolve() / name
        with _opened_there(place, shown=folder / name) as handle:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
                return None
            return os.read(handle, most_bytes).decode("utf-8", "replace")
    except (OSError, RuntimeError, KitError):
        return None


class _Reading:
    """One pass over what was handed in, which stops at the first that is too much."""

    def __init__(self, path: Path, limits: Limits, copy: Path | None) -> None:
        self._path = path
        self._limits = limits
        self._copy = copy
        self._files = self._bytes = 0
        self._digests: dict[Path, str] = {}

    @property
    def digest(self) -> str:
        if self._bytes == 0:
            raise KitError("REPRESENTATION-EMPTY", f"{self._path} is empty", "Export it anew")
        return self._digests.get(Path()) or sha256_of_members(self._digests)

    def take(self, handle: int, name: Path) -> None:
        """Reads an open file, or all that an open folder holds.

        Args:
            name: Its path below what was handed in.
        """
        status = os.fstat(handle)
        is_folder = stat.S_ISDIR(status.st_mode)
        if not (is_folder or stat.S_ISREG(status.st_mode)):
            raise unreadable(self._path / name, OSError("it is neither a file nor a folder"))
        self._count(0 if is_folder else status.st_size)
        if not is_folder:
            self._digests[name] = self._take_file(handle, name, status.st_size)
            return
        if len(name.parts) >= _DEEPEST:
            raise unreadable(self._path, OSError(f"it has folders more than {_DEEPEST} deep"))
        for member in os.listdir(handle):
            with _opened(member, handle, shown=self._path / name / member) as inner:
                self.take(inner, name / member)

    def _take_file(self, handle: int, name: Path, size: int) -> str:
        if self._copy is None:
            return _digest_of_open(handle, size)
        target = self._copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as copy:
            return _digest_of_open(handle, size, copy)

    def _count(self, size: int) -> None:
        self._files += 1
        self._bytes += size
        limits = self._limits
        if self._files > limits.representation_files or self._bytes > limits.representation_bytes:
            raise KitError(
                "REPRESENTATION-SIZE",
                f"{self._path} has more than {limits.representation_gib:g} GiB or "
                f"{limits.representation_files:,} files",
                "Make it smaller, or raise --max-representation-gib or --max-representation-files",
            )


def _digest_of_open(handle: int, size: int, copy: BinaryIO | None = None) -> str:
    """The hash of the first `size` bytes: a file that grows meanwhile is not read to its end."""
    digest = hashlib.sha256()
    while size and (block := os.read(handle, min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)
        if copy is not None:
            copy.write(block)
    return digest.hexdigest()


@contextmanager
def _opened(name: Path | str, folder: int | None, shown: Path) -> Iterator[int]:
    try:
        handle = os.open(name, _AS_IT_IS, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link(shown, f"lies in {shown.parent}") from None
        raise
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _opened_there(place: Path, shown: Path) -> Iterator[int]:
    """Opens what lies at a path that has no links.

    Raises:
        OSError: a folder on the way has become a link since it was looked at.
    """
    with _opened(place, folder=None, shown=shown) as handle:
        if Path(f"/proc/self/fd/{handle}").readlink() != place:
            raise OSError("another took its place")
        yield handle


def _without_links(path: Path) -> Path:
    """Where `path` leads, links resolved.

    Raises:
        KitError: it leads out of the folder that was handed in.
    """
    leads_to, folder = path.resolve(), path.parent
    if not leads_to.is_relative_to(folder.resolve()):
        raise _link(path, f"leads out of {folder.resolve()}")
    # This folder too is the participant's; the one around it is named by whoever grades.
    if folder.name == "representation" and not folder.resolve().is_relative_to(
        folder.parent.resolve()
    ):
        raise _link(folder, f"leads out of {folder.parent.resolve()}")
    return leads_to


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
