"""What a search goes by: a value of each trial, and whether it takes labels."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from evaluation.common.errors import KitError
from submission.study.plan import Plan
from submission.study.records import Record
from submission.study.results.agreement import udr_of
from submission.study.running import unlabelled

BY_EPOCH = ("reconstruction", "kld")
"""Objectives that each epoch of a training has, too."""

UNLABELLED = (*BY_EPOCH, "udr")
"""Objectives that need no labels. All others are metrics."""


def uses_labels(objective: str) -> bool:
    """Whether an objective is a metric, which is computed from labels."""
    return objective not in UNLABELLED


def mode_of(objective: str) -> Literal["min", "max"]:
    """Which values are better: the lowest of reconstruction, else the highest, as on the page."""
    return "min" if objective == "reconstruction" else "max"


def value_of(objective: str, plan: Plan, records: Mapping[str, Record]) -> float:
    """The mean of an objective over the runs of one trial, and of a metric over the datasets.

    Args:
        objective: The objective.
        plan: The runs of the trial.
        records: What is known of each, by its key; all are done.

    Raises:
        KitError: `STUDY-OBJECTIVE`, a run has no such value.
    """
    values: Sequence[float | None]
    if objective == "udr":
        by_run = udr_of(plan, records)
        values = [by_run.get(run.key) for run in plan.runs]
    elif objective in BY_EPOCH:
        values = [records[run.key].unlabelled.get(objective) for run in plan.runs]
    else:
        values = [
            graded.scores.get(objective)
            for run in plan.runs
            for graded in records[run.key].graded.values()
        ]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        raise KitError(
            "STUDY-OBJECTIVE",
            f"{plan.runs[0].subject} has no {objective} for {len(values) - len(known)} of its "
            f"{len(values)} values",
            "Choose another search.objective: methods that are no VAE have only scores",
        )
    return float(np.mean(known))


def of_epoch(objective: str, row: dict[str, float]) -> float | None:
    """The objective of one epoch of a training, from its row of `stats.csv`, if it has one."""
    return unlabelled([row]).get(objective) if objective in BY_EPOCH else None
