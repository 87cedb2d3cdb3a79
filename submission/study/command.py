"""`python -m submission study`: plans a study, and does what of it is not done yet."""

import platform
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

from evaluation.common.errors import KitError
from evaluation.common.files import locked, whole_file
from evaluation.common.terminal import console
from evaluation.data import open_dataset
from evaluation.many.jobs import Scheduler, Work
from evaluation.origin import source_digest
from submission.study.course import Course, datasets_of
from submission.study.estimate import expectation, require_disk
from submission.study.notes import is_made
from submission.study.plan import TUNING, Plan, Run, Step, key_of, steps_for
from submission.study.records import Record, known, leave, of_these_datasets, refused
from submission.study.running import SOURCES, Needs, do_run, do_step
from submission.study.settings import counted


def do_all(course: Course, scheduler_of: "SchedulerOf") -> list[KitError]:
    """Does the shared steps and the runs that are not done. Returns why some were refused.

    Raises:
        KitError: `STUDY-DISK`, the disk has too little room; `DATA-…`, a dataset cannot be opened.
    """
    plan = course.plan
    expected = expectation(course, scheduler_of.workers)
    require_disk(plan.folder, expected)
    root = course.doing.data_root
    data = {name: open_dataset(name, root).fingerprint for name in datasets_of(plan.study)}
    plan.folder.mkdir(parents=True, exist_ok=True)
    with locked(plan.folder, plan.folder.name), shared_needs(course) as needs:
        # Another process may have done some of it while this one waited.
        course.records = of_these_datasets(known(plan, course.doing.grading_from), data)
        write_config(plan)
        failed = do_steps(course, needs, scheduler_of)
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
        self.cluster = cluster

    def __call__(self, jobs: int) -> Scheduler:
        """The scheduler for so many jobs: fewer processes have larger shares of the machine."""
        if self.cluster is not None:
            from evaluation.many.cluster import on_cluster

            return on_cluster(self.cluster)
        from evaluation.many.processes import in_processes

        return in_processes(min(self.workers, jobs))


@contextmanager
def shared_needs(course: Course) -> Iterator[Needs]:
    """What all processes need; within the block, a mark lies in each folder that they share.

    The caller holds the lock of the study.
    """
    own, marks = f".study-{key_of(str(course.plan.folder))}", []
    for folder in (course.doing.torch_home, course.doing.features_dir):
        folder.mkdir(parents=True, exist_ok=True)
        # The study is locked, so another mark of its own is of a process that was killed.
        for left in folder.glob(f"{own}-*"):
            left.unlink(missing_ok=True)
        marks.append(folder / f"{own}-{uuid.uuid4().hex}")
    try:
        for mark in marks:
            mark.touch()
        datasets = tuple(datasets_of(course.plan.study))
        root = course.doing.data_root
        yield Needs(datasets, root, tuple(marks), source_digest(SOURCES), platform.node())
    finally:
        for mark in marks:
            with suppress(OSError):
                mark.unlink()


def write_config(plan: Plan) -> None:
    """Writes the config of all runs and steps into the study's folder."""
    content = plan.config.encode()
    # Somebody may have edited it.
    if not plan.config_file.is_file() or plan.config_file.read_bytes() != content:
        with whole_file(plan.config_file) as temporary:
            temporary.write_bytes(content)


def do_steps(course: Course, needs: Needs, scheduler_of: SchedulerOf) -> dict[str, KitError]:
    """Does what pending runs share, one kind after the other. Returns refusals by step."""
    failed: dict[str, KitError] = {}
    steps = [
        step
        for step in steps_for(course.plan.steps, course.pending)
        # A training can make features that somebody has removed, but it cannot tune.
        if step.kind == TUNING or not is_made(step, course.doing.features_dir)
    ]
    for kind, title in (("finetune", "Fine-tuning"), ("extract", "Extracting features")):
        ready = [step for step in steps if step.kind == kind and not set(step.needs) & set(failed)]
        if not ready:
            continue
        console.print(f"{title}: {len(ready)} shared by {counted(len(course.pending), 'run')}")
        work: Work[Step, dict[str, str], float] = Work(
            needs.check, partial(do_step, course.doing), title
        )
        for name, result in scheduler_of(len(ready))(ready, work):
            if isinstance(result, KitError):
                failed[name] = result
    return failed


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
    work: Work[Run, dict[str, str], Record] = Work(
        needs.check, partial(do_run, course.doing), "Training"
    )
    before = len(course.plan.runs) - len(by_key)
    results = scheduler_of(len(ready))(ready, work)
    for number, (key, result) in enumerate(results, before + 1):
        run = by_key[key]
        if isinstance(result, KitError):
            refusals.append(result)
            _refuse(course, run, result)
            continue
        course.note({key: result})
        console.print(
            f"{number} of {len(course.plan.runs)}: {run.subject}: {_scores(result)}", markup=False
        )
    return refusals


def _refuse(course: Course, run: Run, refusal: KitError) -> None:
    record = refused(run, {"run": run.key, **course.doing.grading_from}, refusal)
    with suppress(OSError):
        leave(run, record)
    course.note({run.key: record})


def _scores(record: Record) -> str:
    return "; ".join(
        ", ".join(
            f"{metric} {score:.3f}" for metric, score in graded.scores.items() if score is not None
        )
        for graded in record.graded.values()
    )
