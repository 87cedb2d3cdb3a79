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
    for tree in range(start, stop):
        for begin in range(0, raw.shape[1], _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, raw.shape[1])
            for stage in range(len(stages.column)):
                _add_tree(
                    stages.column[stage, tree],
                    stages.threshold[stage, tree],
                    stages.value[stage, tree],
                    columns[:, begin:end],
                    raw[tree, begin:end],
                )


@subroutine
def _add_tree(
    column: NDArray[np.int64],
    threshold: NDArray[np.float64],
    value: NDArray[np.float64],
    columns: NDArray[np.float32],
    raw: NDArray[np.float64],
) -> None:
    """All cuts of all rows are compared, and no row goes its own way, so that it is vectorised."""
    if threshold[0] == np.inf:
        for row in range(raw.size):
            raw[row] += LEARNING_RATE * value[0]
        return
    a, b, c, d = columns[column[0]], columns[column[1]], columns[column[2]], columns[column[3]]
    e, f, g = columns[column[4]], columns[column[5]], columns[column[6]]
    for row in range(raw.size):
        left = value[1] if d[row] > threshold[3] else value[0]
        right = value[3] if e[row] > threshold[4] else value[2]
        low = right if b[row] > threshold[1] else left
        left = value[5] if f[row] > threshold[5] else value[4]
        right = value[7] if g[row] > threshold[6] else value[6]
        high = right if c[row] > threshold[2] else left
        raw[row] += LEARNING_RATE * (high if a[row] > threshold[0] else low)
