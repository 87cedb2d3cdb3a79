"""Random numbers that depend on their key alone: no state, no order, the same on every machine.

Only integer arithmetic, sums, products and divisions are used, which every processor rounds alike.
"""

import math

import numpy as np

from evaluation.common.compiled import njit


@njit
def random_bits(number: int) -> np.uint64:
    """64 bits that depend on `number` alone (the finaliser of SplitMix64)."""
    bits = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@njit
def uniform(key: int, low: float, high: float) -> float:
    """A number in [low, high) that depends on `key` alone."""
    return low + (high - low) * (np.int64(random_bits(key) >> np.uint64(40)) / 16777216.0)


@njit
def _corner(key: int, column: int, row: int) -> float:
    return uniform(key + column * 7919 + row * 104729, -1.0, 1.0)


@njit
def value_noise(key: int, x: float, y: float) -> float:
    """A smooth random function of the plane, in [-1, 1), with hills of about the size 1.

    Value noise: a random value at each point with whole coordinates, and a cubic blend of the four
    around (x, y). `key` chooses the function.
    """
    column, row = math.floor(x), math.floor(y)
    right, down = x - column, y - row
    right *= right * (3.0 - 2.0 * right)
    down *= down * (3.0 - 2.0 * down)
    column, row = int(column), int(row)
    above = _corner(key, column, row) * (1 - right) + _corner(key, column + 1, row) * right
    below = _corner(key, column, row + 1) * (1 - right) + _corner(key, column + 1, row + 1) * right
    return above * (1 - down) + below * down
