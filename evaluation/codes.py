"""The table of codes: each distinct image of a dataset is encoded once, when first asked for."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evaluation.code_store import CodeStore
from evaluation.common.terminal import console, progress
from evaluation.data.ground_truth import ImageGrid
from evaluation.representation.running import Representation

_SECONDS_BETWEEN_KEEPING = 60.0

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
    def empty(self) -> bool:
        return self._codes is None

    @property
    def dim(self) -> int:
        """Number of dims, once any codes are there."""
        assert self._codes is not None
        return self._codes.shape[1]

    @property
    def content(self) -> tuple[NDArray[np.int64], NDArray]:
        """The numbers (n,) whose codes are there, in rising order, and the codes (n, dims)."""
        assert self._codes is not None
        filled = np.flatnonzero(self._there)
        return filled, self._codes[filled]

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


def given_table(codes: NDArray) -> CodeTable:
    """A table of codes (n, dims) that are there already, one row for each number of the grid."""
    return CodeTable(len(codes), lambda rows: codes[rows], batch=len(codes), doing="Reading codes")


def table_of(data: ImageGrid, representation: Representation, store: CodeStore) -> CodeTable:
    """The codes of the dataset's images under the representation.

    Those in `store` are there from the start; what is encoded is kept in it now and then, so that
    a run that is killed goes on where it was.
    """

    def encode(rows: NDArray[np.int64]) -> NDArray:
        codes = representation.encode(data.images_at(rows))
        if not table.empty and time.monotonic() - store.kept_at > _SECONDS_BETWEEN_KEEPING:
            store.keep(*table.content)
        return codes

    table = CodeTable(len(data), encode, representation.batch)
    stored = store.recall()
    if stored is not None:
        table.put(*stored)
        console.print(f"Reused {len(stored[0]):,} codes in {store.path}", markup=False)
    return table
