"""Reads an array of images from an .npz, one chunk at a time."""

import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.npy import read_header
from evaluation.common.terminal import progress
from evaluation.data.sets.refusals import Origin
from evaluation.data.storage.blocks import ArrayInFile

Check = Callable[[tuple[int, ...], np.dtype], bool]
"""Whether an array of that shape and type is what a dataset has."""


class NpzArray(NamedTuple):
    """An array in C order inside an .npz.

    Args:
        path: The archive.
        key: The array's name in it.
        shape: Its shape.
        dtype: Its type.
        crc32: Its checksum in the archive.
        place: The position in bytes of its first number in the file; None if it is compressed.
        origin: Makes the errors.
    """

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    crc32: int
    place: int | None
    origin: Origin

    @property
    def made_from(self) -> dict[str, Any]:
        """Size and checksum: all that images unpacked from this array depend on, as JSON."""
        return {"npz_bytes": self.path.stat().st_size, "crc32": self.crc32}

    def chunks(self, rows: int) -> Iterator[NDArray]:
        """Yields the array, `rows` rows at a time. The last read also compares the checksum.

        Raises:
            KitError: `DATA-DAMAGED`, the archive is damaged.
        """
        with _entry(self.path, self.key, self.origin) as (_, stream):
            read_header(stream)
            numbers = math.prod(self.shape[1:])
            for start in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - start)
                content = stream.read(count * numbers * self.dtype.itemsize)
                yield np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])
            stream.read(1)  # at the end of the entry, zipfile compares its checksum

    def whole(self) -> NDArray:
        """The whole array at once; for arrays that are not images."""
        return np.concatenate(list(self.chunks(max(1, self.shape[0]))))


def inspect(path: Path, key: str, origin: Origin, check: Check) -> NpzArray:
    """Reads only the header of an array.

    Args:
        path: The archive.
        key: The array's name in it.
        origin: Makes the errors.
        check: Whether shape and type are right.

    Raises:
        KitError: the archive or the array is damaged or missing, or `check` returns False.
    """
    with _entry(path, key, origin) as (entry, stream):
        shape, fortran, dtype = read_header(stream)
        check_array(path, key, (shape, fortran, dtype), origin, check)
        if entry.file_size - stream.tell() != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"an array of {shape} does not fill its entry")
        place = None
        if entry.compress_type == zipfile.ZIP_STORED:
            with path.open("rb") as raw:
                # A local header has 30 bytes. Bytes 26 to 29 hold the lengths of name and extra.
                raw.seek(entry.header_offset + 26)
                name_bytes, extra_bytes = struct.unpack("<HH", raw.read(4))
            place = entry.header_offset + 30 + name_bytes + extra_bytes + stream.tell()
        return NpzArray(path, key, shape, dtype, entry.CRC, place, origin)


def check_array(
    path: Path,
    key: str,
    header: tuple[tuple[int, ...], bool, np.dtype],
    origin: Origin,
    check: Check,
) -> None:
    """Checks an array's header: its shape, whether it is in Fortran order, and its type.

    Raises:
        KitError: `DATA-SHAPE`, the array is in Fortran order, or `check` returns False.
    """
    shape, fortran, dtype = header
    if fortran or not shape or dtype.hasobject or not check(shape, dtype):
        order = " in column order" if fortran else ""
        raise origin.other_array(path, f"'{key}'", f"{dtype} {shape}{order}")


def unpack(name: str, chunks: Iterable[NDArray], target: NDArray) -> None:
    """Fills `target`, images (N, height, width, channels), with `chunks`, in order."""
    start = 0
    with progress(f"Unpacking {name}", len(target)) as advance:
        for chunk in chunks:
            target[start : start + len(chunk)] = chunk
            start += len(chunk)
            advance(len(chunk))


def chunk_of(shape: Sequence[int], dtype: str) -> int:
    """Number of images in a chunk of images (N, height, width, channels), see `ArrayInFile`."""
    count, height, width, channels = shape
    return ArrayInFile(0, (count, height, width, channels), dtype).chunk


@contextmanager
def _entry(path: Path, key: str, origin: Origin) -> Iterator[tuple[zipfile.ZipInfo, IO[bytes]]]:
    """Yields the array's entry and its stream. Errors of reading become `KitError`s."""
    # RuntimeError: an archive from elsewhere may use compression or flags unknown to zipfile.
    bad = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError)
    with origin.reading(path, *bad, RuntimeError), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if key not in names:
            raise origin.lacks(path, names, key)
        entry = archive.getinfo(f"{key}.npy")
        with archive.open(entry) as stream:
            yield entry, stream
