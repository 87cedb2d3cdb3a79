"""The table of codes: each distinct image of a dataset is encoded once, before a metric looks."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.data.factor_table import Numbered
from evaluation.metrics import METRICS


class CodeTable:
    """Codes by number of the grid, for a metric to take as its representation function.

    Memory is taken for the rows that are filled only.

    Args:
        rows: Number of points of the grid.
    """

    def __init__(self, rows: int) -> None:
        self._there = np.zeros(rows, dtype=bool)
        self._codes: NDArray | None = None

    @classmethod
    def given(cls, codes: NDArray) -> "CodeTable":
        """The table of codes (n, dims) that are all there, which are not copied."""
        table = cls(len(codes))
        table._codes = np.asarray(codes)
        table._there[:] = True
        return table

    def __call__(self, indices: NDArray[np.int64]) -> NDArray:
        """Codes (n, dims) of the numbers (n,), all of which must be there."""
        missing = self.missing(indices)
        if self._codes is None or len(missing):
            raise LookupError(f"The table has no codes of {len(missing)} numbers: {missing[:5]}")
        return self._codes[indices]

    def __len__(self) -> int:
        """Number of rows that are there."""
        return int(np.count_nonzero(self._there))

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

    def missing(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the numbers (n,) whose codes are not there, each once, in rising order."""
        wanted = np.zeros_like(self._there)
        wanted[indices] = True
        return np.flatnonzero(wanted & ~self._there)

    def put(self, indices: NDArray[np.int64], codes: NDArray) -> None:
        """Sets the codes (n, dims) of the numbers (n,)."""
        if self._codes is None:
            # Pages of `empty` that nobody writes to take no memory.
            self._codes = np.empty((len(self._there), codes.shape[1]), dtype=codes.dtype)
        self._codes[indices] = codes
        self._there[indices] = True


class Draws:
    """What metrics will draw from a grid: it depends on their seeds, and little on the codes.

    Args:
        data: The factors.
        metrics: Names in `metrics.METRICS`.
        seeds: Each metric runs once with each of them.
    """

    def __init__(self, data: Numbered, metrics: Sequence[str], seeds: Sequence[int]) -> None:
        self.data = data
        self._runs = [(METRICS[name].load_sampler(), seed) for name in metrics for seed in seeds]

    def prefill(self, table: CodeTable, fill: Callable[[NDArray[np.int64]], None]) -> None:
        """Has `table` filled with all that the metrics will look up, and computes none of them.

        Codes may decide what is drawn: FactorVAE draws no rounds where it prunes every dim. So
        where codes were missing, the draws are made again once they are there.

        Args:
            fill: Puts the codes of numbers (n,), in rising order, into the table.
        """
        runs = self._runs
        while runs:
            wanted = np.zeros(len(self.data), dtype=bool)
            again = []
            for draw, seed in runs:
                asked = _Asked(table)
                draw(self.data, asked, RandomState(seed))
                if asked.missing:
                    wanted[np.concatenate(asked.missing)] = True
                    again.append((draw, seed))
            runs = again
            if runs:
                fill(np.flatnonzero(wanted))


class _Asked:
    """A representation function that notes the numbers whose codes a table lacks."""

    def __init__(self, table: CodeTable) -> None:
        self._table = table
        self.missing: list[NDArray[np.int64]] = []

    def __call__(self, indices: NDArray[np.int64]) -> NDArray:
        missing = self._table.missing(indices)
        if not len(missing):
            return self._table(indices)
        self.missing.append(missing)
        return np.zeros((len(indices), 1), dtype=np.float32)
