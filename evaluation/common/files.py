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

import msgspec

from evaluation.common.errors import KitError
from evaluation.common.terminal import console


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, and renames it to `path` after the block.

    If the block raises or the process is killed, `path` stays as it was. The temporary name begins
    with a dot. It ends with the suffix of `path`, because libraries choose the format by it.
    Temporary files left by killed processes are removed first.

    Raises:
        KitError: `OUTPUT-OCCUPIED`, a folder has the name `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    descriptor, temporary = _locked_temporary(path)
    try:
        yield temporary
        # mkstemp makes private files, but a result gets the permissions that the umask gives.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        try:
            temporary.replace(path)
        except IsADirectoryError:  # made meanwhile: who can looks before the work
            raise KitError(
                "OUTPUT-OCCUPIED",
                f"{path} is a folder, and a file is to be written there",
                "Move it away, and run the same command again",
            ) from None
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)


def _locked_temporary(path: Path) -> tuple[int, Path]:
    """A new empty file and its descriptor. The descriptor holds a lock until it is closed."""
    while True:
        descriptor, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
        )
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # another process removed the file before this one had the lock


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
    """Writes `content` as a whole JSON file.

    Raises:
        ValueError: `content` holds NaN or an infinity, which standard JSON does not allow.
    """
    text = json.dumps(content, allow_nan=False)
    try:
        # The same text in a tenth of the time: json itself indents in Python.
        indented = msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:  # of the name of a file that is no UTF-8
        indented = json.dumps(content, indent=2)
    with whole_file(path) as temporary:
        temporary.write_text(indented + "\n", encoding="utf-8")


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
    """Sets a file to its full size and reserves that space on the disk.

    Without the reserve, a disk that becomes full would kill a process that writes through a
    memory map.

    Args:
        size: In bytes.

    Raises:
        OSError: the disk has no room.
    """
    with path.open("ab") as stream:
        os.truncate(stream.fileno(), size)
        os.posix_fallocate(stream.fileno(), 0, size)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk that holds `folder`, or will hold it once it is made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def readable_size(number_of_bytes: float) -> str:
    """A size as text, such as "812 B", "20 kB", "1.3 MB" or "2.1 GB"; 1 kB is 1000 bytes."""
    size, unit = float(number_of_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if round(size) < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Lets one process at a time run the block; the system frees the lock of a killed process.

    Args:
        folder: The folder of the lock file; it must exist.
        name: What is written under the lock, for the message to those that wait.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"Another process is writing {name}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
