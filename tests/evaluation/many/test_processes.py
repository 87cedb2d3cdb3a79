"""Gradings side by side: the same results, whatever happens to one of them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid
from evaluation.many import shares
from evaluation.many.jobs import one_after_another
from evaluation.many.processes import in_processes
from evaluation.many.shares import take_share
from evaluation.representation.resources.processes import descendants
from tests.evaluation.many.work import WORK, jobs_of_their_own
from tests.evaluation.representation.bad_submissions import dilled


def test_results_are_those_of_one_after_another(tmp_path: Path) -> None:
    names = [f"job{'-' * number}" for number in range(12)]
    alone = dict(one_after_another(jobs_of_their_own(tmp_path / "a", names), WORK))
    together = dict(in_processes(3)(jobs_of_their_own(tmp_path / "b", names), WORK))
    assert together == alone
    assert len(alone) == len(names)


def test_what_happens_to_one_happens_to_no_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ["first", "refused", "bug", "ends", "once", "last"]
    jobs = jobs_of_their_own(tmp_path, names)
    results = dict(in_processes(2)(jobs, WORK))
    assert set(results) == set(names)
    codes = {name: one.code for name, one in results.items() if isinstance(one, KitError)}
    assert codes == {"refused": "TEST-REFUSED", "bug": "JOB-BUG", "ends": "JOB-ENDED"}
    assert "ended its process 2 times, the last time by signal 9" in str(results["ends"])
    assert results["once"] == 12  # it ended its first process, and was done in a second
    tries = {job.name: len((job.folder / "tries").read_text()) for job in jobs}
    assert tries == dict.fromkeys(names, 1) | {"ends": 2, "once": 2}
    assert "RuntimeError: a bug" in capfd.readouterr().err


def test_processes_end_where_results_are_no_longer_wanted(tmp_path: Path) -> None:
    before = set(descendants(os.getpid()))
    results = in_processes(2)(jobs_of_their_own(tmp_path, ["a", "slow-b", "slow-c"]), WORK)
    next(results)
    assert set(descendants(os.getpid())) > before
    results.close()
    assert set(descendants(os.getpid())) <= before | _trackers()


def _trackers() -> set[int]:
    """Python's own helper of multiprocessing, which stays until the program ends."""
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in descendants(os.getpid())}
    return {pid for pid, path in commands.items() if b"resource_tracker" in path.read_bytes()}


@pytest.mark.parametrize(
    ("workers", "shares"), [(1, [4]), (2, [2, 2]), (3, [2, 1, 1]), (6, [1] * 6)]
)
def test_cpus_are_shared(workers: int, shares: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3, 5, 7})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: taken.append(set(cpus)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5")
    devices = []
    for number in range(workers):
        take_share(number, workers)
        devices.append(os.environ["CUDA_VISIBLE_DEVICES"])
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5")
    assert list(map(len, taken)) == shares
    assert set().union(*taken) == {2, 3, 5, 7}
    assert devices == [["4", "GPU-5"][number % 2] for number in range(workers)]


def test_gpus_are_shared_by_the_numbers_that_cuda_gives_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A container was given two of a host's GPUs, whose nodes keep the host's numbers."""
    nodes = [SimpleNamespace(name=f"nvidia{end}") for end in ("3", "ctl", "5", "-uvm", "-caps")]
    monkeypatch.setattr(shares, "_nodes", lambda: [*nodes, SimpleNamespace(name="null")])
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    devices = []
    for number in range(3):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        take_share(number, 3)
        devices.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert devices == ["0", "1", "0"]


def grading(*flags: object) -> list[str]:
    return [sys.executable, "-m", "evaluation", *map(str, flags), "--no-page", "--metrics", "mig"]


def test_killed_and_started_again_it_goes_on(
    mini: ImageGrid, data_root: Path, tmp_path: Path
) -> None:
    """Representations in sandboxes of their own, by two processes, SIGKILL after the first."""
    picked = "images[:, :, 20:50:10, 20:50:10].reshape(len(images), -1)"
    for number in range(4):
        folder = tmp_path / "them" / f"r{number}" / "representation"
        folder.mkdir(parents=True)
        dilled(f"def represent(images):\n  return {picked} + {number}")(folder)
    data = ("--dataset", mini.name, "--data-root", data_root, "--representation")
    output = tmp_path / "out"
    words = grading(*data, tmp_path / "them", "--output", output, "--workers", 2)
    first = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    while not list(output.glob("*/scores.json")):
        assert first.poll() is None
        time.sleep(0.05)
    family = descendants(first.pid)
    first.send_signal(signal.SIGKILL)
    first.wait()
    finished = {path: path.stat().st_mtime_ns for path in output.glob("*/scores.json")}
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}/exe").exists() for pid in family):
        assert time.monotonic() < deadline, "processes outlive the grader"
        time.sleep(0.05)
    subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    alone = tmp_path / "alone"
    words = grading(*data, tmp_path / "them", "--output", alone)
    subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True)
    summaries = [json.loads((out / "all_scores.json").read_text()) for out in (output, alone)]
    assert summaries[0] == summaries[1]
    assert len(summaries[0]["scores"]) == 4


def test_of_many_tables_no_pages_are_left(mini: ImageGrid, data_root: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    for number in range(101):
        np.save(tables / f"{number}.npy", np.random.RandomState(number).rand(len(mini), 2))
    words = [
        *(sys.executable, "-m", "evaluation", "--dataset", mini.name, "--data-root", data_root),
        *("--metrics", "irs", "--workers", 2, "--output", tmp_path / "out", "--codes"),
        *sorted(tables.iterdir()),
    ]
    run = subprocess.run(
        list(map(str, words)), cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert "No pages are left" in run.stdout
    assert len(list((tmp_path / "out").glob("*/scores.json"))) == 101
    assert not list((tmp_path / "out").glob("*/report.html"))

    summary = (tmp_path / "out/all_scores.json").read_bytes()
    words[words.index("--workers") : words.index("--output")] = ["--cluster", "127.0.0.1:1"]
    run = subprocess.run(list(map(str, words)), cwd=REPOSITORY, check=False, capture_output=True)
    assert run.returncode == 2 and b"Representation" not in run.stdout
    assert (tmp_path / "out/all_scores.json").read_bytes() == summary
