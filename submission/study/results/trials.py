"""What a search tried, from the table of its runs."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from submission.study.plan import Plan, Run
from submission.study.search.objective import mode_of
from submission.study.settings import identity, labels


class Trial(NamedTuple):
    """A setting that a search tried, and what came of it.

    Args:
        label: The setting.
        value: The mean of the objective over its runs, None where there is none.
        epochs: Epochs of all its runs.
        state: "done", "stopped", or what its runs are otherwise.
        runs: Its runs.
    """

    label: str
    value: float | None
    epochs: int
    state: str
    runs: list[Run]


def trials_of(plan: Plan, rows: Sequence[Mapping[str, Any]]) -> list[Trial]:
    """What a search tried: what is done first, by its values, the best first; then the others.

    Args:
        plan: The study; without a search it has no trials.
        rows: A row of the table for each of its runs, in their order.
    """
    search = plan.study.search
    if search is None:
        return []
    by_setting: dict[Hashable, list[int]] = {}
    for place, run in enumerate(plan.runs):
        by_setting.setdefault(identity(run.setting), []).append(place)
    named = labels([plan.runs[places[0]].setting for places in by_setting.values()])
    datasets = dict.fromkeys([*plan.study.train.datasets, *plan.study.grade.datasets])
    columns = [search.objective, *(f"{name}/{search.objective}" for name in datasets)]
    found = []
    for name, places in zip(named, by_setting.values(), strict=True):
        own = [rows[place] for place in places]
        all_values = [row.get(column) for row in own for column in columns]
        values = [value for value in all_values if value is not None]
        states = {row["state"] for row in own}
        others = [state for state in ("refused", "stopped", "waiting") if state in states]
        found.append(
            Trial(
                name,
                float(np.mean(values)) if values else None,
                sum(row.get("epochs") or 0 for row in own),
                [*others, "done"][0],
                [plan.runs[place] for place in places],
            )
        )
    sign = 1 if mode_of(search.objective) == "min" else -1

    def order(trial: Trial) -> tuple[bool, float]:
        return trial.state != "done", np.inf if trial.value is None else sign * trial.value

    return sorted(found, key=order)
