"""Fits the trees of all factors, stage by stage."""

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.boosting.grouped_factor import GroupedFactor
from evaluation.metrics.boosting.growth.buffers import Trees
from evaluation.metrics.boosting.growth.columns import Columns
from evaluation.metrics.boosting.growth.groups import can_be_grouped, one_group
from evaluation.metrics.boosting.point_factors import PointFactors
from evaluation.metrics.boosting.threads import Threads


class Fitting:
    """Factors in what costs least: each in groups while they pay, else all together in points.

    Args:
        columns: The sorted codes.
        leaf_factors: On the values of leaves (trees,).
        prior: Raw predictions before the first stage (trees,).
    """

    def __init__(
        self, columns: Columns, leaf_factors: NDArray[np.float64], prior: NDArray[np.float64]
    ) -> None:
        self._columns, self._leaf_factors, self._prior = columns, leaf_factors, prior
        self._can_be_grouped = can_be_grouped(columns)
        self._grouped: list[GroupedFactor] = []
        self._others = PointFactors(columns, leaf_factors)
        self.importances = np.zeros((len(prior), len(columns.values)))
        """What each column's cuts have taken from each tree's error so far (trees, d)."""

    def add(self, trees: slice, labels: NDArray[np.int64]) -> None:
        """Takes a factor in: its trees, and the number of each sample's class (n,)."""
        prior = self._prior[trees]
        if not prior.size:
            return
        of_points = np.ascontiguousarray(labels[self._columns.firsts])
        groups = one_group(self._columns, of_points) if self._can_be_grouped else None
        if groups is None:
            raw = np.repeat(prior[:, np.newaxis], len(of_points), axis=1)
            self._others.add(trees, of_points, raw)
            return
        leaf_factor = float(self._leaf_factors[trees.start])
        self._grouped.append(GroupedFactor(trees, of_points, labels, leaf_factor, groups, prior))

    def grow(self, threads: Threads, priorities: NDArray[np.float64]) -> Trees:
        """The trees of the next stage; `priorities` (trees, 7, d) as in `Targets`."""
        stage = Trees.new(len(self._prior))
        trees = sum(factor.number for factor in self._grouped)
        threads.grow(
            task
            for factor in sorted(self._grouped, key=lambda one: -one.number)
            for task in factor.tasks(
                -(-threads.number * factor.number // trees),
                self._columns,
                priorities,
                stage,
                self.importances,
            )
        )
        self._others.grow(threads, priorities, stage, self.importances)
        for factor in [one for one in self._grouped if not one.follow(self._columns, stage)]:
            self._grouped.remove(factor)
            self._others.add(factor.trees, factor.labels, factor.raw_after(self._columns, stage))
        return stage

    def raw(self) -> NDArray[np.float64]:
        """Raw predictions of the points (trees, p)."""
        raw = np.empty((len(self._prior), len(self._columns.weights)))
        raw[self._others.trees] = self._others.raw
        for factor in self._grouped:
            raw[factor.trees] = factor.raw
        return raw
