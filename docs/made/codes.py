"""Tables of codes whose properties are known, to see what each metric says about them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evaluation.data.ground_truth import IndexGrid

FACTOR_SIZES = (4, 4, 3, 3, 6, 6)
"""A small grid whose factors come in pairs of one size, so that a pair can be turned."""

_GRID = IndexGrid(FACTOR_SIZES)
_FACTORS = _GRID.factors_of(np.arange(len(_GRID)))
_SCALED = _FACTORS / (np.array(FACTOR_SIZES) - 1)


def _noise(dims: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal((len(_GRID), dims))


def turned(degrees: float) -> NDArray[np.float64]:
    """The factors scaled to [0, 1], each pair of dims turned by an angle."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return _SCALED @ np.kron(np.eye(len(FACTOR_SIZES) // 2), turn)


def noisy(deviation: float) -> NDArray[np.float64]:
    """The factors scaled to [0, 1], with normal noise of a standard deviation added."""
    return _SCALED + deviation * _noise(len(FACTOR_SIZES))


def _merged() -> NDArray[np.float64]:
    sizes = np.array(FACTOR_SIZES)
    first, second = _FACTORS[:, ::2], _FACTORS[:, 1::2]
    return (first * sizes[1::2] + second) / (sizes[::2] * sizes[1::2] - 1)


def _outlier() -> NDArray[np.float64]:
    codes = noisy(0.0)
    codes[::997] = 50.0
    return codes


KINDS: dict[str, Callable[[], NDArray[np.float64]]] = {
    "perfect": lambda: _SCALED,
    "perfect, and noise": lambda: np.hstack([_SCALED, _noise(6)]),
    "noisy": lambda: noisy(0.2),
    "duplicated": lambda: np.hstack([_SCALED, _SCALED]),
    "rotated": lambda: turned(45),
    "merged": _merged,
    "outliers": _outlier,
    "small scale": lambda: 0.1 * _SCALED,
    "noise": lambda: _noise(6),
    "noise, heavy tails": lambda: np.sinh(3 * _noise(6)),
}
"""Codes of every image of the grid, by the name that the pages use."""

MEANING = {
    "perfect": "Each dim is one factor, scaled to [0, 1].",
    "perfect, and noise": "The same, beside six dims of standard normal noise.",
    "noisy": "The factors with normal noise of deviation 0.2 added.",
    "duplicated": "Each factor in two dims.",
    "rotated": "Each pair of factors turned by 45 degrees, so that a dim is a sum or a difference.",
    "merged": "Each pair of factors written into one dim, which tells both apart.",
    "outliers": "Perfect, but one image in 997 has 50 in all dims.",
    "small scale": "Perfect, but scaled to [0, 0.1].",
    "noise": "Six dims of standard normal noise, which tell nothing.",
    "noise, heavy tails": "The hyperbolic sine of three times such noise.",
}
