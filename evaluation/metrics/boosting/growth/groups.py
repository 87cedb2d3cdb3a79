"""Points that all trees of a factor have sent the same way, for codes of few values.

They have the same prediction, and so one of two gradients in each tree: that of its class, and that
of all others. A tree then sums some groups where it would sum thousands of points.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit
from evaluation.metrics.boosting.growth.columns import Columns

_LEAST_GAIN = 4
"""Groups are kept while their histograms take this many times fewer additions than points'."""

_MOST_NUMBERS = 1 << 62


class Contents(NamedTuple):
    """How many samples each group has in each cell that its points reach.

    Args:
        start: Where the entries of each group begin, and how many there are (g + 1,).
        cell: Of all columns (entries,).
        weight: Number of samples (entries,).
    """

    start: NDArray[np.int64]
    cell: NDArray[np.int64]
    weight: NDArray[np.float64]


class Classes(NamedTuple):
    """The same for the points of each class, in rows of a group and a class that it has points of.

    Args:
        start: Where the rows of each class begin, and how many there are (classes + 1,).
        group: Of each row (rows,).
        size: Number of samples of the row (rows,).
        entry: Where each row's entries begin, one for each of its group's, and their number
            (rows + 1,).
        own: Number of the class's samples (entries of rows,).
        rest: Number of the group's other samples (entries of rows,).
    """

    start: NDArray[np.int64]
    group: NDArray[np.int64]
    size: NDArray[np.float64]
    entry: NDArray[np.int64]
    own: NDArray[np.float64]
    rest: NDArray[np.float64]


class Groups(NamedTuple):
    """The g groups of one factor.

    Args:
        of_point: (p,).
        of_sample: (n,).
        sizes: Number of samples of each group (g,).
        codes: Of one point of each group (d, g).
        first_cell: The first cell of its points in each column (g, d), counted as in `Columns`.
        last_cell: The last one (g, d).
        contents: Samples by cell.
        classes: The same by class.
    """

    of_point: NDArray[np.uint32]
    of_sample: NDArray[np.uint32]
    sizes: NDArray[np.float64]
    codes: NDArray[np.float32]
    first_cell: NDArray[np.uint16]
    last_cell: NDArray[np.uint16]
    contents: Contents
    classes: Classes


def can_be_grouped(columns: Columns) -> bool:
    """Whether each cell has a single value, or no column can be cut at all."""
    if len(columns.cell_start) == len(columns.values) + 1:
        return not columns.divisible[0].any()
    if columns.divisible.any():
        return False
    for column, values in enumerate(columns.values):
        cells = slice(columns.first_cell[column], columns.first_cell[column + 1] + 1)
        starts = columns.cell_start[cells]
        first, last = columns.order[starts[:-1]], columns.order[starts[1:] - 1]
        if not np.array_equal(values[first], values[last]):
            return False
    return True


def one_group(columns: Columns, labels: NDArray[np.int64]) -> Groups | None:
    """All points in one group, as before the first tree; None if groups do not pay.

    Args:
        columns: The sorted codes.
        labels: Number of each point's class (p,).
    """
    return _gathered(columns, labels, np.zeros(len(labels), dtype=np.int64))


def parted(
    groups: Groups,
    columns: Columns,
    labels: NDArray[np.int64],
    cut_columns: NDArray[np.int64],
    thresholds: NDArray[np.float64],
) -> Groups | None:
    """The groups, parted where cuts go through them; None if groups no longer pay.

    Args:
        groups: Before.
        columns: The sorted codes.
        labels: Number of each point's class (p,).
        cut_columns: Columns of cuts, in any order and number.
        thresholds: Their thresholds; inf is none.
    """
    of_point, possible = groups.of_point.astype(np.int64), len(groups.sizes)
    for column in np.unique(cut_columns):
        cuts = np.unique(thresholds[(cut_columns == column) & np.isfinite(thresholds)])
        sides = len(cuts) + 1
        if possible * sides > _MOST_NUMBERS:
            of_point, possible = _renumbered(of_point)
        of_point = of_point * sides + np.searchsorted(cuts, columns.values[column])
        possible *= sides
    of_point, number = _renumbered(of_point)
    if number * _LEAST_GAIN > len(labels):
        return None
    return _gathered(columns, labels, of_point)


