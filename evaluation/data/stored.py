"""Arrays of images on disk, each with a record of what it was made from and of what it holds.

The record `<name>.json` carries the SHA-256 of the images, which is computed once and believed
while the file keeps its size and its time of change. Where a data root cannot be written, as in a
container that mounts it read-only, what would go there goes to
`AICROWD_OUTPUT_PATH/.dataset/<name>` instead.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.environment import output_path
from evaluation.errors import KitError
from evaluation.files import free_bytes, whole_file, write_json
from evaluation.terminal import console, progress

IMAGE_SHAPE = (64, 64, 3)
BLOCK = 1024
"""Images that are read or written at once: 12 MB."""


def open_made(
    name: str,
    root: Path,
    made_from: dict[str, Any],
    count: int,
    fill: Callable[[NDArray[np.uint8]], None],
) -> tuple[NDArray[np.uint8], str]:
    """Opens `<name>.npy`, making it first unless there is one made from the same.

    Processes that ask at the same time make it once; a killed one leaves nothing that is trusted.

    Args:
        name: Name of the dataset.
        root: Folder of one folder a dataset.
        made_from: What the images depend on, as JSON has it.
        count: Number of images.
        fill: Writes all of the images it is given, uint8 (count, 64, 64, 3).

    Returns:
        The memory-mapped images and the SHA-256 of their bytes.

    Raises:
        KitError: nothing can be written, or the disk has no room.
    """
    if found := _find_made(name, root, made_from):
        return found
    folder = _writable_folder(name, root)
    if folder is None:
        tried = " nor ".join(str(folder) for folder in _folders(name, root))
        raise KitError(
            "DATA-READ-ONLY",
            f"{name} has to be written, and neither {tried} can be",
            "Make one of them writable, or set AICROWD_OUTPUT_PATH to a folder that is",
        )
    path = folder / f"{name}.npy"
    with _locked(folder, name):
        if found := _find_made(name, root, made_from):
            return found
        for leftover in folder.glob(f".{name}.*.npy"):  # a killed process left it
            leftover.unlink()
        with whole_file(path) as temporary:
            fill(_create(temporary, count))
        images = np.load(path, mmap_mode="r")
        digest = _sha256(name, blocks_of(images), count)
        _write_record(name, root, path, digest, made_from)
    return images, digest


def fingerprint_of(
    name: str, root: Path, path: Path, blocks: Iterable[NDArray[np.uint8]], count: int
) -> str:
    """The SHA-256 of the images in a file that was given to the kit, not made by it.

    Args:
        name: Name of the dataset.
        root: Folder of one folder a dataset.
        path: The file.
        blocks: Its images in order, read only if the file is new or has changed.
        count: Number of images.
    """
    for record in _records(name, root):
        if record["file"] == _state_of(path):
            return str(record["sha256"])
    digest = _sha256(name, blocks, count)
    _write_record(name, root, path, digest, made_from=None)
    return digest


def blocks_of(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The images in order, `BLOCK` at a time."""
    for start in range(0, len(images), BLOCK):
        yield images[start : start + BLOCK]


def _sha256(name: str, blocks: Iterable[NDArray[np.uint8]], count: int) -> str:
    digest = hashlib.sha256()
    with progress(f"Reading {name}", count) as advance:
        for block in blocks:
            digest.update(block.data)
            advance(len(block))
    return digest.hexdigest()


def _folders(name: str, root: Path) -> tuple[Path, Path]:
    return root / name, output_path() / ".dataset" / name


def _writable_folder(name: str, root: Path) -> Path | None:
    for folder in _folders(name, root):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if existing.is_dir() and os.access(existing, os.W_OK):
            folder.mkdir(parents=True, exist_ok=True)
            return folder
    return None


def _find_made(
    name: str, root: Path, made_from: dict[str, Any]
) -> tuple[NDArray[np.uint8], str] | None:
    records = [record for record in _records(name, root) if record["made_from"] == made_from]
    paths = [folder / f"{name}.npy" for folder in _folders(name, root)]
    for path in filter(Path.is_file, paths):
        for record in records:
            digest = str(record["sha256"])
            state = _state_of(path)
            if record["file"] == state:
                return np.load(path, mmap_mode="r"), digest
            if record["file"]["bytes"] == state["bytes"]:
                # Copying changes the time; the content tells.
                images = np.load(path, mmap_mode="r")
                if _sha256(name, blocks_of(images), len(images)) == digest:
                    _write_record(name, root, path, digest, made_from)
                    return images, digest
    return None


def _records(name: str, root: Path) -> list[dict[str, Any]]:
    paths = [folder / f"{name}.json" for folder in _folders(name, root)]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def _write_record(
    name: str, root: Path, path: Path, digest: str, made_from: dict[str, Any] | None
) -> None:
    folder = _writable_folder(name, root)
    if folder is not None:
        record = {"made_from": made_from, "file": _state_of(path), "sha256": digest}
        write_json(folder / f"{name}.json", record)


def _state_of(path: Path) -> dict[str, Any]:
    # Whole seconds: layers of container images and archives keep no more.
    state = path.stat()
    return {"name": path.name, "bytes": state.st_size, "changed": int(state.st_mtime)}


def _create(path: Path, count: int) -> NDArray[np.uint8]:
    shape = (count, *IMAGE_SHAPE)
    need = int(np.prod(shape, dtype=np.int64))
    room = free_bytes(path.parent)
    if need > room:
        raise KitError(
            "DATA-DISK-FULL",
            f"{path.parent} needs {need / 1e9:.1f} GB and has {room / 1e9:.1f} GB free",
            "Free some space, or choose a folder on another disk with --data-root",
        )
    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    # Reserved, for a write to mapped memory that finds the disk full kills the process.
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return images


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """One process at a time; the system lets go when the process ends, however it ends."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"Another process is writing {name}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
