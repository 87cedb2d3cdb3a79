"""Regression trees of depth 3 as scikit-learn grows them for boosting: the same cuts, found faster.

The score of a cut with n of a node's N samples before it, whose gradients sum to S of T, is
(S N - T n)^2 / (n (N - n)): N times what the cut takes from the sum of squared errors. It is convex
in (n, S). So a node keeps sums by cell of the sorted columns, which score all cuts between cells.
Within a cell the path of (n, S) stays inside a hexagon (no gradient is larger than 1, and those
above 0 have a known sum) and inside a parallelogram (no gradient leaves the node's range), so no
cut there scores more than their corners. Only cells whose corners beat the best cut so far are
looked into. Of two children, the smaller is summed and the larger is what remains.

What calls one another stays in this file, since numba's cache sees changes in one file only. What
`columns` and `buffers` define is compiled in all the same, and they say so.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit
from evaluation.metrics.boosting.buffers import (
    INNER_NODES,
    LEARNING_RATE,
    LEAVES,
    Targets,
    Trees,
    Workshop,
)
from evaluation.metrics.boosting.columns import SAME_VALUE, Columns

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
    value: np.float32  # what lies below goes left
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
        predictions: (trees, n), to which the trees' values are added, times the learning rate.
    """
    for tree in range(start, stop):
        for cell in range(columns.divisible.size):
            size = columns.cell_start[cell + 1] - columns.cell_start[cell]
            work.sums[0, cell, 0] = size
            work.sums[0, cell, 1] = targets.totals[cell, tree]
            work.positives[0, cell] = targets.positives[cell, tree]
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
            value = _newton_step(gradient, members, targets.factors[tree], work.terms)
            trees.value[tree, leaf] = value
            for sample in members:
                predictions[tree, sample] += LEARNING_RATE * value


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
        sums, positives = work.sums[slot[number]], work.positives[slot[number]]
        cut = _best_cut(columns, gradient, node, sums, positives, priorities, work)
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
        _add_up(
            columns.cell_of, gradient, few, work.sums[slot[smaller]], work.positives[slot[smaller]]
        )
        work.sums[slot[larger]] -= work.sums[slot[smaller]]
        work.positives[slot[larger]] -= work.positives[slot[smaller]]


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
    cut: np.float32,
    members: NDArray[np.uint32],
    spare: NDArray[np.uint32],
) -> tuple[np.int64, np.float32, np.float32]:
    """Moves what lies below the cut to the front: how many, the highest of it, the lowest rest."""
    highest, lowest = np.float32(-np.inf), np.float32(np.inf)
    below = np.uint64(0)
    for k in range(members.size):  # without a branch, as sides cannot be predicted
        sample = members[k]
        value = values[sample]
        is_below = value < cut
        members[below] = sample
        spare[np.uint64(k) - below] = sample
        below += np.uint64(is_below)
        highest = max(highest, value if is_below else highest)
        lowest = min(lowest, lowest if is_below else value)
    count = np.int64(below)
    members[count:] = spare[: members.size - count]
    return count, highest, lowest


@njit
def _add_up(
    cell_of: NDArray[np.uint32],
    gradient: NDArray[np.float64],
    members: NDArray[np.uint32],
    sums: NDArray[np.float64],
    positives: NDArray[np.float64],
) -> None:
    sums[:] = 0.0
    positives[:] = 0.0
    for sample in members:
        g = gradient[sample]
        for column in range(cell_of.shape[1]):
            cell = cell_of[sample, column]
            sums[cell, 0] += 1.0
            sums[cell, 1] += g
        if g > 0.0:
            for column in range(cell_of.shape[1]):
                positives[cell_of[sample, column]] += g


@njit
def _newton_step(
    gradient: NDArray[np.float64],
    members: NDArray[np.uint32],
    factor: float,
    terms: NDArray[np.float64],
) -> float:
    """scikit-learn's update, to the last bit."""
    n = members.size
    if n == 0:
        return 0.0
    for k in range(n):
        terms[k] = gradient[members[k]]
    numerator = pairwise_sum(terms, n) / n * factor
    for k in range(n):
        probability = (1.0 if terms[k] > 0.0 else 0.0) - terms[k]
        terms[k] = probability * (1.0 - probability)
    denominator = pairwise_sum(terms, n) / n
    return numerator / denominator if abs(denominator) >= 1e-150 else 0.0


