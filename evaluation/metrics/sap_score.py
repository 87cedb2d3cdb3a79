"""Separated attribute predictability (Kumar et al., 1711.00848), as in disentanglement_lib."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

from evaluation.common.devices import cores
from evaluation.data.ground_truth import GroundTruthData
from evaluation.metrics.arrays import checked_sample, checked_samples
from evaluation.metrics.linear_svc import count_hits, fit_lines
from evaluation.metrics.sampling import (
    Representation,
    continuous_columns,
    sample_train_and_test,
)

_LEAST_VARIANCE = 1e-12


def compute_sap(
    ground_truth_data: GroundTruthData,
    representation_function: Representation,
    random_state: RandomState,
    artifact_dir: str | None = None,  # noqa: ARG001 - disentanglement_lib's signature
    num_train: int = 10_000,
    num_test: int = 5_000,
    batch_size: int = 16,
    continuous_factors: bool = False,
) -> dict[str, Any]:
    """SAP on a sample of the grid.

    `batch_size` is that of the draws: see `sampling`. Factors that a table says are continuous are
    scored so in either case.

    Returns:
        `SAP_score` in [0, 1], and `score_matrix` (d, k).
    """
    drawn = sample_train_and_test(
        ground_truth_data, representation_function, num_train, num_test, batch_size, random_state
    )
    codes, factors, test_codes, test_factors = drawn
    k = factors.shape[1]
    correlated = list(range(k) if continuous_factors else continuous_columns(ground_truth_data))
    classified = [column for column in range(k) if column not in correlated]
    matrix = np.empty((codes.shape[1], k))
    if correlated:
        matrix[:, correlated] = squared_correlations(codes, factors[:, correlated])
    if classified:
        matrix[:, classified] = accuracies(
            codes, factors[:, classified], test_codes, test_factors[:, classified]
        )
    return {"SAP_score": mean_gap(matrix), "score_matrix": matrix}


def accuracies(
    codes: ArrayLike, factors: ArrayLike, test_codes: ArrayLike, test_factors: ArrayLike
) -> NDArray[np.float64]:
    """Test accuracy (d, k) of a linear classifier of each factor from each dim alone.

    A factor with one value makes the reference fail; here every dim predicts it, so its gap is 0.

    Args:
        codes: (n, d).
        factors: (n, k), discrete.
        test_codes: (m, d).
        test_factors: (m, k).

    Raises:
        ValueError: shapes that do not fit, codes that are not finite, or factors that are not
            discrete.

    Example:
        >>> factors = np.array([[color, size] for color in range(3) for size in range(4)])
        >>> accuracies(factors, factors, factors, factors).round(2)
        array([[0.67, 0.25],
               [0.33, 0.5 ]])
    """
    codes, factors, test_codes, test_factors = checked_samples(
        codes, factors, test_codes, test_factors
    )
    labelled = [_labels(*columns) for columns in zip(factors.T, test_factors.T, strict=True)]

    def accuracies_of(dim: int) -> list[float]:
        ascending = np.argsort(codes[:, dim], kind="stable")
        points = codes[ascending, dim].astype(np.float64)
        test_points = test_codes[:, dim].astype(np.float64)
        row = []
        for classes, labels, test_labels in labelled:
            if classes == 1:
                row.append(float(np.mean(test_labels == 0)))
                continue
            lines = fit_lines(points, labels[ascending], classes)
            row.append(count_hits(lines, test_points, test_labels) / len(test_points))
        return row

    with ThreadPoolExecutor(cores()) as threads:
        return np.array(list(threads.map(accuracies_of, range(codes.shape[1]))))


def _labels(
    factor: NDArray, test_factor: NDArray
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """The number of classes, and the class of each sample; -1 where only the test has it."""
    values, labels = np.unique(factor, return_inverse=True)
    places = np.minimum(np.searchsorted(values, test_factor), len(values) - 1)
    return len(values), labels, np.where(values[places] == test_factor, places, -1)


def squared_correlations(codes: ArrayLike, factors: ArrayLike) -> NDArray[np.float64]:
    """Squared correlation (d, k) of each dim of (n, d) with each continuous factor of (n, k).

    0 where the dim's variance is at most 1e-12, as in the reference, and where the factor has one
    value, for which the reference gives NaN.

    Raises:
        ValueError: shapes that do not fit, or numbers that are not finite.

    Example:
        >>> factors = np.array([[color, size] for color in range(3) for size in range(4)])
        >>> codes = np.hstack([factors, factors.sum(axis=1, keepdims=True)])
        >>> squared_correlations(codes, factors).round(2)
        array([[1.  , 0.  ],
               [0.  , 1.  ],
               [0.35, 0.65]])
    """
    codes, factors = checked_sample(codes, factors, continuous=True)
    matrix = np.zeros((codes.shape[1], factors.shape[1]))
    for dim, factor in np.ndindex(matrix.shape):
        covariance = np.cov(codes[:, dim], factors[:, factor], ddof=1)
        if covariance[0, 0] > _LEAST_VARIANCE and covariance[1, 1] > 0:
            matrix[dim, factor] = covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1])
    return matrix


def mean_gap(matrix: NDArray[np.float64]) -> float:
    """Mean over factors of the gap between the two best dims of (d, k).

    With one dim the reference fails; here the runner-up predicts nothing.

    Example:
        >>> mean_gap(np.array([[1.0, 0.25], [0.5, 0.75]]))
        0.5
    """
    ordered = np.sort(np.vstack((np.zeros(matrix.shape[1]), matrix)), axis=0)
    return float(np.mean(ordered[-1] - ordered[-2]))
