"""The challenge's order of entries, as the published source of its evaluation site defines it."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evaluation.metrics import CHALLENGE
from evaluation.scores import Report

SCORES = tuple(metric.name for metric in CHALLENGE)
"""The scores that count in the challenge."""


class Entry(NamedTuple):
    """What takes part.

    Args:
        name: Its name.
        owner: Who handed it in.
        scores: By metric; None where there is none, which ranks below each score.
    """

    name: str
    owner: str
    scores: Mapping[str, float | None]


class Placed(NamedTuple):
    """An entry with its ranks by metric, and their unweighted mean: the lower the better."""

    entry: Entry
    ranks: dict[str, int]
    total: float


def in_challenge_order(runs: Mapping[str, Report]) -> list[Placed]:
    """Graded runs from the best to the last, one an owner.

    Args:
        runs: By name, from the earliest to the latest. The owner of `alice/first` is alice; a run
            without an owner's folder is its own owner's.
    """
    entries = [Entry(name, name.split("/")[0], report.scores) for name, report in runs.items()]
    return leaderboard(entries, SCORES)


def leaderboard(entries: Sequence[Entry], metrics: Sequence[str]) -> list[Placed]:
    """One entry an owner, from the best to the last.

    All entries are ranked together, the best one is fixed as its owner's, the owner's others are
    dropped, and so on with those that are left. Then those fixed are ranked among themselves.

    Args:
        entries: From the earliest to the latest: of equal totals the earlier is the better.
        metrics: The names of the scores that count, one or more.

    Example:
        >>> first = Entry("a1", "a", {"dci": 0.5, "mig": 0.1})
        >>> second = Entry("b1", "b", {"dci": 0.4, "mig": 0.2})
        >>> better = Entry("b2", "b", {"dci": 0.6, "mig": 0.2})
        >>> placed = leaderboard([first, second, better], ["dci", "mig"])
        >>> [(place.entry.name, place.total) for place in placed]
        [('b2', 1.0), ('a1', 2.0)]
    """
    left, fixed = list(range(len(entries))), []
    while left:
        best = min(_placed([entries[place] for place in left], metrics), key=_total)
        fixed.append(left[best[0]])
        left = [place for place in left if entries[place].owner != entries[fixed[-1]].owner]
    fixed.sort()  # back to the order of time, which decides ties
    among = _placed([entries[place] for place in fixed], metrics)
    return [place for _, place in sorted(among, key=_total)]


def _placed(entries: Sequence[Entry], metrics: Sequence[str]) -> list[tuple[int, Placed]]:
    ascending = {metric: sorted(_score(entry, metric) for entry in entries) for metric in metrics}
    found = []
    for number, entry in enumerate(entries):
        ranks = {metric: _rank(_score(entry, metric), ascending[metric]) for metric in metrics}
        found.append((number, Placed(entry, ranks, sum(ranks.values()) / len(ranks))))
    return found


def _rank(score: float, ascending: Sequence[float]) -> int:
    """1 + the number of scores that are strictly higher: equal ones share the better rank."""
    return 1 + len(ascending) - bisect_right(ascending, score)


def _score(entry: Entry, metric: str) -> float:
    score = entry.scores.get(metric)
    return float("-inf") if score is None else score


def _total(numbered: tuple[int, Placed]) -> float:
    return numbered[1].total
