"""The values of a tree's leaves, as scikit-learn finds them, to the last bit."""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import subroutine
from evaluation.metrics.boosting.growth.buffers import INNER_NODES, LEAVES, Workshop

_LEAF_OF = np.array([0, 0, 4, 0, 2, 4, 6, 0, 1, 2, 3, 4, 5, 6, 7])
"""The leaf of what came to a node and no further: it is sent left."""

_BYTE = np.uint64(255)
_COUNTED_AT_ONCE = 255


@subroutine
def set_leaves(
    point_of: NDArray[np.uint32],
    gradient: NDArray[np.float64],
    factor: float,
    node_of: NDArray[np.uint8],
    work: Workshop,
    values: NDArray[np.float64],
) -> None:
    """Fills the values (8,) of a tree's leaves, from the nodes that points have come to.

    Args:
        point_of: The point of each sample (n,).
        gradient: (p,).
        factor: On the values.
        node_of: The node of each point (p,); becomes the number of its leaf.
        work: Has the nodes' sizes; its terms are overwritten.
        values: (8,).
    """
    terms = work.terms
    if work.sizes[0] == point_of.size:  # the tree has no cut
        node_of[:] = values[:] = 0
        for sample in range(point_of.size):
            terms[sample] = gradient[point_of[sample]]
        values[0] = _newton_step(terms[: point_of.size], factor)
        return
    for point in range(node_of.size):
        node_of[point] = _LEAF_OF[node_of[point]]
    end = np.zeros(LEAVES, dtype=np.uint64)
    for number in range(INNER_NODES + LEAVES):
        for leaf in range(_LEAF_OF[number] + 1, LEAVES):
            end[leaf] += np.uint64(work.sizes[number])
    for start in range(0, point_of.size, _COUNTED_AT_ONCE):
        # A byte a leaf counts what came to it, since counters in memory would wait for each other.
        counts = np.uint64(0)
        for point in point_of[start : start + _COUNTED_AT_ONCE]:
            shift = np.uint64(node_of[point]) << np.uint64(3)
            terms[end[node_of[point]] + ((counts >> shift) & _BYTE)] = gradient[point]
            counts += np.uint64(1) << shift
        for leaf in range(LEAVES):
            end[leaf] += (counts >> np.uint64(8 * leaf)) & _BYTE
    begin = np.uint64(0)
    for leaf in range(LEAVES):
        values[leaf] = _newton_step(terms[begin : end[leaf]], factor)
        begin = end[leaf]


@subroutine
def _newton_step(terms: NDArray[np.float64], factor: float) -> float:
    n = terms.size
    if n == 0:
        return 0.0
    numerator = pairwise_sum(terms) / n * factor
    for k in range(n):
        probability = (1.0 if terms[k] > 0.0 else 0.0) - terms[k]
        terms[k] = probability * (1.0 - probability)
    denominator = pairwise_sum(terms) / n
    return numerator / denominator if abs(denominator) >= 1e-150 else 0.0


@subroutine
def pairwise_sum(terms: NDArray[np.float64]) -> float:
    """The sum in NumPy's order: halved down to blocks of at most 128.

    Not recursive, since numba cannot load a recursive function from its cache into a caller.
    """
    sizes = np.empty(64, dtype=np.int64)
    first_halves = np.empty(64)
    halves_done = np.zeros(64, dtype=np.int64)
    sizes[0] = terms.size
    begin = depth = 0
    total = 0.0
    while depth >= 0:
        half = sizes[depth] // 2 - sizes[depth] // 2 % 8
        if sizes[depth] <= 128:
            total = _block_sum(terms[begin : begin + sizes[depth]])
            begin += sizes[depth]
            depth -= 1
        elif halves_done[depth] == 2:
            total += first_halves[depth]
            depth -= 1
        else:
            first_halves[depth] = total
            sizes[depth + 1] = sizes[depth] - half if halves_done[depth] else half
            halves_done[depth] += 1
            halves_done[depth + 1] = 0
            depth += 1
    return total


@subroutine
def _block_sum(terms: NDArray[np.float64]) -> float:
    """The sum of a block in NumPy's order: in eight lanes, then what is left."""
    a = b = c = d = e = f = g = h = 0.0
    whole = terms.size - terms.size % 8
    for k in range(0, whole, 8):
        a += terms[k]
        b += terms[k + 1]
        c += terms[k + 2]
        d += terms[k + 3]
        e += terms[k + 4]
        f += terms[k + 5]
        g += terms[k + 6]
        h += terms[k + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for k in range(whole, terms.size):
        total += terms[k]
    return total
