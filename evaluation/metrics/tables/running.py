"""Scores of codes that come batch by batch, in a training loop, say: torchmetrics' manner."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.arrays import as_array
from evaluation.metrics.registry import METRICS
from evaluation.metrics.tables.scoring import names_of


class RunningScores:
    """Keeps codes and factors of all batches, and scores them together.

    Where processes of PyTorch run together, `compute` gathers what all of them keep, and each gets
    the same scores.

    Args:
        metrics: Names in `registry.METRICS`, or "all"; the challenge's five if None.
        kinds: What some of the factors are: see `tables.functions`.
        seed: Of the draws.

    Raises:
        ValueError: there is no metric of a name.

    Example:
        >>> scores = RunningScores(["mig"])
        >>> for color in range(3):
        ...     factors = [[color, size] for size in range(4)]
        ...     scores.update(factors, factors)
        >>> {name: round(score, 3) for name, score in scores.compute().items()}
        {'mig': 1.0}
    """

    def __init__(
        self,
        metrics: Sequence[str] | str | None = None,
        *,
        kinds: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self._names = names_of(metrics)
        self._kinds = kinds
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Forgets all codes and factors."""
        self._codes: list[NDArray] = []
        self._factors: list[dict[str, NDArray]] = []

    def update(self, codes: Any, factors: Any) -> None:
        """Adds codes (n, d), or (n, tokens, width), and factors (n, k) of some points.

        Raises:
            ValueError: their shapes, or the factors' names, do not fit each other or what is kept.
        """
        from evaluation.data.factor_columns import by_name

        array, columns = np.array(as_array(codes)), by_name(factors)
        rows = len(next(iter(columns.values())))
        if array.ndim < 2 or len(array) != rows:
            raise ValueError(
                f"The shape of codes is {array.shape}, and factors have {rows} rows; codes must be"
                " (n, d), with one row for each point."
            )
        if self._codes and array.shape[1:] != self._codes[0].shape[1:]:
            raise ValueError(
                f"The shape of codes is {array.shape}, and was {self._codes[0].shape} before; only"
                " the number of rows may differ."
            )
        if self._factors and columns.keys() != self._factors[0].keys():
            raise ValueError(
                f"Factors are {', '.join(columns)}, and were {', '.join(self._factors[0])} before."
            )
        self._codes.append(array)
        self._factors.append({name: np.array(column) for name, column in columns.items()})

    def compute(self) -> dict[str, float]:
        """The scores by metric, without those that the rows do not allow: see `score`.

        Raises:
            ValueError: there are no codes, or they or the factors are missing or not finite.
        """
        from evaluation.metrics.tables.applicability import left_out
        from evaluation.metrics.tables.opening import open_arrays

        parts = [
            part
            for kept in _of_all_processes((self._codes, self._factors))
            for part in zip(*kept, strict=True)
        ]
        if not parts:
            raise ValueError("There are no codes yet; call update first.")
        codes = np.concatenate([codes for codes, _ in parts])
        factors = {
            name: np.concatenate([columns[name] for _, columns in parts]) for name in parts[0][1]
        }
        given = open_arrays(codes, factors, self._kinds, self._seed)
        reasons = left_out(given.data, self._names)
        return {
            name: float(given.compute(name, self._seed)[METRICS[name].score_key])
            for name in self._names
            if name not in reasons
        }


def _of_all_processes(kept: Any) -> list[Any]:
    """What each process of PyTorch's default group keeps, or this one where there is none."""
    torch = sys.modules.get("torch")  # who has a group has imported it
    if torch is None or not torch.distributed.is_available():
        return [kept]
    if not torch.distributed.is_initialized():
        return [kept]
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, kept)
    return gathered
