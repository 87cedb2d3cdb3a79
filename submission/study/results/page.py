"""`study.html`: what a study found, as one file to look at."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.files import whole_file
from evaluation.report import page
from evaluation.report.heat_maps import HeatMap, heat_map
from evaluation.report.summary import SHORT
from evaluation.report.violins import violins
from submission.study.plan import MODEL_ID, Plan, Run
from submission.study.results.analysis import (
    Explained,
    Selection,
    explained,
    levels,
    rank_correlations,
    selection,
)
from submission.study.results.trials import trials_of
from submission.study.running import Doing
from submission.study.search.objective import uses_labels
from submission.study.settings import identity, labels

NAME = "study.html"
AGAIN = "again"
"""The folder, in that of the study, for runs that somebody makes again."""
_TEMPLATES = Path(__file__).parent / "templates"
_MOST_GROUPS = 12
_MOST_BEST = 5

_RULES = {
    "UDR, the highest": ("udr", 1),
    "Reconstruction error, the lowest": ("reconstruction", -1),
    "Divergence (KLD), the highest": ("kld", 1),
}
"""Rules that choose a run without labels: the column, and its direction."""


class Score(NamedTuple):
    """A column of scores: its name in the table, its dataset and metric, and the metric's name."""

    column: str
    dataset: str
    metric: str
    short: str


class Best(NamedTuple):
    """A run that is best in some scores, and the commands that make it again."""

    label: str
    scores: list[tuple[str, float]]
    commands: str


def write_page(plan: Plan, doing: Doing, rows: Sequence[Mapping[str, Any]], name: str) -> Path:
    """Writes the page of a study from the rows of its table, and returns its path.

    Args:
        plan: The study.
        doing: How its runs are done.
        rows: A row for each run of the plan, in its order.
        name: The name of the study.
    """
    done = [place for place, row in enumerate(rows) if row["state"] == "done"]
    runs, found = [plan.runs[place] for place in done], [rows[place] for place in done]
    scores, subjects = _scores(found), _subjects(plan.runs)
    numbers = {score.column: _column(found, score.column) for score in scores}
    trials = trials_of(plan, rows)
    from jinja2 import FileSystemLoader

    template = page.environment().overlay(loader=FileSystemLoader([_TEMPLATES, page.TEMPLATES]))
    text = template.get_template("study.html").render(
        name=name,
        total=len(rows),
        done=len(found),
        settings=len({identity(run.setting) for run in runs}),
        seeds=len({run.seed for run in runs}),
        datasets=list(dict.fromkeys(run.dataset for run in runs)),
        codes_from=plan.study.grade.codes_from,
        sampling_seeds=plan.study.grade.seeds,
        search=plan.study.search,
        again=plan.folder / AGAIN,
        search_uses_labels=plan.study.search and uses_labels(plan.study.search.objective),
        scores=scores,
        drawings=_drawings(runs, scores, numbers),
        effects=_effects(runs, scores, numbers),
        correlations=_correlations(scores, numbers),
        selections=_selections(found, scores, numbers),
        mean={name: float(np.nanmean(values)) for name, values in numbers.items()},
        highest={name: float(np.nanmax(values)) for name, values in numbers.items()},
        best=_best(runs, subjects, scores, numbers, doing),
        refused=[
            (subjects[plan.runs[place].key], row["problem"])
            for place, row in enumerate(rows)
            if row["state"] == "refused"
        ],
        waiting=Counter(row["problem"] for row in rows if row["state"] == "waiting"),
        trials=trials,
        best_trial="\n".join(_commands(run, doing) for run in trials[0].runs) if trials else "",
        rows=[(subjects[run.key], row) for run, row in zip(runs, found, strict=True)],
    )
    path = plan.folder / NAME
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _scores(rows: Sequence[Mapping[str, Any]]) -> list[Score]:
    columns = dict.fromkeys(name for row in rows for name in row if "/" in name)
    found = []
    for column in columns:
        dataset, _, metric = column.partition("/")
        # Not the bounds of an interval, nor a score that no run has.
        if metric in SHORT and np.isfinite(_column(rows, column)).any():
            found.append(Score(column, dataset, metric, SHORT[metric]))
    several = len({score.dataset for score in found}) > 1
    return [
        score._replace(short=f"{score.short} on {score.dataset}") if several else score
        for score in found
    ]


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """A column (n,) of numbers, NaN where there is none."""
    values = [row.get(name) for row in rows]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _groupings(runs: Sequence[Run]) -> dict[str, list[str]]:
    """By the name of each binding that varies, the group of each run."""
    names = dict.fromkeys(name for run in runs for name in run.setting)
    groups = {name: levels([run.setting.get(name) for run in runs]) for name in names}
    if len({run.dataset for run in runs}) > 1:
        groups["trained on"] = [run.dataset for run in runs]
    return groups


def _subjects(runs: Sequence[Run]) -> dict[str, str]:
    """What each run is, by its key; its dataset is said where there are several."""
    named = zip(runs, _settings(runs), strict=True)
    return {run.key: f"{setting}, seed {run.seed}" for run, setting in named}


