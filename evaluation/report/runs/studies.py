"""The table of a study, `runs.csv`, in the challenge's order: each run is an entry of its own."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.report.runs.leaderboard import SCORES, Board, Entry, leaderboard

NAME = "runs.csv"

_DATA = "data "
"""Begins the name of a column of fingerprints; the dataset's name follows."""


def table_at(path: Path) -> Path | None:
    """The table of a study; `path` is the table, or the study's folder. None if there is none."""
    table = path / NAME if path.is_dir() else path
    return table if table.is_file() else None


def boards_of_study(table: Path) -> list[Board]:
    """The runs of a study that are done, a board for each dataset that they were graded on.

    Args:
        table: `runs.csv`, as `python -m submission study` leaves it.

    Raises:
        KitError: `RUN-UNREADABLE`, it is no such table; `RUN-MISSING`, no run is done.
    """
    rows = _rows(table)
    datasets = [name.removeprefix(_DATA) for name in rows[0] if name.startswith(_DATA)]
    varying = _varying(rows)
    entries: dict[tuple[str, str], list[Entry]] = {}
    for row in rows:
        for dataset in datasets:
            scores = {metric: _score(row, f"{dataset}/{metric}", table) for metric in SCORES}
            entry = Entry(_name(row, varying), row["run"], scores)
            entries.setdefault((dataset, row[_DATA + dataset]), []).append(entry)
    several = len(entries) > len(datasets)
    return [
        Board(dataset, dataset + f", data {data[:8]}" * several, leaderboard(own, SCORES))
        for (dataset, data), own in sorted(entries.items())
    ]


def _rows(table: Path) -> list[dict[str, str]]:
    """The rows of runs that are done, one or more."""
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, restkey="", restval=None))
    except (OSError, ValueError, csv.Error) as error:
        raise _unreadable(table, str(error)) from None
    for number, row in enumerate(rows, 2):
        if None in row.values() or "" in row or not {"run", "state", "dataset", "seed"} <= set(row):
            raise _unreadable(table, f"line {number} has other cells than a study's table")
    done = [row for row in rows if row["state"] == "done"]
    if not done:
        raise KitError("RUN-MISSING", f"no run in {table} is done", "Run the study first")
    return done


def _unreadable(table: Path, reason: str) -> KitError:
    return KitError(
        "RUN-UNREADABLE",
        f"{table} is no table of a study: {reason}",
        "Write it again by `python -m submission study STUDY.toml --report`",
    )


def _varying(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns that tell runs apart: of bindings, the dataset of the training, and the seed."""
    # No other column has a dot in its name, or begins so.
    bindings = [name for name in rows[0] if "." in name or name.startswith("%")]
    chosen = [*bindings, "dataset"]
    return [*(name for name in chosen if len({row[name] for row in rows}) > 1), "seed"]


def _name(row: Mapping[str, str], varying: Sequence[str]) -> str:
    return ", ".join(f"{name.rpartition('.')[2]} {row[name]}" for name in varying)


def _score(row: Mapping[str, str], column: str, table: Path) -> float | None:
    text = row.get(column, "")
    try:
        score = float(text) if text else None
    except ValueError:
        score = math.nan
    if score is not None and not math.isfinite(score):
        raise _unreadable(table, f"{column} of run {row['run']} is {text!r}")
    return score
