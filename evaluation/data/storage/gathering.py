"""Random images of a file, as fast as its pages can be copied: no Python between two of them."""

from typing import Any

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine

_SIGNATURE: Any = types.intp
_pread: Any = types.ExternalFunction(
    "pread", _SIGNATURE(types.intc, types.uintp, types.uintp, types.intp)
)

# x / 255 is the sum of these two multiples of x: of the first, whose last eight bits are empty,
# each multiple is exact, so that the sum is rounded once. Two products take less than a division.
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
    """Reads images (n, bytes an image) of the numbers (n,) where they are wanted.

    What cannot be read whole is no longer wanted afterwards.

    Args:
        handle: Of a file that is open.
        offset: Where in it the images begin.
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
    """Sets floats (n, k) to the images of the numbers (n,), of all images (N, k), divided by 255.

    They are the float32 nearest to the quotients.
    """
    for row in range(len(numbers)):
        _divide(images[numbers[row]], floats[row])


@subroutine
def _divide(image: NDArray[np.uint8], floats: NDArray[np.float32]) -> None:
    for place in range(image.size):
        value = np.float32(image[place])
        floats[place] = value * _INVERSE + value * _REST
