"""What trees are grown from, what they become, and the memory in between."""

from typing import Any, NamedTuple

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

    @staticmethod
    def new(number: int) -> "Trees":
        """So many, not filled yet."""
        return Trees(
            np.empty((number, INNER_NODES), dtype=np.int64),
            np.empty((number, INNER_NODES)),
            np.empty((number, LEAVES)),
        )

    def at(self, trees: Any) -> "Trees":
        """Those at an index of NumPy's."""
        return Trees(self.column[trees], self.threshold[trees], self.value[trees])


class Targets(NamedTuple):
    """What the trees of one stage are fitted to.

    Args:
        gradients: Negative gradients (trees, p) of a log loss: label minus probability.
        histograms: Of the roots (trees, cells, 2), see `histograms`; overwritten.
        factors: On the values of the leaves (trees,).
        priorities: (trees, 7, d): of equal cuts the one of the highest priority is made.
    """

    gradients: NDArray[np.float64]
    histograms: NDArray[np.float64]
    factors: NDArray[np.float64]
    priorities: NDArray[np.float64]


class Workshop(NamedTuple):
    """Memory in which one tree after another is grown.

    Args:
        histograms: Of up to three nodes (3, cells, 2).
        root: Histogram of a root (cells, 2).
        gradient: Of the points (p,).
        half_gradient: Of halves of groups, see `grouped_trees` (p,).
        half_weight: Number of their samples (p,).
        half_node: The node that each has come to (p,).
        members: Points of one node (p + 1,).
        node_of: The node that each point has come to (p,).
        sizes: Number of samples of each node (15,).
        totals: Sum of the gradients of each inner node (7,).
        ranges: Between which those gradients lie (7, 2).
        before: Number and sum before each cell (2, cells).
        scores: Of the cut before each cell (cells,).
        promising: Whether to look into a cell (cells,).
        inside: Positions of the node's members within a cell (p + 1,).
        inside_before: Number and sum before each of them but the first (2, p + 1).
        terms: Of sums, each leaf's side by side (n,).
        samples: Points of a node's samples (n + 1,).
        sides: To which child each of them goes: see `ties` (n + 1,).
        moved: Points of those that swaps move (n + 1,).
        in_cell: Points of its samples in one cell (n + 1,).
        ties: Columns and positions of the best cuts (ties, 2).
        tie_sums: Number and sum before them (ties, 2).
    """

    histograms: NDArray[np.float64]
    root: NDArray[np.float64]
    gradient: NDArray[np.float64]
    half_gradient: NDArray[np.float64]
    half_weight: NDArray[np.float64]
    half_node: NDArray[np.uint8]
    members: NDArray[np.uint32]
    node_of: NDArray[np.uint8]
    sizes: NDArray[np.float64]
    totals: NDArray[np.float64]
    ranges: NDArray[np.float64]
    before: NDArray[np.float64]
    scores: NDArray[np.float64]
    promising: NDArray[np.bool_]
    inside: NDArray[np.uint32]
    inside_before: NDArray[np.float64]
    terms: NDArray[np.float64]
    samples: NDArray[np.uint32]
    sides: NDArray[np.uint8]
    moved: NDArray[np.uint32]
    in_cell: NDArray[np.uint32]
    ties: NDArray[np.int64]
    tie_sums: NDArray[np.float64]


def new_workshop(n: int, p: int, d: int, cells: int) -> Workshop:
    ties = _TIES_PER_COLUMN * max(d, 16)
    return Workshop(
        histograms=np.empty((3, cells, 2)),
        root=np.empty((cells, 2)),
        gradient=np.empty(p),
        half_gradient=np.empty(p),
        half_weight=np.empty(p),
        half_node=np.empty(p, dtype=np.uint8),
        members=np.empty(p + 1, dtype=np.uint32),
        node_of=np.empty(p, dtype=np.uint8),
        sizes=np.empty(INNER_NODES + LEAVES),
        totals=np.empty(INNER_NODES),
        ranges=np.empty((INNER_NODES, 2)),
        before=np.empty((2, cells)),
        scores=np.empty(cells),
        promising=np.empty(cells, dtype=np.bool_),
        inside=np.empty(p + 1, dtype=np.uint32),
        inside_before=np.empty((2, p + 1)),
        terms=np.empty(n),
        samples=np.empty(n + 1, dtype=np.uint32),
        sides=np.empty(n + 1, dtype=np.uint8),
        moved=np.empty(n + 1, dtype=np.uint32),
        in_cell=np.empty(n + 1, dtype=np.uint32),
        ties=np.empty((ties, 2), dtype=np.int64),
        tie_sums=np.empty((ties, 2)),
    )
