"""Modularity and explicitness (Ridgeway and Mozer, 1802.05312), as in disentanglement_lib."""

from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

from evaluation.data.ground_truth import GroundTruthData
from evaluation.metrics.arrays import checked_samples
from evaluation.metrics.mutual_information import discretize, mutual_information
from evaluation.metrics.sampling import Representation, sample_train_and_test


def compute_modularity_explicitness(
    ground_truth_data: GroundTruthData,
    representation_function: Representation,
    random_state: RandomState,
    artifact_dir: str | None = None,  # noqa: ARG001 - disentanglement_lib's signature
    num_train: int = 10_000,
    num_test: int = 5_000,
    batch_size: int = 16,
    num_bins: int = 20,
) -> dict[str, Any]:
    """Both on a sample of the grid; `num_bins` is the reference's `discretizer.num_bins`.

    `batch_size` is that of the draws: see `sampling`.

    Returns:
        `modularity_score`, `explicitness_score_train`, `explicitness_score_test` in [0, 1].
    """
    codes, factors, test_codes, test_factors = sample_train_and_test(
        ground_truth_data, representation_function, num_train, num_test, batch_size, random_state
    )
    train, test = explicitness(codes, factors, test_codes, test_factors)
    return {
        "modularity_score": modularity(mutual_information(discretize(codes, num_bins), factors)),
        "explicitness_score_train": train,
        "explicitness_score_test": test,
    }


def modularity(information: NDArray[np.float64]) -> float:
    """How far each dim informs about one factor only, from mutual information (d, k).

    A dim without information counts as 0. With a single factor there is no other factor to inform
    about, and the reference's NaN is 1 here for a dim with information.

    Example:
        >>> modularity(np.array([[1.0, 0.0], [0.5, 0.5]]))
        0.5
    """
    squared = np.square(information)
    largest = np.max(squared, axis=1)
    others = np.sum(squared, axis=1) - largest
    share = np.zeros_like(largest)
    np.divide(others, largest * max(squared.shape[1] - 1.0, 1.0), out=share, where=largest > 0)
    return float(np.mean(np.where(largest > 0, 1.0 - share, 0.0)))


def explicitness(
    codes: ArrayLike, factors: ArrayLike, test_codes: ArrayLike, test_factors: ArrayLike
) -> tuple[float, float]:
    """Mean area under the ROC curve of logistic regression, one value against the rest.

    Codes are standardised first, by the mean and deviation of the training codes; the reference
    divides a constant dim by 0 and fails, here it is left at 0. It fails where those overflow, too;
    here they are made in float64. A factor with one value, which the reference cannot fit, is left
    out; if none is left both areas are 1. Values that a set lacks, where the reference fails, do
    not count in it.

    Args:
        codes: (n, d).
        factors: (n, k), discrete.
        test_codes: (m, d).
        test_factors: (m, k).

    Returns:
        Training and test area in [0, 1].

    Raises:
        ValueError: shapes that do not fit, codes that are not finite, or factors that are not
            discrete.

    Example:
        >>> factors = np.array([[color, size] for color in range(3) for size in range(4)])
        >>> explicitness(factors, factors, factors, factors)
        (1.0, 1.0)
    """
    codes, factors, test_codes, test_factors = checked_samples(
        codes, factors, test_codes, test_factors
    )
    from sklearn.linear_model import LogisticRegression

    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = np.mean(codes, axis=0), np.std(codes, axis=0)
    if not np.isfinite(deviation).all():
        codes = codes.astype(np.float64)
        mean, deviation = np.mean(codes, axis=0), np.std(codes, axis=0)
    deviation[deviation == 0] = 1
    points, test_points = (codes - mean) / deviation, (test_codes - mean) / deviation
    areas: list[tuple[float, float]] = []
    for factor, test_factor in zip(factors.T, test_factors.T, strict=True):
        if np.all(factor == factor[0]):
            continue
        classifier = LogisticRegression().fit(points, factor)
        areas.append(
            (
                _area(factor, classifier.classes_, classifier.predict_proba(points)),
                _area(test_factor, classifier.classes_, classifier.predict_proba(test_points)),
            )
        )
    if not areas:
        return 1.0, 1.0
    # A factor of which the test set has one value only has no area there.
    train, test = (float(np.nanmean(column)) for column in np.transpose(areas))
    return train, test


def _area(factor: NDArray, values: NDArray, probabilities: NDArray) -> float:
    from sklearn.metrics import roc_auc_score

    is_value = factor[:, np.newaxis] == values
    present = is_value.any(axis=0) & ~is_value.all(axis=0)
    if not present.any():
        return float("nan")
    return float(roc_auc_score(is_value[:, present], probabilities[:, present]))
