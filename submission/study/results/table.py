"""`runs.csv` and `runs.parquet`: a row a run."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evaluation.common.files import whole_file
from evaluation.report.runs.tables import Cell, Table, as_text
from submission.study.plan import Plan, Run
from submission.study.records import Record, Unfinished
from submission.study.running import COLUMNS_WITHOUT_LABELS
from submission.study.search.objective import uses_labels
from submission.study.settings import gin_text

CSV, PARQUET = "runs.csv", "runs.parquet"


def rows_of(
    plan: Plan,
    records: Mapping[str, Record],
    waiting: Mapping[str, Unfinished],
    udr: Mapping[str, float],
) -> list[dict[str, Any]]:
    """A row for each run of the plan.

    Its state is "done", "refused", "stopped" by a search, or "waiting" where nothing is known.

    Columns are the run's key, its state, dataset and seed, a column for each binding of the study,
    `DATASET/METRIC` with `_low` and `_high` of its interval, what is known without labels, seconds,
    digests, and the problem of a run that was refused, or why it is not done.

    Args:
        plan: The study.
        records: What is known of its runs, by key.
        waiting: Why runs are not done that were begun, by key.
        udr: The UDR of runs, by key.
    """
    rows = [
        {**_row(plan, run, records.get(run.key), waiting), "udr": udr.get(run.key)}
        for run in plan.runs
    ]
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]


def _row(
    plan: Plan, run: Run, record: Record | None, waiting: Mapping[str, Unfinished]
) -> dict[str, Any]:
    unfinished = waiting.get(run.key, Unfinished(""))
    row: dict[str, Any] = {
        "run": run.key,
        "state": unfinished.state if record is None else record.state,
        "dataset": run.dataset,
        "seed": run.seed,
    }
    # Macros have no dot, and may have the name of a column: they get the sign of gin.
    row |= {
        name if "." in name else f"%{name}": _plain(name, value)
        for name, value in {**plan.study.bindings, **run.setting}.items()
    }
    if plan.study.search is not None:
        objective = plan.study.search.objective
        row["searched_by"] = f"{objective} (uses labels)" if uses_labels(objective) else objective
    if record is None:
        row |= unfinished.unlabelled
        return {**row, "epochs": unfinished.epochs or None, "problem": unfinished.reason}
    for dataset, graded in record.graded.items():
        for metric, score in graded.scores.items():
            row[f"{dataset}/{metric}"] = score
            low, high = graded.intervals.get(metric, (None, None))
            row[f"{dataset}/{metric}_low"], row[f"{dataset}/{metric}_high"] = low, high
    row |= {name: record.unlabelled.get(name) for name in COLUMNS_WITHOUT_LABELS}
    row |= {"epochs": record.epochs, "seconds_train": record.seconds, "bytes": record.disk}
    for dataset, graded in record.graded.items():
        row[f"seconds_grade {dataset}"] = graded.seconds
        row[f"data {dataset}"] = graded.data
    row |= {"codes_from": record.codes_from, "representation": record.representation}
    row |= {"grader": record.made_from.get("grader")}
    return {**row, "problem": record.problem}


def _plain(name: str, value: Any) -> Any:
    """A value as a table holds it: lists and tables as gin writes them."""
    return value if isinstance(value, str | int | float | bool) else gin_text(name, value)


def write_csv(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes `runs.csv`."""
    columns = list(rows[0])
    cells = [[Cell(row[name]) for name in columns] for row in rows]
    with whole_file(folder / CSV) as temporary:
        temporary.write_text(as_text(Table(columns, cells), "csv"), encoding="utf-8")


def write_parquet(folder: Path, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Writes `runs.parquet`, if the extra `tables` is there. Returns whether it is."""
    if find_spec("pyarrow") is None:
        return False
    import pyarrow
    from pyarrow import parquet

    columns = {name: [row[name] for row in rows] for name in rows[0]}
    with whole_file(folder / PARQUET) as temporary:
        parquet.write_table(pyarrow.table(_of_one_kind(columns)), temporary)
    return True


def _of_one_kind(columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Columns whose values have one type each; mixed ones become texts."""
    plain = {}
    for name, values in columns.items():
        kinds = {type(value) for value in values if value is not None}
        mixed = len(kinds) > 1 and not kinds <= {int, float}
        plain[name] = [str(value) if mixed and value is not None else value for value in values]
        if kinds == {int, float}:
            plain[name] = [None if value is None else float(value) for value in values]
    return plain
