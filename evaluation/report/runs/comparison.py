"""Several runs side by side: scores, and how far they are from the first beyond its noise."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import UnsetType

from evaluation.metrics.baselines import spread
from evaluation.scores import Report


class Difference(NamedTuple):
    """One metric of a run, less that of the first.

    Args:
        value: The difference of the scores.
        interval: 95 % bootstrap interval of the mean difference over the sampling seeds that both
            runs have; None where they share fewer than two.
    """

    value: float
    interval: tuple[float, float] | None


class Compared(NamedTuple):
    """One run of several.

    Args:
        name: Its name.
        dataset: What it was graded on.
        scores: By metric; None where there is none.
        differences: From the first run, by metric; empty for the first.
        best: The metrics in which no run on the same data is better.
    """

    name: str
    dataset: str
    scores: dict[str, float | None]
    differences: dict[str, Difference]
    best: frozenset[str]


def compare(runs: Mapping[str, Report]) -> list[Compared]:
    """The runs, each against the first, in their order.

    Args:
        runs: By name, one or more.
    """
    reports = list(runs.values())
    metrics = list(dict.fromkeys(name for report in reports for name in report.scores))
    highest: dict[tuple[tuple[str, str], str], float] = {}
    for report in reports:
        for metric in metrics:
            key = _data(report), metric
            highest[key] = max(highest.get(key, -np.inf), _known(report, metric))
    compared = []
    for name, report in runs.items():
        differences = {
            metric: found
            for metric in metrics
            if report is not reports[0]
            and (found := difference(reports[0], report, metric)) is not None
        }
        best = frozenset(
            metric
            for metric in metrics
            if -np.inf < _known(report, metric) == highest[_data(report), metric]
        )
        scores = {metric: report.scores.get(metric) for metric in metrics}
        compared.append(Compared(name, report.dataset, scores, differences, best))
    return compared


def difference(first: Report, other: Report, metric: str) -> Difference | None:
    """`other` less `first`; None where one has no score, or they are of different data.

    Seeds are paired: a sampling seed draws the same images for both runs.
    """
    before, after = first.scores.get(metric), other.scores.get(metric)
    if before is None or after is None or _data(first) != _data(other):
        return None
    ours, theirs = _by_seed(first, metric), _by_seed(other, metric)
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) < 2:
        return Difference(after - before, None)
    low, high = spread([theirs[seed] - ours[seed] for seed in shared])["interval"]
    return Difference(after - before, (low, high))


def _data(report: Report) -> tuple[str, str]:
    return report.dataset, report.made_from.data


def _by_seed(report: Report, metric: str) -> dict[int, float]:
    if isinstance(report.seeds, UnsetType) or metric not in report.seeds:
        return {}
    scores: Sequence[float] = report.seeds[metric].scores
    return dict(enumerate(scores, report.seed))


def _known(report: Report, metric: str) -> float:
    score = report.scores.get(metric)
    return -np.inf if score is None else score
