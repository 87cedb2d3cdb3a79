"""InfoMEC: modularity, explicitness, compactness from information (Hsu et al., 2305.18378).

Follows the authors' estimator: mutual information by 10 nearest neighbours for continuous codes,
exact for discrete ones, and predictive information by unpenalised logistic regression.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray

from evaluation.common.devices import cores
from evaluation.data.ground_truth import GroundTruthData
from evaluation.metrics.arrays import checked_sample
from evaluation.metrics.mutual_information import entropies, mutual_information
from evaluation.metrics.sampling import Representation, sample_points

_NEIGHBORS = 10
_LEAST_RANGE = 1 / 20
"""A continuous dim is pruned if its range is at most this share of the widest dim's."""


def compute_infomec(
    ground_truth_data: GroundTruthData,
    representation_function: Representation,
    random_state: RandomState,
    artifact_dir: str | None = None,  # noqa: ARG001 - disentanglement_lib's signature
    num_train: int = 10_000,
    batch_size: int = 16,
    discrete_codes: bool = False,
) -> dict[str, Any]:
    """InfoMEC on a sample of the grid.

    `batch_size` is that of the draws: see `sampling`.

    Returns:
        What `infomec` returns.
    """
    codes, factors = sample_points(
        ground_truth_data, representation_function, num_train, batch_size, random_state
    )
    return infomec(codes, factors, discrete_codes)


def infomec(codes: ArrayLike, factors: ArrayLike, discrete_codes: bool = False) -> dict[str, Any]:
    """InfoM, InfoC and InfoE, evaluated on the data that they are fitted to, as by the authors.

    Where the authors' estimator divides 0 by 0: a factor with one value is left out; a dim or a
    factor without any information counts as 0 in its mean; with one factor left InfoM is 1, with
    one active dim InfoC is 1, and without an active dim or a varying factor all three are 0.

    Args:
        codes: (n, d).
        factors: (n, k), discrete.
        discrete_codes: Whether the codes are, too.

    Returns:
        `infom` and `infoc`, in [0, 1] but for estimates by chance; `infoe`, at most 1;
        `normalized_information` (varying factors, d); and the mask `active_dims` (d,).

    Raises:
        ValueError: shapes that do not fit, codes that are not finite, or factors that are not
            discrete.

    Example:
        >>> factors = np.array([[color, size] for color in range(3) for size in range(4)] * 9)
        >>> result = infomec(factors, factors, discrete_codes=True)
        >>> round(result["infom"], 4), round(result["infoc"], 4), round(result["infoe"], 2)
        (1.0, 1.0, 1.0)
    """
    codes, factors = checked_sample(codes, factors)
    codes = codes.astype(np.float64)  # in which no span or deviation of float32 overflows
    spans = np.ptp(codes, axis=0)
    active = spans > (0 if discrete_codes else spans.max() * _LEAST_RANGE)
    factors = factors[:, np.ptp(factors, axis=0) > 0]
    information = _normalized_information(codes, factors, discrete_codes)
    result = {"normalized_information": information, "active_dims": active}
    pruned = information[:, active]
    if pruned.size == 0:
        return {"infom": 0.0, "infoc": 0.0, "infoe": 0.0} | result
    return {
        "infom": _concentration(pruned.T),
        "infoc": _concentration(pruned),
        "infoe": _predictive_information(codes, factors, discrete_codes),
    } | result


def _normalized_information(
    codes: NDArray, factors: NDArray, discrete_codes: bool
) -> NDArray[np.float64]:
    """Mutual information (k, d) as a share of the factors' entropies."""
    from sklearn.feature_selection import mutual_info_classif

    def neighbors(factor: NDArray) -> NDArray[np.float64]:
        return np.asarray(
            mutual_info_classif(
                codes, factor, discrete_features=False, n_neighbors=_NEIGHBORS, random_state=0
            )
        )

    if discrete_codes:
        information = mutual_information(codes, factors).T
    else:
        with ThreadPoolExecutor(cores()) as threads:
            rows = list(threads.map(neighbors, factors.T))
        information = np.reshape(rows, (factors.shape[1], codes.shape[1]))
    return information / entropies(factors)[:, np.newaxis]


def _concentration(information: NDArray[np.float64]) -> float:
    """How far each row (rows, columns) is one entry: 1 if alone, 0 if all are equal."""
    columns = information.shape[1]
    if columns == 1:
        return 1.0
    sums = information.sum(axis=1)
    shares = np.full(len(sums), 1 / columns)
    np.divide(information.max(axis=1), sums, out=shares, where=sums > 0)
    return float((np.mean(shares) - 1 / columns) / (1 - 1 / columns))


def _predictive_information(codes: NDArray, factors: NDArray, discrete_codes: bool) -> float:
    """Mean share of a factor's log loss, without codes, that logistic regression takes away."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    points = (OneHotEncoder() if discrete_codes else StandardScaler()).fit_transform(codes)
    shares = []
    for factor in factors.T:
        classifier = LogisticRegression(C=np.inf, class_weight="balanced").fit(points, factor)
        loss = log_loss(factor, classifier.predict_proba(points))
        # Balanced classes are equally probable to a model that sees nothing.
        shares.append(1 - loss / np.log(len(classifier.classes_)))
    return float(np.mean(shares))
