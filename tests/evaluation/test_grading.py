"""The command, from representation or codes to scores.json."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation import __main__ as command
from evaluation import grading, metrics, origin, reference
from evaluation.codes import encoding
from evaluation.codes.beside import Beside
from evaluation.codes.subjects import open_subject
from evaluation.codes.table import CodeTable, Draws
from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid, IndexGrid
from evaluation.metrics.baselines import spread
from evaluation.representation.finding import Found, find
from evaluation.representation.running import RunningRepresentation
from evaluation.rules import Rules
from evaluation.scores import Report, Summary, schema
from evaluation.scoring import evaluate
from tests.evaluation.representation.bad_submissions import dilled

PICKED = "images[:, :, 20:50:10, 20:50:10].reshape(len(images), -1)"
"""27 pixels as codes: equal to the last bit however large the batch is."""

Run = Callable[..., int]


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    folder = tmp_path / "experiment"
    (folder / "representation").mkdir(parents=True)
    dilled(f"def represent(images):\n  return {PICKED}")(folder / "representation")
    return folder


@pytest.fixture
def perfect(mini: ImageGrid, tmp_path: Path) -> Path:
    path = tmp_path / "perfect.npy"
    np.save(path, mini.factors_of(np.arange(len(mini))).astype(np.float32))
    return path


@pytest.fixture
def run(mini: ImageGrid, data_root: Path) -> Run:
    def main(*argv: object) -> int:
        flags = [
            "--dataset",
            mini.name,
            "--data-root",
            data_root,
            "--device",
            "cpu",
            "--no-page",
            *argv,
        ]
        return command.main([str(flag) for flag in flags])

    return main


def scores_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text())


class EveryImage(Draws):
    """Has every image encoded: metrics with other sizes than the challenge's draw others."""

    def prefill(self, table: CodeTable, fill: Callable[[NDArray[np.int64]], None]) -> None:
        fill(table.missing(np.arange(len(self.data))))


SMALL = {
    "factor_vae_metric": {"num_train": 60, "num_eval": 40, "num_variance_estimate": 200},
    "dci": {"num_train": 150, "num_test": 60},
    "sap_score": {"num_train": 300, "num_test": 150},
    "mig": {"num_train": 500},
    "irs": {"num_train": 500},
}


@pytest.mark.parametrize("name", SMALL)
def test_the_table_gives_the_scores_that_batches_of_images_give(
    name: str, mini: ImageGrid, experiment: Path, tmp_path: Path
) -> None:
    def represent(observations: NDArray[np.float32]) -> NDArray[np.float32]:
        return observations[:, 20:50:10, 20:50:10].transpose(0, 3, 1, 2).reshape(-1, 27)

    theirs = reference.load(metrics.METRICS[name])
    draws = EveryImage(IndexGrid.of(mini), [name], [0])
    subject = open_subject(find(experiment)[0], Rules(metrics=(name,)))
    table = subject.codes_of(mini, draws, tmp_path / "codes.npz").table
    from_table = theirs(draws.data, table, RandomState(0), **SMALL[name])
    ours = metrics.METRICS[name].load()(draws.data, table, RandomState(0), **SMALL[name])
    from_images = theirs(mini, represent, RandomState(0), **SMALL[name])

    key = metrics.METRICS[name].score_key
    assert from_table[key] == from_images[key]
    if metrics.METRICS[name].tolerance == 0:
        assert ours[key] == from_images[key]


def test_perfect_codes(run: Run, perfect: Path, tmp_path: Path, mini: ImageGrid) -> None:
    assert run("--codes", perfect, "--output", tmp_path) == 0
    report = scores_in(tmp_path)
    assert list(report["scores"]) == [metric.name for metric in metrics.CHALLENGE]
    assert report["scores"]["factor_vae_metric"] == 1.0
    assert report["scores"]["dci"] > 0.99
    assert report["scores"]["irs"] > 0.97
    assert all(0 <= score <= 1 for score in report["scores"].values())
    assert report["dataset"] == mini.name
    assert report["factor_sizes"] == list(mini.factor_sizes)
    assert report["representation"]["dim"] == mini.num_factors
    assert report["baselines"]["noise"]["dci"] < 0.1
    assert 0.2 < report["baselines"]["noise"]["dci.informativeness_test"] < 0.9
    assert set(report["seconds"]) == {"encode", *report["scores"]}


