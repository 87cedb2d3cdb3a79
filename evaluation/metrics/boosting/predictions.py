"""What grown trees predict."""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine
from evaluation.metrics.boosting.growth.buffers import LEARNING_RATE, Trees

_ROWS_AT_ONCE = 512


@njit
def add_stages(
    start: int, stop: int, stages: Trees, columns: NDArray[np.float32], raw: NDArray[np.float64]
) -> None:
    """Adds to the raw predictions what the trees from `start` to `stop` of all stages say.

    Args:
        start: First tree.
        stop: The tree after the last.
        stages: Trees (stages, trees, ...).
        columns: Codes (d, m).
        raw: (trees, m).
    """
    leaves = np.empty(_ROWS_AT_ONCE, dtype=np.int32)
    for tree in range(start, stop):
        for begin in range(0, raw.shape[1], _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, raw.shape[1])
            predictions = raw[tree][begin:end]
            for stage in range(len(stages.column)):
                threshold, value = stages.threshold[stage, tree], stages.value[stage, tree]
                leaf = leaves[: predictions.size]
                _find_leaves(stages.column[stage, tree], threshold, columns, begin, leaf)
                for row in range(leaf.size):
                    predictions[row] += LEARNING_RATE * value[leaf[row]]


@subroutine
def _find_leaves(
    column: NDArray[np.int64],
    threshold: NDArray[np.float64],
    columns: NDArray[np.float32],
    begin: int,
    leaf: NDArray[np.int32],
) -> None:
    """All cuts of all rows are compared, and no row goes its own way, so that it is vectorised."""
    if threshold[0] == np.inf:
        leaf[:] = 0
        return
    end = begin + leaf.size
    # Rows are taken before parts of them, as only so numba knows that their numbers are neighbours.
    a, b, c = columns[column[0]][begin:end], columns[column[1]][begin:end], columns[column[2]]
    d, e, f = columns[column[3]][begin:end], columns[column[4]][begin:end], columns[column[5]]
    c, f, g = c[begin:end], f[begin:end], columns[column[6]][begin:end]
    cut_a, cut_b, cut_c = _below(threshold[0]), _below(threshold[1]), _below(threshold[2])
    cut_d, cut_e = _below(threshold[3]), _below(threshold[4])
    cut_f, cut_g = _below(threshold[5]), _below(threshold[6])
    zero, one, two, four = np.int32(0), np.int32(1), np.int32(2), np.int32(4)
    for row in range(leaf.size):
        left = one if d[row] > cut_d else zero
        right = one if e[row] > cut_e else zero
        low = right + two if b[row] > cut_b else left
        left = one if f[row] > cut_f else zero
        right = one if g[row] > cut_g else zero
        high = right + two if c[row] > cut_c else left
        leaf[row] = high + four if a[row] > cut_a else low


@subroutine
def _below(threshold: float) -> np.float32:
    """The largest float32 up to a threshold: the same float32 numbers are above both."""
    nearest = np.float32(threshold)
    return np.nextafter(nearest, np.float32(-np.inf)) if nearest > threshold else nearest
