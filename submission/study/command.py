"""`python -m submission study`: plans a study, and does what of it is not done yet."""

import platform
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.common.environment import torch_home
from evaluation.common.errors import KitError
from evaluation.common.files import free_bytes, locked, readable_size, whole_file
from evaluation.common.terminal import console
from evaluation.data import find_dataset, open_dataset
from evaluation.many.jobs import Scheduler, Work
from evaluation.metrics import METRICS
from evaluation.origin import grader_digest, source_digest, versions
from evaluation.report.page import can_be_made
from submission.study import table
from submission.study.agreement import udr_of
from submission.study.description import Study, read_study
from submission.study.estimate import Estimate, estimate, in_words
from submission.study.plan import Plan, Run, Step, plan_of, steps_for
from submission.study.records import Record, known, leave, refused
from submission.study.running import Doing, Needs, do_run, do_step
from submission.study.settings import label


@dataclass
class Course:
    """A study and how far it is.

    Args:
        plan: The study.
        doing: How its runs are done.
        records: What is known of its runs, by key.
        written: When the table was last written, and how long that took, in seconds.
    """

    plan: Plan
    doing: Doing
    records: dict[str, Record]
    written: tuple[float, float] = field(default=(0.0, 0.0))

    @property
    def pending(self) -> list[Run]:
        """The runs that are not done; refused ones are tried again."""
        return [
            run
            for run in self.plan.runs
            if run.key not in self.records or self.records[run.key].state == "refused"
        ]

    def note(self, run: Run, record: Record) -> None:
        """Notes what became of a run; the table is written if that is not done all the time."""
        self.records[run.key] = record
        when, took = self.written
        if time.monotonic() - when > max(5.0, 20 * took):
            self.write_table()

    def write_table(self) -> None:
        """Writes `runs.csv` as the study stands; what needs several runs is added at the end."""
        start = time.monotonic()
        table.write_csv(self.plan.folder, table.rows_of(self.plan, self.records, {}))
        self.written = time.monotonic(), time.monotonic() - start

    def leave_results(self, name: str) -> None:
        """Writes the table, as Parquet too, and the page.

        Args:
            name: The name of the study.
        """
        folder = self.plan.folder
        rows = table.rows_of(self.plan, self.records, udr_of(self.plan, self.records))
        table.write_csv(folder, rows)
        written = [table.CSV]
        if table.write_parquet(folder, rows):
            written.append(table.PARQUET)
        else:
            console.print("runs.parquet is left out: it needs the kit's extra 'tables'")
        if can_be_made():
            from submission.study.page import write_page

            written.append(write_page(self.plan, self.doing, rows, name).name)
        else:
            console.print("The page is left out: it needs the kit's extra 'page'")
        console.print(f"Wrote {', '.join(written)} to {folder}", markup=False)


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
    plan = plan_of(study, file, folder.absolute())
    grading_from = {
        "grade": [study.grade.datasets, study.grade.metrics, study.grade.seed, study.grade.seeds],
        "grader": grader_digest(),
        "versions": versions(),
    }
    doing = Doing(
        config=plan.config_file,
        train=study.train,
        grade=study.grade,
        device=device,
        features_dir=features_dir.absolute(),
        grading_from=grading_from,
    )
    return Course(plan, doing, known(plan, grading_from))


def do_all(course: Course, scheduler_of: "SchedulerOf") -> list[KitError]:
    """Does the shared steps and the runs that are not done. Returns why some were refused.

    Raises:
        KitError: `STUDY-DISK`, the disk has too little room; `DATA-…`, a dataset cannot be opened.
    """
    plan = course.plan
    expected = expectation(course, scheduler_of.workers)
    require_disk(plan.folder, expected)
    for name in _datasets(plan.study):
        open_dataset(name)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with locked(plan.folder, plan.folder.name), _needs(course) as needs:
        # Another process may have done some of it while this one waited.
        course.records = known(plan, course.doing.grading_from)
        _write_config(plan)
        failed = _do_steps(course, needs, scheduler_of)
        refusals = _do_runs(course, needs, scheduler_of, failed)
    return [*failed.values(), *refusals]


class SchedulerOf:
    """The scheduler that the command line asks for.

    Args:
        workers: Number of processes of this machine.
        cluster: Address of a Ray cluster, or None.
    """

    def __init__(self, workers: int, cluster: str | None) -> None:
        self.workers = workers
        self._cluster = cluster

    def __call__(self, jobs: int) -> Scheduler:
        """The scheduler for so many jobs: fewer processes have larger shares of the machine."""
        if self._cluster is not None:
            from evaluation.many.cluster import on_cluster

            return on_cluster(self._cluster)
        from evaluation.many.processes import in_processes

        return in_processes(min(self.workers, jobs))


def expectation(course: Course, workers: int) -> Estimate:
    """What is left to do."""
    pending = course.pending
    steps = steps_for(course.plan.steps, pending)
    return estimate(course.plan, course.records, pending, steps, workers)


def require_disk(folder: Path, expected: Estimate) -> None:
    """Checks that the disk has room for what is left.

    Raises:
        KitError: `STUDY-DISK`, it has not.
    """
    free = free_bytes(folder.absolute())
    if expected.disk > free:
        raise KitError(
            "STUDY-DISK",
            f"the runs to do need about {readable_size(expected.disk)}, but {folder} has "
            f"{readable_size(free)} free",
            "Choose a folder with more room by --output, or fewer settings or seeds",
        )


