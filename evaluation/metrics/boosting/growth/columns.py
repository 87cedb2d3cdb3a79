"""Codes sorted once, so that no tree sorts again."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SAME_VALUE = np.float32(1e-7)
"""scikit-learn does not cut between values as close as this."""

_FEW_VALUES = 64
"""Columns with no more values have a cell for each, into which no tree has to look."""

_SMALLEST_CELL = 128
_CELLS = 640
"""Of a column, about, at most. With fewer, those of many samples are seldom ruled out."""


class Columns(NamedTuple):
    """Sorted columns of points, each divided into cells of neighbours.

    A point stands for all samples that have the same codes and labels: they have the same gradient
    in every tree, and no cut parts them.

    Args:
        values: (d, p).
        weights: How many samples a point stands for (p,).
        point_of: The point of each sample (n,).
        firsts: The first sample of each point (p,).
        order: Points (d * p,) in ascending order of the first column, then of the next.
        cell_start: Where each cell begins in `order`, and the length of `order` (cells + 1,).
        first_cell: The first cell of each column, and the number of cells (d + 1,).
        cell_of: The cell of each point in each column (p, d), counted from the column's first.
        divisible: Whether a cut may lie inside a cell (2, cells): in the root, which all points
            are members of, and in other nodes, whose neighbours may lie farther apart.
        sample_order: Points of the samples (d * n,) in ascending order of the samples' values.
        sample_start: Where each cell begins in `sample_order`, and its length (cells + 1,).
    """

    values: NDArray[np.float32]
    weights: NDArray[np.float64]
    point_of: NDArray[np.uint32]
    firsts: NDArray[np.int64]
    order: NDArray[np.uint32]
    cell_start: NDArray[np.int64]
    first_cell: NDArray[np.int64]
    cell_of: NDArray[np.uint16]
    divisible: NDArray[np.bool_]
    sample_order: NDArray[np.uint32]
    sample_start: NDArray[np.int64]


def sort_columns(codes: NDArray[np.float32], labels: NDArray[np.int64]) -> Columns:
    """Sorts codes (n, d) of samples with labels (k, n); cells end only where trees may cut."""
    firsts, point_of = _points(codes, labels)
    n, p, d = len(codes), len(firsts), codes.shape[1]
    values = np.ascontiguousarray(codes[firsts].T)
    weights = np.bincount(point_of, minlength=p)
    samples = np.argsort(codes.T, axis=1, kind="stable")
    sample_order = point_of[samples]
    is_first = np.zeros(n, dtype=np.bool_)
    is_first[firsts] = True
    order = sample_order[is_first[samples]].reshape(d, p)
    size = max(_SMALLEST_CELL, n // _CELLS)
    cell_of = np.empty((p, d), dtype=np.uint16)
    cell_start: list[int] = []
    sample_start: list[int] = []
    first_cell = [0]
    divisible = []
    for column, points in enumerate(order):
        ascending = values[column, points]
        samples_before = np.concatenate(([0], np.cumsum(weights[points])))
        cuts = np.flatnonzero(ascending[1:] > ascending[:-1] + SAME_VALUE) + 1
        samples_before_cuts = samples_before[cuts]
        starts = [0, *cuts.tolist()]
        if len(starts) > _FEW_VALUES:
            starts = [0]
            while (
                after := np.searchsorted(samples_before_cuts, samples_before[starts[-1]] + size)
            ) < len(cuts):
                starts.append(int(cuts[after]))
        ends = [*starts[1:], p]
        cell_of[points, column] = np.repeat(np.arange(len(starts)), np.subtract(ends, starts))
        cell_start += [column * p + start for start in starts]
        sample_start += [column * n + int(samples_before[start]) for start in starts]
        first_cell.append(first_cell[-1] + len(starts))
        has_cuts = np.searchsorted(cuts, ends) > np.searchsorted(cuts, starts, side="right")
        is_wide = ascending[np.subtract(ends, 1)] > ascending[starts] + SAME_VALUE
        divisible.append((has_cuts, is_wide))
    return Columns(
        values,
        weights.astype(np.float64),
        point_of.astype(np.uint32),
        firsts,
        order.astype(np.uint32).ravel(),
        np.array([*cell_start, d * p]),
        np.array(first_cell),
        cell_of,
        np.concatenate(divisible, axis=1),
        sample_order.astype(np.uint32).ravel(),
        np.array([*sample_start, d * n]),
    )


def _points(
    codes: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first sample (p,) of each point, ascending, and the point of each sample (n,)."""
    rows = np.ascontiguousarray(np.hstack((codes, labels.T.astype(np.float32)))).view(np.uint32)
    multipliers = np.random.default_rng(0).integers(1 << 63, size=rows.shape[1], dtype=np.uint64)
    marks = rows @ (2 * multipliers + 1)
    _, firsts, point_of = np.unique(marks, return_index=True, return_inverse=True)
    if not np.array_equal(rows, rows[firsts[point_of]]):  # two rows share a mark
        return np.arange(len(rows)), np.arange(len(rows))
    by_first = np.argsort(firsts)
    return firsts[by_first], np.argsort(by_first)[point_of]