@njit
def pairwise_sum(terms: NDArray[np.float64], n: int) -> float:
    """The sum of the first n terms in NumPy's order: halved down to blocks of at most 128.

    Not recursive, since numba cannot load a recursive function from its cache into a caller.
    """
    sizes = np.empty(64, dtype=np.int64)
    first_halves = np.empty(64)
    halves_done = np.zeros(64, dtype=np.int64)
    sizes[0] = n
    begin = depth = 0
    total = 0.0
    while depth >= 0:
        half = sizes[depth] // 2 - sizes[depth] // 2 % 8
        if sizes[depth] <= 128:
            total = _block_sum(terms[begin : begin + sizes[depth]])
            begin += sizes[depth]
            depth -= 1
        elif halves_done[depth] == 2:
            total += first_halves[depth]
            depth -= 1
        else:
            first_halves[depth] = total
            sizes[depth + 1] = sizes[depth] - half if halves_done[depth] else half
            halves_done[depth] += 1
            halves_done[depth + 1] = 0
            depth += 1
    return total


@njit
def _block_sum(terms: NDArray[np.float64]) -> float:
    """The sum of a block in NumPy's order: in eight lanes, then what is left."""
    a = b = c = d = e = f = g = h = 0.0
    whole = terms.size - terms.size % 8
    for k in range(0, whole, 8):
        a += terms[k]
        b += terms[k + 1]
        c += terms[k + 2]
        d += terms[k + 3]
        e += terms[k + 4]
        f += terms[k + 5]
        g += terms[k + 6]
        h += terms[k + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for k in range(whole, terms.size):
        total += terms[k]
    return total


@njit
def _best_cut(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: _Node,
    sums: NDArray[np.float64],
    positives: NDArray[np.float64],
    priorities: NDArray[np.float64],
    work: Workshop,
) -> _Cut:
    _walk(columns.first_cell, sums, positives, work.paths)
    _score_edges(work.paths, node, work.scores)
    best, ties = _search_edges(columns, work)
    bar = best * (1.0 - _SAME_SCORE) * (1.0 - _SAME_SCORE)
    _find_promising(work.paths, node, bar, columns.divisible, work.promising)
    best, ties = _search_inside(columns, gradient, node, best, ties, work)
    if ties == 0:
        return _Cut(-1, np.float32(0.0), best)
    column, position = _break_tie(columns, gradient, node, priorities, work, ties)
    return _Cut(column, columns.values[column, columns.order[position]], best)


@njit
def _search_edges(columns: Columns, work: Workshop) -> tuple[float, int]:
    """Notes the best of the cuts between cells: the best score, and the number of ties."""
    first_cell, cell_start = columns.first_cell, columns.cell_start
    scores, noted = work.scores, work.ties
    best, bar, ties = 0.0, 0.0, 0
    for column in range(first_cell.size - 1):
        for cell in range(first_cell[column], first_cell[column + 1]):
            if scores[cell] >= bar:
                best, ties = _note(scores[cell], column, cell_start[cell], best, ties, noted)
                bar = best * (1.0 - _SAME_SCORE)
    return best, ties


@njit
def _note(
    score: float, column: int, position: int, best: float, ties: int, noted: NDArray[np.int64]
) -> tuple[float, int]:
    """Notes a cut that is among the best so far: the best score, and the number of ties."""
    if score > best * (1.0 + _SAME_SCORE):
        ties = 0
    if ties < len(noted):
        noted[ties, 0] = column
        noted[ties, 1] = position
        ties += 1
    return max(score, best), ties


@njit
def _break_tie(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: _Node,
    priorities: NDArray[np.float64],
    work: Workshop,
    ties: int,
) -> tuple[int, int]:
    """The column and position of the cut that scikit-learn would make of several.

    It makes the one that rounding favours, which can only be told by summing as it does, and if
    there are still several, the one that its random order of columns comes to first.
    """
    if ties == 1:
        return work.ties[0, 0], work.ties[0, 1]
    priority = priorities[node.number]
    total = node.total
    if node.number > 0 and not _are_alike(columns, gradient, node, work, ties):
        total = _total(columns, gradient, node, priorities, work)
    best, winner = -1.0, 0
    for tie in range(ties):
        column, position = work.ties[tie]
        n, s = _sum_before(columns, column, position, gradient, node, total, work)
        rest = total - s
        proxy = s * s / n + rest * rest / (node.size - n)
        best_column, best_position = work.ties[winner]
        if proxy > best or (
            proxy == best
            and (
                priority[column] > priority[best_column]
                or (column == best_column and position < best_position)
            )
        ):
            best, winner = proxy, tie
    return work.ties[winner, 0], work.ties[winner, 1]


@njit
def _are_alike(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: _Node,
    work: Workshop,
    ties: int,
) -> bool:
    """Whether all cuts have the very same sum before them, so that the total does not matter."""
    first = _sum_before(columns, work.ties[0, 0], work.ties[0, 1], gradient, node, node.total, work)
    for tie in range(1, ties):
        column, position = work.ties[tie]
        if _sum_before(columns, column, position, gradient, node, node.total, work) != first:
            return False
    return True


@njit
def _sum_before(
    columns: Columns,
    column: int,
    position: int,
    gradient: NDArray[np.float64],
    node: _Node,
    total: float,
    work: Workshop,
) -> tuple[float, float]:
    """Number and sum of the node's gradients before a cut, summed as scikit-learn does.

    It goes from one possible cut to the next, or comes from the end if that is nearer.
    """
    n = counted = 0
    s = 0.0
    last = np.float32(0.0)
    for cell in range(columns.first_cell[column], columns.first_cell[column + 1]):
        if work.paths[2, cell] == 0.0:
            continue
        for k in range(columns.cell_start[cell], columns.cell_start[cell + 1]):
            sample = columns.order[k]
            if work.node_of[sample] != node.number:
                continue
            value = columns.values[column, sample]
            if n > 0 and value > last + SAME_VALUE:
                if n - counted > node.size - n:
                    s = total
                    for later in columns.order[k : (column + 1) * gradient.size][::-1]:
                        if work.node_of[later] == node.number:
                            s -= gradient[later]
                counted = n
                if k >= position:
                    return float(n), s
            s += gradient[sample]
            n += 1
            last = value
    return float(n), s


@njit
def _total(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: _Node,
    priorities: NDArray[np.float64],
    work: Workshop,
) -> float:
    """The sum of the node's gradients in the order that scikit-learn has its samples in.

    The parent left them sorted by the column that it looked at last, and then parted by swaps.
    """
    if node.number == 0:
        return node.total
    parent = (node.number - 1) // 2
    is_member = np.zeros(gradient.size, dtype=np.bool_)
    is_member[work.members[work.begin[parent] : work.end[parent]]] = True
    last = np.argmin(priorities[parent])
    front = 0
    for sample in columns.order[last * gradient.size : (last + 1) * gradient.size]:
        if is_member[sample]:
            work.spare[front] = sample
            front += 1
    front, back = 0, front
    size = back
    left = 2 * parent + 1
    is_left = np.zeros(gradient.size, dtype=np.bool_)
    is_left[work.members[work.begin[left] : work.end[left]]] = True
    while front < back:
        if is_left[work.spare[front]]:
            front += 1
        else:
            back -= 1
            work.spare[front], work.spare[back] = work.spare[back], work.spare[front]
    total = 0.0
    for sample in work.spare[:front] if node.number == left else work.spare[front:size]:
        total += gradient[sample]
    return total


@njit
def _walk(
    first_cell: NDArray[np.int64],
    sums: NDArray[np.float64],
    positives: NDArray[np.float64],
    paths: NDArray[np.float64],
) -> None:
    for column in range(first_cell.size - 1):
        n = s = 0.0
        for cell in range(first_cell[column], first_cell[column + 1]):
            paths[0, cell] = n
            paths[1, cell] = s
            paths[2, cell] = sums[cell, 0]
            paths[3, cell] = positives[cell]
            paths[4, cell] = sums[cell, 1] - positives[cell]
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
def _search_inside(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: _Node,
    best: float,
    ties: int,
    work: Workshop,
) -> tuple[float, int]:
    """Notes better cuts inside the promising cells: the best score, and the number of ties."""
    # Named here, not below, since numba counts references to an array each time one is taken.
    first_cell, cell_start, order = columns.first_cell, columns.cell_start, columns.order
    values, paths, promising = columns.values, work.paths, work.promising
    inside, node_of, noted = work.inside, work.node_of, work.ties
    bar = best * (1.0 - _SAME_SCORE)
    for column in range(first_cell.size - 1):
        for cell in range(first_cell[column], first_cell[column + 1]):
            if not promising[cell]:
                continue
            count = np.uint64(0)
            for position in range(cell_start[cell], cell_start[cell + 1]):
                inside[count] = position  # without a branch, as members cannot be predicted
                count += np.uint64(node_of[order[position]] == node.number)
            n, s = paths[0, cell], paths[1, cell]
            last = order[inside[0]]
            for k in range(1, np.int64(count)):
                sample = order[inside[k]]
                n += 1.0
                s += gradient[last]
                difference = s * node.size - node.total * n
                square, area = difference * difference, n * (node.size - n)
                if square >= bar * area and values[column, sample] > (
                    values[column, last] + SAME_VALUE
                ):
                    best, ties = _note(square / area, column, inside[k], best, ties, noted)
                    bar = best * (1.0 - _SAME_SCORE)
                last = sample
    return best, ties
