"""A factor whose trees are grown from groups of points."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled.exponentials import tables
from evaluation.metrics.boosting.growth.buffers import Trees
from evaluation.metrics.boosting.growth.columns import Columns
from evaluation.metrics.boosting.growth.grouped_trees import GroupTargets, grow_grouped_trees
from evaluation.metrics.boosting.growth.groups import Groups, parted
from evaluation.metrics.boosting.losses import set_group_gradients
from evaluation.metrics.boosting.predictions import add_stages
from evaluation.metrics.boosting.threads import split

_MOST_REGROUPINGS = 20
"""A factor that needs more has other cuts in each stage, and is cheaper with points."""


class GroupedFactor:
    """A factor whose trees are grown from groups.

    Args:
        trees: Which trees are the factor's.
        labels: Each point's class (p,).
        sample_labels: Each sample's class (n,).
        leaf_factor: On the values of leaves.
        groups: All points in one group.
        prior: Raw predictions before the first stage (trees,).
    """

    def __init__(
        self,
        trees: slice,
        labels: NDArray[np.int64],
        sample_labels: NDArray[np.int64],
        leaf_factor: float,
        groups: Groups,
        prior: NDArray[np.float64],
    ) -> None:
        self.trees, self.labels, self.leaf_factor = trees, labels, leaf_factor
        self.number = len(prior)
        self._groups = groups
        self._raw = np.repeat(prior[:, np.newaxis], len(groups.sizes), axis=1)
        self._point_labels = labels.astype(np.uint32)
        self._sample_labels = sample_labels.astype(np.uint32)
        self._parts_groups = np.zeros(self.number, dtype=np.bool_)
        self._regroupings = 0

    def tasks(
        self,
        parts: int,
        columns: Columns,
        priorities: NDArray[np.float64],
        stage: Trees,
        importances: NDArray[np.float64],
    ) -> list[tuple[Any, ...]]:
        """What grows the factor's trees of a stage in so many parts: see `grow_grouped_trees`."""
        other, own = np.empty((2, *self._raw.shape))
        set_group_gradients(self._raw, other, own, tables())
        targets = GroupTargets(
            int(self.number == 1),
            self._point_labels,
            self._sample_labels,
            other,
            own,
            self.leaf_factor,
            priorities[self.trees],
        )
        common = (
            columns,
            self._groups,
            targets,
            stage.at(self.trees),
            importances[self.trees],
            self._parts_groups,
        )
        return [(grow_grouped_trees, *part, *common) for part in split(self.number, parts)]

    def follow(self, columns: Columns, stage: Trees) -> bool:
        """Adds a stage's trees to the predictions; False if groups no longer pay.

        Then nothing is added, and `raw_after` tells what the points have after it.
        """
        trees = stage.at(self.trees)
        if self._parts_groups.any():
            if self._regroupings == _MOST_REGROUPINGS:
                return False
            self._regroupings += 1
            groups = parted(
                self._groups,
                columns,
                self.labels,
                trees.column[self._parts_groups].ravel(),
                trees.threshold[self._parts_groups].ravel(),
            )
            if groups is None:
                return False
            _, points = np.unique(groups.of_point, return_index=True)
            self._raw = np.ascontiguousarray(self._raw[:, self._groups.of_point[points]])
            self._groups = groups
        add_stages(0, self.number, trees.at(np.newaxis), self._groups.codes, self._raw)
        return True

    def raw_after(self, columns: Columns, stage: Trees) -> NDArray[np.float64]:
        """Raw predictions of the points (trees, p) after one more stage."""
        raw = self.raw
        trees = stage.at(self.trees)
        add_stages(0, self.number, trees.at(np.newaxis), columns.values, raw)
        return raw

    @property
    def raw(self) -> NDArray[np.float64]:
        """Raw predictions of the points (trees, p)."""
        return np.ascontiguousarray(self._raw[:, self._groups.of_point])
