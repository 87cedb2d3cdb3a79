"""Ground-truth data: a grid of factors, and one observation for each point of it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.data.blocks import StoredImages


class GroundTruthData(Protocol):
    """What a metric asks of a dataset: the interface of disentanglement_lib.

    Its own datasets satisfy it, so the metrics here run on them, and its metrics on ours.
    """

    @property
    def num_factors(self) -> int: ...

    @property
    def factors_num_values(self) -> Sequence[int]: ...

    @property
    def observation_shape(self) -> Sequence[int]: ...

    def sample_factors(self, num: int, random_state: RandomState) -> NDArray[np.int64]: ...

    def sample_observations_from_factors(
        self, factors: NDArray[np.int64], random_state: RandomState
    ) -> NDArray: ...

    def sample(self, num: int, random_state: RandomState) -> tuple[NDArray[np.int64], NDArray]: ...

    def sample_observations(self, num: int, random_state: RandomState) -> NDArray: ...


class FactorGrid:
    """Every combination of the factors' values, numbered row-major (the last factor fastest).

    Subclasses say what the observation of a number is. The draws follow disentanglement_lib's
    `SplitDiscreteStateSpace`: one `randint` a factor, in order, and none for observations.
    """

    def __init__(self, factor_sizes: Sequence[int]) -> None:
        self.factor_sizes = tuple(int(size) for size in factor_sizes)

    def __len__(self) -> int:
        return int(np.prod(self.factor_sizes))

    @property
    def num_factors(self) -> int:
        return len(self.factor_sizes)

    @property
    def factors_num_values(self) -> list[int]:
        return list(self.factor_sizes)

    @property
    def observation_shape(self) -> list[int]:
        raise NotImplementedError

    def indices_of(self, factors: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers (n,) of the factor rows (n, num_factors).

        Raises:
            ValueError: a value lies outside its factor.
        """
        return np.ravel_multi_index(tuple(np.asarray(factors).T), self.factor_sizes)

    def factors_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Factor rows (n, num_factors) of the numbers (n,)."""
        return np.stack(np.unravel_index(indices, self.factor_sizes), axis=-1).astype(np.int64)

    def observations_at(self, indices: NDArray[np.int64]) -> NDArray:
        """Observations (n, *observation_shape) of the numbers (n,)."""
        raise NotImplementedError

    def sample_factors(self, num: int, random_state: RandomState) -> NDArray[np.int64]:
        factors = np.empty((num, self.num_factors), dtype=np.int64)
        for position, size in enumerate(self.factor_sizes):
            factors[:, position] = random_state.randint(size, size=num)
        return factors

    def sample_observations_from_factors(
        self,
        factors: NDArray[np.int64],
        random_state: RandomState,  # noqa: ARG002 - the field's signature; nothing is drawn
    ) -> NDArray:
        return self.observations_at(self.indices_of(factors))

    def sample(self, num: int, random_state: RandomState) -> tuple[NDArray[np.int64], NDArray]:
        factors = self.sample_factors(num, random_state)
        return factors, self.sample_observations_from_factors(factors, random_state)

    def sample_observations(self, num: int, random_state: RandomState) -> NDArray:
        return self.sample(num, random_state)[1]


class IndexGrid(FactorGrid):
    """A grid whose observations are its own numbers.

    Handed to a metric with a representation that looks codes up by number, it gives the metric the
    draws and the codes it would have had from images, and no image is encoded twice.

    Example:
        >>> grid = IndexGrid((2, 3))
        >>> len(grid), grid.num_factors, grid.factors_num_values
        (6, 2, [2, 3])
        >>> grid.factors_of(np.array([0, 4]))
        array([[0, 0],
               [1, 1]])
        >>> grid.indices_of(np.array([[1, 1]]))
        array([4])
        >>> factors, numbers = grid.sample(2, RandomState(0))
        >>> factors
        array([[0, 1],
               [1, 0]])
        >>> numbers
        array([1, 3])
    """

    @property
    def observation_shape(self) -> list[int]:
        return []

    def observations_at(self, indices: NDArray[np.int64]) -> NDArray:
        return indices


class ImageGrid(FactorGrid):
    """A grid with an image for each number.

    Args:
        name: Name of the dataset.
        images: uint8 (N, 64, 64, 3), usually in a file, in the order of the grid.
        factor_sizes: Number of values of each factor; their product is N.
        factor_names: One name a factor.
        fingerprint: Hexadecimal digest that changes when the images do; caches are keyed by it.

    Example:
        >>> images = np.full((6, 64, 64, 3), 255, np.uint8)
        >>> grid = ImageGrid("white", images, (2, 3), ("color", "shape"), fingerprint="0")
        >>> grid.observation_shape
        [64, 64, 3]
        >>> float(grid.observations_at(np.array([4])).mean())
        1.0
        >>> grid.images_at(np.array([4, 5])).shape
        (2, 64, 64, 3)
    """

    def __init__(
        self,
        name: str,
        images: NDArray[np.uint8] | StoredImages,
        factor_sizes: Sequence[int],
        factor_names: Sequence[str],
        fingerprint: str,
    ) -> None:
        super().__init__(factor_sizes)
        self.name = name
        self.images = images
        self.factor_names = tuple(factor_names)
        self.fingerprint = fingerprint

    @property
    def observation_shape(self) -> list[int]:
        return list(self.images.shape[1:])

    def observations_at(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Images (n, 64, 64, 3) as float32 in [0, 1]."""
        return self.images_at(indices).astype(np.float32) / np.float32(255)

    def images_at(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images (n, 64, 64, 3) as they are stored, with values from 0 to 255."""
        return self.images[indices]
