"""Which records of runs still hold, and what they say of a training."""

from pathlib import Path

import pytest

from submission.study.description import Study, Train
from submission.study.notes import is_made, leave_note, seconds_of
from submission.study.plan import Plan, Run, Step
from submission.study.records import Graded, Record, known, leave, of_these_datasets, outdated
from submission.study.running import unlabelled


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run("key", tmp_path / "runs/key", {}, 1, "a", (), ())


def test_a_dataset_that_changed_makes_a_run_again(run: Run, tmp_path: Path) -> None:
    graded = {"b": Graded(scores={"mig": 0.5}, intervals={}, seconds=1.0, data="of b")}
    made_from = {"run": "key", "grader": "g"}
    record = Record(
        made_from=made_from,
        state="done",
        setting={},
        seed=1,
        dataset="a",
        data="of a",
        graded=graded,
    )
    leave(run, record)
    plan = Plan(Study("a.gin", Train(["a"], [1])), "", tmp_path, [run], [])
    records = known(plan, {"grader": "g"})
    assert records == {"key": record}
    assert not known(plan, {"grader": "another"}) and not outdated(records, {"grader": "g"})
    assert "grader's code" in outdated(records, {"grader": "another"})["key"].reason
    assert of_these_datasets(records, {"a": "of a", "b": "of b"}) == records
    assert not of_these_datasets(records, {"a": "changed", "b": "of b"})
    assert not of_these_datasets(records, {"a": "of a", "b": "changed"})


def test_a_training_that_is_found_again_keeps_its_time(run: Run, tmp_path: Path) -> None:
    assert seconds_of(run) is None
    assert leave_note(run, 100.0, tmp_path) == 100.0
    assert leave_note(run, 3.0, tmp_path) == seconds_of(run) == 100.0
    (run.folder / "step.json").write_text('{"seconds": 10')  # cut short
    assert seconds_of(run) is None


def test_features_are_made_where_they_were_left(tmp_path: Path) -> None:
    extract = Step("key", "extract", tmp_path / "step", "a", ())
    features = tmp_path / "features"
    features.mkdir()
    assert not is_made(extract, features)
    leave_note(extract, 1.0, features)
    assert is_made(extract, features) and not is_made(extract, tmp_path)
    features.rmdir()
    assert not is_made(extract, features)


def test_a_training_that_ends_in_no_number_is_recorded() -> None:
    row = {"MSE": float("inf"), "KLD": float("nan"), "active_codes": 2.0}
    assert unlabelled([row]) == {"active_codes": 2.0}
    assert unlabelled([]) == {}


def test_a_training_on_pixels_has_its_reconstruction_loss() -> None:
    assert unlabelled([{"BCE": 3.0, "KLD": 1.0}]) == {"reconstruction": 3.0, "kld": 1.0}
