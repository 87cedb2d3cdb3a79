"""A stage of the trees that are grown from points: what its threads do, one piece after another.

The pieces are gradients of some points, then roots' histograms of some cells and trees, then trees.
A thread takes the next piece when it is done with one, so that all end at about the same time.
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit
from evaluation.common.compiled.counters import Counters, increased, read, wait_for
from evaluation.common.compiled.exponentials import Tables
from evaluation.metrics.boosting.growth.buffers import Targets, Trees, Workshop
from evaluation.metrics.boosting.growth.columns import Columns
from evaluation.metrics.boosting.growth.histograms import sum_roots
from evaluation.metrics.boosting.growth.trees import add_tree
from evaluation.metrics.boosting.losses import set_gradients

COUNTERS = 3
_TAKEN, _GRADIENTS_DONE, _ROOTS_DONE = range(COUNTERS)

_POINTS_AT_ONCE = 512
_CELLS_AT_ONCE = 64

_STOPPED = 1 << 62
"""More than all pieces of a stage: no thread finds one that is left."""


def give_up(counters: Counters) -> None:
    """Has the threads of a stage return, and those that wait too, since one of them has failed."""
    counters[_TAKEN] = _STOPPED  # first, as those that wait look at it when they go on
    counters[_GRADIENTS_DONE] = counters[_ROOTS_DONE] = _STOPPED


@njit
def grow_stage(
    work: Workshop,
    counters: Counters,
    columns: Columns,
    labels: NDArray[np.int64],
    first_tree: NDArray[np.int64],
    targets: Targets,
    lanes: NDArray[np.float64],
    trees: Trees,
    importances: NDArray[np.float64],
    raw: NDArray[np.float64],
    tables: Tables,
) -> None:
    """Does pieces of a stage until none is left; each thread calls it once.

    A thread waits for pieces that others have taken, never for threads that have not begun. If it
    fails, `give_up` is to be called: else those that wait for its piece never return.

    Args:
        work: The thread's own; overwritten.
        counters: All 0 before (3,), shared by the threads.
        columns: The sorted codes.
        labels: As in `set_gradients`, like `first_tree` and `lanes`.
        first_tree: See `labels`.
        targets: What to fit, of which gradients and histograms are filled.
        lanes: See `labels`.
        trees: Filled.
        importances: As in `add_tree`.
        raw: Raw predictions (trees, p), to which the trees are added.
        tables: See `exponentials`.
    """
    p, cells = columns.weights.size, columns.first_cell[-1]
    gradient_pieces = -(-p // _POINTS_AT_ONCE)
    cell_pieces = -(-cells // _CELLS_AT_ONCE)
    root_pieces = cell_pieces * len(lanes)
    while True:
        piece = increased(counters, _TAKEN)
        if piece < gradient_pieces:
            start = piece * _POINTS_AT_ONCE
            stop = min(start + _POINTS_AT_ONCE, p)
            set_gradients(
                start,
                stop,
                labels,
                columns.weights,
                first_tree,
                raw,
                targets.gradients,
                lanes,
                tables,
            )
            increased(counters, _GRADIENTS_DONE)
            continue
        piece -= gradient_pieces
        if piece < root_pieces:
            wait_for(counters, _GRADIENTS_DONE, gradient_pieces)
            if read(counters, _TAKEN) >= _STOPPED:
                return
            start = piece % cell_pieces * _CELLS_AT_ONCE
            stop = min(start + _CELLS_AT_ONCE, cells)
            sum_roots(start, stop, piece // cell_pieces, columns, lanes, targets.histograms)
            increased(counters, _ROOTS_DONE)
            continue
        tree = piece - root_pieces
        if tree >= len(raw):
            return
        wait_for(counters, _ROOTS_DONE, root_pieces)
        if read(counters, _TAKEN) >= _STOPPED:
            return
        add_tree(tree, work, columns, targets, trees, importances, raw)
