"""The metrics on a table of codes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import RandomState

from evaluation.common.errors import KitError
from evaluation.common.terminal import progress
from evaluation.data.factor_table import Numbered
from evaluation.metrics import METRICS
from evaluation.metrics.sampling import Representation
from evaluation.metrics.tables.applicability import as_taken
from evaluation.rules import FAST, REFERENCE, Rules
from evaluation.scores import Verification


@dataclass(frozen=True)
class Evaluation:
    """What the metrics returned for one table of codes and one seed."""

    results: dict[str, dict[str, Any]]
    seconds: dict[str, float]

    @property
    def scores(self) -> dict[str, float]:
        return {
            name: float(result[METRICS[name].score_key]) for name, result in self.results.items()
        }

    @property
    def further(self) -> dict[str, float]:
        """Further scores worth showing, as `metric.key`."""
        return {
            f"{name}.{key}": float(result[key])
            for name, result in self.results.items()
            for key in METRICS[name].further_keys
        }


def evaluate(
    names: Sequence[str], implementation: str, data: Numbered, table: Representation, seed: int
) -> Evaluation:
    """Runs the metrics, each from a fresh `RandomState(seed)`."""
    results, seconds = {}, {}
    with progress("Metrics", len(names), alike=False) as advance:
        for name in names:
            advance(0, note=name)
            compute = METRICS[name].load()
            if implementation == REFERENCE:
                from evaluation import reference

                compute = reference.load(METRICS[name])
            start = time.monotonic()
            results[name] = compute(as_taken(data, name), table, RandomState(seed))
            seconds[name] = time.monotonic() - start
            advance(1)
    return Evaluation(results, seconds)


def evaluate_seeds(
    rules: Rules, implementation: str, data: Numbered, table: Representation
) -> list[Evaluation]:
    """`evaluate` once for each seed of the rules."""
    return [evaluate(rules.metrics, implementation, data, table, seed) for seed in rules.all_seeds]


def verify(
    graded: Evaluation, data: Numbered, table: Representation, rules: Rules
) -> dict[str, Verification]:
    """The scores of both implementations on the same codes, where a metric has a reference."""
    other = REFERENCE if rules.implementation == FAST else FAST
    comparison = {}
    for name in rules.metrics:
        if METRICS[name].reference is None:
            continue
        scores = {rules.implementation: graded.scores[name]}
        try:
            scores[other] = evaluate([name], other, data, table, rules.seed).scores[name]
        except KitError as error:
            if error.code != "REFERENCE-FAILS":
                raise
            scores[other] = np.nan
        fast, reference = scores[FAST], scores[REFERENCE]
        # Where the reference has no score, ours has nothing to equal.
        fails = not np.isfinite(reference)
        comparison[name] = Verification(
            fast=fast,
            disentanglement_lib=None if fails else reference,
            tolerance=METRICS[name].tolerance,
            within=bool(fails or abs(fast - reference) <= METRICS[name].tolerance),
        )
    return comparison
