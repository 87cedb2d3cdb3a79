"""`python -m submission study` for real: it is killed, goes on, and takes up what is added."""

import csv
import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.common.errors import KitError
from evaluation.representation.resources.processes import descendants
from submission.study.command import SchedulerOf, do_all
from submission.study.course import open_course
from tests.submission.study.conftest import HEAD
from tests.submission.unlabelled import HIDDEN, hide_labels_in_processes

STUDY = (
    HEAD
    + """\
"train_vae.epochs" = 1
[grid]
"train_vae.lr" = [1e-3]
[train]
datasets = ["mpi3d_sim_real_mini"]
seeds = [1]
[grade]
metrics = ["mig"]
seeds = 2
codes_from = "features"
"""
)


@pytest.fixture
def study_file(with_weights: Path) -> Path:
    path = with_weights / "study.toml"
    path.write_text(STUDY)
    return path


def test_killed_continued_and_extended(
    study_file: Path, tmp_path: Path, submission: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_labels_in_processes(tmp_path / "site", monkeypatch)
    folder, features = tmp_path / "shared/study", tmp_path / "features"
    words = ("study", study_file, "--workers", 2, "--features-dir", features, "--device", "cpu")
    first = submission(*words)
    while not list(folder.glob("runs/*/log.txt")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    family = descendants(first.pid)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/exe").exists() for pid in family):
        assert time.monotonic() < deadline, "processes outlive the study"
        time.sleep(0.05)

    study_file.write_text(STUDY.replace("seeds = [1]", "seeds = [1, 2]"))
    second = submission(*words)
    output, errors = second.communicate()
    assert second.returncode == 0, errors
    rows = list(csv.DictReader((folder / "runs.csv").open()))
    assert [row["state"] for row in rows] == ["done", "done"]
    scores = [float(row["mpi3d_sim_real_mini/mig"]) for row in rows]
    lows = [float(row["mpi3d_sim_real_mini/mig_low"]) for row in rows]
    assert len(set(scores)) == 2 and all(low > 0 for low in lows)
    assert (folder / "study.html").is_file()
    assert not list(features.glob(".study-*"))  # the one that was killed had left its mark
    logs = "".join(path.read_text() for path in folder.rglob("log.txt"))
    for path in folder.rglob("log.txt"):
        commands = path.read_text().split("$ python -m ")
        # The one before the last may have been killed before it said anything.
        *_, last = [text for text in commands if text.startswith("submission")]
        assert HIDDEN in last
        assert not any(HIDDEN in text for text in commands if text.startswith("evaluation"))
    # Extracted once, for both seeds: 64 images to train on, and all of them to grade.
    assert logs.count("of features to") == 2
    assert {row["codes_from"] for row in rows} == {"features"}
    assert logs.count("Reusing") >= 2

    steps = {path: path.read_text() for path in folder.glob("shared/*/log.txt")}
    study_file.write_text(STUDY.replace("seeds = [1]", "seeds = [1, 2, 3]"))
    output, errors = submission(*words, "--dry-run").communicate()
    assert "2 done, 1 to do" in output and "2 of these 2 made" in output, errors
    written = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/run.json")}
    third = submission(*words)
    assert third.wait() == 0, third.communicate()
    assert {path: path.read_text() for path in steps} == steps  # the features are there
    assert {path: path.stat().st_mtime_ns for path in written} == written
    output, errors = submission(*words, "--dry-run").communicate()
    assert "3 done, 0 to do" in output and "3 of 3 done (seeds 1, 2, 3)" in output, errors


def test_a_run_that_fails_and_a_disk_that_is_full(
    study_file: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("DISENTANGLEMENT_LIB_DATA", str(data_root))
    course = open_course(study_file, tmp_path / "out", "cpu", tmp_path / "features")
    run = replace(course.plan.runs[0], bindings=("nothing.here = 1",), steps=())
    course = replace(course, plan=replace(course.plan, runs=[run], steps=[]))
    course.plan.config_file.parent.mkdir(parents=True)
    course.plan.config_file.write_text("edited")
    refusals = do_all(course, SchedulerOf(1, None))
    assert [refusal.code for refusal in refusals] == ["STUDY-COMMAND"]
    assert "CONFIG-NAME" in str(refusals[0]) and "log.txt" in str(refusals[0])
    record = json.loads((run.folder / "run.json").read_text())
    assert record["state"] == "refused"
    assert course.pending == [run]  # tried again the next time
    assert course.plan.config_file.read_text() == course.plan.config

    monkeypatch.setattr("submission.study.estimate.free_bytes", lambda _: 1000)
    with pytest.raises(KitError, match=r"1\.0 kB free") as refusal:
        do_all(course, SchedulerOf(1, None))
    assert refusal.value.code == "STUDY-DISK"


def test_a_file_where_the_folder_must_be(
    study_file: Path, tmp_path: Path, submission: Callable
) -> None:
    (tmp_path / "occupied").touch()
    for flag in ("--output", "--features-dir"):
        process = submission("study", study_file, "--report", flag, tmp_path / "occupied")
        _, errors = process.communicate()
        assert process.returncode == 2 and errors.count("\n") == 1
        assert errors.startswith("error[OUTPUT-OCCUPIED]") and flag in errors
