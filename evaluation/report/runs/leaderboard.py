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


class Board(NamedTuple):
    """Runs that can be ranked together, from the best to the last, one an owner.

    Args:
        dataset: The dataset's name.
        title: That, and whatever else tells the board from the others.
        placed: The runs.
    """

    dataset: str
    title: str
    placed: list[Placed]


def boards_of(runs: Mapping[str, Report]) -> list[Board]:
    """Graded runs in the challenge's order, a board for each protocol, by the dataset's name.

    Scores of other images or of other draws are no matter of rank. So a board holds the runs with
    the same name and fingerprint of the dataset and the same first sampling seed.

    Args:
        runs: By name, from the earliest to the latest. The owner of `alice/first` is alice; a run
            without an owner's folder is its own owner's.
    """
    grouped: dict[tuple[str, str, int], list[Entry]] = {}
    for name, report in runs.items():
        key = (report.dataset, report.made_from.data, report.seed)
        grouped.setdefault(key, []).append(Entry(name, name.split("/")[0], report.scores))
    fingerprints: dict[str, set[str]] = {}
    for dataset, fingerprint, _ in grouped:
        fingerprints.setdefault(dataset, set()).add(fingerprint)
    boards = []
    for (dataset, fingerprint, seed), entries in sorted(grouped.items()):
        told = [f"data {fingerprint[:8]}"] if len(fingerprints[dataset]) > 1 else []
        told += [f"seed {seed}"] if seed else []
        title = ", ".join([dataset, *told])
        boards.append(Board(dataset, title, leaderboard(entries, SCORES)))
    return boards


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
