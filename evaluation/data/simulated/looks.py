"""From light maps to images: the palette, and the three looks that stand for MPI3D's domains."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit

Colour = tuple[float, float, float]
"""Red, green and blue as displayed, 0 to 255."""

OBJECT_COLORS: dict[str, Colour] = {
    "white": (226, 226, 222),
    "green": (48, 150, 62),
    "red": (214, 40, 38),
    "blue": (48, 106, 206),
    "brown": (112, 66, 40),
    "olive": (142, 140, 48),
}
BACKGROUND_COLORS: dict[str, Colour] = {
    "purple": (112, 84, 168),
    "sea green": (78, 136, 120),
    "salmon": (184, 104, 98),
}


class Look(NamedTuple):
    """How the scene is lit and recorded; `ambient` to `softness` are fractions."""

    ambient: float
    """Light that reaches every surface."""
    direct: float
    """Light of the lamp on a surface that faces it."""
    shadow: float
    """Part of the lamp's light that something in its way takes."""
    softness: float
    """Weight of a pixel's four neighbours together."""
    noise: float
    """Largest deviation of the sensor's reading, 0 to 255."""
    table: Colour
    metal: Colour
    backdrop: Colour


LOOKS = {
    "toy": Look(0.72, 0.34, 0.0, 0.0, 0.0, (52, 52, 52), (150, 150, 150), (52, 52, 52)),
    "realistic": Look(0.42, 0.68, 0.75, 0.0, 0.0, (62, 70, 62), (34, 40, 36), (18, 24, 20)),
    "real": Look(0.3, 0.56, 0.6, 0.45, 5.0, (54, 62, 56), (16, 20, 18), (10, 16, 14)),
}


@njit
def _random_bits(number: int) -> np.uint64:
    """64 bits that depend on `number` alone (the finaliser of SplitMix64)."""
    bits = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@njit
def soften(maps: NDArray[np.float32], softness: float, softened: NDArray[np.float32]) -> None:
    """Fills `softened` (n, h, w) with `maps`, each pixel mixed with its four neighbours."""
    count, height, width = maps.shape
    for m in range(count):
        for row in range(height):
            above, below = max(row - 1, 0), min(row + 1, height - 1)
            for column in range(width):
                left, right = max(column - 1, 0), min(column + 1, width - 1)
                neighbours = (
                    maps[m, above, column]
                    + maps[m, below, column]
                    + maps[m, row, left]
                    + maps[m, row, right]
                )
                softened[m, row, column] = (
                    np.float32(1.0 - softness) * maps[m, row, column]
                    + np.float32(softness / 4) * neighbours
                )


@njit
def compose(
    maps: NDArray[np.float32],
    object_colors: NDArray[np.float32],
    ring_colors: NDArray[np.float32],
    noise: float,
    indices: NDArray[np.int64],
    images: NDArray[np.uint8],
) -> None:
    """Fills `images` (objects, rings, 64, 64, 3), uint8, with every pair of colours.

    Args:
        maps: Light maps (5, 64, 64) of `raycast.cast`.
        object_colors: float32 (objects, 3).
        ring_colors: float32 (rings, 3).
        noise: Largest deviation; its distribution is a triangle, drawn from image and pixel.
        indices: int64 (objects, rings), the number of each image, which its noise depends on.
        images: Written.
    """
    height, width = maps.shape[1:]
    for i in range(object_colors.shape[0]):
        for j in range(ring_colors.shape[0]):
            for row in range(height):
                for column in range(width):
                    bits = np.uint64(0)
                    if noise > 0.0:
                        pixel = row * width + column
                        bits = _random_bits(indices[i, j] * height * width + pixel)
                    for channel in range(3):
                        value = (
                            maps[0, row, column] * object_colors[i, channel]
                            + maps[1, row, column] * ring_colors[j, channel]
                            + maps[2 + channel, row, column]
                        )
                        if noise > 0.0:
                            # Ten bits each for two uniform numbers, whose sum is a triangle.
                            first = np.int64(bits & np.uint64(1023))
                            second = np.int64((bits >> np.uint64(10)) & np.uint64(1023))
                            value += np.float32(noise) * np.float32((first + second) / 1023 - 1.0)
                            bits >>= np.uint64(20)
                        rounded = int(value + np.float32(0.5))
                        images[i, j, row, column, channel] = min(max(rounded, 0), 255)
