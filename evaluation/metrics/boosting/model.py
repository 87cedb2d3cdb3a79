"""Gradient-boosted trees as scikit-learn's GradientBoostingClassifier fits them with its defaults.

100 stages of trees of depth 3, learning rate 0.1, log loss starting from the prior, a tree a class
(one for two classes), and the factors side by side. scikit-learn breaks ties between columns by a
random order at each node, unseeded in disentanglement_lib; here the order comes from a seed.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine
from evaluation.common.devices import cores
from evaluation.metrics.boosting.buffers import (
    INNER_NODES,
    LEARNING_RATE,
    LEAVES,
    Targets,
    Trees,
    new_workshop,
)
from evaluation.metrics.boosting.columns import sort_columns
from evaluation.metrics.boosting.forecast import Forecast
from evaluation.metrics.boosting.histograms import LANES, sum_roots
from evaluation.metrics.boosting.trees import grow_trees

_STAGES = 100
_TASKS_PER_THREAD = 4
_POINTS_AT_ONCE = 512
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
    (n, d), p = codes.shape, len(columns.weights)
    trees, cells = len(prior), columns.first_cell[-1]
    labels = np.ascontiguousarray(labels[:, columns.firsts])
    raw = np.repeat(prior[:, np.newaxis], p, axis=1)
    first_tree = np.array([factor.trees.start for factor in encoded] + [trees])
    leaf_factors = np.ones(trees)
    for factor in encoded:
        if len(factor.values) > 2:
            leaf_factors[factor.trees] = (len(factor.values) - 1) / len(factor.values)
    gradients = np.empty((trees, p))
    lanes = np.zeros((-(-trees // LANES), p, LANES))
    histograms = np.empty((trees, cells, 2))
    importances = np.zeros((trees, d))
    stages = []
    random_state = RandomState(seed)
    forecast = Forecast("its trees", _STAGES)

    threads = cores()
    point_tasks = _split(p, threads)
    cell_tasks = _split(cells, threads)
    tree_tasks = [
        (*task, new_workshop(n, p, d, cells)) for task in _split(trees, threads * _TASKS_PER_THREAD)
    ]
    with ThreadPoolExecutor(threads) as pool:
        for number in range(_STAGES):
            if number in _TOLD_AFTER:
                forecast.after(number)
            _run(
                pool,
                point_tasks,
                _set_gradients,
                labels,
                columns.weights,
                first_tree,
                raw,
                gradients,
                lanes,
            )
            _run(pool, cell_tasks, sum_roots, columns, lanes, histograms)
            priorities = random_state.random_sample((trees, INNER_NODES, d))
            targets = Targets(gradients, histograms, leaf_factors, priorities)
            stage = Trees(
                np.empty((trees, INNER_NODES), dtype=np.int64),
                np.empty((trees, INNER_NODES)),
                np.empty((trees, LEAVES)),
            )
            _run(pool, tree_tasks, grow_trees, columns, targets, stage, importances, raw)
            stages.append(stage)
    by_factor = np.stack([importances[factor.trees].sum(axis=0) for factor in encoded], axis=1)
    sums = by_factor.sum(axis=0)
    return Boosting(
        encoded, prior, stages, by_factor / np.where(sums > 0, sums, 1.0), raw[:, columns.point_of]
    )


def training_predictions(boosting: Boosting) -> NDArray:
    """The factors (n, k) predicted for the samples that it was fitted to."""
    return _decide(boosting, boosting.raw)


def predict(boosting: Boosting, codes: NDArray) -> NDArray:
    """The factors (m, k) predicted for codes (m, d)."""
    columns = np.ascontiguousarray(codes.astype(np.float32).T)
    raw = np.repeat(boosting.prior[:, np.newaxis], len(codes), axis=1)
    stages = Trees(*(np.stack(arrays) for arrays in zip(*boosting.stages, strict=True)))
    with ThreadPoolExecutor(cores()) as pool:
        _run(pool, _split(len(boosting.prior), cores()), _add_stages, stages, columns, raw)
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


def _split(total: int, parts: int) -> list[tuple[int, int]]:
    bounds = np.linspace(0, total, min(parts, max(total, 1)) + 1).astype(int).tolist()
    return list(pairwise(bounds))


def _run(
    pool: ThreadPoolExecutor,
    tasks: Iterable[tuple[Any, ...]],
    function: Callable[..., None],
    *arguments: Any,
) -> None:
    """Calls the function with each task's own arguments and the common ones, and waits."""
    for _ in pool.map(lambda task: function(*task, *arguments), tasks):
        pass