def _require_names(study: Study) -> None:
    for name in _datasets(study):
        find_dataset(name)
    for name in study.grade.metrics:
        if name not in METRICS:
            raise KitError(
                "METRIC-NAME", f"there is no metric {name!r}", f"Choose from {', '.join(METRICS)}"
            )


def _datasets(study: Study) -> list[str]:
    return list(dict.fromkeys([*study.train.datasets, *study.grade.datasets]))


@contextmanager
def _needs(course: Course) -> Iterator[Needs]:
    """What all processes need; within the block, a mark lies in each folder that they share."""
    marks = []
    for folder in (torch_home().absolute(), course.doing.features_dir):
        folder.mkdir(parents=True, exist_ok=True)
        marks.append(folder / f".study-{uuid.uuid4().hex}")
    try:
        for mark in marks:
            mark.touch()
        source = source_digest(Path(__file__).resolve().parent.parent)
        datasets = tuple(_datasets(course.plan.study))
        yield Needs(datasets, tuple(marks), source, platform.node())
    finally:
        for mark in marks:
            with suppress(OSError):
                mark.unlink()


def _write_config(plan: Plan) -> None:
    if not plan.config_file.exists():
        with whole_file(plan.config_file) as temporary:
            temporary.write_text(plan.config, encoding="utf-8")


def _do_steps(course: Course, needs: Needs, scheduler_of: SchedulerOf) -> dict[str, KitError]:
    """Does what pending runs share, one kind after the other. Returns refusals by step."""
    failed: dict[str, KitError] = {}
    steps = steps_for(course.plan.steps, course.pending)
    for kind, title in (("finetune", "Fine-tuning"), ("extract", "Extracting features")):
        ready = [step for step in steps if step.kind == kind and not set(step.needs) & set(failed)]
        if not ready:
            continue
        console.print(f"{title}: {len(ready)} shared by {_counted(len(course.pending), 'run')}")
        work: Work[Step, bool, float] = Work(needs.check, _Step(course.doing), title)
        for name, result in scheduler_of(len(ready))(ready, work):
            if isinstance(result, KitError):
                failed[name] = result
    return failed


@dataclass(frozen=True)
class _Step:
    doing: Doing

    def __call__(self, step: Step, opened: bool) -> float:
        return do_step(self.doing, step, opened)


@dataclass(frozen=True)
class _Run:
    doing: Doing

    def __call__(self, run: Run, opened: bool) -> Record:
        return do_run(self.doing, run, opened)


def _do_runs(
    course: Course, needs: Needs, scheduler_of: SchedulerOf, failed: Mapping[str, KitError]
) -> list[KitError]:
    """Does the pending runs whose steps are there, and notes why others are refused."""
    refusals = []
    by_key = {run.key: run for run in course.pending}
    for run in by_key.values():
        missing = [key for key in run.steps if key in failed]
        if missing:
            _refuse(course, run, failed[missing[0]])
    ready = [run for run in by_key.values() if not set(run.steps) & set(failed)]
    if not ready:
        return []
    work: Work[Run, bool, Record] = Work(needs.check, _Run(course.doing), "Training")
    before = len(course.plan.runs) - len(by_key)
    results = scheduler_of(len(ready))(ready, work)
    for number, (key, result) in enumerate(results, before + 1):
        run = by_key[key]
        if isinstance(result, KitError):
            refusals.append(result)
            _refuse(course, run, result)
            continue
        course.note(run, result)
        console.print(
            f"{number} of {len(course.plan.runs)}: {run.subject}: {_scores(result)}", markup=False
        )
    return refusals


def _refuse(course: Course, run: Run, refusal: KitError) -> None:
    record = refused(run, {"run": run.key, **course.doing.grading_from}, refusal)
    with suppress(OSError):
        leave(run, record)
    course.note(run, record)


def _scores(record: Record) -> str:
    return "; ".join(
        ", ".join(
            f"{metric} {score:.3f}" for metric, score in graded.scores.items() if score is not None
        )
        for graded in record.graded.values()
    )


def show(course: Course, workers: int) -> None:
    """Prints what a study consists of and what is left of it, without doing anything."""
    plan, pending = course.plan, course.pending
    by_setting: dict[str, list[Run]] = {}
    for run in plan.runs:
        by_setting.setdefault(f"{label(run.setting)}, on {run.dataset}", []).append(run)
    console.print(
        f"{_counted(len(plan.runs), 'run')} of {_counted(len(by_setting), 'setting')}: "
        f"{len(plan.runs) - len(pending)} done, {len(pending)} to do"
    )
    waiting = {run.key for run in pending}
    for name, runs in by_setting.items():
        done = [str(run.seed) for run in runs if run.key not in waiting]
        console.print(
            f"  {name}: {len(done)} of {len(runs)} done"
            + (f" (seeds {', '.join(done)})" if done else ""),
            markup=False,
        )
    steps = steps_for(plan.steps, pending)
    kinds = [step.kind for step in steps]
    console.print(
        f"Shared steps: {_counted(kinds.count('finetune'), 'fine-tuning')}, "
        f"{_counted(kinds.count('extract'), 'extraction')} of features"
    )
    expected = expectation(course, workers)
    source = (
        f"from {_counted(expected.measured, 'measured run')}"
        if expected.measured
        else "by a rule, since no run is measured: 90 s a run, 180 s a shared step, 60 MB a run"
    )
    console.print(
        f"About {in_words(expected.seconds)} with {_counted(workers, 'worker')}, and "
        f"{readable_size(expected.disk)} of disk, of which {plan.folder} has "
        f"{readable_size(free_bytes(plan.folder))} free ({source})",
        markup=False,
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
