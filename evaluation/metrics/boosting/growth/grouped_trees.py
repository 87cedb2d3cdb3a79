"""Trees grown from groups of points: the trees that the points themselves would give.

A group has two halves: its points of the tree's class, and all others. Those of a half have the
same gradient. A tree that cuts through a group is grown from points instead.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine
from evaluation.metrics.boosting.growth.buffers import INNER_NODES, Trees, Workshop
from evaluation.metrics.boosting.growth.columns import Columns
from evaluation.metrics.boosting.growth.cuts import is_pure, search_edges
from evaluation.metrics.boosting.growth.groups import Groups
from evaluation.metrics.boosting.growth.histograms import fill, subtract
from evaluation.metrics.boosting.growth.leaves import set_leaves
from evaluation.metrics.boosting.growth.members import part
from evaluation.metrics.boosting.growth.ties import Node, break_tie
from evaluation.metrics.boosting.growth.trees import grow_tree, set_children, start_at_root


class GroupTargets(NamedTuple):
    """What the trees of one factor are fitted to in one stage.

    Args:
        first_class: Of the first tree: 0, or 1 where there are two classes and one tree.
        labels: Each point's class (p,).
        sample_labels: Each sample's class (n,).
        other: Negative gradients of points of other classes (trees, g).
        own: Those of points of the tree's class (trees, g).
        factor: On the values of the leaves.
        priorities: As in `Targets` (trees, 7, d).
    """

    first_class: int
    labels: NDArray[np.uint32]
    sample_labels: NDArray[np.uint32]
    other: NDArray[np.float64]
    own: NDArray[np.float64]
    factor: float
    priorities: NDArray[np.float64]


@njit
def grow_grouped_trees(
    start: int,
    stop: int,
    work: Workshop,
    columns: Columns,
    groups: Groups,
    targets: GroupTargets,
    trees: Trees,
    importances: NDArray[np.float64],
    parts_groups: NDArray[np.bool_],
) -> None:
    """Grows trees number `start` to `stop` of a factor's stage.

    Args:
        start: First tree.
        stop: The tree after the last.
        work: Overwritten.
        columns: The sorted codes.
        groups: The factor's.
        targets: What to fit.
        trees: Filled.
        importances: (trees, d), to which is added what each column's cuts take from the error.
        parts_groups: Which trees cut through a group (trees,), filled.
    """
    halves = 2 * groups.sizes.size
    gradient, node_of = work.half_gradient[:halves], work.half_node[:halves]
    for tree in range(start, stop):
        number = targets.first_class + tree
        _set_halves(groups, targets, tree, work)
        parts_groups[tree] = not _grow(
            columns,
            groups,
            number,
            targets.labels,
            targets.priorities[tree],
            work,
            trees.column[tree],
            trees.threshold[tree],
            importances[tree],
        )
        values = trees.value[tree]
        if parts_groups[tree]:
            _grow_from_points(columns, groups, targets, tree, work, trees, importances)
            set_leaves(columns.point_of, work.gradient, targets.factor, work.node_of, work, values)
            continue
        half_of = work.samples[: targets.sample_labels.size]
        for sample in range(half_of.size):
            half_of[sample] = np.uint32(2) * groups.of_sample[sample] + np.uint32(
                targets.sample_labels[sample] == np.uint32(number)
            )
        set_leaves(half_of, gradient, targets.factor, node_of, work, values)


@subroutine
def _set_halves(groups: Groups, targets: GroupTargets, tree: int, work: Workshop) -> None:
    gradient, weight = work.half_gradient, work.half_weight
    for group in range(groups.sizes.size):
        gradient[2 * group] = targets.other[tree, group]
        gradient[2 * group + 1] = targets.own[tree, group]
        weight[2 * group] = groups.sizes[group]
        weight[2 * group + 1] = 0.0
    number = targets.first_class + tree
    classes = groups.classes
    for row in range(classes.start[number], classes.start[number + 1]):
        group = classes.group[row]
        weight[2 * group] -= classes.size[row]
        weight[2 * group + 1] = classes.size[row]


@subroutine
def _grow(
    columns: Columns,
    groups: Groups,
    number_of_class: int,
    labels: NDArray[np.uint32],
    priorities: NDArray[np.float64],
    work: Workshop,
    column_of: NDArray[np.int64],
    threshold: NDArray[np.float64],
    importance: NDArray[np.float64],
) -> bool:
    """Grows one tree but for its leaves' values; False if it cuts through a group."""
    g = groups.sizes.size
    gradient, node_of = work.half_gradient[: 2 * g], work.half_node[: 2 * g]
    weight = work.half_weight[: 2 * g]
    node_of[:] = 0
    _fill(groups, number_of_class, gradient, node_of, 0, work, work.root)
    start_at_root(columns, work.root, work)
    sizes = work.sizes
    slot = np.full(INNER_NODES, -1)  # of the node's histogram in `work`; the root has its own
    slots = 0
    column_of[:] = 0
    threshold[:] = np.inf
    gains = np.zeros(INNER_NODES)
    is_spread = False  # whether the points have their gradients and nodes
    for number in range(INNER_NODES):
        if sizes[number] < 2.0:
            continue
        node = Node(number, sizes[number], work.totals[number], 0.0, 0.0)
        histogram = work.root if slot[number] < 0 else work.histograms[slot[number]]
        best, ties = search_edges(columns, node, histogram, work)
        if ties == 0 or is_pure(weight, gradient, node_of, node, best, work.members):
            continue
        tie = 0
        if ties > 1:
            if not is_spread:
                _spread_gradients(groups, number_of_class, labels, work)
                for point in range(work.node_of.size):
                    work.node_of[point] = node_of[2 * groups.of_point[point]]
                is_spread = True
            tie = break_tie(columns, work.gradient, node, histogram, priorities, work, ties)
        column = work.ties[tie, 0]
        cell = np.searchsorted(columns.cell_start, work.ties[tie, 1])
        if not _part(groups, column, cell - columns.first_cell[column], number, node_of):
            return False
        if is_spread:
            values = columns.values[column]
            cut = values[columns.order[columns.cell_start[cell]]]
            part(values, cut, np.uint8(number), work.node_of)
        column_of[number] = column
        threshold[number] = _threshold(columns, column, cell, histogram)
        gains[number] = best / node.size
        size, total = work.tie_sums[tie, 0], work.tie_sums[tie, 1]
        smaller, larger = set_children(node, size, total, work)
        if smaller >= INNER_NODES:
            continue
        slot[smaller], slot[larger] = slots, slot[number]
        _fill(groups, number_of_class, gradient, node_of, smaller, work, work.histograms[slots])
        subtract(work.histograms[slots], histogram)
        slots += 1
    for number in range(INNER_NODES):
        importance[column_of[number]] += gains[number]
    return True


