"""Ground-truth data: a grid of factor values, and one observation for each point of the grid."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.images import ImageFormat, as_floats
from evaluation.data.storage.blocks import StoredImages


class GroundTruthData(Protocol):
    """The part of disentanglement_lib's `GroundTruthData` that metrics use.

    The metrics here run on disentanglement_lib's datasets, and its metrics run on ours.
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
    """All combinations of the factors' values, numbered in row-major order.

    The last factor changes fastest. A subclass defines the observation of each number. The random
    draws are those of disentanglement_lib's `SplitDiscreteStateSpace`: one `randint` for each
    factor, in order. An observation of given factors draws only the hidden factors.

    Args:
        sizes: Number of values of each factor, hidden ones included.
        hidden: Positions of the factors that metrics do not see, such as SmallNORB's instance.
            Their values are drawn for each observation.
    """

    def __init__(self, sizes: Sequence[int], hidden: Sequence[int] = ()) -> None:
        self.all_sizes = tuple(int(size) for size in sizes)
        self.hidden = tuple(hidden)
        self._shown = [place for place in range(len(self.all_sizes)) if place not in self.hidden]
        self.factor_sizes = tuple(self.all_sizes[place] for place in self._shown)
        self._bounds = np.array(self.factor_sizes, dtype=np.int64)[:, np.newaxis]
        self._in_order = np.argsort([*self._shown, *self.hidden]).tolist()

    def __len__(self) -> int:
        return int(np.prod(self.all_sizes))

    @property
    def draws(self) -> bool:
        """Whether an observation of given factors is random."""
        return bool(self.hidden)

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
        """Numbers (n,) of the factor rows (n, num_factors); hidden factors have value 0.

        Raises:
            ValueError: a value is outside the range of its factor.
        """
        rows = np.asarray(factors)
        return self._numbers_of(rows, np.zeros((len(rows), len(self.hidden)), np.int64))

    def factors_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Factor rows (n, num_factors) of the numbers (n,)."""
        values = np.unravel_index(indices, self.all_sizes)
        return np.stack([values[place] for place in self._shown], axis=-1).astype(np.int64)

    def observations_at(self, indices: NDArray[np.int64]) -> NDArray:
        """Observations (n, *observation_shape) of the numbers (n,)."""
        raise NotImplementedError

    def sample_factors(self, num: int, random_state: RandomState) -> NDArray[np.int64]:
        """Factor rows (num, num_factors), drawn uniformly."""
        # One call draws what a call for each factor would, at less than half of the cost.
        shape = (self.num_factors, num)
        return np.ascontiguousarray(random_state.randint(self._bounds, size=shape).T)

    def sample_observations_from_factors(
        self, factors: NDArray[np.int64], random_state: RandomState
    ) -> NDArray:
        """Observations (n, *observation_shape) of the factor rows (n, num_factors)."""
        return self.observations_at(self.sample_numbers(factors, random_state))

    def sample_numbers(
        self, factors: NDArray[np.int64], random_state: RandomState
    ) -> NDArray[np.int64]:
        """Numbers (n,) of the factor rows (n, num_factors), with random hidden values."""
        if not self.hidden:
            return np.ravel_multi_index(tuple(np.asarray(factors).T), self.all_sizes)
        rows = np.asarray(factors)
        drawn = np.empty((len(rows), len(self.hidden)), np.int64)
        for column, place in enumerate(self.hidden):
            drawn[:, column] = random_state.randint(self.all_sizes[place], size=len(rows))
        return self._numbers_of(rows, drawn)

    def _numbers_of(self, shown: NDArray[np.int64], hidden: NDArray[np.int64]) -> NDArray[np.int64]:
        values = [*shown.T, *hidden.T]
        return np.ravel_multi_index([values[place] for place in self._in_order], self.all_sizes)

    def sample(self, num: int, random_state: RandomState) -> tuple[NDArray[np.int64], NDArray]:
        factors = self.sample_factors(num, random_state)
        return factors, self.sample_observations_from_factors(factors, random_state)

    def sample_observations(self, num: int, random_state: RandomState) -> NDArray:
        return self.sample(num, random_state)[1]


class IndexGrid(FactorGrid):
    """A grid whose observations are its own numbers.

    A metric gets this grid together with a table of codes as its representation function. It then
    makes the same draws and sees the same codes as with images, but no image is encoded twice.

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

    @classmethod
    def of(cls, grid: FactorGrid) -> "IndexGrid":
        """The same factors, with numbers as observations."""
        return cls(grid.all_sizes, grid.hidden)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IndexGrid):
            return NotImplemented
        return (self.all_sizes, self.hidden) == (other.all_sizes, other.hidden)

    def __hash__(self) -> int:
        return hash((self.all_sizes, self.hidden))

    @property
    def observation_shape(self) -> list[int]:
        return []

    def observations_at(self, indices: NDArray[np.int64]) -> NDArray:
        return indices


class ImageGrid(FactorGrid):
    """A grid with an image for each number.

    Args:
        name: Name of the dataset.
        images: (N, height, width, channels), uint8 or float32 (see `images.ImageFormat`), in the
            order of the grid. Usually in a file.
        sizes: Number of values of each factor; their product is N.
        factor_names: The name of each factor that is not hidden.
        fingerprint: A hexadecimal digest that changes when the images change. Caches use it as key.
        hidden: Positions of the hidden factors, see `FactorGrid`.
        value_names: For each factor that is not hidden, the names of its values. None names them by
            their numbers.
        notes: What a user should know about the files, one sentence each.

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
        images: NDArray | StoredImages,
        sizes: Sequence[int],
        factor_names: Sequence[str],
        fingerprint: str,
        *,
        hidden: Sequence[int] = (),
        value_names: Sequence[Sequence[str]] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(sizes, hidden)
        self.name = name
        self.images = images
        self.factor_names = tuple(factor_names)
        self.fingerprint = fingerprint
        numbers = [[str(value) for value in range(size)] for size in self.factor_sizes]
        self.value_names = [list(names) for names in value_names or numbers]
        self.notes = tuple(notes)

    @property
    def numbered(self) -> IndexGrid:
        """The same factors, with numbers for observations."""
        return IndexGrid.of(self)

    @property
    def image_format(self) -> ImageFormat:
        return ImageFormat.of(self.images)

    @property
    def observation_shape(self) -> list[int]:
        return list(self.image_format.shape)

    def observations_at(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Images (n, height, width, channels) as float32, as a representation gets them."""
        if isinstance(self.images, StoredImages):
            return self.images.floats(indices)
        return as_floats(self.images_at(indices))

    def images_at(self, indices: NDArray[np.int64]) -> NDArray:
        """Images (n, height, width, channels) as they are stored."""
        return self.images[indices]
