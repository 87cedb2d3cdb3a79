"""Which of several equal cuts scikit-learn makes.

It makes the one that rounding favours, which can only be told by summing as it does, and if there
are still several, the one that its random order of columns comes to first.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import subroutine
from evaluation.metrics.boosting.growth.buffers import INNER_NODES, LEAVES, Workshop
from evaluation.metrics.boosting.growth.columns import SAME_VALUE, Columns


class Node(NamedTuple):
    """A node: its number, that of its samples, and their gradients' sum, least and most."""

    number: int
    size: float
    total: float
    least: float
    most: float


@subroutine
def break_tie(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: Node,
    histogram: NDArray[np.float64],
    priorities: NDArray[np.float64],
    work: Workshop,
    ties: int,
) -> int:
    """Which of the cuts noted in `work` is made, by the priorities (7, d) where rounding is even.

    Of cuts of one column it is the first. Sums before the cuts are overwritten.
    """
    if ties == 1:
        return 0
    noted, sums = work.ties, work.tie_sums
    priority = priorities[node.number]
    taken = np.empty(ties, dtype=np.int64)
    total, is_exact, alike = node.total, False, True
    for tie in range(ties):
        sums[tie, 0], sums[tie, 1], taken[tie], total, is_exact = _before(
            columns, tie, gradient, node, total, is_exact, histogram, priorities, work
        )
        alike = (
            alike
            and sums[tie, 0] == sums[0, 0]
            and sums[tie, 1] == sums[0, 1]
            and taken[tie] == taken[0] <= 1
        )
    # Equal sums that were added up, or left by one gradient, are equal whatever the total is.
    if not alike and not is_exact:
        total, is_exact = _total(columns, gradient, node, priorities, work), True
    for tie in range(ties):
        if not alike and taken[tie] == 1:  # perhaps from another total
            sums[tie, 0], sums[tie, 1], _, _, _ = _before(
                columns, tie, gradient, node, total, is_exact, histogram, priorities, work
            )
    best, winner = -1.0, 0
    for tie in range(ties):
        n, s = sums[tie]
        rest = total - s
        proxy = s * s / n + rest * rest / (node.size - n)
        column, best_column = noted[tie, 0], noted[winner, 0]
        if proxy > best or (
            proxy == best
            and (
                priority[column] > priority[best_column]
                or (column == best_column and noted[tie, 1] < noted[winner, 1])
            )
        ):
            best, winner = proxy, tie
    return winner


@subroutine
def _before(
    columns: Columns,
    tie: int,
    gradient: NDArray[np.float64],
    node: Node,
    total: float,
    is_exact: bool,
    histogram: NDArray[np.float64],
    priorities: NDArray[np.float64],
    work: Workshop,
) -> tuple[float, float, int, float, bool]:
    """Number and sum of the node's gradients before a cut, summed as scikit-learn does.

    It goes from one possible cut to the next, or comes from the end if that is nearer. How many
    gradients were then taken away from the total comes third, 0 if none. If they are several, the
    total has to be scikit-learn's, and is found if it is not. It comes last.
    """
    column, position = work.ties[tie]
    node_of, values, members = work.node_of, columns.values[column], work.in_cell
    sample_order, sample_start = columns.sample_order, columns.sample_start
    column_end = (column + 1) * columns.point_of.size
    cut = values[columns.order[position]]
    size = int(node.size)
    n = counted = taken = 0
    s = 0.0
    last = np.float32(0.0)
    for cell in range(columns.first_cell[column], columns.first_cell[column + 1]):
        more = int(histogram[cell, 1])
        if more == 0:
            continue
        samples = sample_order[sample_start[cell] : sample_start[cell + 1]]
        count = np.uint64(0)
        for point in samples:
            members[count] = point  # without a branch, as members cannot be predicted
            count += np.uint64(node_of[point] == node.number)
        # A cell's edge is a possible cut. Where what is left after a cell is no less than what is
        # in it, no cut in it comes from the end, and none has to be looked at.
        is_plain = columns.cell_start[cell + 1] <= position and more <= size - n - more
        for point in members[: 1 if is_plain else more]:
            value = values[point]
            if n > 0 and value > last + SAME_VALUE:
                if n - counted > size - n:
                    taken = size - n
                    if taken > 1 and not is_exact:
                        total = _total(columns, gradient, node, priorities, work)
                        is_exact = True
                    s = _left_of(total, column_end, taken, gradient, node, columns, work)
                counted = n
                if value >= cut:
                    return float(n), s, taken, total, is_exact
            if not is_plain:
                s += gradient[point]
                n += 1
                last = value
        if is_plain:
            for point in members[:more]:
                s += gradient[point]
            n += more
            last = values[members[more - 1]]
    return float(n), s, taken, total, is_exact


