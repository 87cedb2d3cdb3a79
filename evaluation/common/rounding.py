"""Whether a fast way to compute gives the plain way's numbers, or more than rounding lies between.

Both ways get the same operands, so what may differ is how often the result is rounded.
"""

import math

import numpy as np
from numpy.typing import NDArray

from evaluation.common.devices import Precision

_UNIT = {"float32": 2.0**-24, "bf16": 2.0**-8}
"""Largest relative error of rounding a number once."""

_ROUNDINGS = {"float32": 4096, "bf16": 4}
"""How often a sum of products is rounded.

In float32 it is rounded with each product that is added; as many errors of random sign as there are
products (up to millions) add up to the square root of their number. bf16's products are added in
float32. Only the result is rounded, once, or a few times where a sum is made in parts.
"""


def allowed(precision: Precision, layers: int = 1) -> float:
    """The largest `disagreement` that rounding explains, after `layers` layers in a row.

    The errors of layers are independent, so they grow with the square root of the number.
    """
    return _ROUNDINGS[precision] * _UNIT[precision] * math.sqrt(layers)


def disagreement(found: NDArray, expected: NDArray) -> float:
    """The largest difference of two arrays of one shape, in parts of what is expected there.

    A small number may be the difference of large ones, whose rounding it keeps. So a difference is
    compared with the number that is expected plus the root mean square of all of them. What is not
    finite disagrees without bounds.
    """
    if not found.size:
        return 0.0
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    difference = np.abs(found - expected)
    if not np.isfinite(difference).all():
        return math.inf
    scale = np.abs(expected) + np.sqrt(np.square(expected).mean())
    return float((difference / np.maximum(scale, np.finfo(np.float32).tiny)).max())
