"""Factors whose trees are grown from points, together."""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled.exponentials import tables
from evaluation.metrics.boosting.growth.buffers import Targets, Trees, Workshop
from evaluation.metrics.boosting.growth.columns import Columns
from evaluation.metrics.boosting.growth.histograms import LANES
from evaluation.metrics.boosting.stage import COUNTERS, give_up, grow_stage
from evaluation.metrics.boosting.threads import Threads


class PointFactors:
    """None at first.

    Args:
        columns: The sorted codes.
        leaf_factors: On the values of leaves, of all trees of the model (trees,).
    """

    def __init__(self, columns: Columns, leaf_factors: NDArray[np.float64]) -> None:
        self._columns, self._all_leaf_factors = columns, leaf_factors
        p = len(columns.weights)
        self.trees = np.empty(0, dtype=np.int64)
        self.raw = np.empty((0, p))
        self._labels = np.empty((0, p), dtype=np.int64)
        self._first_tree = np.zeros(1, dtype=np.int64)

    def add(self, trees: slice, labels: NDArray[np.int64], raw: NDArray[np.float64]) -> None:
        """Takes a factor in: its trees, its points' classes (p,) and raw predictions (trees, p)."""
        self.trees = np.append(self.trees, np.arange(trees.start, trees.stop))
        self.raw = np.concatenate((self.raw, raw))
        self._labels = np.concatenate((self._labels, labels[np.newaxis]))
        self._first_tree = np.append(self._first_tree, len(self.trees))
        number, p = self.raw.shape
        self._gradients = np.empty((number, p))
        self._lanes = np.zeros((-(-number // LANES), p, LANES))
        self._histograms = np.empty((number, self._columns.first_cell[-1], 2))

    def grow(
        self,
        threads: Threads,
        priorities: NDArray[np.float64],
        stage: Trees,
        importances: NDArray[np.float64],
    ) -> None:
        """Grows the factors' trees of a stage, and adds them to the predictions."""
        if not self.trees.size:
            return
        targets = Targets(
            self._gradients,
            self._histograms,
            self._all_leaf_factors[self.trees],
            priorities[self.trees],
        )
        grown, gains = Trees.new(len(self.trees)), importances[self.trees]
        counters = np.zeros(COUNTERS, dtype=np.int64)

        def take_pieces(work: Workshop) -> None:
            try:
                grow_stage(
                    work,
                    counters,
                    self._columns,
                    self._labels,
                    self._first_tree,
                    targets,
                    self._lanes,
                    grown,
                    gains,
                    self.raw,
                    tables(),
                )
            except BaseException:  # such as too little memory
                give_up(counters)
                raise

        threads.each(take_pieces)
        importances[self.trees] = gains
        for whole, part in zip(stage, grown, strict=True):
            whole[self.trees] = part
