"""The look `hard`: the scene as a careless photographer takes it, no two images alike.

Two lamps are cast apart. Their strengths and colours differ from image to image, so that light and
shadows move. Then come a cluttered background, uneven light, vignetting, blur, white balance, noise
and JPEG. All of it is drawn from the image's number.
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit
from evaluation.data.simulated.draws import random_bits, uniform, value_noise
from evaluation.data.simulated.jpeg import leave_jpeg_marks

_KEYS_AN_IMAGE = 1 << 20
"""Numbers of draws that an image has to itself."""
_MOTTLE, _WALL, _SENSOR = 1000, 20_000, 100_000  # first keys of parts that draw more than a few

_THINGS = 3  # rectangles in the background


@njit
def _light_up(
    lamps: NDArray[np.float32],
    object_color: NDArray[np.float32],
    ring_color: NDArray[np.float32],
    key: int,
    image: NDArray[np.float32],
) -> None:
    balance = uniform(key, 0.25, 0.75)
    exposure = uniform(key + 1, 0.75, 1.2)
    image[:] = 0.0
    for lamp in range(2):
        maps = lamps[lamp]
        strength = exposure * (balance if lamp == 0 else 1.0 - balance)
        for channel in range(3):
            tint = strength * uniform(key + 2 + 3 * lamp + channel, 0.92, 1.08)
            for row in range(image.shape[1]):
                for column in range(image.shape[2]):
                    image[channel, row, column] += np.float32(tint) * (
                        maps[0, row, column] * object_color[channel]
                        + maps[1, row, column] * ring_color[channel]
                        + maps[2 + channel, row, column]
                    )


@njit
def _clutter(open_sky: NDArray[np.float32], key: int, image: NDArray[np.float32]) -> None:
    """Puts a wall and things before it where the scene ends; `open_sky` (h, w) is 1 there."""
    height, width = open_sky.shape
    wall = np.empty((3, height, width), np.float32)
    for channel in range(3):
        shade = uniform(key + 10, 30.0, 110.0) * uniform(key + 11 + channel, 0.7, 1.3)
        for row in range(height):
            for column in range(width):
                hills = value_noise(key + _WALL, column / 14.0, row / 14.0)
                wall[channel, row, column] = np.float32(shade * (1.0 + 0.4 * hills))
    for thing in range(_THINGS):
        draw = key + 20 + 8 * thing
        left, top = int(uniform(draw, -16.0, width)), int(uniform(draw + 1, -16.0, height * 0.6))
        right = left + int(uniform(draw + 2, 10.0, 36.0))
        bottom = top + int(uniform(draw + 3, 10.0, 36.0))
        brightness = uniform(draw + 4, 10.0, 150.0)
        for channel in range(3):
            tone = np.float32(brightness * uniform(draw + 5 + channel, 0.7, 1.3))
            for row in range(max(top, 0), min(bottom, height)):
                for column in range(max(left, 0), min(right, width)):
                    wall[channel, row, column] = tone
    for channel in range(3):
        for row in range(height):
            for column in range(width):
                image[channel, row, column] += open_sky[row, column] * wall[channel, row, column]


@njit
def _shade(key: int, image: NDArray[np.float32]) -> None:
    """Uneven light, vignetting and white balance."""
    height, width = image.shape[1:]
    dark = uniform(key + 120, 0.1, 0.5)
    uneven = uniform(key + 121, 0.1, 0.35)
    balance = (uniform(key + 122, 0.9, 1.12), 1.0, uniform(key + 123, 0.9, 1.12))
    for row in range(height):
        for column in range(width):
            away = (2.0 * row / height - 1.0) ** 2 + (2.0 * column / width - 1.0) ** 2
            light = 1.0 - dark * away / 2.0
            light *= 1.0 + uneven * value_noise(key + _MOTTLE, column / 22.0, row / 22.0)
            for channel in range(3):
                image[channel, row, column] *= np.float32(light * balance[channel])


@njit
def _blur(key: int, image: NDArray[np.float32], blurred: NDArray[np.float32]) -> None:
    """Mixes pixels with their neighbours along rows, then along columns."""
    side = np.float32(uniform(key + 130, 0.0, 0.15))
    centre = np.float32(1.0) - side - side
    height, width = image.shape[1:]
    for channel in range(3):
        for row in range(height):
            for column in range(width):
                blurred[channel, row, column] = centre * image[channel, row, column] + side * (
                    image[channel, row, max(column - 1, 0)]
                    + image[channel, row, min(column + 1, width - 1)]
                )
        for row in range(height):
            for column in range(width):
                image[channel, row, column] = centre * blurred[channel, row, column] + side * (
                    blurred[channel, max(row - 1, 0), column]
                    + blurred[channel, min(row + 1, height - 1), column]
                )


@njit
def _expose(key: int, image: NDArray[np.float32]) -> None:
    """The sensor's noise, a triangle about 0, and its limits."""
    height, width = image.shape[1:]
    noise = np.float32(uniform(key + 140, 2.0, 6.0))
    for row in range(height):
        for column in range(width):
            bits = random_bits(key + _SENSOR + row * width + column)
            for channel in range(3):
                first = np.int64(bits & np.uint64(1023))
                second = np.int64((bits >> np.uint64(10)) & np.uint64(1023))
                bits >>= np.uint64(20)
                value = image[channel, row, column]
                value += noise * np.float32((first + second) / 1023 - 1.0)
                image[channel, row, column] = min(max(value, np.float32(0.0)), np.float32(255.0))


@njit
def photograph(
    lamps: NDArray[np.float32],
    object_colors: NDArray[np.float32],
    ring_colors: NDArray[np.float32],
    indices: NDArray[np.int64],
    images: NDArray[np.uint8],
) -> None:
    """Fills `images` (objects, rings, 64, 64, 3), uint8, with every pair of colours.

    Args:
        lamps: Light maps (2, 6, 64, 64) of `raycast.cast`, one set a lamp.
        object_colors: float32 (objects, 3).
        ring_colors: float32 (rings, 3).
        indices: int64 (objects, rings), the number of each image, which its conditions depend on.
        images: Written.
    """
    height, width = lamps.shape[2:]
    image = np.empty((3, height, width), np.float32)
    scratch = np.empty_like(image)
    for i in range(object_colors.shape[0]):
        for j in range(ring_colors.shape[0]):
            key = indices[i, j] * _KEYS_AN_IMAGE
            _light_up(lamps, object_colors[i], ring_colors[j], key, image)
            _clutter(lamps[0, 5], key, image)
            _shade(key, image)
            _blur(key, image, scratch)
            _expose(key, image)
            leave_jpeg_marks(image, uniform(key + 150, 0.05, 0.25))
            for channel in range(3):
                for row in range(height):
                    for column in range(width):
                        rounded = int(image[channel, row, column] + np.float32(0.5))
                        images[i, j, row, column, channel] = min(max(rounded, 0), 255)
