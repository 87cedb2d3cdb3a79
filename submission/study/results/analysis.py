"""What the rows of a study say: functions of columns of numbers."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

MOST_LEVELS = 8
"""A binding with more numbers than this is cut into four groups of about as many runs each."""


class Explained(NamedTuple):
    """How much of a score's variance a grouping of the runs explains.

    Args:
        share: Between the means of the groups, of all; None where the score never changes, or where
            each run is a group of its own.
        chance: The share that groups of these sizes explain of pure noise, on average.
        groups: Their number.
    """

    share: float | None
    chance: float
    groups: int


def explained(groups: Sequence[Hashable], scores: NDArray[np.float64]) -> Explained:
    """The share of variance that a grouping explains, as in Locatello et al. 2019 (1811.12359).

    Runs without a score count as if they were not there.

    Args:
        groups: The group of each run.
        scores: A score (n,) of each run; NaN where it has none.
    """
    known = np.isfinite(scores)
    groups = [group for group, has_score in zip(groups, known, strict=True) if has_score]
    scores = scores[known]
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    total = float(((scores - scores.mean()) ** 2).sum()) if len(scores) else 0.0
    between = sum(
        len(places) * float(scores[places].mean() - scores.mean()) ** 2
        for places in members.values()
    )
    chance = (len(members) - 1) / (len(scores) - 1) if len(scores) > 1 else 1.0
    says_nothing = total < 1e-12 or len(members) == len(scores)
    share = None if says_nothing else min(between / total, 1.0)
    return Explained(share, chance, len(members))


def levels(values: Sequence[Any]) -> list[str]:
    """The group of each value; many different numbers are cut at their quartiles."""
    distinct = set(map(repr, values))
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(distinct) <= MOST_LEVELS or len(numbers) < len(values):
        short = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
        return short if len(set(short)) == len(distinct) else list(map(repr, values))
    cuts = np.quantile(numbers, (0, 0.25, 0.5, 0.75, 1))
    places = np.searchsorted(cuts[1:-1], numbers, side="right")
    return [f"{cuts[place]:.3g} to {cuts[place + 1]:.3g}" for place in places]


def rank_correlations(columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Spearman's correlations (m, m) of columns (n,), each pair over the runs that have both.

    NaN where fewer than three runs have both, or one of them never changes.
    """
    values = list(columns.values())
    found = np.full((len(values), len(values)), np.nan)
    for first, one in enumerate(values):
        for second, other in enumerate(values[: first + 1]):
            found[first, second] = found[second, first] = rank_correlation(one, other)
    return found


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's correlation of two columns (n,) over the rows that have both; NaN if none."""
    both = np.isfinite(one) & np.isfinite(other)
    ranks = rankdata(one[both]), rankdata(other[both])
    if both.sum() < 3 or np.ptp(ranks[0]) == 0 or np.ptp(ranks[1]) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


class Selection(NamedTuple):
    """What a rule that chooses a run without labels comes to.

    Args:
        correlation: Its rank correlation with the score; NaN if it has none.
        chosen: The place of the run that it chooses.
        score: The score of that run.
        beaten: Share of the runs whose score is lower.
    """

    correlation: float
    chosen: int
    score: float
    beaten: float


def selection(rule: NDArray[np.float64], scores: NDArray[np.float64]) -> Selection | None:
    """What comes of choosing the run with the highest value of a rule.

    None if no run has both, or if the rule says the same of all.
    """
    both = np.flatnonzero(np.isfinite(rule) & np.isfinite(scores))
    if not len(both) or (len(both) > 1 and np.ptp(rule[both]) == 0):
        return None
    chosen = both[rule[both].argmax()]
    beaten = float((scores[both] < scores[chosen]).mean())
    return Selection(rank_correlation(rule, scores), int(chosen), float(scores[chosen]), beaten)
