"""The command line: what it refuses, and what it does not import to say so."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from submission.__main__ import main

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


@pytest.mark.parametrize("arguments", [[], ["train"], ["train", "a.gin", "x", "--precision", "f8"]])
def test_unusable_command_lines(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2


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
