"""Pixels in the place of features: for a VAE that sees the images themselves."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluation.data.ground_truth import ImageGrid

PIXELS = "Pixels"
"""The name of this extractor in a config."""


class Pixels(nn.Module):
    """An extractor without a network: images (N, 3, H, W) in [0, 1] to the same images.

    Images of another size are resized with bilinear interpolation.

    Args:
        interpolation_size: Height and width that images are resized to.
    """

    name = PIXELS
    feature_dims = 3

    def __init__(self, interpolation_size: Sequence[int]) -> None:
        super().__init__()
        self.interpolation_size = list(interpolation_size)

    def forward(self, images: Tensor) -> Tensor:
        return functional.interpolate(
            images, size=self.interpolation_size, mode="bilinear", align_corners=False
        )

    def extra_repr(self) -> str:
        return f"interpolation_size={self.interpolation_size}"


class PixelTable:
    """A table of features whose rows are images. They are read when they are asked for.

    Such a table of full MPI3D has 51 GB as floats. It is used as an array is: a batch of rows is
    indexed with their numbers.

    Args:
        dataset: The images.
        indices: Numbers (n,) of the images, one for each row.
        extractor: Gives the images their size.
    """

    def __init__(self, dataset: ImageGrid, indices: NDArray[np.int64], extractor: Pixels) -> None:
        self._dataset = dataset
        self._indices = indices
        self._extractor = extractor
        self.shape = (len(indices), extractor.feature_dims, *extractor.interpolation_size)

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def nbytes(self) -> int:
        """The size of the whole table as float32, in bytes."""
        return int(np.prod(self.shape)) * np.dtype(np.float32).itemsize

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Images (n, 3, height, width) in [0, 1]."""
        images = torch.from_numpy(self._dataset.observations_at(self._indices[rows]))
        return self._extractor(images.permute(0, 3, 1, 2).contiguous()).numpy()
