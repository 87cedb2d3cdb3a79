"""Images in a file. Each block of images is compared with its digest when it is first read.

The file is read, not mapped into memory. If it is cut short while it is open, a read gives an
error, but a memory map would kill the process. The images of a small set stay in memory once they
were read; those of a large set do not.
"""

import hashlib
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError

_BLOCK_BYTES = 192 * 1024
"""Bytes of a block: little more than what Linux reads ahead anyway for one image."""

_BLOCKS_A_CHUNK = 64

_KEPT_BYTES = 256 << 20
"""The most bytes of a set whose images stay in memory once they were read."""

_DIGEST_BYTES = 16
"""Bytes of each block's digest: the start of its SHA-256, the fastest digest in `hashlib`."""

Mend = Callable[[int], Path]
"""Takes the number of a damaged block; returns a file with a good one, or raises `KitError`."""


class ArrayInFile(NamedTuple):
    """The place of images in a file: one after another, each in C order.

    Args:
        offset: The position in bytes of the first image.
        shape: Shape of all images together: (N, height, width, channels).
        dtype: Name of their type, "uint8" or "float32".
    """

    offset: int
    shape: tuple[int, int, int, int]
    dtype: str

    @property
    def image_bytes(self) -> int:
        return math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        return self.shape[0] * self.image_bytes

    @property
    def block(self) -> int:
        """Number of images in a block, which share one digest."""
        return max(1, _BLOCK_BYTES // self.image_bytes)

    @property
    def chunk(self) -> int:
        """Number of images in a chunk, which has whole blocks and about 12 MB.

        Loops over all images read one chunk at a time.
        """
        return self.block * _BLOCKS_A_CHUNK

    def images_of(self, first: int, last: int) -> str:
        """In words, the numbers of the images in the blocks from `first` to `last`."""
        end = min((last + 1) * self.block, self.shape[0]) - 1
        return f"images {first * self.block} to {end}"

    def starts(self) -> range:
        """The number of the first image of each chunk."""
        return range(0, self.shape[0], self.chunk)


class Digests(NamedTuple):
    """The digests of a file of images.

    Args:
        sha256: SHA-256 of all images, hexadecimal.
        blocks: The digests of the blocks, one after another, `_DIGEST_BYTES` bytes each.
    """

    sha256: str
    blocks: bytes


def digests_of(chunks: Iterable[NDArray], block: int) -> Digests:
    """The digests of images.

    Args:
        chunks: The images (n, height, width, channels) in order. Each chunk except the last has
            whole blocks.
        block: Number of images in a block.
    """
    whole = hashlib.sha256()
    blocks = []
    for chunk in chunks:
        whole.update(chunk.data)
        blocks += [_digest(chunk[start : start + block]) for start in range(0, len(chunk), block)]
    return Digests(whole.hexdigest(), b"".join(blocks))


class StoredImages:
    """Images (N, height, width, channels) in a file, indexed like an array along the first axis.

    If the file's size or times change, every block is compared again. A change that keeps size and
    times is noticed only by the next process.

    Args:
        path: The file.
        array: The place of the images in it.
        digests: The `Digests.blocks` that the images must have.
        mend: Called for a block with another digest.
    """

    def __init__(self, path: Path, array: ArrayInFile, digests: bytes, mend: Mend) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = np.dtype(array.dtype)
        self.nbytes = array.nbytes
        self._digests = digests
        self._mend = mend
        self._mending = threading.Lock()
        self._files: list[IO[bytes]] = []
        self._good = np.zeros(-(-len(self) // array.block), dtype=bool)
        # The pages of `empty` take no memory until something is written to them.
        self._kept = self._empty(len(self)) if self.nbytes <= _KEPT_BYTES else None
        self._open(path)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray:
        """One image (height, width, channels), or images (n, height, width, channels).

        Args:
            rows: A number for one image; numbers (n,), a mask (N,) or a slice for several.

        Raises:
            IndexError: there is no such image.
            KitError: the file cannot be read, or is damaged and cannot be repaired.
        """
        numbers = self._numbers(rows)
        return self._read(numbers) if numbers.ndim else self._read(numbers[np.newaxis])[0]

    def floats(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Images (n, height, width, channels) of the numbers (n,) as float32.

        Bytes are divided by 255.

        Raises:
            IndexError, KitError: as in `__getitem__`.
        """
        from evaluation.data.storage.gathering import to_floats

        if self.dtype != np.uint8:
            return self[numbers]
        numbers = self._numbers(numbers)
        images, rows = self._kept, numbers
        if images is None or not self._is_good(numbers).all():
            images, rows = self._read(numbers), np.arange(len(numbers))
        floats = np.empty((len(numbers), *self.shape[1:]), np.float32)
        to_floats(images.reshape(len(images), -1), rows, floats.reshape(len(floats), -1))
        return floats

    def _numbers(self, rows: Any) -> NDArray[np.int64]:
        """The numbers, from 0 on, of the images that `rows` selects."""
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        numbers = np.asarray(rows)
        if numbers.dtype == bool:
            numbers = np.flatnonzero(numbers)
        numbers = numbers.astype(np.int64, copy=False)
        low, high = (numbers.min(), numbers.max()) if numbers.size else (0, 0)
        if not -len(self) <= low <= high < max(len(self), 1):
            raise IndexError(f"{rows} reaches beyond {len(self)} images")
        return np.where(numbers < 0, numbers + len(self), numbers) if low < 0 else numbers

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def chunks(self) -> Iterator[NDArray]:
        """Yields all images in order, `ArrayInFile.chunk` at a time."""
        for start in self.array.starts():
            yield self[start : start + self.array.chunk]

    def check(self) -> None:
        """Compares every block that was not compared yet, and repairs damaged ones."""
        for block in np.flatnonzero(~self._good):
            self._good_block(int(block))

    def is_good(self, block: int) -> bool:
        """Whether the block in the file has its digest at this moment."""
        start = block * self.array.block
        content = self._empty(min(self.array.block, len(self) - start))
        return self._fill(content, start) and self._matches(block, content)

    @property
    def num_blocks(self) -> int:
        return len(self._good)

    def _empty(self, count: int) -> NDArray:
        return np.empty((count, *self.shape[1:]), self.dtype)

    def _open(self, path: Path) -> None:
        self.path = path
        # Earlier files stay open, because other threads may still read from them.
        self._files.append(path.open("rb", buffering=0))
        self._status = self._current_status()
        self._good[:] = False

    def _current_status(self) -> tuple[int, int, int]:
        status = os.fstat(self._files[-1].fileno())
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _is_good(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether images (n,) were compared with their digests since the file last changed."""
        if (status := self._current_status()) != self._status:
            self._status = status
            self._good[:] = False
        return self._good[numbers // self.array.block]

    def _read(self, numbers: NDArray[np.int64]) -> NDArray:
        blocks = numbers // self.array.block
        done = self._is_good(numbers)
        if self._kept is not None and done.all():
            return self._kept[numbers]
        images = self._empty(len(numbers))
        if done.any():
            from evaluation.data.storage.gathering import gather

            content = images.view(np.uint8).reshape(len(images), -1)
            gather(self._files[-1].fileno(), self.array.offset, numbers, content, done)
        if done.all():
            return images
        missing = np.flatnonzero(~done)
        missing = missing[np.argsort(blocks[missing], kind="stable")]
        for rows in np.split(missing, np.flatnonzero(np.diff(blocks[missing])) + 1):
            if len(rows):
                block = int(blocks[rows[0]])
                first = block * self.array.block
                images[rows] = self._good_block(block)[numbers[rows] - first]
        return images

    def _good_block(self, block: int) -> NDArray:
        """All images of a block, compared with their digest and repaired if necessary."""
        start = block * self.array.block
        content = self._empty(min(self.array.block, len(self) - start))
        if not (self._fill(content, start) and self._matches(block, content)):
            with self._mending:
                if not self.is_good(block):
                    self._open(self._mend(block))
                if not (self._fill(content, start) and self._matches(block, content)):
                    raise changing(self.path)
        if self._kept is not None:
            self._kept[start : start + len(content)] = content
        self._good[block] = True
        return content

    def _matches(self, block: int, images: NDArray) -> bool:
        place = block * _DIGEST_BYTES
        return _digest(images) == self._digests[place : place + _DIGEST_BYTES]

    def _fill(self, images: NDArray, number: int) -> bool:
        """Fills `images` from the file, from image `number` on; False if the file is too short."""
        place = self.array.offset + number * self.array.image_bytes
        try:
            return os.preadv(self._files[-1].fileno(), [images.data], place) == images.nbytes
        except OSError as error:
            raise KitError(
                "DATA-UNREADABLE",
                f"{self.path} cannot be read ({error})",
                "Check its permissions and disk",
            ) from error


def changing(path: Path) -> KitError:
    """The error for a file that another program writes to while it is read."""
    return KitError(
        "DATA-CHANGED",
        f"{path} changes while it is read",
        "End the program that writes to it, and start again",
    )


def _digest(images: NDArray) -> bytes:
    return hashlib.sha256(images.data).digest()[:_DIGEST_BYTES]
