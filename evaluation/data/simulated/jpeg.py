"""The marks that JPEG leaves: blocks of 8 x 8 pixels, rounded in the frequency domain.

ITU-T T.81, the steps that lose something: colour transform, cosine transform, quantisation with the
tables of its Annex K, and back. Sums run in a fixed order and the cosines are written down, so the
result is the same on every processor, which a library's would not be.
"""

import math

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit

_COSINES = (  # cos(k pi / 16)
    *(1.0, 0.9807852804032304, 0.9238795325112867, 0.8314696123025452, 0.7071067811865476),
    *(0.5555702330196022, 0.3826834323650898, 0.19509032201612828, 0.0),
)


def _cosine(k: int) -> float:
    k %= 32
    k = min(k, 32 - k)
    return _COSINES[k] if k <= 8 else -_COSINES[16 - k]


_BASIS = np.array(
    [
        [(0.5 if u else 0.5 * _COSINES[4]) * _cosine((2 * x + 1) * u) for x in range(8)]
        for u in range(8)
    ],
    np.float32,
)
"""Row u: the cosine of frequency u at the eight pixels, all rows orthonormal."""
_BACK = np.ascontiguousarray(_BASIS.T)

_BRIGHTNESS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_COLOUR = np.array(
    [
        [17, 18, 24, 47, 99, 99, 99, 99],
        [18, 21, 26, 66, 99, 99, 99, 99],
        [24, 26, 56, 99, 99, 99, 99, 99],
        [47, 66, 99, 99, 99, 99, 99, 99],
        *([[99] * 8] * 4),
    ],
    np.float32,
)


@njit
def _transform(
    matrix: NDArray[np.float32], block: NDArray[np.float32], half: NDArray[np.float32]
) -> None:
    """Replaces `block` by matrix . block . matrix^T; all are (8, 8), and `half` is written."""
    for i in range(8):
        for j in range(8):
            total = np.float32(0.0)
            for k in range(8):
                total += matrix[i, k] * block[k, j]
            half[i, j] = total
    for i in range(8):
        for j in range(8):
            total = np.float32(0.0)
            for k in range(8):
                total += half[i, k] * matrix[j, k]
            block[i, j] = total


@njit
def _quantise(plane: NDArray[np.float32], steps: NDArray[np.float32], coarseness: float) -> None:
    """Replaces `plane` (height, width), multiples of 8, by what is left of it."""
    half = np.empty((8, 8), np.float32)
    for top in range(0, plane.shape[0], 8):
        for left in range(0, plane.shape[1], 8):
            block = plane[top : top + 8, left : left + 8]
            _transform(_BASIS, block, half)
            for u in range(8):
                for v in range(8):
                    step = np.float32(max(1.0, steps[u, v] * coarseness))
                    block[u, v] = step * np.float32(math.floor(block[u, v] / step + 0.5))
            _transform(_BACK, block, half)


@njit
def leave_jpeg_marks(image: NDArray[np.float32], coarseness: float) -> None:
    """Replaces `image` (3, height, width), RGB, 0 to 255, by its JPEG.

    Args:
        image: Height and width are multiples of 8.
        coarseness: Factor of Annex K's tables: 1 is quality 50 of common encoders, 0.5 quality 75.
    """
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            red, green, blue = image[0, row, column], image[1, row, column], image[2, row, column]
            grey = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
            image[0, row, column] = grey - np.float32(128.0)
            image[1, row, column] = (blue - grey) * np.float32(0.5 / 0.886)
            image[2, row, column] = (red - grey) * np.float32(0.5 / 0.701)
    _quantise(image[0], _BRIGHTNESS, coarseness)
    _quantise(image[1], _COLOUR, coarseness)
    _quantise(image[2], _COLOUR, coarseness)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            grey = image[0, row, column] + np.float32(128.0)
            blue = grey + np.float32(2 * 0.886) * image[1, row, column]
            red = grey + np.float32(2 * 0.701) * image[2, row, column]
            green = (grey - np.float32(0.299) * red - np.float32(0.114) * blue) / np.float32(0.587)
            image[0, row, column], image[1, row, column] = red, green
            image[2, row, column] = blue
