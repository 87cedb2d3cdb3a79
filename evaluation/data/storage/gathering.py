"""Compiled loops that read single images from a file, and turn bytes into floats."""

from typing import Any

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine

_SIGNATURE: Any = types.intp
_pread: Any = types.ExternalFunction(
    "pread", _SIGNATURE(types.intc, types.uintp, types.uintp, types.intp)
)

# x / 255 is computed as x * _INVERSE + x * _REST, since two products are faster than a division.
# The last eight bits of _INVERSE are zero, so its product with a byte is exact.
_INVERSE = (np.float32(1 / 255).view(np.uint32) & np.uint32(0xFFFFFF00)).view(np.float32)
_REST = np.float32(1 / 255 - float(_INVERSE))


@njit
def gather(
    handle: int,
    offset: int,
    numbers: NDArray[np.int64],
    images: NDArray[np.uint8],
    wanted: NDArray[np.bool_],
) -> None:
    """Reads the wanted images from a file.

    Args:
        handle: Descriptor of the open file.
        offset: The position in bytes of image 0.
        numbers: The numbers (n,) of the images.
        images: Filled: (n, bytes of an image).
        wanted: Mask (n,) of the images to read. Set to False for those that the file lacks.
    """
    size = images.shape[1]
    for row in range(len(numbers)):
        if wanted[row]:
            place = offset + numbers[row] * size
            read = _pread(handle, images.ctypes.data + row * size, size, place)
            wanted[row] = read == size


@njit
def to_floats(
    images: NDArray[np.uint8], numbers: NDArray[np.int64], floats: NDArray[np.float32]
) -> None:
    """Divides images by 255; each result is the float32 nearest to the exact quotient.

    Args:
        images: All images (N, k).
        numbers: The numbers (n,) of the images to divide.
        floats: Filled: (n, k).
    """
    for row in range(len(numbers)):
        _divide(images[numbers[row]], floats[row])


@subroutine
def _divide(image: NDArray[np.uint8], floats: NDArray[np.float32]) -> None:
    for place in range(image.size):
        value = np.float32(image[place])
        floats[place] = value * _INVERSE + value * _REST
