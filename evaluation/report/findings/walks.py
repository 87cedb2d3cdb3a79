"""How codes go along a factor, and factors along a code: functions of arrays."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BINS = 20
_LEARNED, _ASKED = 8_000, 2_000


class Curve(NamedTuple):
    """A code along a factor: mean and standard deviation (size,) over all other factors."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def curve(codes: NDArray, values: NDArray[np.int64], size: int) -> Curve:
    """The code (n,) along a factor with `size` values (n,); NaN where a value does not occur.

    Example:
        >>> curve(np.array([0.0, 2.0, 5.0]), np.array([0, 0, 1]), 2)
        Curve(mean=array([1., 5.]), deviation=array([1., 0.]))
    """
    counts = np.bincount(values, minlength=size).astype(np.float64)
    counts[counts == 0] = np.nan
    exact = codes.astype(np.float64)
    mean = np.bincount(values, exact, size) / counts
    variance = np.bincount(values, (exact - mean[values]) ** 2, size) / counts
    return Curve(mean, np.sqrt(variance))


def confusion(codes: NDArray, values: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """How often each value of a factor (rows) is taken for each (columns), by one code alone.

    The code's range is cut into 20 parts with as many images each, and each part stands for the
    value that is most frequent there, given as many images of each value.

    Args:
        codes: (n,).
        values: (n,), in [0, size).

    Returns:
        (size, size), rows that sum to 1, or are NaN where the value does not occur.

    Example:
        >>> confusion(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1]), 2)
        array([[1., 0.],
               [0., 1.]])
    """
    edges = np.unique(np.quantile(codes, np.linspace(0, 1, _BINS + 1)[1:-1]))
    parts = np.searchsorted(edges, codes, side="right")
    counts = np.zeros((size, len(edges) + 1))
    np.add.at(counts, (values, parts), 1)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, np.nan)
    guesses = np.nan_to_num(shares).argmax(axis=0)
    taken = np.zeros((size, size))
    np.add.at(taken.T, guesses, shares.T)
    return taken


def along(codes: NDArray, number: int) -> NDArray[np.int64]:
    """Positions (number,) of the images at even ranks of the code (n,), the outer 1 % left out.

    Example:
        >>> along(np.array([3.0, 1.0, 2.0]), 3)
        array([1, 2, 0])
    """
    ranks = np.linspace(0.01, 0.99, number) * (len(codes) - 1)
    return np.argsort(codes, kind="stable")[ranks.round().astype(np.int64)]


def strongest(relevance: NDArray[np.float64], factor: int, number: int) -> NDArray[np.int64]:
    """The codes that tell most of a factor, at most so many, from the first to the last.

    Args:
        relevance: (d, k).
    """
    return np.argsort(-np.nan_to_num(relevance[:, factor]), kind="stable")[:number]


def told_together(codes: NDArray[np.float64], factors: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often all codes (n, d) together tell each factor of (n, k): accuracies (k,).

    A quadratic classifier learns from up to 8,000 images and is asked of up to 2,000 others. If a
    value has no more images than there are codes, it takes codes as independent of each other.
    Nearest images would not do: on a grid they differ in just the factor that is asked for.

    Example:
        >>> codes = np.arange(100.0)[:, np.newaxis]
        >>> told_together(codes, (codes > 49).astype(int)).round(1)
        array([1.])
    """
    some = np.random.default_rng(0).permutation(len(codes))[: _LEARNED + _ASKED]
    deviations = codes.std(axis=0)
    scaled = codes[some] / np.where(deviations > 0, deviations, np.inf)
    scaled -= scaled.mean(axis=0)
    learned = len(some) * _LEARNED // (_LEARNED + _ASKED)
    accuracies = []
    for values in factors[some].T:
        classes, counts = np.unique(values[:learned], return_counts=True)
        if len(classes) == 1:
            accuracies.append(float(np.mean(values[learned:] == values[0])))
            continue
        guesses = _most_likely(
            scaled[:learned],
            values[:learned],
            scaled[learned:],
            apart=counts.min() <= codes.shape[1],
        )
        accuracies.append(float(np.mean(guesses == values[learned:])))
    return np.array(accuracies)


def _most_likely(
    codes: NDArray[np.float64],
    values: NDArray[np.int64],
    asked: NDArray[np.float64],
    *,
    apart: bool,
) -> NDArray[np.int64]:
    """The value of each row of `asked` (m, d), by a normal distribution of the codes a value.

    These are scikit-learn's QuadraticDiscriminantAnalysis(reg_param=1e-3) and, for codes that are
    taken `apart`, its GaussianNB, whose import alone takes half as long as a page.

    Args:
        codes: (n, d).
        values: Their values (n,).
    """
    classes = np.unique(values)
    likelihoods = np.empty((len(classes), len(asked)))
    for place, value in enumerate(classes):
        own = codes[values == value]
        middle = own.mean(axis=0)
        if apart:
            covariance = np.diag(own.var(axis=0) + 1e-9 * codes.var(axis=0).max())
        else:
            covariance = 0.999 * np.cov(own, rowvar=False).reshape(2 * codes.shape[1:])
            covariance += 1e-3 * np.eye(len(covariance))
        spreads, axes = np.linalg.eigh(covariance)
        spreads = np.maximum(spreads, np.finfo(np.float64).tiny)
        distances = (((asked - middle) @ axes) ** 2 / spreads).sum(axis=1)
        prior = np.log(len(own) / len(codes))
        likelihoods[place] = prior - (distances + np.log(spreads).sum()) / 2
    return classes[likelihoods.argmax(axis=0)]