def _settings(runs: Sequence[Run]) -> list[str]:
    several = len({run.dataset for run in runs}) > 1
    named = zip(runs, labels([run.setting for run in runs]), strict=True)
    return [name + (f", on {run.dataset}" if several else "") for run, name in named]


def _drawings(
    runs: Sequence[Run], scores: Sequence[Score], numbers: Mapping[str, NDArray[np.float64]]
) -> list[tuple[str, str, str]]:
    """For each score its title, what the rows are, and the drawing of its values."""
    drawn = []
    for score in scores:
        values = numbers[score.column]
        what, groups = "setting", _settings(runs)
        if len(set(groups)) > _MOST_GROUPS:
            what, groups = _strongest(_groupings(runs), values)
        by_group: dict[str, list[float]] = {}
        for group, value in zip(groups, values, strict=True):
            by_group.setdefault(group, []).extend([value] if np.isfinite(value) else [])
        shown = dict(list(by_group.items())[:_MOST_GROUPS])
        source = violins({group: np.array(one) for group, one in shown.items()}, score.short)
        drawn.append((score.short, what, source))
    return drawn


def _strongest(
    groupings: Mapping[str, list[str]], values: NDArray[np.float64]
) -> tuple[str, list[str]]:
    """The grouping that explains most of a score."""
    name = max(groupings, key=lambda name: explained(groupings[name], values).share or 0.0)
    return name, groupings[name]


def _effects(
    runs: Sequence[Run], scores: Sequence[Score], numbers: Mapping[str, NDArray[np.float64]]
) -> list[tuple[str, dict[str, Explained]]]:
    """For each score, how much of its variance each binding, the setting and the seed explain."""
    groupings: dict[str, Sequence[str]] = dict(_groupings(runs))
    if len(groupings) != 1:
        groupings["all of the setting"] = _settings(runs)
    groupings["seed"] = [str(run.seed) for run in runs]
    return [
        (
            score.short,
            {name: explained(groups, numbers[score.column]) for name, groups in groupings.items()},
        )
        for score in scores
    ]


def _correlations(
    scores: Sequence[Score], numbers: Mapping[str, NDArray[np.float64]]
) -> list[HeatMap]:
    """Rank correlations: on each dataset between metrics, then of each metric between datasets."""
    on_dataset: dict[str, dict[str, str]] = {}
    of_metric: dict[str, dict[str, str]] = {}
    for score in scores:
        short = SHORT[score.metric]
        on_dataset.setdefault(f"Between metrics, on {score.dataset}", {})[score.column] = short
        of_metric.setdefault(f"{short}, between datasets", {})[score.column] = score.dataset
    maps = []
    for title, named in (on_dataset | of_metric).items():
        if len(named) > 1:
            values = rank_correlations({column: numbers[column] for column in named})
            names = list(named.values())
            maps.append(heat_map(values, names, names, corner="", title=title, meaning=""))
    return maps


def _selections(
    rows: Sequence[Mapping[str, Any]],
    scores: Sequence[Score],
    numbers: Mapping[str, NDArray[np.float64]],
) -> list[tuple[str, list[Selection | None]]]:
    """What each rule without labels comes to in each score."""
    found: list[tuple[str, list[Selection | None]]] = []
    for name, (column, sign) in _RULES.items():
        rule = sign * _column(rows, column)
        if np.isfinite(rule).any():
            found.append((name, [selection(rule, numbers[one.column]) for one in scores]))
    return found


def _best(
    runs: Sequence[Run],
    subjects: Mapping[str, str],
    scores: Sequence[Score],
    numbers: Mapping[str, NDArray[np.float64]],
    doing: Doing,
) -> list[Best]:
    """The runs that are best in a score, those of most scores first."""
    firsts: dict[int, list[tuple[str, float]]] = {}
    for score in scores:
        values = numbers[score.column]
        if np.isfinite(values).any():
            place = int(np.nanargmax(values))
            firsts.setdefault(place, []).append((score.short, float(values[place])))
    order = sorted(firsts, key=lambda place: -len(firsts[place]))[:_MOST_BEST]
    return [
        Best(subjects[runs[place].key], firsts[place], _commands(runs[place], doing))
        for place in order
    ]


def _commands(run: Run, doing: Doing) -> str:
    """The commands that make a run again, as lines for a shell.

    They leave it in another folder: in the study's they would find it, and make nothing.
    """
    run = replace(run, folder=run.folder.parent.parent / AGAIN / run.key)
    variables = {
        "AICROWD_OUTPUT_PATH": str(run.folder.parent),
        "AICROWD_DATASET_NAME": run.dataset,
        "DISENTANGLEMENT_LIB_DATA": str(doing.data_root),
        "TORCH_HOME": str(doing.torch_home),
        "OMP_NUM_THREADS": str(doing.train.threads),
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    words = doing.words(run)
    if any(binding.startswith(MODEL_ID) for binding in run.bindings):
        words = [doing.verb("finetune", run.bindings, run.key), *words]
    return "\n".join([*lines, *(f".venv/bin/python {shlex.join(one)}" for one in words)])
