"""Interventional robustness score (Suter et al., 1811.00007), equal to disentanglement_lib's `irs`.

The layout of arrays is the reference's too: sums depend on it in the last bit.
"""

from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

from evaluation.data.ground_truth import GroundTruthData
from evaluation.metrics.arrays import checked_sample
from evaluation.metrics.mutual_information import discretize
from evaluation.metrics.sampling import Representation, sample_points


def compute_irs(
    ground_truth_data: GroundTruthData,
    representation_function: Representation,
    random_state: RandomState,
    artifact_dir: str | None = None,  # noqa: ARG001 - disentanglement_lib's signature
    diff_quantile: float = 0.99,
    num_train: int = 10_000,
    batch_size: int = 16,
    num_bins: int = 20,
) -> dict[str, Any]:
    """The score on a sample of the grid; `num_bins` is the reference's `discretizer.num_bins`.

    `batch_size` is that of the draws: see `sampling`.

    Returns:
        What `irs` returns.
    """
    codes, factors = sample_points(
        ground_truth_data, representation_function, num_train, batch_size, random_state
    )
    return irs(codes, factors, diff_quantile, num_bins)


def irs(
    codes: ArrayLike, factors: ArrayLike, diff_quantile: float = 0.99, num_bins: int = 20
) -> dict[str, Any]:
    """How little each dim moves while its best factor stays and the others change.

    Factors with more than `num_bins` values are merged into bins, so even perfect codes stay below
    1 (0.98 on MPI3D), and codes of pure noise score far above 0: see it beside a baseline. A dim
    that is constant, but varies by the rounding of its mean, can score far below 0, as in the
    reference. Where the reference has no score: a dim that only its variance calls varying, by
    rounding, weighs nothing here; sums that overflow in float32 are made in float64.

    Args:
        codes: (n, d).
        factors: (n, k), of any values, since they are binned.
        diff_quantile: Quantile in [0, 1] of the deviations within a bin; 1 is the paper's maximum.
        num_bins: Number of equal-width bins over the range of each factor.

    Returns:
        `IRS`, at most 1, 0 if every dim is constant; `num_active_dims`, which is the sum of all
        codes of varying dims, as in the reference; and for the varying dims (a,) that there are,
        `IRS_matrix` (a, k), `disentanglement_scores` (a,), `parents` (a,), the number of each
        dim's factor, and `max_deviations` (a,).

    Raises:
        ValueError: shapes that do not fit, or numbers that are not finite.

    Example:
        >>> factors = np.array([[color, size] for color in range(3) for size in range(4)])
        >>> irs(factors, factors)["IRS"]
        1.0
        >>> sums = factors.sum(axis=1, keepdims=True)
        >>> round(irs(np.hstack([factors, sums]), factors)["IRS"], 4)
        0.8
    """
    codes, factors = checked_sample(codes, factors, continuous=True)
    bins = discretize(factors, num_bins)
    with np.errstate(over="ignore", invalid="ignore"):
        result = _irs(codes, bins, diff_quantile)
    if np.isfinite(result["IRS"]):
        return result
    return _irs(codes.astype(np.float64), bins, diff_quantile)


def _irs(codes: NDArray, factors: NDArray, diff_quantile: float) -> dict[str, Any]:
    dims = codes.T
    active = dims[dims.var(axis=1) > 0.0, :]
    score: dict[str, Any] = {"IRS": 0.0, "num_active_dims": np.sum(active)}
    if not active.any():
        return score

    varying = active.T
    deviations = _deviations(varying, factors, diff_quantile)
    max_deviations = np.max(np.abs(varying - varying.mean(axis=0)), axis=0)
    matrix = np.zeros_like(deviations)
    varies = max_deviations != 0
    matrix[varies] = 1.0 - deviations[varies] / max_deviations[varies, np.newaxis]
    scores = matrix.max(axis=1)
    return score | {
        "IRS": float(np.average(scores, weights=max_deviations)) if varies.any() else 0.0,
        "IRS_matrix": matrix,
        "disentanglement_scores": scores,
        "parents": matrix.argmax(axis=1),
        "max_deviations": max_deviations,
    }


def _deviations(codes: NDArray, factors: NDArray, diff_quantile: float) -> NDArray[np.float64]:
    """Deviations (d, k) from the mean given a factor's value, averaged over the values."""
    deviations = np.zeros((codes.shape[1], factors.shape[1]))
    for column, factor in enumerate(factors.T):
        values = np.unique(factor)
        for value in values:
            group = codes[factor == value, :]
            spread = np.abs(group - np.mean(group, axis=0))
            deviations[:, column] += np.percentile(spread, q=diff_quantile * 100, axis=0)
        deviations[:, column] /= len(values)
    return deviations
