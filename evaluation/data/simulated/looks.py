"""From light maps to images: the palette, and the three looks that stand for MPI3D's domains."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit
from evaluation.data.simulated.draws import random_bits

Colour = tuple[float, float, float]
"""Red, green and blue as displayed, 0 to 255."""

LAMP = (-0.44280744, -0.48708819, 0.75277265)
"""Unit vector towards the lamp: above, in front, to the left."""

OBJECT_COLORS: dict[str, Colour] = {
    "white": (226, 226, 222),
    "green": (48, 150, 62),
    "red": (214, 40, 38),
    "blue": (48, 106, 206),
    "brown": (112, 66, 40),
    "olive": (142, 140, 48),
}
BACKGROUND_COLORS: dict[str, Colour] = {
    "purple": (106, 90, 152),
    "sea green": (80, 118, 108),
    "salmon": (122, 76, 84),
}


class Build(NamedTuple):
    """What the robot and the table measure, in world units, and how the camera sees them."""

    post: float = 0.085
    """Radius of the post at half its height; it widens upwards. The foot has 2.2 times as much."""
    arm: float = 0.022
    """Radius."""
    ring: tuple[float, float] = (1.84, 2.2)
    """Inner and outer radius."""
    table: float = 2.6
    """Radius."""
    size: float = 1.0
    """Factor of the object's size."""
    pitch: float = 0.0
    """Radians by which the camera's angle above the table is larger than the factor says."""
    distance: float = 4.6
    """From the camera to the point it looks at."""


class Look(NamedTuple):
    """How the scene is built, lit and recorded; `ambient` to `grain` are fractions."""

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
    foot: Colour
    backdrop: Colour
    ring: float = 1.0
    """What the ring's paint sends on of the light."""
    falloff: float = 0.0
    """By how much more than at its middle the table is lit at its near edge."""
    spread: float = 0.0
    """Width of the lamp seen from the table, radians: the softness of shadows."""
    texture: float = 0.0
    """Largest change of the object's colour by its texture."""
    grain: float = 0.0
    """Largest change of the table's colour by its texture."""
    grain_size: float = 0.04
    """World units between hills of the table's texture."""
    lamp: tuple[float, float, float] = LAMP
    """Unit vector towards the lamp."""
    build: Build = Build()


LOOKS = {
    "toy": Look(
        *(0.34, 0.78, 0.0, 0.0, 0.0),
        *((56, 56, 56), (165, 165, 165), (190, 190, 190), (52, 52, 52)),
        ring=0.85,
        build=Build(post=0.095, arm=0.018),
    ),
    "realistic": Look(
        *(0.46, 0.62, 0.45, 0.0, 0.0),
        *((56, 64, 56), (32, 38, 34), (44, 54, 48), (18, 22, 18)),
        ring=0.92,
        spread=0.3,
        texture=0.35,
        grain=0.1,
        build=Build(ring=(1.84, 2.26), table=3.1, size=0.9),
    ),
    "real": Look(
        *(0.5, 0.36, 0.3, 0.4, 4.0),
        *((48, 60, 53), (13, 17, 15), (34, 42, 38), (9, 14, 11)),
        ring=1.3,
        falloff=0.35,
        spread=0.4,
        texture=0.35,
        grain=0.06,
        build=Build(post=0.09, ring=(1.84, 2.22), table=2.34, size=0.92),
    ),
}
"""MPI3D's three domains, as in the frames that its authors show."""

_HARD = Look(
    *(0.34, 0.9, 0.6, 0.0, 0.0),
    *((112, 92, 70), (92, 92, 98), (92, 92, 98), (0, 0, 0)),
    spread=0.25,
    texture=0.12,
    grain=0.22,
    grain_size=0.4,
    build=Build(post=0.11, arm=0.04, size=1.08, pitch=0.05, distance=4.4),
)
HARD_LAMPS = (
    _HARD._replace(lamp=(-0.66, -0.35, 0.664831)),
    _HARD._replace(lamp=(0.58, -0.61, 0.539907)),
)
"""The look `hard`, see `photograph`: a scene under a lamp from the left, and one from the right."""


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
        maps: Light maps (6, 64, 64) of `raycast.cast`.
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
                        bits = random_bits(indices[i, j] * height * width + pixel)
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
