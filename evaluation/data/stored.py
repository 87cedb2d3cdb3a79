"""Arrays of images on disk, opened by their records: what the kit made, and what it was given.

Neither is read whole once it has a record: each block is compared with its digest when something of
it is first read, see `blocks`. What the kit made and finds damaged it makes again.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.files import free_bytes, locked, readable_size, reserve, whole_file
from evaluation.common.images import IMAGE_SHAPE
from evaluation.common.npy import header_of
from evaluation.common.terminal import console, progress
from evaluation.data.blocks import (
    CHUNK,
    IMAGE_BYTES,
    Digests,
    StoredImages,
    changing,
    digests_of,
    images_of,
)
from evaluation.data.records import (
    FileState,
    Record,
    folders,
    place_to_write,
    records,
    write_record,
)

Fill = Callable[[NDArray[np.uint8]], None]
"""Writes all of the images it is given, uint8 (count, 64, 64, 3)."""


def open_made(
    name: str, root: Path, made_from: dict[str, Any], count: int, fill: Fill
) -> tuple[StoredImages, str]:
    """Opens `<name>.npy`, making it first unless there is one made from the same.

    Processes that ask at the same time make it once; a killed one leaves nothing that is trusted.

    Args:
        name: Name of the dataset.
        root: Folder of one folder a dataset.
        made_from: What the images depend on, as JSON has it.
        count: Number of images.
        fill: Makes them.

    Returns:
        The images and the SHA-256 of their bytes.

    Raises:
        KitError: nothing can be written, or the disk has no room.
    """
    found = next(_made(name, root, made_from, count), None)
    if found is None:
        with locked(place_to_write(name, root), name):
            found = next(_made(name, root, made_from, count), None)
            if found is None:
                found = _make(name, root, made_from, count, fill)
    path, digests = found

    def mend(block: int) -> Path:
        with locked(place_to_write(name, root), name):
            for other, known in _made(name, root, made_from, count):
                if known == digests and opened(other).is_good(block):
                    return other  # as another process has made it meanwhile
            damaged = f"{images_of(block, block, count)} in {path} are damaged"
            console.print(f"{damaged}; making all of {name} again", markup=False)
            anew, digests_anew = _make(name, root, made_from, count, fill)
        if digests_anew != digests:
            raise changing(anew)
        return anew

    def opened(path: Path) -> StoredImages:
        return StoredImages(path, len(_header(count)), count, digests.blocks, mend)

    return opened(path), digests.sha256


def open_given(
    name: str,
    root: Path,
    path: Path,
    offset: int,
    count: int,
    chunks: Iterable[NDArray[np.uint8]] | None = None,
) -> tuple[StoredImages, str]:
    """Opens images in a file that was given to the kit, reading them once for their digests.

    Args:
        name: Name of the dataset.
        root: Folder of one folder a dataset.
        path: The file.
        offset: Where in it the images begin.
        count: Number of images.
        chunks: The images in order, from a reader that compares them with a checksum in the file.
            None where the file has none: its content may not change then.

    Returns:
        The images and the SHA-256 of their bytes.

    Raises:
        KitError: the file cannot be read, or is not what it was when it was read first.
    """
    state = FileState.of(path)
    place = (path.name, offset, count)
    known = [
        record
        for record in records(name, root)
        if record.made_from is None and (record.file.name, record.offset, record.count) == place
    ]

    def refuse(which: str) -> KitError:
        own = [folder / f"{name}.json" for folder in folders(name, root)]
        kept = " and ".join(str(record) for record in own if record.exists())
        return KitError(
            "DATA-CHANGED",
            f"{which} of {path} are not what they were when the kit first read them",
            f"Download {path.name} again, or, if you meant to change it, remove {kept}",
        )

    def mend(block: int) -> Path:
        raise refuse(images_of(block, block, count))

    unchanged = [record.digests for record in known if record.file == state]
    if unchanged:
        digests = unchanged[0]
    else:
        digests = _read(name, chunks or _chunks(path, offset, count), count)
        if chunks is None and any(record.digests != digests for record in known):
            raise refuse("images")
        write_record(name, root, Record(None, state, offset, count, digests))
    return StoredImages(path, offset, count, digests.blocks, mend), digests.sha256


def recorded(name: str, root: Path) -> list[StoredImages]:
    """The files of a dataset that the kit has records of, as they are."""

    def let_be(block: int) -> Path:  # nothing is read but to be looked at
        raise NotImplementedError

    return [
        StoredImages(path, record.offset, record.count, record.digests.blocks, let_be)
        for record in records(name, root)
        for folder in folders(name, root)
        if (path := folder / record.file.name).is_file()
    ]


def _made(
    name: str, root: Path, made_from: dict[str, Any], count: int
) -> Iterator[tuple[Path, Digests]]:
    """Files that were made from the same, and are whole as far as size and header tell."""
    known = [record for record in records(name, root) if record.made_from == made_from]
    header = _header(count)
    for folder in folders(name, root):
        path = folder / f"{name}.npy"
        if not (known and path.is_file()):
            continue
        with path.open("rb") as stream:
            begins_well = stream.read(len(header)) == header
        if begins_well and path.stat().st_size == len(header) + count * IMAGE_BYTES:
            yield from ((path, record.digests) for record in known)


def _make(
    name: str, root: Path, made_from: dict[str, Any], count: int, fill: Fill
) -> tuple[Path, Digests]:
    """Makes the file, under the lock of its folder, and its record."""
    path = place_to_write(name, root) / f"{name}.npy"
    if path.exists():
        console.print(f"{path} is damaged, or made by another version", markup=False)
    header = _header(count)
    size = len(header) + count * IMAGE_BYTES
    with fresh_file(path, size) as temporary:
        temporary.write_bytes(header)
        reserve(temporary, size)
        fill(np.memmap(temporary, np.uint8, "r+", len(header), (count, *IMAGE_SHAPE)))
    digests = _read(name, _chunks(path, len(header), count), count)
    record = Record(made_from, FileState.of(path), len(header), count, digests)
    write_record(name, root, record)
    return path, digests


def _header(count: int) -> bytes:
    return header_of((count, *IMAGE_SHAPE), np.uint8)


def _read(name: str, chunks: Iterable[NDArray[np.uint8]], count: int) -> Digests:
    with progress(f"Reading {name}", count) as advance:

        def watched() -> Iterator[NDArray[np.uint8]]:
            for chunk in chunks:
                yield chunk
                advance(len(chunk))

        return digests_of(watched())


def _chunks(path: Path, offset: int, count: int) -> Iterator[NDArray[np.uint8]]:
    with path.open("rb") as stream:
        stream.seek(offset)
        for start in range(0, count, CHUNK):
            images = np.fromfile(stream, np.uint8, min(CHUNK, count - start) * IMAGE_BYTES)
            yield images.reshape(-1, *IMAGE_SHAPE)


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
            f"{path} needs {readable_size(size)} and its disk has {readable_size(room)} free",
            "Free some space, or name a folder on another disk with --data-root",
        )
    with whole_file(path) as temporary:
        yield temporary
