"""Sums by cell of the sorted columns: of gradients, and, packed in one number, two more.

A histogram (cells, 2) holds, for each cell, the sum of a node's gradients, and the number of its
samples plus a small multiple of the sum of its gradients above 0. The number is the whole part, the
rest tells the sum. The rest is a multiple of a power of two, each sample's rounded up, so that such
numbers are added and subtracted exactly; the sum is never less than the true one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine
from evaluation.metrics.boosting.growth.columns import Columns

LANES = 8
"""Trees whose gradients lie side by side, a cache line, while the roots' are summed."""

_COLUMNS_AT_ONCE = 32
_MANTISSA = 53


class Packing(NamedTuple):
    """How the sum of what is above 0 is packed.

    Args:
        steps: To how many steps of 1 a sample's part is rounded up.
        room: The sum over this is what is added to the number.
    """

    steps: float
    room: float


@subroutine
def packing_of(n: int) -> Packing:
    """For `n` samples, of whose gradients none is above 1."""
    bits = 1
    while n >> (bits - 1):
        bits += 1
    return Packing(2.0 ** (_MANTISSA - 2 * bits), 2.0**bits)


@njit
def sum_roots(
    start: int,
    stop: int,
    block: int,
    columns: Columns,
    lanes: NDArray[np.float64],
    histograms: NDArray[np.float64],
) -> None:
    """Fills the histograms of eight roots in the cells from `start` to `stop`.

    Args:
        start: First cell.
        stop: The cell after the last.
        block: Of trees: the eight from 8 `block` on, or what is left.
        columns: The sorted codes.
        lanes: Gradients times weights (trees / 8 rounded up, p, 8).
        histograms: (trees, cells, 2).
    """
    order, cell_start, sample_start = columns.order, columns.cell_start, columns.sample_start
    packing = packing_of(columns.point_of.size)
    sums = np.empty((2, LANES))
    rows = lanes[block]
    first = block * LANES
    for cell in range(start, stop):
        a = b = c = d = e = f = g = h = 0.0
        i = j = k = m = o = p = q = r = 0.0
        for point in order[cell_start[cell] : cell_start[cell + 1]]:
            row = rows[point]
            a += row[0]
            b += row[1]
            c += row[2]
            d += row[3]
            e += row[4]
            f += row[5]
            g += row[6]
            h += row[7]
            i += row[0] if row[0] > 0.0 else 0.0
            j += row[1] if row[1] > 0.0 else 0.0
            k += row[2] if row[2] > 0.0 else 0.0
            m += row[3] if row[3] > 0.0 else 0.0
            o += row[4] if row[4] > 0.0 else 0.0
            p += row[5] if row[5] > 0.0 else 0.0
            q += row[6] if row[6] > 0.0 else 0.0
            r += row[7] if row[7] > 0.0 else 0.0
        sums[0, 0], sums[0, 1], sums[0, 2], sums[0, 3] = a, b, c, d
        sums[0, 4], sums[0, 5], sums[0, 6], sums[0, 7] = e, f, g, h
        sums[1, 0], sums[1, 1], sums[1, 2], sums[1, 3] = i, j, k, m
        sums[1, 4], sums[1, 5], sums[1, 6], sums[1, 7] = o, p, q, r
        number = np.float64(sample_start[cell + 1] - sample_start[cell])
        for lane in range(min(LANES, len(histograms) - first)):
            histograms[first + lane, cell, 0] = sums[0, lane]
            # One step more for each sample, as each is rounded up where it is taken away.
            steps = np.ceil(sums[1, lane] * packing.steps) + number
            histograms[first + lane, cell, 1] = number + steps / packing.steps / packing.room


@subroutine
def fill(
    columns: Columns,
    gradient: NDArray[np.float64],
    members: NDArray[np.uint32],
    histogram: NDArray[np.float64],
) -> tuple[float, float]:
    """Fills the histogram of a node's members; the least and the most of their gradients."""
    cell_of, weights = columns.cell_of, columns.weights
    firsts = columns.first_cell.astype(np.uint64)
    one, two = np.uint64(1), np.uint64(2)
    packing = packing_of(columns.point_of.size)
    step = 1.0 / packing.steps / packing.room
    least, most = np.inf, -np.inf
    flat = histogram.reshape(-1)
    flat[:] = 0.0
    d = cell_of.shape[1]
    for first in range(0, d, _COLUMNS_AT_ONCE):
        # Unsigned, as else each index is looked at for whether it counts from the end.
        numbers = range(np.uint64(first), np.uint64(min(first + _COLUMNS_AT_ONCE, d)))
        for point in members:
            g = gradient[point]
            least = g if g < least else least
            most = g if g > most else most
            weight = weights[point]
            total = weight * g
            above = total if total > 0.0 else 0.0
            packed = weight + np.ceil(above * packing.steps) * step
            cells = cell_of[point]
            for column in numbers:
                place = two * (firsts[column] + np.uint64(cells[column]))
                flat[place] += total
                flat[place + one] += packed
    return least, most


@subroutine
def subtract(part: NDArray[np.float64], whole: NDArray[np.float64]) -> None:
    """Leaves in the whole's histogram what is not the part's."""
    flat_part, flat_whole = part.reshape(-1), whole.reshape(-1)
    for k in range(flat_whole.size):
        flat_whole[k] -= flat_part[k]
