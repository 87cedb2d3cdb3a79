"""Negative gradients of the log loss: label minus probability.

Computed as scikit-learn does, since the last bit may decide which of two cuts is made.
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine
from evaluation.common.compiled.exponentials import Tables, add_exponentials
from evaluation.metrics.boosting.growth.histograms import LANES


@njit
def set_gradients(
    begin: int,
    end: int,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    first_tree: NDArray[np.int64],
    raw: NDArray[np.float64],
    gradients: NDArray[np.float64],
    lanes: NDArray[np.float64],
    tables: Tables,
) -> None:
    """Fills the gradients of the points from `begin` to `end`: few enough for a cache.

    Args:
        begin: First point.
        end: The point after the last.
        labels: Numbers of the points' classes (k, p).
        weights: How many samples a point stands for (p,).
        first_tree: The first tree of each factor, and the number of trees (k + 1,).
        raw: Raw predictions (trees, p).
        gradients: (trees, p), filled.
        lanes: The same times the weights, as `histograms.sum_roots` wants them; filled.
        tables: See `exponentials`.
    """
    total = np.empty(end - begin)
    scratch = np.empty((3, end - begin))
    for factor in range(len(labels)):
        first, after = first_tree[factor], first_tree[factor + 1]
        label = labels[factor][begin:end]
        if after - first == 1:
            scores, out = raw[first][begin:end], gradients[first][begin:end]
            for k in range(out.size):
                out[k] = _of_two_classes(scores[k], label[k])
            continue
        _exponentials(raw, gradients, first, after, begin, end, total, scratch, tables)
        for tree in range(first, after):
            out = gradients[tree][begin:end]
            for k in range(out.size):
                out[k] = 0.0 - out[k] / total[k]
        for k in range(label.size):
            gradients[first + label[k], begin + k] += 1.0
    _set_lanes(begin, end, weights, gradients, lanes)


@njit
def set_group_gradients(
    raw: NDArray[np.float64],
    other: NDArray[np.float64],
    own: NDArray[np.float64],
    tables: Tables,
) -> None:
    """Fills the gradients of one factor's groups of points.

    Args:
        raw: Raw predictions (trees, g).
        other: Gradients of points of other classes than the tree's (trees, g), filled.
        own: Gradients of points of the tree's class (trees, g), filled.
        tables: See `exponentials`.
    """
    if len(raw) == 1:
        for k in range(raw.shape[1]):
            other[0, k] = _of_two_classes(raw[0, k], 0)
            own[0, k] = _of_two_classes(raw[0, k], 1)
        return
    groups = raw.shape[1]
    total = np.empty(groups)
    _exponentials(raw, other, 0, len(raw), 0, groups, total, np.empty((3, groups)), tables)
    for tree in range(len(raw)):
        for k in range(raw.shape[1]):
            probability = other[tree, k] / total[k]
            other[tree, k] = 0.0 - probability
            own[tree, k] = 1.0 - probability


@subroutine
def _set_lanes(
    begin: int,
    end: int,
    weights: NDArray[np.float64],
    gradients: NDArray[np.float64],
    lanes: NDArray[np.float64],
) -> None:
    whole = len(gradients) // LANES
    for block in range(whole):
        first, rows = LANES * block, lanes[block]
        a, b, c, d = (
            gradients[first],
            gradients[first + 1],
            gradients[first + 2],
            gradients[first + 3],
        )
        e, f, g, h = (
            gradients[first + 4],
            gradients[first + 5],
            gradients[first + 6],
            gradients[first + 7],
        )
        for k in range(begin, end):
            row, weight = rows[k], weights[k]
            row[0] = weight * a[k]
            row[1] = weight * b[k]
            row[2] = weight * c[k]
            row[3] = weight * d[k]
            row[4] = weight * e[k]
            row[5] = weight * f[k]
            row[6] = weight * g[k]
            row[7] = weight * h[k]
    for tree in range(LANES * whole, len(gradients)):
        lane, rows, gradient = tree % LANES, lanes[whole], gradients[tree]
        for k in range(begin, end):
            rows[k, lane] = weights[k] * gradient[k]


@subroutine
def _of_two_classes(score: float, label: int) -> float:
    if score <= -37:
        return label - np.exp(score)
    odds = np.exp(-score)
    return -(((1 - label) - label * odds) / (1 + odds))


@subroutine
def _exponentials(
    raw: NDArray[np.float64],
    out: NDArray[np.float64],
    first: int,
    after: int,
    begin: int,
    end: int,
    total: NDArray[np.float64],
    scratch: NDArray[np.float64],
    tables: Tables,
) -> None:
    """Fills a factor's part of `out` with what is to be divided by `total` to be probabilities.

    Args:
        raw: Raw predictions of all trees (trees, p).
        out: (trees, p).
        first: The factor's first tree.
        after: The one after its last.
        begin: The first point.
        end: The one after the last.
        total: (end - begin,), filled.
        scratch: (3, at least end - begin), overwritten.
        tables: See `exponentials`.
    """
    # Rows are taken before parts of them, as only so numba knows that their numbers are neighbours.
    largest = scratch[2][: total.size]
    largest[:] = -np.inf
    total[:] = 0.0
    for tree in range(first, after):
        scores = raw[tree][begin:end]
        for k in range(largest.size):
            largest[k] = scores[k] if scores[k] > largest[k] else largest[k]
    for tree in range(first, after):
        add_exponentials(
            raw[tree][begin:end], largest, out[tree][begin:end], total, scratch, tables
        )