@njit
def _set_gradients(
    start: int,
    stop: int,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    first_tree: NDArray[np.int64],
    raw: NDArray[np.float64],
    gradients: NDArray[np.float64],
    lanes: NDArray[np.float64],
) -> None:
    """Negative gradients of the points from `start` to `stop`: label minus probability.

    Computed as scikit-learn does, since the last bit may decide which of two cuts is made.
    """
    largest = np.empty(_POINTS_AT_ONCE)
    total = np.empty(_POINTS_AT_ONCE)
    for begin in range(start, stop, _POINTS_AT_ONCE):
        end = min(begin + _POINTS_AT_ONCE, stop)
        for factor in range(len(labels)):
            first, after = first_tree[factor], first_tree[factor + 1]
            label = labels[factor, begin:end]
            if after - first == 1:
                scores, out = raw[first, begin:end], gradients[first, begin:end]
                for k in range(out.size):
                    odds = np.exp(-scores[k])
                    gradient = ((1 - label[k]) - label[k] * odds) / (1 + odds)
                    out[k] = -gradient if scores[k] > -37 else label[k] - np.exp(scores[k])
                continue
            largest[:] = -np.inf
            total[:] = 0.0
            for tree in range(first, after):
                scores = raw[tree, begin:end]
                for k in range(scores.size):
                    largest[k] = max(largest[k], scores[k])
            for tree in range(first, after):
                scores, out = raw[tree, begin:end], gradients[tree, begin:end]
                for k in range(out.size):
                    out[k] = np.exp(scores[k] - largest[k])
                    total[k] += out[k]
            for tree in range(first, after):
                out = gradients[tree, begin:end]
                for k in range(out.size):
                    out[k] = np.float64(label[k] == tree - first) - out[k] / total[k]
        for tree in range(len(gradients)):
            out, lane, rows = gradients[tree], tree % LANES, lanes[tree // LANES]
            for k in range(begin, end):
                rows[k, lane] = weights[k] * out[k]


@njit
def _add_stages(
    start: int, stop: int, stages: Trees, columns: NDArray[np.float32], raw: NDArray[np.float64]
) -> None:
    """Adds to the raw predictions what the trees from `start` to `stop` of all stages say.

    Args:
        start: First tree.
        stop: The tree after the last.
        stages: Trees (stages, trees, ...).
        columns: Codes (d, m).
        raw: (trees, m).
    """
    for tree in range(start, stop):
        for begin in range(0, raw.shape[1], _POINTS_AT_ONCE):
            end = min(begin + _POINTS_AT_ONCE, raw.shape[1])
            for stage in range(len(stages.column)):
                _add_tree(
                    stages.column[stage, tree],
                    stages.threshold[stage, tree],
                    stages.value[stage, tree],
                    columns[:, begin:end],
                    raw[tree, begin:end],
                )


@subroutine
def _add_tree(
    column: NDArray[np.int64],
    threshold: NDArray[np.float64],
    value: NDArray[np.float64],
    columns: NDArray[np.float32],
    raw: NDArray[np.float64],
) -> None:
    """All cuts of all rows are compared, and no row goes its own way, so that it is vectorised."""
    a, b, c, d = columns[column[0]], columns[column[1]], columns[column[2]], columns[column[3]]
    e, f, g = columns[column[4]], columns[column[5]], columns[column[6]]
    for row in range(raw.size):
        left = value[1] if d[row] > threshold[3] else value[0]
        right = value[3] if e[row] > threshold[4] else value[2]
        low = right if b[row] > threshold[1] else left
        left = value[5] if f[row] > threshold[5] else value[4]
        right = value[7] if g[row] > threshold[6] else value[6]
        high = right if c[row] > threshold[2] else left
        raw[row] += LEARNING_RATE * (high if a[row] > threshold[0] else low)


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
