"""Gradient-boosted trees as scikit-learn's GradientBoostingClassifier fits them with its defaults.

100 stages of trees of depth 3, learning rate 0.1, log loss starting from the prior, a tree a class
(one for two classes), and the factors side by side. scikit-learn breaks ties between columns by a
random order at each node, unseeded in disentanglement_lib; here the order comes from a seed.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.metrics.boosting.fitting import Fitting
from evaluation.metrics.boosting.forecast import Forecast
from evaluation.metrics.boosting.growth.buffers import INNER_NODES, Trees, new_workshop
from evaluation.metrics.boosting.growth.columns import sort_columns
from evaluation.metrics.boosting.predictions import add_stages
from evaluation.metrics.boosting.threads import Threads, split

_STAGES = 100
_TOLD_AFTER = (1, 3, 10, 30, 60)  # stages: the first may load compiled code, and is not timed


class Factor(NamedTuple):
    """A factor to predict: its values, each sample's (n,) as their number, and which trees do."""

    values: NDArray
    labels: NDArray[np.int64]
    trees: slice


class Boosting(NamedTuple):
    """A fitted model.

    Args:
        factors: k of them.
        prior: What raw predictions start from (trees,).
        stages: The trees of each stage.
        importances: (d, k), each factor's summing to 1, or all 0 if no tree was cut.
        raw: Raw predictions (trees, n) for the samples it was fitted to.
    """

    factors: list[Factor]
    prior: NDArray[np.float64]
    stages: list[Trees]
    importances: NDArray[np.float64]
    raw: NDArray[np.float64]


def fit(codes: NDArray, factors: NDArray, seed: int) -> Boosting:
    """Fits a classifier of each factor.

    Args:
        codes: (n, d), used as float32 as scikit-learn does.
        factors: (n, k), discrete. One with a single value gets no trees and is always predicted.
        seed: For ties; the number of threads does not matter.
    """
    encoded, prior = _encode(factors)
    labels = np.stack([factor.labels for factor in encoded])
    columns = sort_columns(codes.astype(np.float32), labels)
    (n, d), p, cells = codes.shape, len(columns.weights), int(columns.first_cell[-1])
    leaf_factors = np.ones(len(prior))
    for factor in encoded:
        if len(factor.values) > 2:
            leaf_factors[factor.trees] = (len(factor.values) - 1) / len(factor.values)
    fitting = Fitting(columns, leaf_factors, prior)
    for factor in encoded:
        fitting.add(factor.trees, factor.labels)
    stages = []
    random_state = RandomState(seed)
    forecast = Forecast("its trees", _STAGES)
    with Threads(lambda: new_workshop(n, p, d, cells)) as threads:
        for number in range(_STAGES):
            if number in _TOLD_AFTER:
                forecast.after(number)
            priorities = random_state.random_sample((len(prior), INNER_NODES, d))
            stages.append(fitting.grow(threads, priorities))
    by_factor = np.stack(
        [fitting.importances[factor.trees].sum(axis=0) for factor in encoded], axis=1
    )
    sums = by_factor.sum(axis=0)
    return Boosting(
        encoded,
        prior,
        stages,
        by_factor / np.where(sums > 0, sums, 1.0),
        fitting.raw()[:, columns.point_of],
    )


def training_predictions(boosting: Boosting) -> NDArray:
    """The factors (n, k) predicted for the samples that it was fitted to."""
    return _decide(boosting, boosting.raw)


def predict(boosting: Boosting, codes: NDArray) -> NDArray:
    """The factors (m, k) predicted for codes (m, d)."""
    columns = np.ascontiguousarray(codes.astype(np.float32).T)
    raw = np.repeat(boosting.prior[:, np.newaxis], len(codes), axis=1)
    stages = Trees(*(np.stack(arrays) for arrays in zip(*boosting.stages, strict=True)))
    with Threads() as threads:
        threads.run(add_stages, split(len(raw), threads.number), stages, columns, raw)
    return _decide(boosting, raw)


def _encode(factors: NDArray) -> tuple[list[Factor], NDArray[np.float64]]:
    """The factors, and the prior in log odds for two values, centred logarithms for more."""
    from scipy.special import logit

    encoded: list[Factor] = []
    priors: list[NDArray[np.float64]] = []
    trees = 0
    for column in factors.T:
        values, labels, counts = np.unique(column, return_inverse=True, return_counts=True)
        shares = counts / len(column)
        geometric_mean = np.exp(np.mean(np.log(shares)))
        prior = logit(shares[1:]) if len(values) <= 2 else np.log(shares / geometric_mean)
        encoded.append(Factor(values, labels, slice(trees, trees + len(prior))))
        priors.append(prior)
        trees += len(prior)
    return encoded, np.concatenate(priors)


def _decide(boosting: Boosting, raw: NDArray[np.float64]) -> NDArray:
    decisions = []
    for factor in boosting.factors:
        scores = raw[factor.trees]
        if len(scores) > 1:
            numbers = scores.argmax(axis=0)
        elif len(scores) == 1:
            numbers = (scores[0] >= 0).astype(np.int64)
        else:
            numbers = np.zeros(raw.shape[1], dtype=np.int64)
        decisions.append(factor.values[numbers])
    return np.stack(decisions, axis=1)
