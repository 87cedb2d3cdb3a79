"""Tells whether two ways to compute the same numbers differ by more than rounding.

Both ways get the same operands, so they may differ only in how often they round.
"""

import math

import numpy as np
from numpy.typing import NDArray

from evaluation.common.devices import Precision

_UNIT = {"float32": 2.0**-24, "bf16": 2.0**-8}
"""The largest relative error when a number is rounded once."""

_ROUNDINGS = {"float32": 4096, "bf16": 4}
"""By how many rounding errors a sum of products may be off.

In float32 each addition of a product rounds. The errors have random signs, so n of them add up to
about the square root of n, and n can be some millions. In bf16 the products are added in float32,
and only the result is rounded: once, or a few times if the sum is made in parts.
"""


def allowed(precision: Precision, layers: int = 1) -> float:
    """The largest `disagreement` that rounding can explain after `layers` layers.

    The errors of the layers are independent, so their sum grows with the square root of `layers`.
    """
    return _ROUNDINGS[precision] * _UNIT[precision] * math.sqrt(layers)


def disagreement(found: NDArray, expected: NDArray) -> float:
    """The largest relative difference between two arrays of the same shape.

    A small number can be the difference of two large ones, and then has their rounding errors. So
    each difference is divided by the size of the expected number plus the root mean square of all
    expected numbers.

    Returns:
        At least 0; infinity if any difference is not finite.
    """
    if not found.size:
        return 0.0
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    difference = np.abs(found - expected)
    if not np.isfinite(difference).all():
        return math.inf
    scale = np.abs(expected) + np.sqrt(np.square(expected).mean())
    return float((difference / np.maximum(scale, np.finfo(np.float32).tiny)).max())
