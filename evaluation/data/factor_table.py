"""Rows with known factors: a full grid in any order, or any rows at all.

The observation of a row is its number, so that codes are looked up and each row is encoded once.
"""

from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.images import ImageFormat
from evaluation.data.factor_columns import FactorColumn, as_one_kind
from evaluation.data.ground_truth import IndexGrid

NUM_BINS = 20
"""Equal-width bins of a continuous factor, where a metric needs discrete ones."""

LEAST_ROWS = 32
"""Fewest rows of a table that is no full grid: fewer leave a score to chance."""


class GridOfRows(IndexGrid):
    """A full grid whose points lie in a table in any order; observations are numbers of its rows.

    Args:
        sizes: Number of values of each factor.
        row_of: The row (N,) of each point of the grid.

    Example:
        >>> grid = GridOfRows((2, 2), np.array([3, 2, 1, 0]))
        >>> grid.observations_at(np.array([0, 1]))
        array([3, 2])
    """

    def __init__(self, sizes: Sequence[int], row_of: NDArray[np.int64]) -> None:
        super().__init__(sizes)
        self._row_of = row_of

    __eq__ = object.__eq__  # two are the same draws only if their rows are in the same order
    __hash__ = object.__hash__

    def observations_at(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._row_of[indices]


class FactorTable:
    """Rows that are no full grid. Draws are of rows, and none sets a factor to another value.

    Args:
        columns: The factors, all of n rows.

    Attributes:
        factors: (n, k): numbers of values, or what continuous factors are; float64 if any is.
        continuous: Positions of the continuous factors.
        factor_names: One a factor.
        factor_sizes: Number of distinct values of each factor.

    Raises:
        ValueError: fewer than LEAST_ROWS rows, or a factor of strings that no two rows share.
    """

    def __init__(self, columns: Sequence[FactorColumn]) -> None:
        self.columns = list(columns)
        self.factors = np.stack([column.values for column in columns], axis=1)
        self.continuous = tuple(
            place for place, column in enumerate(columns) if column.kind == "continuous"
        )
        self.factor_names = tuple(column.name for column in columns)
        self.factor_sizes = tuple(len(np.unique(column)) for column in self.factors.T)
        if len(self) < LEAST_ROWS:
            raise ValueError(
                f"A table that is no full grid needs {LEAST_ROWS} rows, and this one has"
                f" {len(self)}."
            )
        for column in columns:
            if column.value_names is not None and len(column.value_names) == len(self):
                raise ValueError(
                    f"Factor {column.name} has another value in each row, so it cannot be a"
                    " discrete factor; leave it out, or say that it is continuous."
                )

    def __len__(self) -> int:
        return len(self.factors)

    @property
    def num_factors(self) -> int:
        return len(self.columns)

    @cached_property
    def binned(self) -> "FactorTable":
        """The same rows, the continuous factors put into NUM_BINS equal-width bins."""
        if not self.continuous:
            return self
        return FactorTable([_in_bins(column) for column in self.columns])

    def fewest_sharing(self) -> tuple[int, str, str]:
        """The fewest rows that share a value of a discrete factor, the value, and the factor."""
        counts = [
            (int(count), names[value], column.name)
            for column in self.columns
            if (names := column.value_names) is not None
            for value, count in enumerate(np.bincount(column.values, minlength=1))
            if count > 0
        ]
        return min(counts, key=lambda entry: entry[0])

    def sample_rows(self, num: int, random_state: RandomState) -> NDArray[np.int64]:
        """`num` rows, none twice; all in their order if there are no more."""
        if num >= len(self):
            return np.arange(len(self))
        return random_state.permutation(len(self))[:num]

    def split_rows(
        self, num_train: int, num_test: int, random_state: RandomState
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows to learn from and others to test with; fewer, in the same proportion, of few."""
        most = num_train + num_test
        rows = random_state.permutation(len(self))[:most]
        cut = len(rows) * num_train // most
        return rows[:cut], rows[cut:]

    def rows_sharing(
        self, rows: NDArray[np.int64], factor: NDArray[np.int64], random_state: RandomState
    ) -> NDArray[np.int64]:
        """For each row (r,) a random one with the same value of the discrete factor (r,)."""
        chosen = np.empty_like(rows)
        luck = random_state.random_sample(len(rows))
        for number, column in enumerate(self.columns):
            of_factor = factor == number
            in_order, starts, counts = _groups(column.values)
            values = column.values[rows[of_factor]]
            places = (luck[of_factor] * counts[values]).astype(np.int64)
            chosen[of_factor] = in_order[starts[values] + places]
        return chosen


Numbered = IndexGrid | FactorTable
"""A dataset whose observations are numbers, by which codes are looked up."""


class NumberedImages(Protocol):
    """What encoding asks of a dataset: images by number, and a digest that tells them apart."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def image_format(self) -> ImageFormat: ...

    def __len__(self) -> int: ...

    def images_at(self, indices: NDArray[np.int64]) -> NDArray: ...


class Gradable(NumberedImages, Protocol):
    """What the grader asks of a dataset: its images, and the numbers as metrics take them."""

    @property
    def factor_sizes(self) -> tuple[int, ...]: ...

    @property
    def numbered(self) -> Numbered: ...


def open_table(
    columns: Sequence[FactorColumn], told: Collection[str] = ()
) -> GridOfRows | FactorTable:
    """The rows as a full grid, if each combination of values is there once; else as a table.

    In a grid of two factors or more some rows share a value of each. So may those of a column that
    was taken for continuous.

    Args:
        columns: The factors.
        told: Names of those whose kind was not found out, but told.

    Raises:
        ValueError: as `FactorTable`.

    Example:
        >>> size = FactorColumn("size", np.array([1, 0, 1, 0]), ("large", "small"))
        >>> color = FactorColumn("color", np.array([0, 0, 1, 1]), ("green", "red"))
        >>> len(open_table([size, color])), open_table([size, color]).factor_sizes
        (4, (2, 2))
    """
    discrete = as_one_kind(columns)
    sizes = [len(column.value_names or ()) for column in discrete]
    n = len(columns[0].values)
    may_be_grid = all(
        size < n and (column.kind == "discrete" or column.name not in told)
        for column, size in zip(columns, sizes, strict=True)
    )
    if may_be_grid and np.prod(sizes, dtype=np.float64) == n:
        numbers = np.ravel_multi_index([column.values for column in discrete], sizes)
        row_of = np.full(n, -1)
        row_of[numbers] = np.arange(n)
        if (row_of >= 0).all():
            return GridOfRows(sizes, row_of)
    return FactorTable(columns)


def _groups(values: NDArray[np.int64]) -> tuple[NDArray, NDArray, NDArray]:
    """Rows in the order of their values, where each value's begin, and how many there are."""
    counts = np.bincount(values)
    return np.argsort(values, kind="stable"), np.cumsum(counts) - counts, counts


def _in_bins(column: FactorColumn) -> FactorColumn:
    if column.value_names is not None:
        return column
    edges = np.histogram_bin_edges(column.values, NUM_BINS)
    numbers = np.digitize(column.values, edges[1:-1])
    spans = tuple(f"{low:g} to {high:g}" for low, high in pairwise(edges))
    return FactorColumn(column.name, numbers, spans)
