"""What trees are grown from, what they become, and the memory in between.

The code that is compiled from this lies in `trees` and `model`, and numba's cache sees changes
there only: after one here, delete `__pycache__`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEARNING_RATE = 0.1
INNER_NODES = 7
LEAVES = 8
"""Nodes are numbered as in a heap: the children of i are 2i + 1 and 2i + 2; leaves come last."""

_TIES_PER_COLUMN = 16
"""As many equal cuts of a node are compared; more are passed over, in the order of columns.

All columns may be copies of one, which has one or two such cuts unless its samples are few.
"""


class Trees(NamedTuple):
    """Trees side by side; a node that is not cut sends everything left.

    Args:
        column: Columns of the inner nodes (trees, 7).
        threshold: Values up to these go left (trees, 7).
        value: Values of the leaves (trees, 8).
    """

    column: NDArray[np.int64]
    threshold: NDArray[np.float64]
    value: NDArray[np.float64]


class Targets(NamedTuple):
    """What the trees of one stage are fitted to.

    Args:
        gradients: Negative gradients (trees, n) of a log loss: label minus probability.
        totals: Their sums by cell (cells, trees).
        positives: The sums by cell of those above 0 (cells, trees).
        factors: On the values of the leaves (trees,).
        priorities: (trees, 7, d): of equal cuts the one of the highest priority is made.
    """

    gradients: NDArray[np.float64]
    totals: NDArray[np.float64]
    positives: NDArray[np.float64]
    factors: NDArray[np.float64]
    priorities: NDArray[np.float64]


class Workshop(NamedTuple):
    """Memory in which one tree after another is grown.

    Args:
        sums: Number and sum by cell of up to four nodes (4, cells, 2).
        positives: Their sums by cell of gradients above 0 (4, cells).
        members: Samples (n,), each node's side by side in ascending order.
        spare: (n,).
        node_of: (n,).
        begin: Where the members of each node begin (15,).
        end: Where they end (15,).
        paths: (5, cells): n and S before a cell, then its number, positive and negative sum.
        scores: Of the cut before each cell (cells,).
        promising: Whether to look into a cell (cells,).
        inside: Positions, within a cell, of the node's members (n + 1,).
        terms: Of a sum (n,).
        ties: Columns and positions of the best cuts (ties, 2).
    """

    sums: NDArray[np.float64]
    positives: NDArray[np.float64]
    members: NDArray[np.uint32]
    spare: NDArray[np.uint32]
    node_of: NDArray[np.int8]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    paths: NDArray[np.float64]
    scores: NDArray[np.float64]
    promising: NDArray[np.bool_]
    inside: NDArray[np.int64]
    terms: NDArray[np.float64]
    ties: NDArray[np.int64]


def new_workshop(n: int, d: int, cells: int) -> Workshop:
    return Workshop(
        sums=np.zeros((4, cells, 2)),
        positives=np.zeros((4, cells)),
        members=np.empty(n, dtype=np.uint32),
        spare=np.empty(n, dtype=np.uint32),
        node_of=np.empty(n, dtype=np.int8),
        begin=np.empty(INNER_NODES + LEAVES, dtype=np.int64),
        end=np.empty(INNER_NODES + LEAVES, dtype=np.int64),
        paths=np.empty((5, cells)),
        scores=np.empty(cells),
        promising=np.empty(cells, dtype=np.bool_),
        inside=np.empty(n + 1, dtype=np.int64),
        terms=np.empty(n),
        ties=np.empty((_TIES_PER_COLUMN * max(d, 16), 2), dtype=np.int64),
    )
