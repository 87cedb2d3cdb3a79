"""Regression trees of depth 3 as scikit-learn grows them for boosting: the same cuts, found faster.

The score of a cut with n of a node's N samples before it, whose gradients sum to S of T, is
(S N - T n)^2 / (n (N - n)): N times what the cut takes from the sum of squared errors. It is convex
in (n, S). So a node keeps sums by cell of the sorted columns, which score all cuts between cells.
Within a cell the path of (n, S) stays inside a hexagon (no gradient is larger than 1, and those
above 0 have a known sum) and inside a parallelogram (no gradient leaves the node's range), so no
cut there scores more than their corners. Only cells whose corners beat the best cut so far are
looked into. Of two children, the smaller is summed and the larger is what remains.

What calls one another stays in this file, since numba's cache sees changes in one file only.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.compiler import njit
from evaluation.metrics._columns import SAME_VALUE, Columns
from evaluation.metrics._workshop import INNER_NODES, LEAVES, Targets, Trees, Workshop

_SAME_SCORE = 1e-10  # relatively; one score, summed in two orders, differs less
_PURE = 2.220446049250313e-16  # scikit-learn cuts no node whose variance is at most this
_ROUNDING = 1e-13  # nor do we where the variance is what rounding leaves of the mean square


class _Node(NamedTuple):
    number: int
    size: float
    total: float
    squares: float
    least: float
    most: float


class _Cut(NamedTuple):
    column: int  # -1 where there is none
    value: float  # what lies below goes left
    score: float


@njit
def grow_trees(
    start: int,
    stop: int,
    work: Workshop,
    columns: Columns,
    targets: Targets,
    trees: Trees,
    importances: NDArray[np.float64],
    predictions: NDArray[np.float64],
) -> None:
    """Grows trees number `start` to `stop` of a stage.

    Args:
        start: First tree.
        stop: The tree after the last.
        work: Overwritten.
        columns: The sorted codes.
        targets: What to fit.
        trees: Filled.
        importances: (trees, d), to which is added what each column's cuts take from the error.
        predictions: (trees, n), to which the trees' values are added.
    """
    for tree in range(start, stop):
        for cell in range(columns.divisible.size):
            size = columns.cell_start[cell + 1] - columns.cell_start[cell]
            work.sums[0, cell, 0] = size
            work.sums[0, cell, 1] = targets.totals[cell, tree]
            work.sums[0, cell, 2] = targets.positives[cell, tree]
        gradient = targets.gradients[tree]
        _grow(
            columns,
            gradient,
            targets.priorities[tree],
            work,
            trees.column[tree],
            trees.threshold[tree],
            importances[tree],
        )
        for leaf in range(LEAVES):
            members = work.members[work.begin[INNER_NODES + leaf] : work.end[INNER_NODES + leaf]]
            value = targets.shrinkage[tree] * _newton_step(gradient, members)
            trees.value[tree, leaf] = value
            for sample in members:
                predictions[tree, sample] += value


@njit
def _grow(
    columns: Columns,
    gradient: NDArray[np.float64],
    priorities: NDArray[np.float64],
    work: Workshop,
    column: NDArray[np.int64],
    threshold: NDArray[np.float64],
    importance: NDArray[np.float64],
) -> None:
    begin, end = work.begin, work.end
    work.members[:] = np.arange(gradient.size)
    work.node_of[:] = 0
    begin[0], end[0] = 0, gradient.size
    slot = np.zeros(INNER_NODES, dtype=np.int64)
    slots = 1
    closed = np.zeros(INNER_NODES + LEAVES, dtype=np.bool_)
    column[:] = 0
    threshold[:] = np.inf
    for number in range(INNER_NODES):
        left, right = 2 * number + 1, 2 * number + 2
        begin[left], end[left] = begin[number], end[number]
        begin[right], end[right] = end[number], end[number]
        closed[left] = closed[right] = True
        members = work.members[begin[number] : end[number]]
        node = _describe(number, gradient, members)
        if closed[number] or _is_pure(node):
            continue
        cut = _best_cut(columns, gradient, node, work.sums[slot[number]], priorities[number], work)
        if cut.column < 0:
            continue
        closed[left] = closed[right] = False
        below, highest, lowest = _part(columns.values[cut.column], cut.value, members, work.spare)
        end[left] = begin[right] = begin[number] + below
        column[number] = cut.column
        threshold[number] = highest / 2.0 + lowest / 2.0
        importance[cut.column] += cut.score / node.size
        if right >= INNER_NODES:
            continue
        work.node_of[members[:below]] = left
        work.node_of[members[below:]] = right
        smaller, larger, few = left, right, members[:below]
        if 2 * below > members.size:
            smaller, larger, few = right, left, members[below:]
        slot[smaller], slot[larger] = slots, slot[number]
        slots += 1
        _add_up(columns.cell_of, gradient, few, work.sums[slot[smaller]])
        _subtract(work.sums[slot[larger]], work.sums[slot[smaller]])


@njit
def _describe(number: int, gradient: NDArray[np.float64], members: NDArray[np.uint32]) -> _Node:
    total = squares = 0.0
    least, most = np.inf, -np.inf
    for sample in members:
        g = gradient[sample]
        total += g
        squares += g * g
        least = g if g < least else least
        most = g if g > most else most
    return _Node(number, float(members.size), total, squares, least, most)


@njit
def _is_pure(node: _Node) -> bool:
    if node.size < 2:
        return True
    mean_square = node.squares / node.size
    variance = mean_square - (node.total / node.size) ** 2
    return variance <= max(_PURE, _ROUNDING * mean_square)


@njit
def _part(
    values: NDArray[np.float32],
    cut: float,
    members: NDArray[np.uint32],
    spare: NDArray[np.uint32],
) -> tuple[int, np.float32, np.float32]:
    """Moves what lies below the cut to the front: how many, the highest of it, the lowest rest."""
    highest, lowest = np.float32(-np.inf), np.float32(np.inf)
    below = aside = 0
    for sample in members:
        value = values[sample]
        if value < cut:
            highest = max(highest, value)
            members[below] = sample
            below += 1
        else:
            lowest = min(lowest, value)
            spare[aside] = sample
            aside += 1
    members[below:] = spare[:aside]
    return below, highest, lowest


@njit
def _add_up(
    cell_of: NDArray[np.uint32],
    gradient: NDArray[np.float64],
    members: NDArray[np.uint32],
    sums: NDArray[np.float64],
) -> None:
    sums[:] = 0.0
    for sample in members:
        g = gradient[sample]
        positive = max(g, 0.0)
        for cell in cell_of[sample]:
            sums[cell, 0] += 1.0
            sums[cell, 1] += g
            sums[cell, 2] += positive
            sums[cell, 3] += 0.0  # so that the processor adds four at once


@njit
def _subtract(larger: NDArray[np.float64], smaller: NDArray[np.float64]) -> None:
    for cell in range(larger.shape[0]):
        for kind in range(4):
            larger[cell, kind] -= smaller[cell, kind]


@njit
def _newton_step(gradient: NDArray[np.float64], members: NDArray[np.uint32]) -> float:
    total = hessian = 0.0
    for sample in members:
        g = gradient[sample]
        total += g
        hessian += abs(g) * (1.0 - abs(g))
    return total / hessian if hessian >= 1e-150 * max(members.size, 1) else 0.0


@njit
def _best_cut(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: _Node,
    sums: NDArray[np.float64],
    priority: NDArray[np.float64],
    work: Workshop,
) -> _Cut:
    first_cell, cell_start = columns.first_cell, columns.cell_start
    best, best_column, best_position = -1.0, -1, 0
    _walk(first_cell, sums, work.paths)
    _score_edges(work.paths, node, work.scores)
    for column in range(priority.size):
        for cell in range(first_cell[column], first_cell[column + 1]):
            score = work.scores[cell]
            if _wins(score, column, best, best_column, priority):
                best, best_column, best_position = score, column, cell_start[cell]
    bar = best * (1.0 - 10.0 * _SAME_SCORE)
    _find_promising(work.paths, node, bar, columns.divisible, work.promising)
    for column in range(priority.size):
        values = columns.values[column]
        for cell in range(first_cell[column], first_cell[column + 1]):
            if not work.promising[cell]:
                continue
            order = columns.order[cell_start[cell] : cell_start[cell + 1]]
            found = _look_inside(order, values, gradient, node, work, cell)
            for k in range(1, found):
                score = work.inside_scores[k]
                if _wins(score, column, best, best_column, priority):
                    best, best_column = score, column
                    best_position = cell_start[cell] + work.inside[k]
    return _Cut(best_column, columns.values[best_column, columns.order[best_position]], best)


@njit
def _wins(
    score: float, column: int, best: float, best_column: int, priority: NDArray[np.float64]
) -> bool:
    if score < 0.0 or score < best * (1.0 - _SAME_SCORE):
        return False
    if best_column < 0 or score > best * (1.0 + _SAME_SCORE):
        return True
    return priority[column] > priority[best_column]


@njit
def _walk(
    first_cell: NDArray[np.int64], sums: NDArray[np.float64], paths: NDArray[np.float64]
) -> None:
    for column in range(first_cell.size - 1):
        n = s = 0.0
        for cell in range(first_cell[column], first_cell[column + 1]):
            paths[0, cell] = n
            paths[1, cell] = s
            paths[2, cell] = sums[cell, 0]
            paths[3, cell] = sums[cell, 2]
            paths[4, cell] = sums[cell, 1] - sums[cell, 2]
            n += sums[cell, 0]
            s += sums[cell, 1]


@njit
def _score_edges(paths: NDArray[np.float64], node: _Node, scores: NDArray[np.float64]) -> None:
    for cell in range(scores.size):
        n = paths[0, cell]
        difference = paths[1, cell] * node.size - node.total * n
        score = difference * difference / (n * (node.size - n))
        scores[cell] = score if (n > 0.0) & (n < node.size) else -1.0


@njit
def _find_promising(
    paths: NDArray[np.float64],
    node: _Node,
    bar: float,
    divisible: NDArray[np.bool_],
    promising: NDArray[np.bool_],
) -> None:
    inverse_range = 1.0 / (node.most - node.least)
    for cell in range(promising.size):
        n, s, size = paths[0, cell], paths[1, cell], paths[2, cell]
        positive, negative = paths[3, cell], paths[4, cell]
        end, high, low = n + size, s + positive, s + negative
        hexagon = (
            _reaches(n + positive, high, node, bar)
            | _reaches(end + negative, high, node, bar)
            | _reaches(n - negative, low, node, bar)
            | _reaches(end - positive, low, node, bar)
        )
        rise = (positive + negative - node.least * size) * inverse_range
        fall = size - rise
        parallelogram = _reaches(n + rise, s + node.most * rise, node, bar) | _reaches(
            n + fall, s + node.least * fall, node, bar
        )
        promising[cell] = divisible[cell] & (size > 1.0) & hexagon & parallelogram


@njit
def _reaches(n: float, s: float, node: _Node, bar: float) -> bool:
    difference = s * node.size - node.total * n
    return difference * difference >= bar * (n * (node.size - n))


@njit
def _look_inside(
    order: NDArray[np.uint32],
    values: NDArray[np.float32],
    gradient: NDArray[np.float64],
    node: _Node,
    work: Workshop,
    cell: int,
) -> int:
    """Scores the cuts before the node's members in a cell but for the first: how many members."""
    inside, scores = work.inside, work.inside_scores
    count = np.uint64(0)
    for position in range(order.size):  # without a branch, as membership cannot be predicted
        inside[count] = position
        count += np.uint64(work.node_of[order[position]] == node.number)
    found = int(count)
    s = work.paths[1, cell]
    for k in range(found):
        scores[k] = s
        s += gradient[order[inside[k]]]
    for k in range(1, found):
        n = work.paths[0, cell] + k
        difference = scores[k] * node.size - node.total * n
        below, above = values[order[inside[k - 1]]], values[order[inside[k]]]
        score = difference * difference / (n * (node.size - n))
        scores[k] = score if above > below + SAME_VALUE else -1.0
    return found
