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

from evaluation.common.compiled import njit
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
from evaluation.metrics.boosting.trees import grow_trees

_STAGES = 100
_TASKS_PER_THREAD = 4
_ROWS_AT_ONCE = 512


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
    n, d = codes.shape
    columns = sort_columns(codes.astype(np.float32))
    encoded, prior = _encode(factors)
    trees, cells = len(prior), len(columns.divisible)
    raw = np.repeat(prior[:, np.newaxis], n, axis=1)
    labels = np.stack([factor.labels for factor in encoded])
    first_tree = np.array([factor.trees.start for factor in encoded] + [trees])
    leaf_factors = np.ones(trees)
    for factor in encoded:
        if len(factor.values) > 2:
            leaf_factors[factor.trees] = (len(factor.values) - 1) / len(factor.values)
    gradients = np.empty((trees, n))
    gradients_by_sample = np.empty((n, trees))
    totals, positives = np.empty((2, cells, trees))
    importances = np.zeros((trees, d))
    stages = []
    random_state = RandomState(seed)

    threads = cores()
    row_tasks = _split(n, -(-n // _ROWS_AT_ONCE))
    cell_tasks = _split(cells, threads)
    tree_tasks = [
        (*task, new_workshop(n, d, cells)) for task in _split(trees, threads * _TASKS_PER_THREAD)
    ]
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_STAGES):
            _run(
                pool,
                row_tasks,
                _set_gradients,
                labels,
                first_tree,
                raw,
                gradients,
                gradients_by_sample,
            )
            _run(
                pool,
                cell_tasks,
                _sum_by_cell,
                columns.order,
                columns.cell_start,
                gradients_by_sample,
                totals,
                positives,
            )
            priorities = random_state.random_sample((trees, INNER_NODES, d))
            targets = Targets(gradients, totals, positives, leaf_factors, priorities)
            stage = Trees(
                np.empty((trees, INNER_NODES), dtype=np.int64),
                np.empty((trees, INNER_NODES)),
                np.empty((trees, LEAVES)),
            )
            _run(pool, tree_tasks, grow_trees, columns, targets, stage, importances, raw)
            stages.append(stage)
    by_factor = np.stack([importances[factor.trees].sum(axis=0) for factor in encoded], axis=1)
    sums = by_factor.sum(axis=0)
    return Boosting(encoded, prior, stages, by_factor / np.where(sums > 0, sums, 1.0), raw)


def training_predictions(boosting: Boosting) -> NDArray:
    """The factors (n, k) predicted for the samples that it was fitted to."""
    return _decide(boosting, boosting.raw)


def predict(boosting: Boosting, codes: NDArray) -> NDArray:
    """The factors (m, k) predicted for codes (m, d)."""
    rows = codes.astype(np.float32)
    raw = np.repeat(boosting.prior[:, np.newaxis], len(rows), axis=1)
    tasks = _split(len(boosting.prior), cores())
    with ThreadPoolExecutor(cores()) as pool:
        for stage in boosting.stages:
            _run(pool, tasks, _add_stage, stage, rows, raw)
    return _decide(boosting, raw)


def _encode(factors: NDArray) -> tuple[list[Factor], NDArray[np.float64]]:
    """The factors, and the prior in log odds for two values, centred logarithms for more."""
    from scipy.special import logit
    from scipy.stats import gmean

    encoded: list[Factor] = []
    priors: list[NDArray[np.float64]] = []
    trees = 0
    for column in factors.T:
        values, labels, counts = np.unique(column, return_inverse=True, return_counts=True)
        shares = counts / len(column)
        prior = logit(shares[1:]) if len(values) <= 2 else np.log(shares / gmean(shares))
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
    first_tree: NDArray[np.int64],
    raw: NDArray[np.float64],
    gradients: NDArray[np.float64],
    gradients_by_sample: NDArray[np.float64],
) -> None:
    """Negative gradients of the samples from `start` to `stop`: label minus probability.

    Computed as scikit-learn does, since the last bit may decide which of two cuts is made.
    """
    largest = np.empty(stop - start)
    total = np.empty(stop - start)
    for factor in range(len(labels)):
        first, after = first_tree[factor], first_tree[factor + 1]
        label = labels[factor, start:stop]
        if after - first == 1:
            scores, out = raw[first, start:stop], gradients[first, start:stop]
            for k in range(out.size):
                odds = np.exp(-scores[k])
                gradient = ((1 - label[k]) - label[k] * odds) / (1 + odds)
                out[k] = -gradient if scores[k] > -37 else label[k] - np.exp(scores[k])
            continue
        largest[:] = -np.inf
        total[:] = 0.0
        for tree in range(first, after):
            scores = raw[tree, start:stop]
            for k in range(scores.size):
                largest[k] = max(largest[k], scores[k])
        for tree in range(first, after):
            scores, out = raw[tree, start:stop], gradients[tree, start:stop]
            for k in range(out.size):
                out[k] = np.exp(scores[k] - largest[k])
                total[k] += out[k]
        for tree in range(first, after):
            out = gradients[tree, start:stop]
            for k in range(out.size):
                out[k] = np.float64(label[k] == tree - first) - out[k] / total[k]
    gradients_by_sample[start:stop] = gradients[:, start:stop].T


@njit
def _sum_by_cell(
    start: int,
    stop: int,
    order: NDArray[np.uint32],
    cell_start: NDArray[np.int64],
    gradients_by_sample: NDArray[np.float64],
    totals: NDArray[np.float64],
    positives: NDArray[np.float64],
) -> None:
    """Sums, and sums of what is above 0, of the cells from `start` to `stop`, for all trees."""
    for cell in range(start, stop):
        total, positive = totals[cell], positives[cell]
        total[:] = 0.0
        positive[:] = 0.0
        for sample in order[cell_start[cell] : cell_start[cell + 1]]:
            gradient = gradients_by_sample[sample]
            for tree in range(total.size):
                total[tree] += gradient[tree]
                positive[tree] += max(gradient[tree], 0.0)


@njit
def _add_stage(
    start: int, stop: int, stage: Trees, codes: NDArray[np.float32], raw: NDArray[np.float64]
) -> None:
    """Adds to the raw predictions what the trees from `start` to `stop` say."""
    for tree in range(start, stop):
        for row in range(len(codes)):
            node = 0
            while node < INNER_NODES:
                above = codes[row, stage.column[tree, node]] > stage.threshold[tree, node]
                node = 2 * node + 1 + int(above)
            raw[tree, row] += LEARNING_RATE * stage.value[tree, node - INNER_NODES]


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
