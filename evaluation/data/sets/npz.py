"""Images as one array of an .npz, of which never more than a chunk is in memory."""

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
        crc32: The archive's checksum of it.
        place: Where its numbers begin in the file, if they are stored as they are.
        origin: For what is to be refused.
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
        """What an array that is made of it depends on."""
        return {"npz_bytes": self.path.stat().st_size, "crc32": self.crc32}

    def chunks(self, rows: int) -> Iterator[NDArray]:
        """The array, that many rows at a time; its checksum is compared with the last."""
        with _entry(self.path, self.key, self.origin) as (_, stream):
            read_header(stream)
            numbers = math.prod(self.shape[1:])
            for start in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - start)
                content = stream.read(count * numbers * self.dtype.itemsize)
                yield np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])
            stream.read(1)

    def whole(self) -> NDArray:
        """All of it; for arrays that are no images."""
        return np.concatenate(list(self.chunks(max(1, self.shape[0]))))


def inspect(path: Path, key: str, origin: Origin, check: Check) -> NpzArray:
    """Reads the header of an array, and nothing more.

    Raises:
        KitError: the archive or the array is damaged, not there, or does not pass the check.
    """
    with _entry(path, key, origin) as (entry, stream):
        shape, fortran, dtype = read_header(stream)
        check_array(path, key, (shape, fortran, dtype), origin, check)
        if entry.file_size - stream.tell() != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"an array of {shape} does not fill its entry")
        place = None
        if entry.compress_type == zipfile.ZIP_STORED:
            with path.open("rb") as raw:
                # The lengths of name and extra field stand at 26 and 28 of a local header of 30.
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
    """Refuses an array by what its header says: shape, whether in Fortran order, and type."""
    shape, fortran, dtype = header
    if fortran or not shape or dtype.hasobject or not check(shape, dtype):
        order = " in column order" if fortran else ""
        raise origin.other_array(path, f"'{key}'", f"{dtype} {shape}{order}")


def unpack(name: str, chunks: Iterable[NDArray], target: NDArray) -> None:
    """Fills `target`, images (N, height, width, channels), with chunks of them."""
    start = 0
    with progress(f"Unpacking {name}", len(target)) as advance:
        for chunk in chunks:
            target[start : start + len(chunk)] = chunk
            start += len(chunk)
            advance(len(chunk))


def chunk_of(shape: Sequence[int], dtype: str) -> int:
    """Images that a pass over images (N, height, width, channels) reads at once."""
    count, height, width, channels = shape
    return ArrayInFile(0, (count, height, width, channels), dtype).chunk


@contextmanager
def _entry(path: Path, key: str, origin: Origin) -> Iterator[tuple[zipfile.ZipInfo, IO[bytes]]]:
    """Yields the array's entry and its stream; what they raise is refused."""
    # Archives made by others may use compression or flags that the library does not know.
    bad = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError)
    with origin.reading(path, *bad, RuntimeError), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if key not in names:
            raise origin.lacks(path, names, key)
        entry = archive.getinfo(f"{key}.npy")
        with archive.open(entry) as stream:
            yield entry, stream
