"""Checks of the arrays that metrics are computed from: what is refused is said in one sentence."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.common.arrays import as_array


def checked_codes(codes: ArrayLike, name: str = "codes", axes: str = "n, d") -> NDArray:
    """Codes as an array.

    Args:
        codes: One row a point, its dims along the last axis.
        name: What they are called in a refusal.
        axes: Names of the axes that they must have.

    Raises:
        ValueError: other axes, no numbers, or one that is not finite in float32, in which the
            challenge's DCI compares codes.
    """
    array = _numbers(codes, name, axes)
    # NaN is the least and the largest of what it is among.
    with np.errstate(over="ignore"):
        ends = np.array([array.min(), array.max()]).astype(np.float32)
    if not np.isfinite(ends).all():
        raise ValueError(
            f"Row {_first_nonfinite(array)} of {name} has NaN, infinity, or a number that float32"
            f" cannot hold; all {name} must be finite."
        )
    return array


def checked_sample(
    codes: ArrayLike, factors: ArrayLike, *, prefix: str = "", continuous: bool = False
) -> tuple[NDArray, NDArray]:
    """Codes and the factors that they belong to, as arrays.

    Args:
        codes: (n, d).
        factors: (n, k). Whole numbers, in whatever type, unless `continuous`.
        prefix: What stands before "codes" and "factors" in a refusal.
        continuous: Whether factors may be any numbers.

    Raises:
        ValueError: `checked_codes` refuses them, their rows differ in number, or the factors are
            not as described.
    """
    points = checked_codes(codes, f"{prefix}codes")
    name = f"{prefix}factors"
    values = _numbers(factors, name, "n, k")
    if len(points) != len(values):
        raise ValueError(
            f"The shape of {prefix}codes is {points.shape} and that of {name} {values.shape}; both"
            " need one row for each point."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"Row {_first_nonfinite(values)} of {name} has NaN or infinity.")
    fractions = values != np.floor(values)
    if not continuous and fractions.any():
        row, column = np.argwhere(fractions)[0]
        raise ValueError(
            f"Row {row} of {name} has {values[row, column]:g}; discrete factors are needed, given"
            " as whole numbers."
        )
    return points, values


def checked_samples(
    codes: ArrayLike,
    factors: ArrayLike,
    test_codes: ArrayLike,
    test_factors: ArrayLike,
    *,
    continuous: bool = False,
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Two samples, to learn from and to test with, as `checked_sample` gives them.

    Raises:
        ValueError: as `checked_sample`, or the two differ in dims or in factors.
    """
    train = checked_sample(codes, factors, continuous=continuous)
    test = checked_sample(test_codes, test_factors, prefix="test ", continuous=continuous)
    for name, one, other in zip(("codes", "factors"), train, test, strict=True):
        if one.shape[1] != other.shape[1]:
            raise ValueError(
                f"The shape of {name} is {one.shape} and that of test {name} {other.shape}; both"
                " need the same number of columns."
            )
    return *train, *test


def _numbers(values: ArrayLike, name: str, axes: str) -> NDArray:
    try:
        array = as_array(values)
    except ValueError:
        raise ValueError(f"The rows of {name} differ in length.") from None
    if array.ndim != axes.count(",") + 1 or array.size == 0:
        raise ValueError(
            f"The shape of {name} is {array.shape}; it must be ({axes}), none of it 0."
        )
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"The type of {name} is {array.dtype}; they must be real numbers.")
    return array


def _first_nonfinite(array: NDArray) -> int:
    """The first row, counted over all axes but the last, that is not finite in float32."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32)).all(axis=-1)
    return int(np.argmin(finite.reshape(-1)))
