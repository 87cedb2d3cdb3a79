"""The command line: what it refuses, and what it does not import to say so."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evaluation.common import devices
from evaluation.common.errors import KitError, run_command
from submission.__main__ import main
from submission.runtime import checkpoints

HEAVY = "torch, torchvision, tensorflow, sklearn, numba, disentanglement_lib"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["export", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = f"""
import sys
from submission.__main__ import main
try:
    main({arguments})
except SystemExit as end:
    assert end.code == 0
assert not set("{HEAVY}".split(", ")) & set(sys.modules)
"""
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "usage: python -m submission" in output


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["train", "a.gin", "x", "--precision", "f8"],
        ["train", "a.gin", "x", "--devices", "0"],
    ],
)
def test_unusable_command_lines(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("device", "code"),
    [("gpu", "NAME"), ("cuda:x", "NAME"), ("meta", "NAME"), ("cuda:99", "CUDA")],
)
def test_devices_that_there_are_not(device: str, code: str) -> None:
    with pytest.raises(KitError, match=f"DEVICE-{code}.*'{device}'"):
        devices.pick_device(device)


def test_a_device_keeps_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO CUDA DEVICE HERE")
    monkeypatch.setenv("AICROWD_CUDA", "0")
    found = [devices.pick_device(choice) for choice in ("auto", "cpu", "cuda", "cuda:0")]
    assert found == ["cpu", "cpu", "cuda", "cuda:0"]


def test_what_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for write in (
        lambda: checkpoints.write(Path("/dev/full"), {"weights": torch.ones(9)}),
        lambda: checkpoints.write(Path("/dev/full"), {"weights": torch.ones(300_000)}),
        lambda: Path("/sys/experiment").mkdir(),
    ):
        with pytest.raises(SystemExit) as end:
            run_command(lambda _, write=write: write())
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error[OUTPUT-UNWRITABLE]: ") and error.count("\n") == 1
    with pytest.raises(FileNotFoundError):  # any other is a bug
        run_command(lambda _: Path("nowhere/experiment").mkdir())


def test_errors_are_one_line_and_status_2(
    submission: Callable[..., subprocess.Popen], small_config: Path
) -> None:
    cases = [
        (["train", small_config, "x", "--binding", "train_vae.epoch = 3"], "CONFIG-NAME"),
        (["export", small_config, "x"], "EXPORT-UNTRAINED"),
    ]
    processes = [submission(*arguments) for arguments, _ in cases]
    for process, (_, code) in zip(processes, cases, strict=True):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2
        assert errors.startswith(f"error[{code}]: ") and errors.count("\n") == 1
