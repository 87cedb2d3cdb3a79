"""Variances of many small sets of codes, apart from their metric: it is compiled without it."""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit


def variances_of_rounds(rounds: NDArray) -> NDArray:
    """Variances (rounds, d) over the points of each round, to the last bit NumPy's with `ddof=1`.

    With one dim NumPy adds up in another order, so that the last bit may differ.

    Args:
        rounds: Codes (rounds, batch, d). Integers are taken as float64.

    Example:
        >>> variances_of_rounds(np.array([[[0.0, 1.0], [4.0, 1.0]]]))
        array([[8., 0.]])
    """
    computed = np.dtype(np.float64)
    if rounds.dtype.kind == "f":
        computed = rounds.dtype.newbyteorder("=")
    if computed not in (np.float32, np.float64):
        return np.asarray(np.var(rounds, axis=1, ddof=1))  # whose sums numba has not
    variances = np.empty((len(rounds), rounds.shape[2]), computed)
    _fill_variances(np.ascontiguousarray(rounds, computed), variances)
    return variances


@njit
def _fill_variances(rounds: NDArray, variances: NDArray) -> None:
    batch = rounds.shape[1]
    means = np.empty_like(variances[0])
    for number in range(len(rounds)):
        means[:] = 0
        for point in range(batch):
            for dim in range(len(means)):
                means[dim] += rounds[number, point, dim]
        for dim in range(len(means)):
            means[dim] /= batch
        squares = variances[number]
        squares[:] = 0
        for point in range(batch):
            for dim in range(len(means)):
                deviation = rounds[number, point, dim] - means[dim]
                squares[dim] += deviation * deviation
        for dim in range(len(means)):
            squares[dim] /= batch - 1
