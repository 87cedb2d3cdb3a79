"""Searches: what they may vary and go by, and one for real that is killed and goes on."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from submission.study.course import open_course
from submission.study.estimate import show
from submission.study.plan import plan_of
from submission.study.reading import read_study
from submission.study.records import Record
from submission.study.results.page import write_page
from submission.study.results.table import rows_of
from submission.study.search.objective import mode_of, of_epoch, uses_labels
from submission.study.search.space import (
    distributions,
    extremes,
    parameters_of,
    setting_of,
)
from submission.study.search.tried import Stopped, Tried, read_tried, write_tried
from submission.study.search.wanted import require_search
from tests.submission.study.conftest import HEAD

SEARCH = (
    HEAD
    + """\
"train_vae.epochs" = 3
[search]
objective = "reconstruction"
trials = 2
[search.bindings]
"train_vae.lr" = { log_uniform = [1e-4, 1e-2] }
"Encoder.features_per_layer" = { choice = [[96], [16, 16]] }
[train]
datasets = ["mpi3d_sim_real_mini"]
seeds = [1]
[grade]
metrics = ["mig"]
codes_from = "features"
"""
)


@pytest.fixture
def file(with_weights: Path) -> Path:
    path = with_weights / "search.toml"
    path.write_text(SEARCH)
    return path


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ('"reconstruction"', '"beauty"', "STUDY-OBJECTIVE", "no objective 'beauty'"),
        ('"reconstruction"', '"irs"', "STUDY-OBJECTIVE", "graded by mig"),
        ('"reconstruction"', '"udr"', "STUDY-OBJECTIVE", "compares the seeds"),
        ("trials = 2", "trials = 0", "STUDY-VALUE", "trials"),
        ("trials = 2", "trials = 200000", "STUDY-LARGE", "200,000 runs"),
        ("[search.bindings]", "[grid]\n[search.bindings]", "STUDY-EMPTY", "grid is empty"),
        ("[train]\n", '[grid]\n"train_vae.beta" = [1]\n[train]\n', "STUDY-SEARCH", "and grid"),
        ("log_uniform = [1e-4", "log_uniform = [0", "STUDY-VALUE", "bounds above 0"),
    ],
)
def test_what_is_refused(file: Path, old: str, new: str, code: str, said: str) -> None:
    file.write_text(SEARCH.replace(old, new, 1))
    with pytest.raises(KitError) as refusal:
        require_search(read_study(file), file, wanted=True)
    assert refusal.value.code in (code, "EXTRA-MISSING") and said in str(refusal.value)


def test_a_search_that_only_one_of_file_and_command_wants(file: Path) -> None:
    study = read_study(file)
    with pytest.raises(KitError, match=r"has \[search\], and the command has no --search"):
        require_search(study, file, wanted=False)
    file.write_text(SEARCH.replace("[search]", "[grid]").partition("[grid]")[0])
    file.write_text(file.read_text() + '[train]\ndatasets = ["mpi3d_toy"]\nseeds = [1]\n')
    with pytest.raises(KitError, match=r"has no \[search\], and the command has --search"):
        require_search(read_study(file), file, wanted=True)


def test_settings_and_parameters(file: Path) -> None:
    search = read_study(file).search
    assert search is not None
    setting = setting_of(search, {"p0": 0.001, "p1": 1})
    assert setting == {"train_vae.lr": 0.001, "Encoder.features_per_layer": [16, 16]}
    assert parameters_of(search, setting) == {"p0": 0.001, "p1": 1}
    assert parameters_of(search, {**setting, "train_vae.lr": 0.1}) is None
    assert parameters_of(search, {**setting, "Encoder.features_per_layer": [1]}) is None
    assert parameters_of(search, {"train_vae.lr": 0.001}) is None
    assert [one["train_vae.lr"] for one in extremes(search)] == [1e-4, 1e-2, 1e-4]
    pytest.importorskip("optuna", reason="Optuna is missing: pip install optuna")
    made = distributions(search)
    assert made["p0"].log and (made["p0"].low, made["p0"].high) == (1e-4, 1e-2)
    assert made["p1"].choices == (0, 1)


def test_objectives() -> None:
    assert [uses_labels(name) for name in ("reconstruction", "kld", "udr", "mig")] == [
        *([False] * 3),
        True,
    ]
    assert [mode_of(name) for name in ("reconstruction", "kld", "mig")] == ["min", "max", "max"]
    row = {"MSE": 0.5, "KLD": 2.0}
    assert (of_epoch("reconstruction", row), of_epoch("kld", row)) == (0.5, 2.0)
    assert of_epoch("mig", row) is None and of_epoch("kld", {"loss": 1.0}) is None


def test_what_was_tried_is_in_the_table_and_in_the_dry_run(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    assert not open_course(file, folder, "cpu", tmp_path).plan.runs
    first = {"train_vae.lr": 0.001, "Encoder.features_per_layer": [96]}
    stopped = Tried(setting=first, stopped=Stopped(epochs=2, value=0.5))
    tried = [stopped, Tried(setting={**first, "train_vae.lr": 0.002})]
    write_tried(folder, tried)
    assert read_tried(folder) == tried
    course = open_course(file, folder, "cpu", tmp_path)
    begun = course.plan.runs[0].folder
    begun.mkdir(parents=True)
    (begun / "stats.csv").write_text("MSE;KLD\n0.7;1.5\n0.5;2.5\n")
    course = open_course(file, folder, "cpu", tmp_path)
    assert [run.setting["train_vae.lr"] for run in course.pending] == [0.002]
    rows = rows_of(course.plan, course.records, course.waiting, {})
    assert [row["problem"] for row in rows] == ["the search stopped their setting early", ""]
    assert [row["state"] for row in rows] == ["stopped", "waiting"]
    found = [(row["epochs"], row["reconstruction"], row["kld"]) for row in rows]
    assert found == [(2, 0.5, 2.5), (None, None, None)]
    show(course, 1)
    said = capsys.readouterr().out
    assert "2 runs of 2 settings: 0 done, 1 stopped by the search, 1 to do\n" in said
    assert "lr 0.001, features_per_layer [96], on mpi3d_sim_real_mini: 0 of 1 done, stopped" in said


def test_the_page_has_what_was_tried_the_best_first(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="Jinja is missing: pip install jinja2")
    folder = tmp_path / "out"
    file.write_text(SEARCH.replace("trials = 2", "trials = 3"))
    stopped, *done = (
        {"train_vae.lr": lr, "Encoder.features_per_layer": [96]} for lr in (0.001, 0.002, 0.003)
    )
    early = Stopped(epochs=2, value=0.1)
    tried = [Tried(setting=stopped, stopped=early), *(Tried(setting=one) for one in done)]
    write_tried(folder, tried)
    course = open_course(file, folder, "cpu", tmp_path)
    for run, error in zip(course.plan.runs[1:], (0.4, 0.3), strict=True):
        course.records[run.key] = Record(
            made_from={},
            state="done",
            setting=run.setting,
            seed=1,
            dataset=run.dataset,
            unlabelled={"reconstruction": error},
            epochs=3,
        )
    rows = rows_of(course.plan, course.records, course.waiting, {})
    text = write_page(course.plan, course.doing, rows, "named").read_text()
    shown = text[text.index("What the search tried") : text.index("Commands that make the best")]
    places = [shown.index(f"lr {lr}, ") for lr in (0.003, 0.002, 0.001)]
    assert places == sorted(places) and "stopped early" not in shown[: places[2]]
    assert "stopped early" in shown[places[2] :] and "A search tried 3 of 3 settings" in text


def test_what_runs_share_is_not_searched(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is missing: pip install ray")
    from submission.study.search.command import require_alike

    study = read_study(file)
    assert study.search is not None
    require_alike(plan_of(study, file, tmp_path, extremes(study.search)), study.search)
    file.write_text(
        SEARCH.replace('"get_feature_extractor.stage" = 1\n', "").replace(
            "[search.bindings]",
            '[search.bindings]\n"get_feature_extractor.stage" = { choice = [1, 2] }',
        )
    )
    study = read_study(file)
    assert study.search is not None
    with pytest.raises(KitError, match=r"varies 'get_feature_extractor\.stage'") as refusal:
        require_alike(plan_of(study, file, tmp_path, extremes(study.search)), study.search)
    assert refusal.value.code == "STUDY-SEARCH"


def test_killed_and_started_again_it_goes_on_and_stops_what_is_worse(
    file: Path, tmp_path: Path, submission: Callable
) -> None:
    """Three settings are begun, of which the last one learns a hundred times as slowly."""
    pytest.importorskip("optuna", reason="Optuna is missing: pip install optuna")
    pytest.importorskip("ray.tune", reason="Ray Tune is missing: pip install 'ray[tune]'")
    longer = SEARCH.replace('epochs" = 3', 'epochs" = 30')
    file.write_text(longer.replace("trials = 2", "trials = 3\ngrace_epochs = 5"))
    folder = tmp_path / "shared/search"
    begun = [
        Tried(setting={"train_vae.lr": lr, "Encoder.features_per_layer": [96]})
        for lr in (0.005, 0.01, 0.0001)
    ]
    write_tried(folder, begun)
    words = ["study", file, "--search", "--features-dir", tmp_path / "features", "--device", "cpu"]
    first = submission(*words)
    while not list(folder.glob("runs/*/run.json")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert read_tried(folder) == begun
    second = submission(*words)
    output, errors = second.communicate()
    assert second.returncode == 0, errors
    assert "2 of 3: lr 0.01, features_per_layer [96]: reconstruction" in output
    assert "3 of 3: lr 0.0001" in output and "stopped after 5 epochs" in output
    *done, last = read_tried(folder)
    assert done == begun[:2]
    assert last.setting == begun[2].setting
    assert last.stopped is not None and last.stopped.epochs == 5
    rows = list(csv.DictReader((folder / "runs.csv").open()))
    assert [row["state"] for row in rows] == ["done", "done", "stopped"]
    assert [row["mpi3d_sim_real_mini/mig"] == "" for row in rows] == [False, False, True]
    assert float(rows[2]["reconstruction"]) > float(rows[1]["reconstruction"])
    assert not (folder / "tune").exists()


def test_without_optuna(file: Path) -> None:
    """A Python that finds no Optuna, whether it is installed or not."""
    code = (
        "import sys; sys.modules['optuna'] = None; sys.argv = ['submission', 'study', "
        f"{str(file)!r}, '--search']; from submission.__main__ import command; command()"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "TORCH_HOME": str(file.parent / "torch")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2 and run.stderr.startswith("error[EXTRA-MISSING]")
    assert "[search]" in run.stderr
