"""The table of codes: each distinct image of a dataset is encoded once, when first asked for."""

import mmap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.data.ground_truth import ImageGrid
from evaluation.errors import KitError
from evaluation.representations import Representation
from evaluation.terminal import progress

EncodeRows = Callable[[NDArray[np.int64]], NDArray]
"""Maps numbers of a grid, at most a batch of them and in rising order, to codes (n, dims)."""


class CodeTable:
    """Codes by number of the grid, for a metric to take as its representation function.

    Memory is taken for the rows that are filled only.

    Args:
        rows: Number of points of the grid.
        encode: Encodes rows that are not there yet.
        batch: Most rows a call of `encode`.
        doing: What encoding is called while it lasts.

    Attributes:
        seconds: Time spent in `encode` so far.
    """

    def __init__(
        self, rows: int, encode: EncodeRows, batch: int, doing: str = "Encoding images"
    ) -> None:
        self._encode = encode
        self._doing = doing
        self._batch = batch
        self._there = np.zeros(rows, dtype=bool)
        self._codes: NDArray | None = None
        self.seconds = 0.0

    def __call__(self, indices: NDArray[np.int64]) -> NDArray:
        """Codes (n, dims) of the numbers (n,)."""
        wanted = np.zeros_like(self._there)
        wanted[indices] = True
        missing = np.flatnonzero(wanted & ~self._there)
        if len(missing):
            self._fill(missing)
        assert self._codes is not None
        return self._codes[indices]

    @property
    def dim(self) -> int:
        """Number of dims, once any codes are there."""
        assert self._codes is not None
        return self._codes.shape[1]

    @property
    def filled(self) -> NDArray[np.int64]:
        """Numbers whose codes are there, in rising order."""
        return np.flatnonzero(self._there)

    def put(self, indices: NDArray[np.int64], codes: NDArray) -> None:
        """Sets the codes (n, dims) of the numbers (n,)."""
        if self._codes is None:
            # Pages of `empty` that nobody writes to take no memory.
            self._codes = np.empty((len(self._there), codes.shape[1]), dtype=codes.dtype)
        self._codes[indices] = codes
        self._there[indices] = True

    def _fill(self, missing: NDArray[np.int64]) -> None:
        start = time.monotonic()
        with progress(self._doing, len(missing)) as advance:
            for first in range(0, len(missing), self._batch):
                rows = missing[first : first + self._batch]
                self.put(rows, self._encode(rows))
                advance(len(rows))
        self.seconds += time.monotonic() - start


def table_of(data: ImageGrid, representation: Representation) -> CodeTable:
    """The codes of the dataset's images under the representation."""
    mapping = data.images.base

    def encode(rows: NDArray[np.int64]) -> NDArray:
        codes = representation.encode(data.images[rows])
        if isinstance(mapping, mmap.mmap):
            # What was read stays in the system's cache, but no longer counts as ours.
            mapping.madvise(mmap.MADV_DONTNEED)
        return codes

    return CodeTable(len(data), encode, representation.batch)


def table_in(path: Path, data: ImageGrid) -> CodeTable:
    """The codes in a `.npy` file, one row for each image in the dataset's order.

    Raises:
        KitError: it cannot be read as an array, or is not one finite row an image.
    """
    try:
        codes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise KitError(
            "CODES-UNREADABLE",
            f"cannot read {path} as a table of codes: {error}",
            "Write it with numpy.save, as an array of floats",
        ) from None
    if codes.ndim != 2 or len(codes) != len(data) or codes.shape[1] < 1:
        raise KitError(
            "CODES-SHAPE",
            f"{path} holds an array of shape {codes.shape}; {data.name} has {len(data):,} images",
            "Give one row of codes for each image, in the dataset's order",
        )
    if codes.dtype.kind not in "fiu":
        raise KitError("CODES-DTYPE", f"{path} holds {codes.dtype}, not numbers", "Save floats")
    if not np.isfinite(codes).all():
        row = int(np.flatnonzero(~np.isfinite(codes).all(axis=1))[0])
        raise KitError(
            "CODES-NONFINITE",
            f"{path} holds NaN or infinity, first in row {row}",
            "Give finite codes for every image",
        )

    def encode(rows: NDArray[np.int64]) -> NDArray:
        return codes[rows].astype(np.float64 if codes.dtype.kind != "f" else codes.dtype)

    return CodeTable(len(data), encode, batch=len(data), doing="Reading codes")
