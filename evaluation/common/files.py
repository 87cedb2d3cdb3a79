"""Files that appear under their final name only when they are whole."""

import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from evaluation.common.terminal import console


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, renamed to `path` when the block ends well.

    A block that raises, or a process that is killed, leaves `path` as it was. The temporary name
    begins with a dot and ends with the suffixes of `path`, since libraries choose formats by them.
    Temporary files that killed processes left there are removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    held, temporary = _locked_temporary(path)
    try:
        yield temporary
        # mkstemp keeps files private; these are results, to be read under the usual umask.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(held)


def _locked_temporary(path: Path) -> tuple[int, Path]:
    """A new empty file, and its descriptor, which holds a lock on it until it is closed."""
    while True:
        held, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        fcntl.flock(held, fcntl.LOCK_EX)
        if os.fstat(held).st_nlink:
            return held, Path(name)
        os.close(held)  # swept by another process before it was locked


def _sweep(path: Path) -> None:
    """Removes the temporary files of `path` that no living process holds a lock on."""
    for leftover in path.parent.glob(f".{glob.escape(path.stem)}.????????{path.suffix}"):
        with suppress(OSError):
            # Somebody may have put a pipe there, which who opens it waits for.
            held = os.open(leftover, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
            finally:
                os.close(held)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON that any reader accepts: NaN and infinities raise `ValueError`."""
    with whole_file(path) as temporary:
        text = json.dumps(content, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file, or of a folder's file names and contents in order."""
    if path.is_dir():
        files = (member for member in path.rglob("*") if member.is_file())
        return sha256_of_members({file.relative_to(path): sha256_of(file) for file in files})
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_members(digests: Mapping[Path, str]) -> str:
    """The hash of a folder, from those of its files by their names below it."""
    digest = hashlib.sha256()
    for name in sorted(digests):
        digest.update(os.fsencode(name))
        digest.update(f"\0{digests[name]}\n".encode())
    return digest.hexdigest()


def reserve(path: Path, size: int) -> None:
    """Gives a file all of its size and room on the disk before it is filled.

    Where the disk fills up under a memory map, the system kills the process.

    Raises:
        OSError: the disk has no room.
    """
    with path.open("ab") as stream:
        os.truncate(stream.fileno(), size)
        os.posix_fallocate(stream.fileno(), 0, size)


def free_bytes(folder: Path) -> int:
    """Free space where `folder` lies or will lie."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def readable_size(number_of_bytes: float) -> str:
    """A size for people to read: "812 B", "20 kB", "1.3 MB", "2.1 GB"; 1 kB is 1000 bytes."""
    size, unit = float(number_of_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if round(size) < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """One process at a time; the system lets go when the process ends, however it ends."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"Another process is writing {name}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
