"""Mutual information gap (Chen et al., 1802.04942), equal to disentanglement_lib's `mig`."""

from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike

from evaluation.data.ground_truth import GroundTruthData
from evaluation.metrics.arrays import checked_sample
from evaluation.metrics.mutual_information import discretize, entropies, mutual_information
from evaluation.metrics.sampling import Representation, sample_points


def compute_mig(
    ground_truth_data: GroundTruthData,
    representation_function: Representation,
    random_state: RandomState,
    artifact_dir: str | None = None,  # noqa: ARG001 - disentanglement_lib's signature
    num_train: int = 10_000,
    batch_size: int = 16,
    num_bins: int = 20,
) -> dict[str, Any]:
    """The gap on a sample of the grid; `num_bins` is the reference's `discretizer.num_bins`.

    `batch_size` is that of the draws: see `sampling`.

    Returns:
        What `mig` returns.
    """
    codes, factors = sample_points(
        ground_truth_data, representation_function, num_train, batch_size, random_state
    )
    return mig(codes, factors, num_bins)


def mig(codes: ArrayLike, factors: ArrayLike, num_bins: int = 20) -> dict[str, Any]:
    """The gap between the two dims that tell most about a factor, averaged over the factors.

    Where the reference has no score: a factor with one value has no entropy, and the reference
    averages 0/0 into NaN; here it has no gap to measure and is left out (0 if none is left). A
    single dim makes the reference fail; here its runner-up tells nothing.

    Args:
        codes: (n, d).
        factors: (n, k), discrete.
        num_bins: Number of equal-width bins over the range of each dim.

    Returns:
        `discrete_mig` in [0, 1], and `mutual_information` (d, k) in nats.

    Raises:
        ValueError: shapes that do not fit, codes that are not finite, or factors that are not
            discrete.

    Example:
        >>> import numpy as np
        >>> factors = np.array([[color, size] for color in range(3) for size in range(4)])
        >>> mig(factors, factors)["discrete_mig"]
        1.0
        >>> both_in_one_dim = np.hstack([factors, factors.sum(axis=1, keepdims=True)])
        >>> round(mig(both_in_one_dim, factors)["discrete_mig"], 4)
        0.6366
    """
    codes, factors = checked_sample(codes, factors)
    information = mutual_information(discretize(codes, num_bins), factors)
    entropy = entropies(factors)
    ordered = np.sort(np.vstack((np.zeros_like(entropy), information)), axis=0)
    varies = entropy > 0
    gaps = (ordered[-1] - ordered[-2])[varies] / entropy[varies]
    return {
        "discrete_mig": float(np.mean(gaps)) if varies.any() else 0.0,
        "mutual_information": information,
    }
