"""The Dockerfile and the scripts, as linters see them."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    subprocess.run([hadolint, "Dockerfile"], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize(
    "script", ["run.sh", "local_eval.sh", ".ci/run", ".ci/container", ".ci/matrix"]
)
def test_shellcheck_finds_nothing(script: str) -> None:
    shellcheck = Path(sys.executable).parent / "shellcheck"
    subprocess.run([shellcheck, script], cwd=REPOSITORY, check=True)
