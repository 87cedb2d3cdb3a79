"""Codes sorted once, so that no tree sorts again."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SAME_VALUE = np.float32(1e-7)
"""scikit-learn does not cut between values as close as this.

`trees` compiles it in, and numba's cache sees changes there only: after one here, delete
`__pycache__`.
"""

_SMALLEST_CELL = 64
_MOST_CELLS = 160


class Columns(NamedTuple):
    """Sorted columns, each divided into cells of neighbouring samples.

    Args:
        values: (d, n).
        order: Samples (d * n,) in ascending order of the first column, then of the next.
        cell_start: Where each cell begins in `order`, and the length of `order` (cells + 1,).
        first_cell: The first cell of each column, and the number of cells (d + 1,).
        cell_of: The cell of each sample in each column (n, d).
        divisible: Whether a cell holds more than one value (cells,).
    """

    values: NDArray[np.float32]
    order: NDArray[np.uint32]
    cell_start: NDArray[np.int64]
    first_cell: NDArray[np.int64]
    cell_of: NDArray[np.uint32]
    divisible: NDArray[np.bool_]


def sort_columns(codes: NDArray[np.float32]) -> Columns:
    """Sorts codes (n, d); cells end only where scikit-learn may cut."""
    n, d = codes.shape
    values = np.ascontiguousarray(codes.T)
    order = np.argsort(values, axis=1, kind="stable")
    size = max(_SMALLEST_CELL, n // _MOST_CELLS)
    cell_of = np.empty((n, d), dtype=np.uint32)
    cell_start: list[int] = []
    first_cell = [0]
    divisible = []
    for column, samples in enumerate(order):
        ascending = values[column, samples]
        cuts = np.flatnonzero(ascending[1:] > ascending[:-1] + SAME_VALUE) + 1
        starts = [0]
        while (after := np.searchsorted(cuts, starts[-1] + size)) < len(cuts):
            starts.append(int(cuts[after]))
        ends = [*starts[1:], n]
        cells = first_cell[-1] + np.arange(len(starts))
        cell_of[samples, column] = np.repeat(cells, np.subtract(ends, starts))
        cell_start += [column * n + start for start in starts]
        first_cell.append(first_cell[-1] + len(starts))
        divisible.append(ascending[np.subtract(ends, 1)] > ascending[starts] + SAME_VALUE)
    return Columns(
        values,
        order.astype(np.uint32).ravel(),
        np.array([*cell_start, d * n]),
        np.array(first_cell),
        cell_of,
        np.concatenate(divisible),
    )