def _renumbered(of_point: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """The groups' numbers without gaps, and how many groups there are."""
    numbers, of_point = np.unique(of_point, return_inverse=True)
    return of_point, len(numbers)


def _gathered(
    columns: Columns, labels: NDArray[np.int64], of_point: NDArray[np.int64]
) -> Groups | None:
    d, p = columns.values.shape
    g = int(of_point.max()) + 1
    points, begin = _by_set(of_point, g)
    contents = _contents(columns, points, begin)
    if len(contents.cell) * _LEAST_GAIN > p * d:
        return None
    classes = _classes(columns, labels, of_point, contents)
    if classes is None:
        return None
    cells = columns.cell_of[points]
    return Groups(
        of_point.astype(np.uint32),
        of_point[columns.point_of].astype(np.uint32),
        np.bincount(of_point, columns.weights).astype(np.float64),
        np.ascontiguousarray(columns.values[:, points[begin[:-1]]]),
        np.minimum.reduceat(cells, begin[:-1]),
        np.maximum.reduceat(cells, begin[:-1]),
        contents,
        classes,
    )


def _contents(columns: Columns, points: NDArray[np.int64], begin: NDArray[np.int64]) -> Contents:
    start = np.zeros(len(begin), np.int64)
    _count(columns, points, begin, start[1:])
    np.cumsum(start, out=start)
    contents = Contents(start, np.empty(start[-1], np.int64), np.empty(start[-1]))
    _set_contents(columns, points, begin, contents)
    return contents


def _classes(
    columns: Columns, labels: NDArray[np.int64], of_point: NDArray[np.int64], contents: Contents
) -> Classes | None:
    """None if there would be more entries than points have cells."""
    g = len(contents.start) - 1
    rows, row_of = np.unique(labels * g + of_point, return_inverse=True)
    group = rows % g
    entry = np.concatenate(([0], np.cumsum(np.diff(contents.start)[group])))
    if entry[-1] > columns.values.size:
        return None
    points, begin = _by_set(row_of, len(rows))
    classes = Classes(
        np.searchsorted(rows, np.arange(labels.max() + 2) * g),
        group,
        np.bincount(row_of, columns.weights).astype(np.float64),
        entry,
        np.empty(entry[-1]),
        np.empty(entry[-1]),
    )
    _set_classes(columns, points, begin, contents, classes)
    return classes


def _by_set(set_of: NDArray[np.int64], sets: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Points of one set after another (p,), and where each set begins, and p (sets + 1,)."""
    points = np.argsort(set_of, kind="stable")
    return points, np.searchsorted(set_of[points], np.arange(sets + 1))


@njit
def _count(
    columns: Columns,
    points: NDArray[np.int64],
    begin: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Counts the cells that groups reach.

    Args:
        columns: The sorted codes.
        points: Of one group after another (p,).
        begin: Where each group begins, and p (g + 1,).
        counts: Filled (g,).
    """
    d = columns.cell_of.shape[1]
    last_seen = np.full(columns.first_cell[d], -1)
    for group in range(counts.size):
        for point in points[begin[group] : begin[group + 1]]:
            for column in range(d):
                cell = columns.first_cell[column] + columns.cell_of[point, column]
                counts[group] += last_seen[cell] != group
                last_seen[cell] = group


@njit
def _set_contents(
    columns: Columns, points: NDArray[np.int64], begin: NDArray[np.int64], contents: Contents
) -> None:
    """Fills the cells and weights; arguments as above."""
    samples = np.zeros(columns.first_cell[-1])
    for group in range(contents.start.size - 1):
        place = contents.start[group]
        for point in points[begin[group] : begin[group + 1]]:
            for column in range(columns.cell_of.shape[1]):
                cell = columns.first_cell[column] + columns.cell_of[point, column]
                if samples[cell] == 0.0:
                    contents.cell[place] = cell
                    place += 1
                samples[cell] += columns.weights[point]
        for entry in range(contents.start[group], place):
            contents.weight[entry] = samples[contents.cell[entry]]
            samples[contents.cell[entry]] = 0.0


@njit
def _set_classes(
    columns: Columns,
    points: NDArray[np.int64],
    begin: NDArray[np.int64],
    contents: Contents,
    classes: Classes,
) -> None:
    """Fills what is the class's own and the rest, from the points of one row after another."""
    samples = np.zeros(columns.first_cell[-1])
    for row in range(classes.group.size):
        for point in points[begin[row] : begin[row + 1]]:
            for column in range(columns.cell_of.shape[1]):
                cell = columns.first_cell[column] + columns.cell_of[point, column]
                samples[cell] += columns.weights[point]
        first = contents.start[classes.group[row]]
        for entry in range(classes.entry[row], classes.entry[row + 1]):
            other = first + entry - classes.entry[row]
            classes.own[entry] = samples[contents.cell[other]]
            classes.rest[entry] = contents.weight[other] - classes.own[entry]
            samples[contents.cell[other]] = 0.0
