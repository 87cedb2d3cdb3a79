"""Negative gradients of the log loss: label minus probability.

Computed as scikit-learn does, since the last bit may decide which of two cuts is made.
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine
from evaluation.metrics.boosting.histograms import LANES

_POINTS_AT_ONCE = 512


@njit
def set_gradients(
    start: int,
    stop: int,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    first_tree: NDArray[np.int64],
    raw: NDArray[np.float64],
    gradients: NDArray[np.float64],
    lanes: NDArray[np.float64],
) -> None:
    """Fills the gradients of the points from `start` to `stop`.

    Args:
        start: First point.
        stop: The point after the last.
        labels: Numbers of the points' classes (k, p).
        weights: How many samples a point stands for (p,).
        first_tree: The first tree of each factor, and the number of trees (k + 1,).
        raw: Raw predictions (trees, p).
        gradients: (trees, p), filled.
        lanes: The same times the weights, as `histograms.sum_roots` wants them; filled.
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
                    out[k] = _of_two_classes(scores[k], label[k])
                continue
            scores_of, out_of = raw[first:after, begin:end], gradients[first:after, begin:end]
            _exponentials(scores_of, largest[: end - begin], total[: end - begin], out_of)
            for tree in range(after - first):
                out = out_of[tree]
                for k in range(out.size):
                    out[k] = np.float64(label[k] == tree) - out[k] / total[k]
        for tree in range(len(gradients)):
            out, lane, rows = gradients[tree], tree % LANES, lanes[tree // LANES]
            for k in range(begin, end):
                rows[k, lane] = weights[k] * out[k]


@njit
def set_group_gradients(
    raw: NDArray[np.float64], other: NDArray[np.float64], own: NDArray[np.float64]
) -> None:
    """Fills the gradients of one factor's groups of points.

    Args:
        raw: Raw predictions (trees, g).
        other: Gradients of points of other classes than the tree's (trees, g), filled.
        own: Gradients of points of the tree's class (trees, g), filled.
    """
    if len(raw) == 1:
        for k in range(raw.shape[1]):
            other[0, k] = _of_two_classes(raw[0, k], 0)
            own[0, k] = _of_two_classes(raw[0, k], 1)
        return
    largest, total = np.empty(raw.shape[1]), np.empty(raw.shape[1])
    _exponentials(raw, largest, total, other)
    for tree in range(len(raw)):
        for k in range(raw.shape[1]):
            probability = other[tree, k] / total[k]
            other[tree, k] = 0.0 - probability
            own[tree, k] = 1.0 - probability


@subroutine
def _of_two_classes(score: float, label: int) -> float:
    if score <= -37:
        return label - np.exp(score)
    odds = np.exp(-score)
    return -(((1 - label) - label * odds) / (1 + odds))


@subroutine
def _exponentials(
    raw: NDArray[np.float64],
    largest: NDArray[np.float64],
    total: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fills `out` (trees, m) with what is to be divided by `total` (m,) to be probabilities."""
    largest[:] = -np.inf
    total[:] = 0.0
    for tree in range(len(raw)):
        scores = raw[tree]
        for k in range(scores.size):
            largest[k] = max(largest[k], scores[k])
    for tree in range(len(raw)):
        scores, row = raw[tree], out[tree]
        for k in range(row.size):
            row[k] = np.exp(scores[k] - largest[k])
            total[k] += row[k]
