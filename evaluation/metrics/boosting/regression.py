"""DCI's trees for continuous factors: regressors where the reference has classifiers.

disentanglement_lib knows discrete factors only. Eastwood and Williams (ICLR 2018) regress; so these
are scikit-learn's gradient-boosted regressors with its defaults, as its classifiers are.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.devices import cores
from evaluation.metrics.boosting.forecast import Forecast

_TOLD_AFTER = (1, 3, 10, 30, 60)
"""Stages of the first factor."""


class Regression(NamedTuple):
    """What regressors of k factors give.

    Args:
        importances: (d, k), each column summing to 1, or all 0 if no tree was cut.
        train: R² of each factor (k,) on what they were fitted to, at least 0.
        test: The same on other points.
    """

    importances: NDArray[np.float64]
    train: NDArray[np.float64]
    test: NDArray[np.float64]


def regress(
    codes: NDArray, factors: NDArray, test_codes: NDArray, test_factors: NDArray, seed: int
) -> Regression:
    """Fits a regressor of each factor.

    Args:
        codes: (n, d).
        factors: (n, k), continuous.
        test_codes: (m, d).
        test_factors: (m, k).
        seed: For ties between dims.

    Example:
        >>> factors = np.random.RandomState(0).random_sample((300, 2))
        >>> result = regress(factors, factors, factors, factors, seed=0)
        >>> result.importances.round(1), result.test.round(1)
        (array([[1., 0.],
               [0., 1.]]), array([1., 1.]))
    """
    from sklearn.ensemble import GradientBoostingRegressor

    k = factors.shape[1]
    rounds = -(-k // cores())  # factors that one thread has, one after another
    stages = rounds * GradientBoostingRegressor().n_estimators
    forecast = Forecast("the trees of continuous factors", stages)

    def look(stage: int, *_: object) -> None:
        if stage + 1 in _TOLD_AFTER:
            forecast.after(stage + 1)

    def of_factor(number: int) -> tuple[NDArray, float, float]:
        model = GradientBoostingRegressor(random_state=seed)
        model.fit(codes, factors[:, number], monitor=look if number == 0 else None)
        train, test = (
            explained(part[:, number], model.predict(points))
            for points, part in ((codes, factors), (test_codes, test_factors))
        )
        return model.feature_importances_, train, test

    with ThreadPoolExecutor(cores()) as threads:  # the trees let other threads run
        results = list(threads.map(of_factor, range(k)))
    importances, train, test = zip(*results, strict=True)
    return Regression(np.stack(importances, axis=1), np.array(train), np.array(test))


def explained(factor: NDArray, predicted: NDArray) -> float:
    """R²: the share of a factor's variance (n,) that a prediction explains, at least 0.

    Of a factor that does not vary all is explained if it is predicted.

    Example:
        >>> explained(np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.0, 1.5]))
        0.75
    """
    error = float(np.sum(np.square(factor - predicted)))
    total = float(np.sum(np.square(factor - np.mean(factor))))
    if total == 0:
        return float(error == 0)
    return max(0.0, 1.0 - error / total)
