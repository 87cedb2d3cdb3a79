"""The best cut of a node.

The score of a cut with n of a node's N samples before it, whose gradients sum to S of T, is
(S N - T n)^2 / (n (N - n)): N times what the cut takes from the sum of squared errors. It is convex
in (n, S). The node's histogram scores all cuts between cells. Within a cell the path of (n, S)
rises by the sum of the gradients above 0 at most, and no more steeply than the node's largest
gradient; it falls likewise. So it stays inside a hexagon, or inside a parallelogram where all
gradients of the node have one sign, and no cut there scores more than the corners. Only cells whose
corners beat the best cut so far are looked into.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import subroutine
from evaluation.metrics.boosting.growth.buffers import Workshop
from evaluation.metrics.boosting.growth.columns import SAME_VALUE, Columns
from evaluation.metrics.boosting.growth.histograms import packing_of
from evaluation.metrics.boosting.growth.members import find_members
from evaluation.metrics.boosting.growth.ties import Node, break_tie

_SAME_SCORE = 1e-10  # relatively; one score, summed in two orders, differs less
_PURE = 2.220446049250313e-16  # scikit-learn cuts no node whose variance is at most this
_ROUNDING = 1e-13  # nor do we where the variance is what rounding leaves of the mean square


class Cut(NamedTuple):
    """Where a node is cut.

    Args:
        column: -1 where it is not cut.
        position: In the order of columns; the first that may be a member on the right.
        size: Number of samples on the left.
        total: Sum of their gradients.
        score: See above.
    """

    column: int
    position: int
    size: float
    total: float
    score: float


@subroutine
def best_cut(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: Node,
    histogram: NDArray[np.float64],
    priorities: NDArray[np.float64],
    work: Workshop,
) -> Cut:
    """The cut that scikit-learn makes, of equal ones one by their priorities (7, d)."""
    best, ties = search_edges(columns, node, histogram, work)
    if is_pure(columns.weights, gradient, work.node_of, node, best, work.members):
        return Cut(-1, 0, 0.0, 0.0, 0.0)
    bar = best * (1.0 - _SAME_SCORE)
    _find_promising(columns, node, histogram, bar, work.before, work.promising)
    best, ties = _search_inside(columns, gradient, node, histogram, best, ties, work)
    if ties == 0:
        return Cut(-1, 0, 0.0, 0.0, 0.0)
    tie = break_tie(columns, gradient, node, histogram, priorities, work, ties)
    return Cut(
        work.ties[tie, 0], work.ties[tie, 1], work.tie_sums[tie, 0], work.tie_sums[tie, 1], best
    )


@subroutine
def is_pure(
    weights: NDArray[np.float64],
    gradient: NDArray[np.float64],
    node_of: NDArray[np.uint8],
    node: Node,
    best: float,
    members: NDArray[np.uint32],
) -> bool:
    """Whether all gradients of a node are the same; `members` is overwritten."""
    # No cut takes more from the squared errors than there is, and no gradient is larger than 1.
    if best > 10.0 * _ROUNDING * node.size * node.size:
        return False
    total = squares = 0.0
    count = find_members(node_of, np.uint8(node.number), members)
    for point in members[:count]:
        total += weights[point] * gradient[point]
        squares += weights[point] * gradient[point] * gradient[point]
    mean_square = squares / node.size
    variance = mean_square - (total / node.size) ** 2
    return variance <= max(_PURE, _ROUNDING * mean_square)


@subroutine
def search_edges(
    columns: Columns, node: Node, histogram: NDArray[np.float64], work: Workshop
) -> tuple[float, int]:
    """Notes the best of the cuts between cells: the best score, and the number of ties."""
    # Named here, not below, since numba counts references to an array each time one is taken.
    first_cell, cell_start = columns.first_cell, columns.cell_start
    before, scores, noted, noted_sums = work.before, work.scores, work.ties, work.tie_sums
    sizes, sums = before[0], before[1]
    best = 0.0
    for column in range(first_cell.size - 1):
        n = s = 0.0
        cells = slice(first_cell[column], first_cell[column + 1])
        column_sizes, column_sums, part = sizes[cells], sums[cells], histogram[cells]
        for cell in range(column_sizes.size):
            column_sizes[cell] = n
            column_sums[cell] = s
            n += np.floor(part[cell, 1])
            s += part[cell, 0]
    for cell in range(scores.size):
        n = sizes[cell]
        difference = sums[cell] * node.size - node.total * n
        score = difference * difference / (n * (node.size - n))
        scores[cell] = score if (n > 0.0) & (n < node.size) else -1.0
    for cell in range(scores.size):
        best = scores[cell] if scores[cell] > best else best
    bar = best * (1.0 - _SAME_SCORE)
    ties = 0
    for column in range(first_cell.size - 1):
        for cell in range(first_cell[column], first_cell[column + 1]):
            # Before an empty cell there is the cut that is also before the next.
            if scores[cell] >= bar and histogram[cell, 1] >= 1.0 and ties < len(noted):
                noted[ties, 0] = column
                noted[ties, 1] = cell_start[cell]
                noted_sums[ties, 0] = sizes[cell]
                noted_sums[ties, 1] = sums[cell]
                ties += 1
    return best, ties


@subroutine
def _find_promising(
    columns: Columns,
    node: Node,
    histogram: NDArray[np.float64],
    bar: float,
    before: NDArray[np.float64],
    promising: NDArray[np.bool_],
) -> None:
    """Which cells the box around their path does not rule out: few of them, at little cost."""
    divisible, room = columns.divisible[min(node.number, 1)], packing_of(columns.point_of.size).room
    sizes, sums = before[0], before[1]
    number, total = node.size, node.total
    flat = histogram.reshape(-1)  # as numba does not know how far apart the rows of a matrix are
    for cell in range(promising.size):
        n, s, packed = sizes[cell], sums[cell], flat[2 * cell + 1]
        size = np.floor(packed)
        positive = (packed - size) * room
        end, high, low = n + size, s + positive, s + flat[2 * cell] - positive
        at_start, at_end = total * n, total * end
        up = high * number - (at_start if at_start < at_end else at_end)
        down = (at_end if at_start < at_end else at_start) - low * number
        reach = up if up > down else down
        area, area_at_end = n * (number - n), end * (number - end)
        area = area if area < area_at_end else area_at_end
        promising[cell] = divisible[cell] & (size > 1.0) & (reach * reach >= bar * area)


@subroutine
def _may_hold(
    n: float, s: float, packed: float, total: float, room: float, node: Node, bar: float
) -> bool:
    """Whether a corner of the hexagon, or of the parallelogram, reaches the bar."""
    size = np.floor(packed)
    end = n + size
    if node.least >= 0.0 or node.most <= 0.0:
        rise = (total - node.least * size) / (node.most - node.least)
        fall = size - rise
        return _reaches(n + rise, s + node.most * rise, node, bar) | _reaches(
            n + fall, s + node.least * fall, node, bar
        )
    positive = (packed - size) * room
    negative = total - positive
    up, down = positive / node.most, negative / node.least
    high, low = s + positive, s + negative
    return (
        _reaches(n + up, high, node, bar)
        | _reaches(end - down, high, node, bar)
        | _reaches(n + down, low, node, bar)
        | _reaches(end - up, low, node, bar)
    )


@subroutine
def _reaches(n: float, s: float, node: Node, bar: float) -> bool:
    """Not whether it is below: a corner that no number tells rules nothing out."""
    difference = s * node.size - node.total * n
    return not difference * difference < bar * (n * (node.size - n))


@subroutine
def _search_inside(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: Node,
    histogram: NDArray[np.float64],
    best: float,
    ties: int,
    work: Workshop,
) -> tuple[float, int]:
    """Notes better cuts inside the promising cells: the best score, and the number of ties."""
    first_cell, cell_start, order = columns.first_cell, columns.cell_start, columns.order
    values, weights = columns.values, columns.weights
    sizes, sums, promising = work.before[0], work.before[1], work.promising
    inside, node_of, noted, noted_sums = work.inside, work.node_of, work.ties, work.tie_sums
    run_sizes, run_sums = work.inside_before[0], work.inside_before[1]
    room = packing_of(columns.point_of.size).room
    bar = best * (1.0 - _SAME_SCORE)
    for column in range(first_cell.size - 1):
        for cell in range(first_cell[column], first_cell[column + 1]):
            if not promising[cell] or not _may_hold(
                sizes[cell],
                sums[cell],
                histogram[cell, 1],
                histogram[cell, 0],
                room,
                node,
                bar * (1.0 - _SAME_SCORE),
            ):
                continue
            points = order[cell_start[cell] : cell_start[cell + 1]]
            cuts = _find_inside(points, node_of, node.number, inside) - 1
            cut_sizes, cut_sums = run_sizes[:cuts], run_sums[:cuts]
            _add_up(points, inside, weights, gradient, sizes[cell], sums[cell], cut_sizes, cut_sums)
            reaching = 0
            for k in range(cuts):
                n = cut_sizes[k]
                difference = cut_sums[k] * node.size - node.total * n
                reaching += difference * difference >= bar * (n * (node.size - n))
            if reaching == 0:  # as in most cells
                continue
            for k in range(cuts):
                n, s = cut_sizes[k], cut_sums[k]
                difference = s * node.size - node.total * n
                square, area = difference * difference, n * (node.size - n)
                if square >= bar * area and values[column, points[inside[k + 1]]] > (
                    values[column, points[inside[k]]] + SAME_VALUE
                ):
                    score = square / area
                    if score > best * (1.0 + _SAME_SCORE):
                        ties = 0
                    if ties < len(noted):
                        noted[ties, 0] = column
                        noted[ties, 1] = cell_start[cell] + inside[k + 1]
                        noted_sums[ties, 0] = n
                        noted_sums[ties, 1] = s
                        ties += 1
                    best = max(score, best)
                    bar = best * (1.0 - _SAME_SCORE)
    return best, ties


@subroutine
def _find_inside(
    points: NDArray[np.uint32],
    node_of: NDArray[np.uint8],
    number: int,
    inside: NDArray[np.uint32],
) -> np.int64:
    """Fills in which of a cell's points are members of a node, and says how many they are."""
    if number == 0:  # all are
        for k in range(points.size):
            inside[k] = k
        return np.int64(points.size)
    count = np.uint64(0)
    for k in range(points.size):
        inside[count] = k  # without a branch, as members cannot be predicted
        count += np.uint64(node_of[points[k]] == number)
    return np.int64(count)


@subroutine
def _add_up(
    points: NDArray[np.uint32],
    inside: NDArray[np.uint32],
    weights: NDArray[np.float64],
    gradient: NDArray[np.float64],
    n: float,
    s: float,
    cut_sizes: NDArray[np.float64],
    cut_sums: NDArray[np.float64],
) -> None:
    """Fills the numbers and sums before each cut, from those before the cell."""
    for k in range(cut_sizes.size):
        point = points[inside[k]]
        n += weights[point]
        s += weights[point] * gradient[point]
        cut_sizes[k] = n
        cut_sums[k] = s
