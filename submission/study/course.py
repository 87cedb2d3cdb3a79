"""A study and how far it is: what its file asks for, and the runs that are done."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from evaluation.common.environment import data_root, torch_home
from evaluation.common.errors import KitError
from evaluation.common.terminal import console
from evaluation.data import find_dataset
from evaluation.metrics import METRICS
from evaluation.origin import grader_digest, versions
from evaluation.report.page import can_be_made
from submission.study.description import Study
from submission.study.plan import Plan, Run, plan_of
from submission.study.reading import read_study
from submission.study.records import (
    Record,
    Unfinished,
    all_records,
    made_from_same,
    outdated,
)
from submission.study.results import table
from submission.study.results.agreement import udr_of
from submission.study.running import Doing, read_curves, unlabelled
from submission.study.search.tried import Tried, read_tried
from submission.study.settings import counted, identity

STOPPED = "the search stopped their setting early"


@dataclass
class Course:
    """A study and how far it is.

    Args:
        plan: The study.
        doing: How its runs are done.
        records: What is known of its runs, by key.
        waiting: Why runs are not done that were begun, by key.
        earlier: What is known of runs that must be graded again, by key.
        untried: How many runs a search has that belong to no setting yet.
        written: When the table was last written, and how long that took, in seconds.
    """

    plan: Plan
    doing: Doing
    records: dict[str, Record]
    waiting: dict[str, Unfinished] = field(default_factory=dict)
    earlier: dict[str, Record] = field(default_factory=dict)
    untried: int = 0
    written: tuple[float, float] = field(default=(0.0, 0.0))

    @property
    def pending(self) -> list[Run]:
        """The runs that are to be done; refused ones are tried again."""
        return [
            run
            for run in self.plan.runs
            if (run.key not in self.records or self.records[run.key].state == "refused")
            and not self.is_stopped(run)
        ]

    def is_stopped(self, run: Run) -> bool:
        """Whether a search has stopped a run."""
        return run.key in self.waiting and self.waiting[run.key].state == "stopped"

    def note(self, records: Mapping[str, Record]) -> None:
        """Notes what became of runs; the table is written if that is not done all the time."""
        self.records.update(records)
        when, took = self.written
        if time.monotonic() - when > max(5.0, 20 * took):
            self.write_table()

    def write_table(self) -> None:
        """Writes `runs.csv` as the study stands; what needs several runs is added at the end."""
        if not self.plan.runs:  # of a search whose first trial could not begin
            return
        start = time.monotonic()
        rows = table.rows_of(self.plan, self.records, self.waiting, {})
        table.write_csv(self.plan.folder, rows)
        self.written = time.monotonic(), time.monotonic() - start

    def leave_results(self, name: str) -> None:
        """Writes the table, as Parquet too, and the page.

        Args:
            name: The name of the study.
        """
        folder = self.plan.folder
        if not self.plan.runs:
            console.print("No setting was tried yet: search with --search")
            return
        udr = udr_of(self.plan, self.records)
        rows = table.rows_of(self.plan, self.records, self.waiting, udr)
        table.write_csv(folder, rows)
        written = [table.CSV]
        if table.write_parquet(folder, rows):
            written.append(table.PARQUET)
        else:
            console.print("runs.parquet is left out: it needs the kit's extra 'tables'")
        if can_be_made():
            from submission.study.results.page import write_page

            written.append(write_page(self.plan, self.doing, rows, name).name)
        else:
            console.print("The page is left out: it needs the kit's extra 'page'")
        console.print(f"Wrote {', '.join(written)} to {folder}", markup=False)
        left = [run.key for run in self.plan.runs if run.key not in self.records]
        reasons = Counter(self.waiting[key].reason for key in left if key in self.waiting)
        for reason, number in reasons.items():
            console.print(f"{counted(number, 'run')} left as they are: {reason}", markup=False)


def open_course(file: Path, folder: Path, device: str, features_dir: Path) -> Course:
    """Reads a study, and finds out which of its runs are done.

    Args:
        file: The study's file.
        folder: The folder of its results.
        device: As `--device`.
        features_dir: Folder of cached features.

    Raises:
        KitError: `STUDY-…` or `CONFIG-…`, the file is wrong; `DATA-NAME` or `METRIC-NAME`, it names
            something that there is not.
    """
    study = read_study(file)
    _require_names(study)
    tried = [] if study.search is None else read_tried(folder)
    settings = None if study.search is None else [one.setting for one in tried]
    plan = plan_of(study, file, folder.absolute(), settings)
    grading_from = {
        "grade": msgspec.to_builtins(study.grade),
        "grader": grader_digest(),
        "versions": versions(),
    }
    doing = Doing(
        config=plan.config_file,
        train=study.train,
        grade=study.grade,
        device=device,
        features_dir=features_dir.absolute(),
        data_root=data_root().absolute(),
        torch_home=torch_home().absolute(),
        grading_from=grading_from,
    )
    records = all_records(plan)
    again = outdated(records, grading_from)
    waiting = again | stopped_runs(plan, tried)
    earlier = {key: records[key] for key in again}
    untried = 0
    if study.search is not None:
        each = len(set(study.train.datasets)) * len(set(study.train.seeds))
        untried = max(0, study.search.trials - len(tried)) * each
    same = made_from_same(records, grading_from)
    return Course(plan, doing, same, waiting, earlier, untried)


def stopped_runs(plan: Plan, tried: Iterable[Tried]) -> dict[str, Unfinished]:
    """The runs whose setting a search has stopped, and how far they came, by the key of the run."""
    stopped = {identity(one.setting) for one in tried if one.stopped is not None}
    found = {}
    for run in plan.runs:
        if identity(run.setting) in stopped:
            rows = read_curves(run.folder)
            found[run.key] = Unfinished(STOPPED, "stopped", len(rows), unlabelled(rows))
    return found


def _require_names(study: Study) -> None:
    for name in datasets_of(study):
        find_dataset(name)
    for name in study.grade.metrics:
        if name not in METRICS:
            raise KitError(
                "METRIC-NAME", f"there is no metric {name!r}", f"Choose from {', '.join(METRICS)}"
            )


def datasets_of(study: Study) -> list[str]:
    """What a study trains or grades on."""
    return list(dict.fromkeys([*study.train.datasets, *study.grade.datasets]))
