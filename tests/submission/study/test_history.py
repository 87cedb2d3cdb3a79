"""What a search has tried is noted trial by trial, and a search that is begun anew knows it."""

from pathlib import Path
from typing import Any

import pytest

from evaluation.common.errors import KitError
from submission.study.records import leave, refused
from submission.study.search import history
from submission.study.search.history import History
from submission.study.search.tried import Stopped, read_tried
from tests.submission.study.fake_trials import (
    DATASET,
    FINGERPRINT,
    leave_done,
    make_search,
    opened,
)

DATA = {DATASET: FINGERPRINT}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return make_search(tmp_path)


def test_a_search_that_is_begun_anew_knows_what_was_tried(file: Path) -> None:
    course = opened(file)
    tried = History(course, file, DATA)
    for lr in (0.001, 0.002, 0.003, 0.004):
        tried.begin({"p0": lr})
    assert [run.setting["train_vae.lr"] for run in course.plan.runs[::2]] == [
        *(0.001, 0.002, 0.003, 0.004)
    ]
    for run in course.plan.runs[:2]:
        leave_done(course, run, 0.5)
    tried.end({"p0": 0.001}, 0.5, None)
    tried.end({"p0": 0.002}, 0.9, Stopped(epochs=3, value=0.9))
    run = course.plan.runs[4]
    refusal = KitError("STUDY-COMMAND", "it failed", "See the log")
    leave(run, refused(run, {"run": run.key, **course.doing.grading_from}, refusal))
    tried.fail({"p0": 0.003})
    known = [course.records.get(run.key) for run in course.plan.runs]
    assert [one and one.state for one in known] == [
        "done",
        "done",
        None,
        None,
        "refused",
        *[None] * 3,
    ]
    stopped = [course.is_stopped(run) for run in course.plan.runs]
    assert stopped == [False, False, True, True, *[False] * 4]
    before = list(course.plan.runs), course.records, course.waiting
    tried.close()
    assert (course.plan.runs, course.records, course.waiting) == before
    assert tried.values == [({"p0": 0.001}, 0.5), ({"p0": 0.002}, 0.9)]

    again = History(opened(file), file, DATA)
    assert again.values == tried.values
    assert again.unfinished == [{"p0": 0.003}, {"p0": 0.004}]
    other = History(opened(file), file, {DATASET: "another"})
    assert other.values == [({"p0": 0.002}, 0.9)]  # what was stopped needs no data any more


def test_a_setting_that_was_stopped_is_begun_again(file: Path) -> None:
    course = opened(file)
    tried = History(course, file, DATA)
    tried.begin({"p0": 0.001})
    tried.end({"p0": 0.001}, 0.9, Stopped(epochs=3, value=0.9))
    tried.begin({"p0": 0.001})
    assert not any(map(course.is_stopped, course.plan.runs))
    assert len(course.plan.runs) == 2
    assert [one.stopped for one in read_tried(course.plan.folder)] == [None]


def test_of_a_trial_only_its_own_runs_are_planned_and_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = opened(file)
    tried = History(course, file, DATA)
    planned: list[int] = []
    read: list[int] = []
    plan_with, known = history.plan_with, history.known

    def counted_plan(config: Any, study: Any, folder: Any, settings: Any) -> Any:
        planned.append(len(settings))
        return plan_with(config, study, folder, settings)

    def counted_read(plan: Any, made_from: Any) -> Any:
        read.append(len(plan.runs))
        return known(plan, made_from)

    monkeypatch.setattr(history, "plan_with", counted_plan)
    monkeypatch.setattr(history, "known", counted_read)
    for number in range(1, 6):
        tried.begin({"p0": number / 1000})
        for run in course.plan.runs[-2:]:
            leave_done(course, run, 0.5)
        tried.end({"p0": number / 1000}, 0.5, None)
    assert planned == [1, 1] * 5
    assert read == [2] * 5
    assert len(course.records) == len(course.plan.runs) == 10