@subroutine
def _left_of(
    total: float,
    column_end: int,
    taken: int,
    gradient: NDArray[np.float64],
    node: Node,
    columns: Columns,
    work: Workshop,
) -> float:
    """What is left of the total without the node's last samples in a column."""
    node_of, samples = work.node_of, work.samples
    count = np.uint64(0)
    k = column_end
    while count < np.uint64(taken):
        k -= 1
        point = columns.sample_order[k]
        samples[count] = point  # without a branch, as members cannot be predicted
        count += np.uint64(node_of[point] == node.number)
    for point in samples[:taken]:
        total -= gradient[point]
    return total


@subroutine
def _total(
    columns: Columns,
    gradient: NDArray[np.float64],
    node: Node,
    priorities: NDArray[np.float64],
    work: Workshop,
) -> float:
    """The sum of the node's gradients in the order that scikit-learn has its samples in.

    The parent left them sorted by the column that it looked at last, and then parted by swaps.
    """
    total = 0.0
    if node.number == 0:
        for point in columns.point_of:
            total += gradient[point]
        return total
    parent = (node.number - 1) // 2
    left = 2 * parent + 1
    n = columns.point_of.size
    last = np.argmin(priorities[parent])
    samples, sides = work.samples, work.sides
    # 1 for what the parent's cut sent left, 2 for right, 0 for what the parent never had.
    side = np.zeros(INNER_NODES + LEAVES, dtype=np.uint8)
    side[left], side[left + 1] = 1, 2
    for descendant in range(left + 2, INNER_NODES + LEAVES):
        side[descendant] = side[(descendant - 1) // 2]
    count = np.uint64(0)
    for point in columns.sample_order[last * n : (last + 1) * n]:
        samples[count] = point  # without a branch, as members cannot be predicted
        sides[count] = side[work.node_of[point]]
        count += np.uint64(sides[count] > 0)
    samples, sides = samples[: np.int64(count)], sides[: np.int64(count)]
    if node.number == left:
        return _sum_of_left(gradient, samples, sides, int(node.size), work.moved)
    return _sum_of_right(gradient, samples, sides, samples.size - int(node.size), work.moved)


@subroutine
def _sum_of_left(
    gradient: NDArray[np.float64],
    samples: NDArray[np.uint32],
    sides: NDArray[np.uint8],
    lefts: int,
    moved: NDArray[np.uint32],
) -> float:
    """The sum of what goes left of a parent's sorted samples, as swaps leave it.

    A sample that goes right is swapped with the last one, until one comes that goes left. So among
    the first `lefts` samples those that go right give their places to those that go left of the
    others, from the end.
    """
    count = np.uint64(0)
    for k in range(samples.size - 1, lefts - 1, -1):
        moved[count] = samples[k]
        count += np.uint64(sides[k] == 1)
    total = 0.0
    count = np.uint64(0)
    for k in range(lefts):
        stays, point, other = sides[k] == 1, samples[k], moved[count]
        total += gradient[point if stays else other]
        count += np.uint64(not stays)
    return total


@subroutine
def _sum_of_right(
    gradient: NDArray[np.float64],
    samples: NDArray[np.uint32],
    sides: NDArray[np.uint8],
    lefts: int,
    moved: NDArray[np.uint32],
) -> float:
    """The sum of what goes right, likewise; `samples` are overwritten.

    From the end on, there is the first of the samples that give their places, then what is swapped
    with it and goes right too, then the next one, where something goes left.
    """
    count = np.uint64(0)
    for k in range(lefts):
        moved[count] = samples[k]
        count += np.uint64(sides[k] == 2)
    moved[count] = samples[lefts]
    point = samples[samples.size - 1]
    samples[samples.size - 1] = moved[0]
    count = np.uint64(0)
    for k in range(samples.size - 1, lefts, -1):
        following = samples[k - 1]
        goes_left = sides[k] == 1
        count += np.uint64(goes_left)
        other = moved[count]
        samples[k - 1] = other if goes_left else point
        point = following
    total = 0.0
    for point in samples[lefts:]:
        total += gradient[point]
    return total
