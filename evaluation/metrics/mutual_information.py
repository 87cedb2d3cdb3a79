"""Discrete mutual information between codes and factors, to the last bit as in the reference."""

import numpy as np
from numpy.typing import NDArray


def discretize(values: NDArray, num_bins: int = 20) -> NDArray:
    """Bin numbers (n, d), from 1, of equal-width bins over the range of each column of (n, d).

    They keep the type of `values`, as disentanglement_lib's `histogram_discretizer` does.
    """
    bins = np.empty_like(values)
    for column in range(values.shape[1]):
        edges = np.histogram(values[:, column], num_bins)[1]
        bins[:, column] = np.digitize(values[:, column], edges[:-1])
    return bins


def mutual_information(codes: NDArray, factors: NDArray) -> NDArray[np.float64]:
    """Mutual information (d, k) in nats between discrete codes (n, d) and factors (n, k)."""
    from sklearn.metrics import mutual_info_score

    return np.array([[mutual_info_score(y, x) for y in factors.T] for x in codes.T])


def entropies(factors: NDArray) -> NDArray[np.float64]:
    """Entropy (k,) in nats of each factor, as the mutual information with itself."""
    from sklearn.metrics import mutual_info_score

    return np.array([mutual_info_score(y, y) for y in factors.T])
