"""What an image is: height, width, channels, and numbers."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class ImageFormat(NamedTuple):
    """How the images of a dataset are held.

    Args:
        shape: Height, width and channels.
        dtype: "uint8", with values from 0 to 255, or "float32", with values as a representation
            takes them: in [0, 1] or little beyond.
    """

    shape: tuple[int, int, int]
    dtype: str

    @classmethod
    def of(cls, images: Any) -> "ImageFormat":
        """The format of images (n, height, width, channels): an array, or what has its shape."""
        height, width, channels = images.shape[1:]
        return cls((int(height), int(width), int(channels)), np.dtype(images.dtype).name)

    @property
    def nbytes(self) -> int:
        """Of one image."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def channels_first(self) -> tuple[int, int, int]:
        """The shape as PyTorch takes it."""
        height, width, channels = self.shape
        return channels, height, width


CHALLENGE = ImageFormat((64, 64, 3), "uint8")
"""MPI3D's."""


def as_floats(images: NDArray) -> NDArray[np.float32]:
    """Images as a representation takes them: bytes are divided by 255, floats are left alone."""
    if images.dtype == np.uint8:
        return np.divide(images, np.float32(255), dtype=np.float32)
    return images.astype(np.float32, copy=False)


def shape_in_words(shape: Sequence[int]) -> str:
    """As people write it: "64x64x3"."""
    return "x".join(map(str, shape))
