"""The table of codes: each image that the metrics need is encoded once, before they run."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Protocol

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.arrays import not_filled
from evaluation.data.factor_table import Numbered
from evaluation.metrics import METRICS


class CodeTable:
    """The codes of a grid's images. A metric uses the table as its representation function.

    Only rows that are filled take memory.

    Args:
        rows: Number of points of the grid.
    """

    def __init__(self, rows: int) -> None:
        self._filled = np.zeros(rows, dtype=bool)
        self._codes: NDArray | None = None

    @classmethod
    def given(cls, codes: NDArray) -> "CodeTable":
        """A full table of the codes (n, dims), which are not copied."""
        table = cls(len(codes))
        table._codes = np.asarray(codes)
        table._filled[:] = True
        return table

    def __call__(self, indices: NDArray[np.int64]) -> NDArray:
        """The codes (n, dims) of the numbers (n,).

        Raises:
            LookupError: some of them are not in the table.
        """
        missing = self.missing(indices)
        if self._codes is None or len(missing):
            raise LookupError(f"The table has no codes of {len(missing)} numbers: {missing[:5]}")
        return self._codes.take(indices, axis=0)  # thrice as fast as an index in brackets

    def __len__(self) -> int:
        """Number of rows that are filled."""
        return int(np.count_nonzero(self._filled))

    @property
    def rows(self) -> int:
        """Number of points of the grid."""
        return len(self._filled)

    @property
    def dim(self) -> int:
        """Number of dims. At least one row must be filled."""
        assert self._codes is not None
        return self._codes.shape[1]

    @property
    def content(self) -> tuple[NDArray[np.int64], NDArray]:
        """The numbers (n,) whose rows are filled, in rising order, and their codes (n, dims)."""
        assert self._codes is not None
        filled = np.flatnonzero(self._filled)
        return filled, self._codes[filled]

    def unchecked(self, checked: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The numbers (n,), in rising order, whose rows are filled and that a mask lacks."""
        return np.flatnonzero(self._filled & ~checked)

    def missing(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the numbers (n,) whose rows are not filled, each once, in rising order."""
        return not_filled(self._filled, indices)

    def put(self, indices: NDArray[np.int64], codes: NDArray) -> None:
        """Sets the codes (n, dims) of the numbers (n,)."""
        if self._codes is None:
            # The pages of `empty` take no memory until something is written to them.
            self._codes = np.empty((len(self._filled), codes.shape[1]), dtype=codes.dtype)
        # As NumPy joins batches of two types: an infinity must not take the place of a number.
        wider = np.promote_types(self._codes.dtype, codes.dtype)
        self._codes = self._codes.astype(wider, copy=False)
        self._codes[indices] = codes
        self._filled[indices] = True


Filled = Callable[[CodeTable], None]
"""Called with a table that has all codes that are needed, before these are checked."""


def nothing(table: CodeTable) -> None:
    """A `Filled` for those who have nothing to do meanwhile."""


class Wanted(Protocol):
    """Which images' codes are needed."""

    def prefill(self, table: CodeTable, fill: Callable[[NDArray[np.int64]], None]) -> None:
        """Fills `table` with the codes that are needed and not in it, by calls of `fill`."""


class EveryImage:
    """All images of a dataset are needed."""

    def prefill(self, table: CodeTable, fill: Callable[[NDArray[np.int64]], None]) -> None:
        missing = table.missing(np.arange(table.rows))
        if len(missing):
            fill(missing)


class Draws:
    """The images that metrics will draw from a grid. They depend on the seeds, rarely on the codes.

    Args:
        data: The factors.
        metrics: Names in `metrics.METRICS`.
        seeds: Each metric runs once with each seed.
    """

    def __init__(self, data: Numbered, metrics: Sequence[str], seeds: Sequence[int]) -> None:
        self.data = data
        self._named = list(product(metrics, seeds))

    def prefill(self, table: CodeTable, fill: Callable[[NDArray[np.int64]], None]) -> None:
        """Fills `table` with all codes that the metrics will look up. No metric is computed.

        Codes can change what is drawn: FactorVAE draws no votes if it prunes every dim. So draws
        that lacked codes are repeated after `fill`.

        Args:
            table: The table.
            fill: Puts the codes of the numbers (n,), in rising order, into the table.
        """
        runs = [(METRICS[name].load_sampler(), seed) for name, seed in self._named]
        while runs:
            wanted = np.zeros(len(self.data), dtype=bool)
            again = []
            for draw, seed in runs:
                lookup = _RecordingLookup(table)
                draw(self.data, lookup, RandomState(seed))
                if lookup.missing:
                    wanted[np.concatenate(lookup.missing)] = True
                    again.append((draw, seed))
            runs = again
            if runs:
                fill(np.flatnonzero(wanted))


class _RecordingLookup:
    """A representation function that records the numbers whose codes a table lacks."""

    def __init__(self, table: CodeTable) -> None:
        self._table = table
        self.missing: list[NDArray[np.int64]] = []

    def __call__(self, indices: NDArray[np.int64]) -> NDArray:
        missing = self._table.missing(indices)
        if not len(missing):
            return self._table(indices)
        self.missing.append(missing)
        return np.zeros((len(indices), 1), dtype=np.float32)
