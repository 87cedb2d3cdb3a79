"""Arrays of images on disk, each with a record of what it was made from and of what it holds.

The record `<name>.json` carries the SHA-256 of the images, which is computed once and believed
while the file keeps its size and its time of change. Where a data root cannot be written, as in a
container that mounts it read-only, what would go there goes to
`AICROWD_OUTPUT_PATH/.dataset/<name>` instead.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.environment import output_path
from evaluation.common.errors import KitError
from evaluation.common.files import free_bytes, locked, whole_file, write_json
from evaluation.common.terminal import progress

IMAGE_SHAPE = (64, 64, 3)
BLOCK = 1024
"""Images that are read or written at once: 12 MB."""


def open_made(
    name: str,
    root: Path,
    made_from: dict[str, Any],
    count: int,
    fill: Callable[[NDArray[np.uint8]], None],
) -> tuple[np.memmap, str]:
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
    shape = (count, *IMAGE_SHAPE)
    path = place_to_write(name, root) / f"{name}.npy"
    with locked(path.parent, name):
        if found := _find_made(name, root, made_from):
            return found
        with fresh_file(path, math.prod(shape)) as temporary:
            images = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            # Reserved, for writing to mapped memory when the disk is full kills the process.
            with temporary.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, temporary.stat().st_size)
            fill(images)
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
    """Memory-mapped images in order, `BLOCK` at a time.

    Each block is mapped by itself: the pages of one large map would pile up in memory.
    """
    assert isinstance(images, np.memmap)
    assert images.filename is not None
    for start in range(0, len(images), BLOCK):
        shape = (min(BLOCK, len(images) - start), *IMAGE_SHAPE)
        place = images.offset + start * math.prod(IMAGE_SHAPE)
        yield np.memmap(images.filename, np.uint8, "r", place, shape)


def _sha256(name: str, blocks: Iterable[NDArray[np.uint8]], count: int) -> str:
    digest = hashlib.sha256()
    with progress(f"Reading {name}", count) as advance:
        for block in blocks:
            digest.update(block.data)
            advance(len(block))
    return digest.hexdigest()


def place_to_write(name: str, root: Path) -> Path:
    """The folder for what the kit makes of a dataset, created if need be.

    Raises:
        KitError: none can be written.
    """
    folders = _folders(name, root)
    for folder in folders:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if existing.is_dir() and os.access(existing, os.W_OK):
            folder.mkdir(parents=True, exist_ok=True)
            return folder
    raise KitError(
        "DATA-READ-ONLY",
        f"{name} has to be written, and neither {folders[0]} nor {folders[1]} can be",
        "Make one of them writable, or set AICROWD_OUTPUT_PATH to a folder that is",
    )


def _folders(name: str, root: Path) -> tuple[Path, Path]:
    return root / name, output_path() / ".dataset" / name


def _find_made(name: str, root: Path, made_from: dict[str, Any]) -> tuple[np.memmap, str] | None:
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
    records = []
    for folder in _folders(name, root):
        with suppress(OSError, ValueError):  # a record that cannot be read is no record
            record = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            if isinstance(record, dict) and record.keys() >= {"made_from", "file", "sha256"}:
                records.append(record)
    return records


def _write_record(
    name: str, root: Path, path: Path, digest: str, made_from: dict[str, Any] | None
) -> None:
    record = {"made_from": made_from, "file": _state_of(path), "sha256": digest}
    # Where nothing can be written the digest is computed anew each time.
    with suppress(KitError):
        write_json(place_to_write(name, root) / f"{name}.json", record)


def _state_of(path: Path) -> dict[str, Any]:
    # Whole seconds: layers of container images and archives keep no more.
    state = path.stat()
    return {"name": path.name, "bytes": state.st_size, "changed": int(state.st_mtime)}


@contextmanager
def fresh_file(path: Path, size: int) -> Iterator[Path]:
    """`files.whole_file` for a file of many gigabytes, under the lock of its folder.

    Removes what killed processes left of the same file.

    Raises:
        KitError: the disk has no room for `size` bytes.
    """
    for leftover in path.parent.glob(f".{path.stem}.*{path.suffix}"):
        leftover.unlink()
    room = free_bytes(path.parent)
    if size > room:
        raise KitError(
            "DATA-DISK-FULL",
            f"{path} needs {size / 1e9:.1f} GB and its disk has {room / 1e9:.1f} GB free",
            "Free some space, or name a folder on another disk with --data-root",
        )
    with whole_file(path) as temporary:
        yield temporary