def test_a_program_reads_the_scores_from_standard_output(
    run: Run, perfect: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    flags = ("--codes", perfect, "--metrics", "mig", "--output", tmp_path)
    assert run(*flags, "--json") == 0
    assert json.loads(capsys.readouterr().out) == scores_in(tmp_path)
    assert run(*flags, "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert run(*flags) == 0
    assert "mig" in capsys.readouterr().out


def test_a_traceback_is_shown_where_it_is_asked_for(
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    np.save(tmp_path / "codes.npy", np.zeros((3, 3)))
    flags = ("--codes", tmp_path / "codes.npy", "--metrics", "mig", "--output", tmp_path)
    assert run(*flags) == 2
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setattr(sys, "argv", ["evaluation", "--debug"])
    assert run(*flags, "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_grading_leaves_a_page_and_makes_it_again_where_it_is_gone(
    mini: ImageGrid, data_root: Path, perfect: Path, tmp_path: Path
) -> None:
    flags = ["--codes", str(perfect), "--metrics", "mig", "--output", str(tmp_path)]
    flags += ["--dataset", mini.name, "--data-root", str(data_root), "--device", "cpu"]
    page = tmp_path / "report.html"
    for _ in range(2):
        assert command.main(flags) == 0
        assert "each code tells by itself" in page.read_text(encoding="utf-8")
        page.unlink()
    assert command.main([*flags, "--compared-with", str(tmp_path)]) == 0
    assert "compared run" in page.read_text(encoding="utf-8")


def test_a_table_of_codes_may_be_a_link(run: Run, perfect: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "codes.npy"
    link.symlink_to(perfect)
    assert run("--codes", link, "--metrics", "mig", "--output", tmp_path) == 0


def test_a_representation_and_its_table_of_codes_score_the_same(
    run: Run, experiment: Path, mini: ImageGrid, tmp_path: Path
) -> None:
    every = mini.observations_at(np.arange(len(mini)))
    table = every[:, 20:50:10, 20:50:10].transpose(0, 3, 1, 2).reshape(-1, 27)
    np.save(tmp_path / "codes.npy", table)
    flags = ("--metrics", "mig,irs,factor_vae_metric", "--output")
    assert run("--representation", experiment, *flags, tmp_path / "a") == 0
    assert run("--codes", tmp_path / "codes.npy", *flags, tmp_path / "b") == 0
    assert scores_in(tmp_path / "a")["details"] == scores_in(tmp_path / "b")["details"]


def test_scores_are_reused_while_made_from_the_same(
    run: Run, experiment: Path, tmp_path: Path
) -> None:
    flags = ("--representation", experiment, "--output", tmp_path, "--metrics", "mig")
    assert run(*flags) == 0
    written = (tmp_path / "scores.json").stat().st_mtime_ns
    assert run(*flags) == 0
    assert (tmp_path / "scores.json").stat().st_mtime_ns == written
    assert run(*flags, "--seed", "1") == 0
    assert (tmp_path / "scores.json").stat().st_mtime_ns > written


def test_scores_that_came_with_a_submission_are_not_believed(run: Run, experiment: Path) -> None:
    flags = ("--representation", experiment, "--output", experiment, "--metrics", "mig")
    assert run(*flags) == 0
    graded = scores_in(experiment)
    forged = {**graded, "scores": {"mig": 1.0}}
    (experiment / "scores.json").write_text(json.dumps(forged))
    assert run(*flags) == 0
    assert scores_in(experiment)["scores"] == graded["scores"]


def test_many_at_once(
    run: Run, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken" / "representation"
    broken.mkdir(parents=True)
    (broken / "python_model.dill").touch()
    flags = ("--metrics", "mig", "--output", tmp_path / "out")
    assert run("--representation", experiment, broken.parent, *flags) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error[REPRESENTATION-EMPTY]: ")
    assert "experiment" in captured.out
    summary = json.loads((tmp_path / "out" / "all_scores.json").read_text())
    written = scores_in(tmp_path / "out" / "experiment")
    assert summary["scores"]["experiment"] == written["scores"]
    assert summary["baselines"]["noise, 27 dims"] == written["baselines"]["noise"]
    assert "noise, 27 dims" in captured.out
    assert summary["refused"] == captured.err.splitlines()
    assert not (tmp_path / "out" / "broken").exists()


def test_a_bug_in_one_loses_none_of_the_others(
    run: Run, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(experiment, tmp_path / "other")

    def grade(found: Found, *arguments: Any) -> Report:
        if found.names[0] == "other":
            raise RuntimeError("a bug")
        return sound(found, *arguments)

    sound = grading.grade
    monkeypatch.setattr(grading, "grade", grade)
    flags = ("--metrics", "mig", "--output", tmp_path / "out")
    with pytest.raises(RuntimeError, match="a bug"):
        run("--representation", experiment, tmp_path / "other", *flags)
    summary = json.loads((tmp_path / "out" / "all_scores.json").read_text())
    assert list(summary["scores"]) == ["experiment"]


def test_baseline_and_seeds(run: Run, perfect: Path, experiment: Path, tmp_path: Path) -> None:
    flags = ("--metrics", "mig,irs", "--seeds", "3", "--seed", "5", "--baseline", experiment)
    assert run("--codes", perfect, "--output", tmp_path / "all", *flags) == 0
    report = scores_in(tmp_path / "all")
    assert set(report["baselines"]) == {"noise", "untrained"}
    mig, untrained = report["seeds"]["mig"], []
    assert set(mig["baselines"]) == {"noise", "untrained"}
    for number, seed in enumerate((5, 6, 7)):
        one = ("--metrics", "mig", "--seed", seed, "--output", tmp_path / str(seed))
        assert run("--codes", perfect, "--baseline", experiment, *one) == 0
        alone = scores_in(tmp_path / str(seed))
        assert mig["scores"][number] == alone["scores"]["mig"]
        untrained.append(alone["baselines"]["untrained"]["mig"])
    assert mig["baselines"]["untrained"] == pytest.approx(np.mean(untrained), abs=1e-12)


def test_a_baseline_beside_scores_that_are_reused(
    run: Run, perfect: Path, experiment: Path, tmp_path: Path
) -> None:
    flags = ("--codes", perfect, "--metrics", "mig", "--baseline", experiment)
    assert run(*flags, "--output", tmp_path / "out") == 0
    (tmp_path / "out" / "untrained_codes.npz").unlink()
    written = scores_in(tmp_path / "out")
    assert run(*flags, "--output", tmp_path / "out") == 0
    assert scores_in(tmp_path / "out") == written


def test_spread_of_known_scores() -> None:
    of = spread([0.2, 0.4, 0.6])
    assert of["mean"] == pytest.approx(0.4)
    assert of["std"] == pytest.approx(0.2)
    low, high = of["interval"]
    assert 0.2 <= low < 0.4 < high <= 0.6
    assert spread([0.5, 0.5])["interval"] == [0.5, 0.5]


def test_verify_passes_and_fails(
    run: Run, perfect: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--codes", perfect, "--metrics", "mig,irs", "--verify", "--output")
    assert run(*flags, tmp_path / "a") == 0
    rows = scores_in(tmp_path / "a")["verification"]
    assert all(row["fast"] == row["disentanglement_lib"] for row in rows.values())
    # Nothing is within a tolerance below zero.
    never = replace(metrics.METRICS["mig"], tolerance=-1.0)
    monkeypatch.setitem(metrics.METRICS, "mig", never)
    assert run(*flags, tmp_path / "b") == 3
    assert not scores_in(tmp_path / "b")["verification"]["mig"]["within"]


def test_codes_that_the_reference_cannot_score(
    run: Run, mini: ImageGrid, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "one_dim.npy", np.arange(len(mini), dtype=np.float32)[:, np.newaxis])
    flags = ("--codes", tmp_path / "one_dim.npy", "--metrics", "mig,irs", "--output", tmp_path)
    assert run(*flags, "--verify") == 0
    rows = scores_in(tmp_path)["verification"]
    assert rows["mig"]["disentanglement_lib"] is None
    assert rows["irs"]["disentanglement_lib"] == rows["irs"]["fast"]
    assert run(*flags, "--engine", "disentanglement_lib") == 2
    assert capsys.readouterr().err.startswith("error[REFERENCE-FAILS]: ")


def test_the_reference_engine_repeats(mini: ImageGrid) -> None:
    codes = CodeTable.given(RandomState(1).normal(size=(len(mini), 4)))
    grid = IndexGrid(mini.factor_sizes)
    np.random.seed(7)
    first = evaluate(["sap_score", "mig"], "disentanglement_lib", grid, codes, 0)
    np.random.seed(8)
    assert (
        evaluate(["sap_score", "mig"], "disentanglement_lib", grid, codes, 0).scores == first.scores
    )


def test_metrics_from_a_gin_file(run: Run, perfect: Path, tmp_path: Path) -> None:
    config = tmp_path / "metrics.gin"
    config.write_text("get_eval_metrics.metrics = ['mig']\n")
    assert run("--codes", perfect, "--config", config, "--output", tmp_path) == 0
    assert list(scores_in(tmp_path)["scores"]) == ["mig"]
    config.write_text("get_eval_metrics.metrics = []\n")
    with pytest.raises(KitError, match="METRIC-NONE"):
        run("--codes", perfect, "--config", config, "--output", tmp_path)


@pytest.mark.parametrize(
    ("code", "flags"),
    [
        ("METRIC-NAME", ["--metrics", "mig,accuracy"]),
        ("METRIC-REFERENCE", ["--metrics", "mig,infomec", "--engine", "disentanglement_lib"]),
        ("METRIC-REFERENCE", ["--metrics", "infomec", "--verify"]),
        ("SEED-RANGE", ["--seed", "-1"]),
        ("SEED-RANGE", ["--seed", str(2**32 - 2), "--seeds", "3"]),
        ("DATA-NAME", ["--dataset", "celeba"]),
        ("OUTPUT-UNWRITABLE", ["--output", "/proc/scores"]),
        ("CONFIG-FILE", ["--config", "nowhere.gin"]),
        ("REPRESENTATION-MISSING", ["--baseline", "nowhere.pt"]),
    ],
)
def test_bad_input(run: Run, perfect: Path, tmp_path: Path, code: str, flags: list[str]) -> None:
    with pytest.raises(KitError) as refused:
        run("--codes", perfect, "--output", tmp_path, *flags)
    assert refused.value.code == code
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.parametrize("name", ["scores.json", "codes.npz", "report.html"])
def test_a_folder_in_the_way_is_told_at_once(
    run: Run, perfect: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "output" / name).mkdir(parents=True)
    assert run("--codes", perfect, "--output", tmp_path / "output") == 2
    assert capsys.readouterr().err.startswith("error[OUTPUT-OCCUPIED]: ")


def test_a_table_that_is_not_there(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--codes", "nowhere.npy", "--output", tmp_path) == 2
    assert capsys.readouterr().err.startswith("error[CODES-UNREADABLE]: ")
    assert list(tmp_path.iterdir()) == []


def test_many_tables_of_codes(
    run: Run, perfect: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(perfect, tmp_path / "same.npy")
    tables = (perfect, tmp_path / "same.npy", tmp_path / "nowhere.npy")
    assert run("--codes", *tables, "--metrics", "mig", "--output", tmp_path / "out") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    summary = json.loads((tmp_path / "out" / "all_scores.json").read_text())
    assert list(summary["scores"]) == ["perfect", "same"]
    assert summary["scores"]["perfect"] == scores_in(tmp_path / "out" / "same")["scores"]
    jsonschema.validate(summary, schema(Summary))


def test_scores_follow_their_schema(
    run: Run, perfect: Path, experiment: Path, tmp_path: Path
) -> None:
    flags = ("--metrics", "mig,irs", "--seeds", "2", "--verify", "--baseline", experiment)
    assert run("--representation", experiment, "--output", tmp_path / "a", *flags) == 0
    assert run("--codes", perfect, "--output", tmp_path / "b", "--metrics", "mig") == 0
    for folder, optional in (("a", True), ("b", False)):
        written = scores_in(tmp_path / folder)
        jsonschema.validate(written, schema(Report))
        assert written["schema_version"] == 1
        for key in ("seeds", "verification", "isolation", "used", "recheck", "violations"):
            assert (key in written) == optional
    assert written["made_from"]["protocol"]["engine"] == written["engine"] == "fast"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "scores": {"mig": "1.0"}}, schema(Report))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "secondes": 1}, schema(Report))


def test_how_a_representation_ran_is_in_the_scores(
    run: Run, experiment: Path, tmp_path: Path
) -> None:
    assert run("--representation", experiment, "--output", tmp_path, "--metrics", "mig") == 0
    written = scores_in(tmp_path)
    assert written["isolation"]["complete"] == (written["isolation"]["missing"] == [])
    assert written["used"]["memory_bytes"] > 1 << 20
    assert written["used"]["cpu_seconds"] > 0 and written["used"]["processes"] >= 1
    # Of 10,000 draws from 10,368 images some 6,400 differ.
    assert 3000 < written["recheck"]["rows"] < 3200


@pytest.mark.parametrize("missing", [[], ["the network is open"]])
def test_strict_refuses_where_a_layer_is_missing(
    run: Run,
    experiment: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    missing: list[str],
) -> None:
    monkeypatch.setattr(RunningRepresentation, "missing_isolation", missing)
    flags = ("--representation", experiment, "--output", tmp_path / "out", "--metrics", "mig")
    strict = run(*flags, "--strict", "--allow-kinds", "dill")
    lines = capsys.readouterr().err.splitlines()
    if not missing:
        assert (strict, lines) == (0, [])
        return
    assert strict == 2 and len(lines) == 1
    assert lines[0].startswith("error[STRICT-ISOLATION]: ") and missing[0] in lines[0]
    assert run(*flags) == 0
    assert f"does not isolate what it grades: {missing[0]}" in capsys.readouterr().out
    isolation = scores_in(tmp_path / "out")["isolation"]
    assert isolation == {"complete": False, "missing": missing}


def test_strict_refuses_programs(
    run: Run, experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--representation", experiment, "--output", tmp_path / "out", "--metrics", "mig")
    assert run(*flags, "--strict", "--allow-kinds", "savedmodel") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error[STRICT-KIND]: ") and "--allow-kinds dill" in line
    with pytest.raises(SystemExit):
        run(*flags, "--strict", "--allow-kinds", "pickle")


def test_what_was_graded_all_the_same_is_in_the_scores(
    run: Run, experiment: Path, tmp_path: Path
) -> None:
    chance = f"import numpy as np\ndef represent(images):\n  return {PICKED} + np.random.rand()"
    dilled(chance)(experiment / "representation")
    flags = ("--representation", experiment, "--output", tmp_path, "--metrics", "mig")
    assert run(*flags, "--allow-unstable") == 0
    codes = [violation["code"] for violation in scores_in(tmp_path)["violations"]]
    assert codes == ["REPRESENTATION-RANDOM", "REPRESENTATION-STATE"]


def test_the_metrics_run_while_a_sample_is_encoded_again(
    run: Run, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--representation", experiment, "--metrics", "mig,factor_vae_metric")
    with monkeypatch.context() as one_after_another:
        one_after_another.setattr(Beside, "start", lambda *_: None)
        assert run(*flags, "--output", tmp_path / "after") == 0
    began, again = Event(), Event()
    evaluate_seeds, changed = grading.evaluate_seeds, encoding._changed

    def metrics_with_the_other(*args: Any) -> Any:
        began.set()
        assert again.wait(60)
        return evaluate_seeds(*args)

    def again_with_the_other(*args: Any) -> Any:
        again.set()
        assert began.wait(60)
        return changed(*args)

    monkeypatch.setattr(grading, "evaluate_seeds", metrics_with_the_other)
    monkeypatch.setattr(encoding, "_changed", again_with_the_other)
    assert run(*flags, "--output", tmp_path / "beside") == 0
    found, expected = (scores_in(tmp_path / name) for name in ("beside", "after"))
    for written in (found, expected):
        assert written.pop("seconds").keys() == {"encode", "mig", "factor_vae_metric"}
        assert written.pop("used") and written["recheck"].pop("used")
        assert written["recheck"].pop("seconds") > 0
    assert found == expected


@pytest.mark.parametrize("metrics_fail", [False, True])
def test_codes_that_are_refused_have_no_scores(
    run: Run,
    experiment: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    metrics_fail: bool,
) -> None:
    """The metrics have run by then, or are running; neither they nor their errors count."""
    if metrics_fail:
        monkeypatch.setattr(grading, "evaluate_seeds", lambda *_: 1 / 0)
    body = f"  count[0] += len(images)\n  return {PICKED} + (count[0] > 3000)"
    dilled(f"count = [0]\ndef represent(images):\n{body}")(experiment / "representation")
    flags = ("--representation", experiment, "--output", tmp_path / "out", "--metrics", "mig")
    assert run(*flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error[REPRESENTATION-STATE]: ")
    assert not (tmp_path / "out" / "scores.json").exists()


def test_code_in_a_folder_below_changes_the_digest(tmp_path: Path) -> None:
    package = tmp_path / "evaluation"
    shutil.copytree(Path(origin.__file__).parent, package)
    digests = {origin.source_digest(package)}
    deep = package / "representation" / "contract.py"
    assert deep.is_file()
    deep.write_text(deep.read_text() + "# changed\n")
    digests.add(origin.source_digest(package))
    (package / "metrics" / "new.py").touch()
    digests.add(origin.source_digest(package))
    assert len(digests) == 3
    assert origin.grader_digest() in digests


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(run: Run, perfect: Path) -> None:
    with pytest.raises(KitError, match="DEVICE-CUDA"):
        run("--codes", perfect, "--device", "cuda")


def test_killed_while_encoding_and_started_again(
    mini: ImageGrid, data_root: Path, experiment: Path, run: Run, tmp_path: Path
) -> None:
    slow = tmp_path / "slow" / "representation"
    slow.mkdir(parents=True)
    dilled(f"import time\ndef represent(images):\n  time.sleep(0.05)\n  return {PICKED}")(slow)
    argv = ["--representation", str(slow), "--output", str(tmp_path / "killed"), "--metrics", "mig"]
    argv += ["--dataset", mini.name, "--data-root", str(data_root), "--device", "cpu"]
    grader = subprocess.Popen(
        [sys.executable, "-m", "evaluation", *argv],
        cwd=environment.REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    while not list(tmp_path.glob("representation-*/work")):
        time.sleep(0.05)
    time.sleep(1)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    deadline = time.monotonic() + 20
    while workers_under(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers_under(tmp_path) == []
    assert not (tmp_path / "killed" / "scores.json").exists()

    assert run(*argv) == 0
    assert run("--representation", experiment, "--output", tmp_path / "a", "--metrics", "mig") == 0
    assert scores_in(tmp_path / "killed")["details"] == scores_in(tmp_path / "a")["details"]


def test_terminated_it_leaves_nothing_behind(
    mini: ImageGrid, data_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "python_model.dill").write_bytes(b"ctime\nsleep\n(I60\ntR.")
    argv = ["--representation", str(tmp_path / "python_model.dill"), "--output", str(tmp_path)]
    argv += ["--dataset", mini.name, "--data-root", str(data_root), "--device", "cpu"]
    grader = subprocess.Popen(
        [sys.executable, "-m", "evaluation", *argv],
        cwd=environment.REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    while not workers_under(tmp_path):
        time.sleep(0.05)
    grader.terminate()
    assert grader.wait(timeout=30) == 128 + signal.SIGTERM
    assert workers_under(tmp_path) == []
    assert list(tmp_path.glob("representation-*")) == []


def workers_under(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={folder}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
