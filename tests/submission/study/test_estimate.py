"""What the dry run says that a study will take, while runs are new and where some are done."""

from dataclasses import replace
from pathlib import Path

import pytest

from submission.study.course import Course, open_course
from submission.study.estimate import (
    BYTES_A_RUN,
    SECONDS_A_RUN,
    SECONDS_A_STEP,
    SECONDS_TO_FIND,
    expectation,
    show,
)
from submission.study.notes import leave_note
from submission.study.plan import Run
from submission.study.records import Graded, Record, leave

STUDY = """
config = "small.gin"
[bindings]
"main.sequential_dataset" = true
"get_feature_extractor.custom_model_id" = "shared"
[train]
datasets = ["mpi3d_sim_real_mini"]
seeds = [1, 2, 3, 4, 5, 6]
"""


@pytest.fixture
def course(small_config: Path, tmp_path: Path) -> Course:
    assert small_config.parent == tmp_path
    (tmp_path / "study.toml").write_text(STUDY)
    return opened(tmp_path)


def opened(tmp_path: Path) -> Course:
    return open_course(tmp_path / "study.toml", tmp_path / "out", "cpu", tmp_path / "features")


def leave_done(course: Course, run: Run, grader: str) -> None:
    graded = Graded(scores={}, intervals={}, seconds=10.0, data="")
    made_from = {"run": run.key, **course.doing.grading_from, "grader": grader}
    done = Record(
        made_from=made_from,
        state="done",
        setting=run.setting,
        seed=run.seed,
        dataset=run.dataset,
        graded={run.dataset: graded},
        seconds=30.0,
        disk=1000,
    )
    leave(run, done)


def test_by_a_rule_while_nothing_is_done(course: Course) -> None:
    assert len(course.plan.steps) == 1
    assert expectation(course, 2) == (SECONDS_A_STEP + 3 * SECONDS_A_RUN, 6 * BYTES_A_RUN, 0)


def test_by_what_was_measured(
    course: Course, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first, second, *_ = course.plan.runs
    leave_done(course, first, course.doing.grading_from["grader"])
    leave_done(course, second, "another")
    (tmp_path / "features").mkdir()
    leave_note(course.plan.steps[0], 20.0, course.doing.features_dir)
    # Four are new, and one is graded again, whose bytes are there.
    expected = (2 * 40.0 + SECONDS_TO_FIND + 10.0, 4 * 1000.0, 2)
    assert expectation(opened(tmp_path), 2) == expected
    show(opened(tmp_path), 2)
    printed = capsys.readouterr().out
    assert "1 done, 5 to do" in printed and "1 of these 1 made" in printed
    elsewhere = replace(course.doing, features_dir=tmp_path / "other")
    seconds = expectation(replace(opened(tmp_path), doing=elsewhere), 2).seconds
    assert seconds == expected[0] + 20.0
