"""Discrete mutual information between codes and factors, to the last bit as in the reference."""

import math

import numpy as np
from numpy.typing import NDArray


def discretize(values: NDArray, num_bins: int = 20) -> NDArray:
    """Bin numbers (n, d), from 1, of equal-width bins over the range of each column of (n, d).

    They keep the type of `values`, as disentanglement_lib's `histogram_discretizer` does. It fails
    on a column whose type cannot tell so many edges apart, as in a range of few float32, or whose
    range overflows; here such a column is one bin and tells nothing.

    Raises:
        ValueError: a value is not finite.

    Example:
        >>> discretize(np.array([[0.0], [0.4], [1.0]]), num_bins=2)
        array([[1.],
               [1.],
               [2.]])
    """
    if not np.isfinite(values).all():
        raise ValueError("Values must be finite to be binned.")
    bins = np.ones_like(values)
    for column in range(values.shape[1]):
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                edges = np.histogram(values[:, column], num_bins)[1]
        except ValueError:
            continue
        bins[:, column] = np.digitize(values[:, column], edges[:-1])
    return bins


def mutual_information(codes: NDArray, factors: NDArray) -> NDArray[np.float64]:
    """Mutual information (d, k) in nats between discrete codes (n, d) and factors (n, k).

    Example:
        >>> factors = np.array([[color, size] for color in range(3) for size in range(4)])
        >>> mutual_information(factors, factors).round(4)
        array([[1.0986, 0.    ],
               [0.    , 1.3863]])
    """
    numbered = [_number(column) for column in factors.T]
    return np.array([[_shared(y, x) for y in numbered] for x in map(_number, codes.T)])


def entropies(factors: NDArray) -> NDArray[np.float64]:
    """Entropy (k,) in nats of each factor, as the mutual information with itself.

    Example:
        >>> entropies(np.array([[0, 5], [1, 5]])).round(4)
        array([0.6931, 0.    ])
    """
    return np.array([_shared(y, y) for y in map(_number, factors.T)])


def _number(column: NDArray) -> NDArray[np.int64]:
    return np.unique(column, return_inverse=True)[1]


def _shared(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """scikit-learn's `mutual_info_score`, which would number, check and count columns a pair."""
    shape = int(first.max()) + 1, int(second.max()) + 1
    if 1 in shape:
        return 0.0
    counts = np.bincount(first * shape[1] + second, minlength=shape[0] * shape[1]).reshape(shape)
    rows, columns = np.nonzero(counts)  # row by row and in this order, as scikit-learn adds up
    both = counts[rows, columns]
    total = counts.sum()
    log_total = math.log(total)  # NumPy's may differ in the last bit
    expected = counts.sum(axis=1)[rows] * counts.sum(axis=0)[columns]
    shares = both / total
    terms = shares * (np.log(both) - log_total) + shares * (
        -np.log(expected) + log_total + log_total
    )
    terms[np.abs(terms) < np.finfo(terms.dtype).eps] = 0.0
    return float(max(terms.sum(), 0.0))
