"""The data as a page shows them: factors as numbers of their values, and images where they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.data.factor_columns import FactorColumn, as_one_kind
from evaluation.data.factor_table import NUM_BINS, FactorTable, Gradable, GridOfRows
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.own.dataset import OwnData
from evaluation.metrics.mutual_information import entropies

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class ShownData:
    """What a page asks of the data.

    Args:
        factor_names: One a factor (k,).
        value_names: Names of each factor's values, or of where the bins of a continuous one begin.
        continuous: Positions of the continuous factors.
        chances: (k,), in which share of the rows a guess of the factor is right.
        entropies: (k,), in nats.
        factors_of: Gives factors (n, k), as numbers of values, of rows (n,).
        images_at: Gives images (n, height, width, channels) of rows (n,).
        rows_of: Gives the rows (n,) of factors (n, k) of a full grid.
        rows: How many there are.
        without_images: Why there are no images, in a sentence; empty if there are.
        without_walks: Why no factor can be walked with all else equal; empty if each can.
    """

    factor_names: Sequence[str]
    value_names: Sequence[Sequence[str]]
    continuous: tuple[int, ...]
    chances: NDArray[np.float64]
    entropies: NDArray[np.float64]
    factors_of: Callable[[Numbers], Numbers]
    images_at: Callable[[Numbers], NDArray]
    rows_of: Callable[[Numbers], Numbers]
    rows: int
    without_images: str = ""
    without_walks: str = ""

    @property
    def factor_sizes(self) -> list[int]:
        return [len(names) for names in self.value_names]

    @property
    def unit(self) -> str:
        """What a row is, in the plural."""
        return "rows" if self.without_images else "images"


def shown(data: Gradable) -> ShownData:
    """A dataset of the kit, or of the user's own, as a page shows it."""
    if isinstance(data, OwnData):
        return _own(data)
    assert isinstance(data, ImageGrid)
    sizes = np.array(data.factor_sizes, dtype=np.float64)
    return ShownData(
        data.factor_names,
        data.value_names,
        (),
        1 / sizes,
        np.log(sizes),
        data.factors_of,
        data.images_at,
        data.indices_of,
        len(data),
    )


def _own(data: OwnData) -> ShownData:
    columns, continuous = _as_discrete(data)
    factors = np.stack([column.values for column in columns], axis=1)
    chances = [np.bincount(column.values).max() / len(factors) for column in columns]
    no_images = "" if data.has_images else f"{data.name} has factors and no images."
    no_walks = no_images

    def rows_of(points: Numbers) -> Numbers:
        assert isinstance(data.numbered, GridOfRows)
        return data.numbered.observations_at(data.numbered.indices_of(points))

    if not data.full_grid:
        no_walks = no_walks or "The rows are no full grid: none differ in one factor only."
    return ShownData(
        [column.name for column in columns],
        [
            _bin_starts(data.columns[place]) if place in continuous else column.value_names or ()
            for place, column in enumerate(columns)
        ],
        continuous,
        np.array(chances),
        entropies(factors),
        factors.__getitem__,
        data.images_at,
        rows_of,
        len(data),
        without_images=no_images,
        without_walks=no_walks,
    )


def _bin_starts(column: FactorColumn) -> list[str]:
    """Where the bins of a continuous factor begin: names as short as an axis needs them."""
    return [f"{edge:.4g}" for edge in np.histogram_bin_edges(column.values, NUM_BINS)[:-1]]


def _as_discrete(data: OwnData) -> tuple[list[FactorColumn], tuple[int, ...]]:
    """The factors as the metrics have them that need discrete ones; which are continuous."""
    if isinstance(data.numbered, FactorTable):
        return data.numbered.binned.columns, data.numbered.continuous
    return as_one_kind(data.columns), ()
