"""The metrics: by name in `METRICS`, and as functions of codes and factors.

Importing this loads none of them.

Example:
    >>> from evaluation.metrics import mig
    >>> factors = [[color, size] for color in range(3) for size in range(4)]
    >>> round(mig(factors, factors)["discrete_mig"], 3)
    1.0
"""

import sys
from types import ModuleType
from typing import Any

from evaluation.metrics.registry import CHALLENGE, EXTRA, METRICS, Metric
from evaluation.metrics.tables.functions import (
    beta_vae,
    dci,
    factor_vae,
    infomec,
    irs,
    mig,
    modularity_explicitness,
    sap,
)
from evaluation.metrics.tables.running import RunningScores
from evaluation.metrics.tables.scoring import TableScores, score

__all__ = [
    "CHALLENGE",
    "EXTRA",
    "METRICS",
    "Metric",
    "RunningScores",
    "TableScores",
    "beta_vae",
    "dci",
    "factor_vae",
    "infomec",
    "irs",
    "mig",
    "modularity_explicitness",
    "sap",
    "score",
]


class _Package(ModuleType):
    """A package whose functions keep their names when a module of the same name is imported.

    Python then binds the module, in the place of the function. To import the modules first would
    cost each command the time that numba takes.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
