"""Regression trees of depth 3 as scikit-learn grows them for boosting: the same cuts, found faster.

A node's cut is searched with its histogram. Of two children, the histogram of the smaller is
summed, and the larger has what remains.
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine
from evaluation.metrics.boosting.growth.buffers import (
    INNER_NODES,
    LEARNING_RATE,
    Targets,
    Trees,
    Workshop,
)
from evaluation.metrics.boosting.growth.columns import Columns
from evaluation.metrics.boosting.growth.cuts import Cut, best_cut
from evaluation.metrics.boosting.growth.histograms import fill, subtract
from evaluation.metrics.boosting.growth.leaves import set_leaves
from evaluation.metrics.boosting.growth.members import find_members, part
from evaluation.metrics.boosting.growth.ties import Node


@njit
def add_tree(
    tree: int,
    work: Workshop,
    columns: Columns,
    targets: Targets,
    trees: Trees,
    importances: NDArray[np.float64],
    predictions: NDArray[np.float64],
) -> None:
    """Grows one tree of a stage, and adds it to the predictions.

    Args:
        tree: Its number.
        work: Overwritten.
        columns: The sorted codes.
        targets: What to fit.
        trees: Of the stage; one is filled.
        importances: (trees, d), to which is added what each column's cuts take from the error.
        predictions: (trees, p), to which the tree's values are added, times the learning rate.
    """
    gradient = targets.gradients[tree]
    grow_tree(
        columns,
        gradient,
        targets.histograms[tree],
        targets.priorities[tree],
        work,
        trees.column[tree],
        trees.threshold[tree],
        importances[tree],
    )
    values = trees.value[tree]
    set_leaves(columns.point_of, gradient, targets.factors[tree], work.node_of, work, values)
    node_of, raw = work.node_of, predictions[tree]
    for point in range(raw.size):
        raw[point] += LEARNING_RATE * values[node_of[point]]


@subroutine
def grow_tree(
    columns: Columns,
    gradient: NDArray[np.float64],
    root: NDArray[np.float64],
    priorities: NDArray[np.float64],
    work: Workshop,
    column: NDArray[np.int64],
    threshold: NDArray[np.float64],
    importance: NDArray[np.float64],
) -> None:
    """Grows one tree but for its leaves' values: points' nodes are left in `work`."""
    _start(columns, gradient, root, work)
    sizes = work.sizes
    slot = np.full(INNER_NODES, -1)  # of the node's histogram in `work`; the root has its own
    slots = 0
    column[:] = 0
    threshold[:] = np.inf
    for number in range(INNER_NODES):
        if sizes[number] < 2.0:
            continue
        node = Node(
            number,
            sizes[number],
            work.totals[number],
            work.ranges[number, 0],
            work.ranges[number, 1],
        )
        histogram = root if slot[number] < 0 else work.histograms[slot[number]]
        cut = best_cut(columns, gradient, node, histogram, priorities, work)
        if cut.column < 0:
            continue
        column[number] = cut.column
        threshold[number] = _threshold(columns, node, cut, work.node_of)
        importance[cut.column] += cut.score / node.size
        smaller, larger = set_children(node, cut.size, cut.total, work)
        values = columns.values[cut.column]
        part(values, values[columns.order[cut.position]], np.uint8(number), work.node_of)
        if smaller >= INNER_NODES:
            continue
        slot[smaller], slot[larger] = slots, slot[number]
        count = find_members(work.node_of, np.uint8(smaller), work.members)
        least, most = fill(columns, gradient, work.members[:count], work.histograms[slots])
        subtract(work.histograms[slots], histogram)
        work.ranges[smaller, 0], work.ranges[smaller, 1] = least, most
        work.ranges[larger, 0], work.ranges[larger, 1] = node.least, node.most
        slots += 1


@subroutine
def _start(
    columns: Columns,
    gradient: NDArray[np.float64],
    root: NDArray[np.float64],
    work: Workshop,
) -> None:
    """Has all points at the root, whose gradients lie in a range."""
    least, most = np.inf, -np.inf
    for point in range(gradient.size):
        g = gradient[point]
        least = g if g < least else least
        most = g if g > most else most
    work.node_of[:] = 0
    start_at_root(columns, root, work)
    work.ranges[0, 0], work.ranges[0, 1] = least, most


@subroutine
def start_at_root(columns: Columns, root: NDArray[np.float64], work: Workshop) -> None:
    """Has all samples at the root, with the sum of their gradients from its histogram."""
    total = 0.0
    for cell in range(columns.first_cell[1]):
        total += root[cell, 0]
    work.sizes[:] = 0.0
    work.sizes[0], work.totals[0] = columns.point_of.size, total


@subroutine
def set_children(node: Node, size: float, total: float, work: Workshop) -> tuple[int, int]:
    """Sets the numbers of the children's samples, and the sums of their gradients.

    Args:
        node: That is cut.
        size: Number of samples on the left.
        total: Sum of their gradients.
        work: Overwritten.

    Returns:
        The child of fewer samples, and the other one.
    """
    left, right = 2 * node.number + 1, 2 * node.number + 2
    work.sizes[node.number] = 0.0
    work.sizes[left], work.sizes[right] = size, node.size - size
    if right < INNER_NODES:
        work.totals[left], work.totals[right] = total, node.total - total
    return (left, right) if 2.0 * size <= node.size else (right, left)


@subroutine
def _threshold(columns: Columns, node: Node, cut: Cut, node_of: NDArray[np.uint8]) -> float:
    """The middle between the node's members that are next to the cut."""
    values, order = columns.values[cut.column], columns.order
    above = cut.position
    while node_of[order[above]] != node.number:
        above += 1
    below = cut.position - 1
    while node_of[order[below]] != node.number:
        below -= 1
    return values[order[below]] / 2.0 + values[order[above]] / 2.0
