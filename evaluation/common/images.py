"""The format of images: height, width, channels and type of numbers."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class ImageFormat(NamedTuple):
    """The format in which a dataset stores its images.

    Args:
        shape: Height, width and channels.
        dtype: "uint8", with values from 0 to 255, or "float32", with values in [0, 1] or slightly
            outside.
    """

    shape: tuple[int, int, int]
    dtype: str

    @classmethod
    def of(cls, images: Any) -> "ImageFormat":
        """The format of images (n, height, width, channels).

        Args:
            images: An array, or an object with `shape` and `dtype`.
        """
        height, width, channels = images.shape[1:]
        return cls((int(height), int(width), int(channels)), np.dtype(images.dtype).name)

    @property
    def nbytes(self) -> int:
        """Bytes of one image."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def channels_first(self) -> tuple[int, int, int]:
        """The shape in PyTorch's order: channels, height, width."""
        height, width, channels = self.shape
        return channels, height, width


CHALLENGE = ImageFormat((64, 64, 3), "uint8")
"""The format of MPI3D."""


def as_floats(images: NDArray) -> NDArray[np.float32]:
    """Images (any shape) as float32: uint8 is divided by 255, floats keep their values."""
    if images.dtype == np.uint8:
        return np.divide(images, np.float32(255), dtype=np.float32)
    return images.astype(np.float32, copy=False)


def shape_in_words(shape: Sequence[int]) -> str:
    """The shape as text, such as "64x64x3"."""
    return "x".join(map(str, shape))
