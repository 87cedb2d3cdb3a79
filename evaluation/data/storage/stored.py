"""Opens image files by their records: files that the kit made, and files that the user gave.

A file that has a record is not read to its end again. Instead each block is compared with its
digest when it is first used, see `blocks`. If a file that the kit made is damaged, the kit makes it
again.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.files import free_bytes, locked, readable_size, reserve, whole_file
from evaluation.common.npy import header_of
from evaluation.common.terminal import console, progress
from evaluation.data.storage.blocks import ArrayInFile, Digests, StoredImages, changing, digests_of
from evaluation.data.storage.records import (
    FileState,
    Record,
    folders,
    place_to_write,
    records,
    write_record,
)

Fill = Callable[[NDArray], None]
"""Fills an array of images (N, height, width, channels)."""


def open_made(
    name: str,
    root: Path,
    made_from: dict[str, Any],
    shape: tuple[int, int, int, int],
    fill: Fill,
    dtype: str = "uint8",
) -> tuple[StoredImages, str]:
    """Opens `<name>.npy`. If there is none made from `made_from`, it is made first.

    If several processes need it at the same time, one of them makes it. If that process is killed,
    its part of a file is never used.

    Args:
        name: Name of the dataset.
        root: The data root.
        made_from: All that the images depend on, as JSON.
        shape: Shape of all images together: (N, height, width, channels).
        fill: Makes the images.
        dtype: "uint8" or "float32".

    Returns:
        The images and the SHA-256 of their bytes, hexadecimal.

    Raises:
        KitError: `DATA-READ-ONLY`, no folder is writable; `DATA-DISK-FULL`.
    """
    header = header_of(shape, dtype)
    array = ArrayInFile(len(header), shape, dtype)
    found = next(_made(name, root, made_from, array), None)
    if found is None:
        with locked(place_to_write(name, root), name):
            found = next(_made(name, root, made_from, array), None)
            if found is None:
                found = _make(name, root, made_from, array, fill)
    path, digests = found

    def mend(block: int) -> Path:
        with locked(place_to_write(name, root), name):
            for other, known in _made(name, root, made_from, array):
                if known == digests and opened(other).is_good(block):
                    return other  # another process has made the file again meanwhile
            damaged = f"{array.images_of(block, block)} in {path} are damaged"
            console.print(f"{damaged}; making all of {name} again", markup=False)
            made_again, new_digests = _make(name, root, made_from, array, fill)
        if new_digests != digests:
            raise changing(made_again)
        return made_again

    def opened(path: Path) -> StoredImages:
        return StoredImages(path, array, digests.blocks, mend)

    return opened(path), digests.sha256


def open_given(
    name: str,
    root: Path,
    path: Path,
    array: ArrayInFile,
    chunks: Iterable[NDArray] | None = None,
) -> tuple[StoredImages, str]:
    """Opens images in a file that the user gave. The first time, all are read for their digests.

    Args:
        name: Name of the dataset.
        root: The data root.
        path: The file.
        array: The place of the images in it.
        chunks: The images in order, from a reader that compares them with a checksum in the file.
            None if the file has no checksum; then its content must never change.

    Returns:
        The images and the SHA-256 of their bytes, hexadecimal.

    Raises:
        KitError: `DATA-CHANGED`, the file changed since it was first read; others if it cannot be
            read.
    """
    state = FileState.of(path)
    known = [
        record
        for record in records(name, root)
        if record.made_from is None and (record.file.name, record.array) == (path.name, array)
    ]

    def refuse(which: str) -> KitError:
        own = [folder / f"{name}.json" for folder in folders(name, root)]
        kept = " and ".join(str(record) for record in own if record.exists())
        return KitError(
            "DATA-CHANGED",
            f"{which} of {path} have changed since the kit first read them",
            f"Download {path.name} again, or, if you changed it on purpose, remove {kept}",
        )

    def mend(block: int) -> Path:
        raise refuse(array.images_of(block, block))

    unchanged = [record.digests for record in known if record.file == state]
    if unchanged:
        digests = unchanged[0]
    else:
        digests = _read(name, chunks or _chunks(path, array), array)
        if chunks is None and any(record.digests != digests for record in known):
            raise refuse("images")
        write_record(name, root, Record(None, state, array, digests))
    return StoredImages(path, array, digests.blocks, mend), digests.sha256


def recorded(name: str, root: Path) -> list[StoredImages]:
    """The files of a dataset that have records. They can be checked, but not repaired."""

    def refuse_to_mend(block: int) -> Path:
        raise NotImplementedError

    return [
        StoredImages(path, record.array, record.digests.blocks, refuse_to_mend)
        for record in records(name, root)
        for folder in folders(name, root)
        if (path := folder / record.file.name).is_file()
    ]


def _made(
    name: str, root: Path, made_from: dict[str, Any], array: ArrayInFile
) -> Iterator[tuple[Path, Digests]]:
    """Yields the files made from `made_from` that have the right size and header."""
    known = [
        record
        for record in records(name, root)
        if (record.made_from, record.array) == (made_from, array)
    ]
    header = header_of(array.shape, array.dtype)
    for folder in folders(name, root):
        path = folder / f"{name}.npy"
        if not (known and path.is_file()):
            continue
        with path.open("rb") as stream:
            begins_well = stream.read(len(header)) == header
        if begins_well and path.stat().st_size == array.offset + array.nbytes:
            yield from ((path, record.digests) for record in known)


def _make(
    name: str, root: Path, made_from: dict[str, Any], array: ArrayInFile, fill: Fill
) -> tuple[Path, Digests]:
    """Makes the file and its record. The caller holds the lock of the folder."""
    path = place_to_write(name, root) / f"{name}.npy"
    if path.exists():
        console.print(f"{path} is damaged or out of date", markup=False)
    size = array.offset + array.nbytes
    with fresh_file(path, size) as temporary:
        temporary.write_bytes(header_of(array.shape, array.dtype))
        reserve(temporary, size)
        fill(np.memmap(temporary, array.dtype, "r+", array.offset, array.shape))
    digests = _read(name, _chunks(path, array), array)
    write_record(name, root, Record(made_from, FileState.of(path), array, digests))
    return path, digests


def _read(name: str, chunks: Iterable[NDArray], array: ArrayInFile) -> Digests:
    with progress(f"Reading {name}", array.shape[0]) as advance:

        def watched() -> Iterator[NDArray]:
            for chunk in chunks:
                yield chunk
                advance(len(chunk))

        return digests_of(watched(), array.block)


def _chunks(path: Path, array: ArrayInFile) -> Iterator[NDArray]:
    numbers_an_image = math.prod(array.shape[1:])
    with path.open("rb") as stream:
        stream.seek(array.offset)
        for start in array.starts():
            count = min(array.chunk, array.shape[0] - start)
            images = np.fromfile(stream, array.dtype, count * numbers_an_image)
            yield images.reshape(-1, *array.shape[1:])


@contextmanager
def fresh_file(path: Path, size: int) -> Iterator[Path]:
    """`files.whole_file` for a file of many gigabytes. The caller holds the lock of the folder.

    Temporary files that killed processes left of the same file are removed first.

    Raises:
        KitError: `DATA-DISK-FULL`, the disk has no room for `size` bytes.
    """
    for leftover in path.parent.glob(f".{path.stem}.*{path.suffix}"):
        leftover.unlink()
    room = free_bytes(path.parent)
    if size > room:
        raise KitError(
            "DATA-DISK-FULL",
            f"{path} needs {readable_size(size)} and its disk has {readable_size(room)} free",
            "Free some space, or name a folder on another disk with --data-root",
        )
    with whole_file(path) as temporary:
        yield temporary
