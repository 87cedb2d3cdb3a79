"""Images in a file, each block of them compared with its digest when it is first read.

Nothing is mapped: what was read takes no memory afterwards, and a file that is cut short while it
is open gives an error where a memory map would end the process.
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
from evaluation.common.images import IMAGE_SHAPE

IMAGE_BYTES = math.prod(IMAGE_SHAPE)

BLOCK = 16
"""Images a block: 192 KiB, little more than Linux reads ahead for one image."""

CHUNK = 64 * BLOCK
"""Images that a pass over all of them reads at once: 12 MB."""

_DIGEST_BYTES = 16
"""Of SHA-256, which processors compute faster than anything else in `hashlib`."""

Mend = Callable[[int], Path]
"""Given a block that is not what its digest says, gives a file in which it is, or raises."""


class Digests(NamedTuple):
    """What a file of images holds.

    Args:
        sha256: Of all images, hexadecimal.
        blocks: One digest after another, `_DIGEST_BYTES` each.
    """

    sha256: str
    blocks: bytes


def digests_of(chunks: Iterable[NDArray[np.uint8]]) -> Digests:
    """The digests of images in chunks (n, 64, 64, 3), of whole blocks but for the last."""
    whole = hashlib.sha256()
    blocks = []
    for chunk in chunks:
        whole.update(chunk.data)
        blocks += [_digest(chunk[start : start + BLOCK]) for start in range(0, len(chunk), BLOCK)]
    return Digests(whole.hexdigest(), b"".join(blocks))


class StoredImages:
    """Images uint8 (N, 64, 64, 3) in a file, to be indexed like an array along the first axis.

    After a change of the file that its status tells, every block is compared anew. A change that
    leaves size and times as they are is found by the next process only.

    Args:
        path: The file.
        offset: Where in it the images begin.
        count: Number of images, N.
        digests: The `Digests.blocks` of what they must be.
        mend: What to do about a block that is not.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, offset: int, count: int, digests: bytes, mend: Mend) -> None:
        self.shape = (count, *IMAGE_SHAPE)
        self.nbytes = count * IMAGE_BYTES
        self._offset = offset
        self._digests = digests
        self._mend = mend
        self._mending = threading.Lock()
        self._files: list[IO[bytes]] = []
        self._good = np.zeros(-(-count // BLOCK), dtype=bool)
        self._open(path)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """Image (64, 64, 3) of a number, or images (n, 64, 64, 3) of numbers, a mask or a slice.

        Raises:
            IndexError: there is no such image.
            KitError: the file cannot be read, or is damaged and cannot be mended.
        """
        if isinstance(rows, slice):
            return self._read(np.arange(*rows.indices(len(self))))
        numbers = np.asarray(rows)
        if numbers.dtype == bool:
            numbers = np.flatnonzero(numbers)
        numbers = np.where(numbers < 0, numbers + len(self), numbers).astype(np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"{rows} reaches beyond {len(self)} images")
        return self._read(numbers) if numbers.ndim else self._read(numbers[np.newaxis])[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """All images in order, `CHUNK` at a time."""
        for start in range(0, len(self), CHUNK):
            yield self[start : start + CHUNK]

    def check(self) -> None:
        """Compares every block that has not been compared yet, and mends what is damaged."""
        for block in np.flatnonzero(~self._good):
            self._good_block(int(block))

    def is_good(self, block: int) -> bool:
        """Whether the file holds, at this moment, what the block's digest says."""
        start = block * BLOCK
        images = np.empty((min(BLOCK, len(self) - start), *IMAGE_SHAPE), np.uint8)
        return self._fill(images, start) and self._matches(block, images)

    @property
    def num_blocks(self) -> int:
        return len(self._good)

    def _open(self, path: Path) -> None:
        self.path = path
        # Those before stay open, for other threads may be reading from them.
        self._files.append(path.open("rb", buffering=0))
        self._status = self._current_status()
        self._good[:] = False

    def _current_status(self) -> tuple[int, int, int]:
        status = os.fstat(self._files[-1].fileno())
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        if (status := self._current_status()) != self._status:
            self._status = status
            self._good[:] = False
        images = np.empty((len(numbers), *IMAGE_SHAPE), np.uint8)
        blocks = numbers // BLOCK
        done = self._good[blocks]
        for row in np.flatnonzero(done):
            done[row] = self._fill(images[row], int(numbers[row]))
        missing = np.flatnonzero(~done)
        missing = missing[np.argsort(blocks[missing], kind="stable")]
        for rows in np.split(missing, np.flatnonzero(np.diff(blocks[missing])) + 1):
            if len(rows):
                block = int(blocks[rows[0]])
                images[rows] = self._good_block(block)[numbers[rows] - block * BLOCK]
        return images

    def _good_block(self, block: int) -> NDArray[np.uint8]:
        """All images of a block, after they were compared with their digest."""
        start = block * BLOCK
        content = np.empty((min(BLOCK, len(self) - start), *IMAGE_SHAPE), np.uint8)
        if not (self._fill(content, start) and self._matches(block, content)):
            with self._mending:
                if not self.is_good(block):
                    self._open(self._mend(block))
                if not (self._fill(content, start) and self._matches(block, content)):
                    raise changing(self.path)
        self._good[block] = True
        return content

    def _matches(self, block: int, images: NDArray[np.uint8]) -> bool:
        place = block * _DIGEST_BYTES
        return _digest(images) == self._digests[place : place + _DIGEST_BYTES]

    def _fill(self, images: NDArray[np.uint8], number: int) -> bool:
        """Reads images from `number` on; False where the file ends before."""
        place = self._offset + number * IMAGE_BYTES
        try:
            return os.preadv(self._files[-1].fileno(), [images.data], place) == images.nbytes
        except OSError as error:
            raise KitError(
                "DATA-UNREADABLE",
                f"{self.path} cannot be read ({error})",
                "Check its permissions and disk",
            ) from error


def images_of(first: int, last: int, count: int) -> str:
    """The numbers of the images, of `count`, in the blocks from first to last, in words."""
    return f"images {first * BLOCK} to {min((last + 1) * BLOCK, count) - 1}"


def changing(path: Path) -> KitError:
    """The refusal of a file that is written to by somebody else while it is read."""
    return KitError(
        "DATA-CHANGED",
        f"{path} changes while it is read",
        "End what writes to it, and start again",
    )


def _digest(images: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(images.data).digest()[:_DIGEST_BYTES]
