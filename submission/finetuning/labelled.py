"""Images with their factors as labels, from one dataset or several."""

from collections.abc import Sequence

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.images import shape_in_words
from evaluation.data.ground_truth import ImageGrid
from submission.features.extraction import select_images


class LabelledImages:
    """Datasets with the same factors. The numbers of images continue from one to the next.

    Args:
        grids: The datasets.

    Raises:
        KitError: `FINETUNE-FACTORS`, the names or sizes of the factors differ; `FINETUNE-IMAGES`,
            the formats of the images differ.
    """

    def __init__(self, grids: Sequence[ImageGrid]) -> None:
        self.factor_names = grids[0].factor_names
        self.factor_sizes = grids[0].factor_sizes
        for grid in grids:
            if grid.factor_names != self.factor_names:
                raise KitError(
                    "FINETUNE-FACTORS",
                    f"{grids[0].name} has the factors {', '.join(self.factor_names)}, but "
                    f"{grid.name} has {', '.join(grid.factor_names)}",
                    "Give main.dataset_name datasets of the same factors",
                )
            if grid.factor_sizes != self.factor_sizes:
                raise KitError(
                    "FINETUNE-FACTORS",
                    f"{grids[0].name} has factors of sizes {self.factor_sizes}, but {grid.name} "
                    f"has sizes {grid.factor_sizes}",
                    "Give main.dataset_name datasets of the same layout",
                )
            if grid.image_format != grids[0].image_format:
                shown = [shape_in_words(each.image_format.shape) for each in (grids[0], grid)]
                raise KitError(
                    "FINETUNE-IMAGES",
                    f"{grids[0].name} has images of {shown[0]} {grids[0].image_format.dtype}, "
                    f"but {grid.name} has images of {shown[1]} {grid.image_format.dtype}",
                    "Give main.dataset_name datasets with the same format of images",
                )
        self._grids = grids

    @property
    def domain_names(self) -> list[str]:
        """The names of the datasets."""
        return [grid.name for grid in self._grids]

    @property
    def fingerprints(self) -> list[str]:
        """The fingerprint of each dataset."""
        return [grid.fingerprint for grid in self._grids]

    def images(self, numbers: NDArray[np.int64]) -> NDArray:
        """Images (n, height, width, 3) of the numbers (n,)."""
        places, rows = self.domains(numbers), numbers % len(self._grids[0])
        shape, dtype = self._grids[0].image_format
        batch = np.empty((len(numbers), *shape), dtype)
        for place, grid in enumerate(self._grids):
            batch[places == place] = grid.images_at(rows[places == place])
        return batch

    def domains(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which dataset (n,) each of the numbers (n,) belongs to."""
        return numbers // len(self._grids[0])

    def factors(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Factor values (n, factors) of the numbers (n,)."""
        return self._grids[0].factors_of(numbers % len(self._grids[0]))

    def split(
        self, dataset_size: int, sequential: bool, test_ratio: float, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of the images to train on, and of those that are held out for testing.

        `extraction.select_images` selects images of each dataset. A random part of them,
        `test_ratio` rounded down, is held out.
        """
        total = len(self._grids[0])
        chosen = select_images(total, dataset_size, sequential, seed)
        num_held_out = int(len(chosen) * test_ratio)
        random_state = RandomState(seed)
        orders = [
            place * total + random_state.permutation(chosen) for place in range(len(self._grids))
        ]
        return (
            np.concatenate([order[num_held_out:] for order in orders]),
            np.concatenate([order[:num_held_out] for order in orders]),
        )
