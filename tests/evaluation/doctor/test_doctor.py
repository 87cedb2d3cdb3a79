"""The doctor: its table, its JSON and its status, and what it says of GPUs that cannot be used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.common import devices
from evaluation.common.environment import REPOSITORY
from evaluation.doctor import gpu, machine, parts


def doctor(*flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evaluation", "doctor", *flags],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "120", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def with_fake_gpu(tmp_path: Path) -> dict[str, str]:
    """A PATH with an nvidia-smi that lists a GPU, as on a host whose driver PyTorch cannot use."""
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559 MiB, 580.65.06'\n")
    fake.chmod(0o755)
    return {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}


def test_the_table_names_every_part_and_torch_stays_out() -> None:
    result = doctor(DISENTANGLEMENT_LIB_DATA="/nowhere")
    assert result.returncode == 0, result.stdout
    for name in ("Python", "Processor", "Memory", "PyTorch", "Will use", "Sandbox", "Git LFS"):
        assert name in result.stdout
    assert "Not here: Datasets, for grading on MPI3D itself" in result.stdout
    assert "evaluation.data download mpi3d_real" in result.stdout
    program = "import sys; from evaluation.doctor.command import everything; everything(); "
    loaded = subprocess.run(
        [sys.executable, "-c", program + "print('torch' in sys.modules)"],
        cwd=REPOSITORY,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == str(bool(gpu._listed()))


def test_json_says_the_same_and_every_gap_has_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "mpi3d_toy").mkdir()
    (tmp_path / "mpi3d_toy" / "mpi3d_toy.npz").touch()
    result = doctor("--json", DISENTANGLEMENT_LIB_DATA=str(tmp_path))
    content = json.loads(result.stdout)
    by_name = {finding["name"]: finding for finding in content["findings"]}
    assert by_name["Datasets"]["found"] == f"mpi3d_toy in {tmp_path}"
    assert content["broken"] == (result.returncode == 1)
    for finding in content["findings"]:
        assert (finding["state"] == "good") == (not finding["remedy"])


@pytest.mark.skipif(bool(gpu._listed()), reason="this machine has a GPU")
def test_a_gpu_that_cannot_be_used_is_one_line_and_the_status(
    with_fake_gpu: dict[str, str],
) -> None:
    result = doctor("--gpu", **with_fake_gpu)
    assert result.returncode == 1
    (line,) = result.stdout.splitlines()
    assert line.startswith("The GPU cannot be used, so the CPU is: ")
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in line
    assert doctor("--gpu").stdout == "GPU: none\n"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("The NVIDIA driver on your system is too old (found version 11040).", "GPU-DRIVER"),
        ("Found no NVIDIA driver on your system.", "GPU-LIBRARY"),
        ("CUDA error: no kernel image is available for execution on the device", "GPU-KERNEL"),
        ("CUDA error: out of memory", "GPU-FULL"),
        ("Error 802: system not yet initialized", "GPU-FABRIC"),
        (
            "Error 803: system has unsupported display driver / cuda driver combination",
            "GPU-COMPAT",
        ),
        ("Error 804: forward compatibility was attempted on non supported HW", "GPU-COMPAT"),
        ("CUDA error: something else", "GPU-CUDA"),
    ],
)
def test_what_cuda_says_becomes_a_cause_and_a_remedy(message: str, code: str) -> None:
    def fail() -> None:
        raise RuntimeError(message)

    problem = gpu.usable_gpu(["NVIDIA H100"], "CUDA 13.0", fail)
    assert problem is not None
    assert problem.code == code
    assert problem.remedy
    assert gpu.usable_gpu(["NVIDIA H100"], "CUDA 13.0", lambda: None) is None
    without = gpu.usable_gpu(["NVIDIA H100"], None, lambda: None)
    assert without is not None
    assert without.code == "GPU-BUILD"


def test_a_driver_without_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "_CONTROL", tmp_path)
    problem = gpu.usable_gpu([], "CUDA 13.0", lambda: None)
    assert problem is not None
    assert problem.code == "GPU-NONE"


def test_auto_takes_the_cpu_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The driver counts a GPU, and CUDA does not start: as with a driver that is too old."""
    import torch

    def fail() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.delenv("AICROWD_CUDA", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "init", fail)
    assert devices.pick_device("auto") == "cpu"
    said = " ".join(capsys.readouterr().out.split())
    assert "a GPU is here, but The NVIDIA driver on your system is too old" in said
    with pytest.raises(devices.KitError, match="too old") as refused:
        devices.pick_device("cuda")
    assert refused.value.code == "DEVICE-CUDA"


@pytest.mark.parametrize(("version", "state"), [((3, 9, 1), "broken"), ((3, 13, 0), "good")])
def test_python_versions(version: tuple[int, ...], state: str) -> None:
    assert machine.python(version).state == state


def test_instructions_of_a_processor() -> None:
    intel = "model name : Xeon\nflags : avx2 avx512f avx512_bf16 amx_bf16\n\nmodel name : Xeon\n"
    shown, bf16 = machine.processor(intel)
    assert "Xeon" in shown.found
    assert "AMX BF16" in shown.found
    assert bf16.state == "good"
    assert machine.processor("Features : asimd\n")[1].state == "absent"


def test_a_redis_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICROWD_REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("AICROWD_REDIS_PORT", "1")
    monkeypatch.setenv("AICROWD_IS_GRADING", "1")
    assert parts.redis().state == "broken"
    monkeypatch.setenv("AICROWD_IS_GRADING", "0")
    assert parts.redis().state == "absent"
