"""Disentanglement, completeness, informativeness (Eastwood and Williams, ICLR 2018).

As disentanglement_lib's `dci` measures them: from the importances of gradient-boosted trees. The
reference breaks ties unseeded, so that its scores vary from run to run; ours is one such run.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

from evaluation.data.ground_truth import GroundTruthData
from evaluation.metrics.arrays import checked_samples
from evaluation.metrics.boosting.model import fit, predict, training_predictions
from evaluation.metrics.boosting.regression import regress
from evaluation.metrics.sampling import (
    Representation,
    continuous_columns,
    sample_train_and_test,
)


def compute_dci(
    ground_truth_data: GroundTruthData,
    representation_function: Representation,
    random_state: RandomState,
    artifact_dir: str | None = None,  # noqa: ARG001 - disentanglement_lib's signature
    num_train: int = 10_000,
    num_test: int = 5_000,
    batch_size: int = 16,
) -> dict[str, Any]:
    """DCI on a sample of the grid.

    `batch_size` is that of the draws: see `sampling`.

    Returns:
        What `dci` returns. Ties are broken by what `random_state` would give next; it is left as
        the reference leaves it.
    """
    drawn = sample_train_and_test(
        ground_truth_data, representation_function, num_train, num_test, batch_size, random_state
    )
    return dci(
        *drawn,
        seed=int(deepcopy(random_state).randint(1 << 31)),
        continuous=continuous_columns(ground_truth_data),
    )


def dci(
    codes: ArrayLike,
    factors: ArrayLike,
    test_codes: ArrayLike,
    test_factors: ArrayLike,
    seed: int = 0,
    continuous: Sequence[int] = (),
) -> dict[str, Any]:
    """DCI of codes that predict factors.

    A factor with one value makes the reference fail; here no code matters for it, it weighs nothing
    in completeness, and it is predicted as that value.

    Args:
        codes: (n, d).
        factors: (n, k), discrete but for `continuous`.
        test_codes: (m, d).
        test_factors: (m, k).
        seed: For ties between dims.
        continuous: Columns of factors that are regressed: see `regression`.

    Returns:
        `disentanglement`, `completeness`, `informativeness_train` and `informativeness_test` (means
        of accuracies, and of R² for continuous factors), all in [0, 1]; and `importance_matrix`
        (d, k).

    Raises:
        ValueError: shapes that do not fit, codes that are not finite as float32, or factors that
            are not discrete.

    Example:
        >>> factors = np.array([[color, size] for color in range(3) for size in range(4)])
        >>> result = dci(factors, factors, factors, factors)
        >>> round(result["disentanglement"], 4), round(result["completeness"], 4)
        (1.0, 1.0)
        >>> result["importance_matrix"].round(4) + 0.0
        array([[1., 0.],
               [0., 1.]])
    """
    codes, factors, test_codes, test_factors = checked_samples(
        codes, factors, test_codes, test_factors, continuous=bool(continuous)
    )
    k = factors.shape[1]
    importance = np.empty((codes.shape[1], k))
    train, test = np.empty(k), np.empty(k)
    discrete = [column for column in range(k) if column not in continuous]
    if discrete:
        model = fit(codes, factors[:, discrete], seed)
        importance[:, discrete] = model.importances
        train[discrete] = np.mean(training_predictions(model) == factors[:, discrete], axis=0)
        test[discrete] = np.mean(predict(model, test_codes) == test_factors[:, discrete], axis=0)
    if continuous:
        regressed = list(continuous)
        importance[:, regressed], train[regressed], test[regressed] = regress(
            codes, factors[:, regressed], test_codes, test_factors[:, regressed], seed
        )
    return {
        "informativeness_train": float(np.mean(train)),
        "informativeness_test": float(np.mean(test)),
        "disentanglement": disentanglement(importance),
        "completeness": disentanglement(importance.T),
        "importance_matrix": importance,
    }


def disentanglement(importance: NDArray[np.float64]) -> float:
    """How far each row of the importances (d, k) is concentrated in one column, in [0, 1].

    Rows weigh by their sums, equally if all are 0. Of the transposed matrix it is the completeness.
    With one column there is nothing to tell apart, and the reference's NaN is 1 here.

    Example:
        >>> round(disentanglement(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])), 4)
        0.6667
    """
    rows, columns = importance.shape
    if columns == 1:
        return 1.0
    shares = importance + 1e-11
    shares /= shares.sum(axis=1, keepdims=True)
    per_row = 1.0 + (shares * np.log(shares)).sum(axis=1) / np.log(columns)
    total = importance.sum()
    weights = importance.sum(axis=1) / total if total > 0 else np.full(rows, 1.0 / rows)
    return float(np.sum(per_row * weights))
