"""The benchmarks of a GPU run on a CPU, where their figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.common.environment import REPOSITORY
from tests.benchmarks import bench_gpu
from tests.gpu.conftest import gpus


def bench(*flags: str, name: str = "bench_gpu") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{name}", *flags],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_work_has_figures_and_a_trace(tmp_path: Path, data_root: Path) -> None:
    output, traces = tmp_path / "figures.json", tmp_path / "traces"
    flags = ["--device=cpu", "--tiny", f"--output={output}", f"--trace={traces}"]
    result = bench(*flags, f"--data-root={data_root}")
    assert result.returncode == 0, result.stderr
    content = json.loads(output.read_text())
    names = [work["name"].rpartition(", ")[0] for work in content["work"]]
    for name in ("extraction", "fine-tuning", "VAE, stage 1", "VAE, stage 2", "grading"):
        assert name in names
        assert name in result.stdout
    assert content["failed"] == []
    for work in content["work"]:
        assert work["rate"] > 0
        assert work["plain"] > 0
        assert work["flops"] > 0
    assert {"extraction-float32.json", "stage-2-float32.json"} <= {
        trace.name for trace in traces.iterdir()
    }


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")
def test_without_a_gpu_it_is_one_line_and_status_2() -> None:
    result = bench()
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error[DEVICE-CUDA]: 'cuda' is not available")


def test_a_work_that_fails_does_not_stop_the_others(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    for name in ("extraction", "fine_tuning", "vae"):
        monkeypatch.setattr(bench_gpu.gpu_work, name, fail)
    output = tmp_path / "figures.json"
    flags = ["--device=cpu", "--tiny", f"--output={output}", f"--data-root={data_root}"]
    assert bench_gpu.main(flags) == 1
    content = json.loads(output.read_text())
    assert [work["name"] for work in content["work"]] == ["grading, float32"]
    assert [each["name"] for each in content["failed"]] == [
        f"{name}, float32"
        for name in ("extraction", "fine-tuning", "VAE, quick", "VAE, stage 1", "VAE, stage 2")
    ]
    assert all("illegal memory access" in each["trace"] for each in content["failed"])


@pytest.mark.parametrize(
    ("more", "record"), [([], "seconds.json"), (["--quick"], "quick_seconds.json")]
)
def test_the_whole_of_stage_2_stops_at_its_limit_and_goes_on(
    more: list[str], record: str, tmp_path: Path
) -> None:
    flags = ["--small", "--device=cpu", f"--folder={tmp_path}", "--limit=1", *more]
    for pieces in (1, 2):
        result = bench(*flags, name="bench_stage2")
        assert result.returncode == 75, result.stderr
        assert "The same command goes on from here" in result.stdout
        (entry,) = json.loads((tmp_path / record).read_text()).values()
        assert len(entry["pieces"]) == pieces
        assert all(0 < seconds < 60 for seconds in entry["pieces"])