@subroutine
def _fill(
    groups: Groups,
    number_of_class: int,
    gradient: NDArray[np.float64],
    node_of: NDArray[np.uint8],
    number: int,
    work: Workshop,
    histogram: NDArray[np.float64],
) -> None:
    """Fills the histogram of a node: sums of gradients, and numbers of samples."""
    for cell in range(len(histogram)):
        histogram[cell, 0] = 0.0
        histogram[cell, 1] = 0.0
    contents, classes, has_own = groups.contents, groups.classes, work.half_weight
    start, cells, weights = contents.start, contents.cell, contents.weight
    for group in range(groups.sizes.size):
        if node_of[2 * group] == number and has_own[2 * group + 1] == 0.0:
            g = gradient[2 * group]
            for entry in range(start[group], start[group + 1]):
                histogram[cells[entry], 0] += weights[entry] * g
                histogram[cells[entry], 1] += weights[entry]
    for row in range(classes.start[number_of_class], classes.start[number_of_class + 1]):
        group = classes.group[row]
        if node_of[2 * group] == number:
            other, own = gradient[2 * group], gradient[2 * group + 1]
            shift = start[group] - classes.entry[row]
            for entry in range(classes.entry[row], classes.entry[row + 1]):
                cell = cells[entry + shift]
                histogram[cell, 0] += classes.rest[entry] * other + classes.own[entry] * own
                histogram[cell, 1] += classes.rest[entry] + classes.own[entry]


@subroutine
def _part(groups: Groups, column: int, cell: int, number: int, node_of: NDArray[np.uint8]) -> bool:
    """Moves a node's groups to its children; False if one of them has points on both sides."""
    for group in range(groups.sizes.size):
        if node_of[2 * group] == number:
            is_right = groups.first_cell[group, column] >= cell
            if not is_right and groups.last_cell[group, column] >= cell:
                return False
            node_of[2 * group] = node_of[2 * group + 1] = 2 * number + 1 + int(is_right)
    return True


@subroutine
def _threshold(columns: Columns, column: int, cell: int, histogram: NDArray[np.float64]) -> float:
    """The middle between the node's values that are next to the cut before a cell."""
    below, above = cell - 1, cell
    while histogram[below, 1] < 1.0:
        below -= 1
    while histogram[above, 1] < 1.0:
        above += 1
    values = columns.values[column]
    low = values[columns.order[columns.cell_start[below]]]
    high = values[columns.order[columns.cell_start[above]]]
    return low / 2.0 + high / 2.0


@subroutine
def _spread_gradients(
    groups: Groups, number_of_class: int, labels: NDArray[np.uint32], work: Workshop
) -> None:
    """Gives each point the gradient of its half."""
    for point in range(labels.size):
        half = 2 * groups.of_point[point] + np.uint32(labels[point] == np.uint32(number_of_class))
        work.gradient[point] = work.half_gradient[half]


@subroutine
def _grow_from_points(
    columns: Columns,
    groups: Groups,
    targets: GroupTargets,
    tree: int,
    work: Workshop,
    trees: Trees,
    importances: NDArray[np.float64],
) -> None:
    _spread_gradients(groups, targets.first_class + tree, targets.labels, work)
    members = work.members[: targets.labels.size]
    for point in range(members.size):
        members[point] = point
    fill(columns, work.gradient, members, work.root)
    grow_tree(
        columns,
        work.gradient,
        work.root,
        targets.priorities[tree],
        work,
        trees.column[tree],
        trees.threshold[tree],
        importances[tree],
    )
