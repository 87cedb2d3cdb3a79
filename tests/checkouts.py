"""A checkout of this repository to spoil, and a small encoder to bundle in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return result.stdout.rstrip("\n")


def make_checkout(folder: Path) -> Path:
    """Copies what git tracks or would track here to `folder`, as its only commit."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("NO GIT REPOSITORY HERE: tests that need a checkout are left out")
    names = git(REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, names.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    # What numba has compiled is copied too: compiling it takes half a minute.
    for compiled in (REPOSITORY / "evaluation").rglob("__pycache__/compiled-*"):
        shutil.copytree(compiled, folder / compiled.relative_to(REPOSITORY))
    shutil.rmtree(folder / "submission" / "bundle", ignore_errors=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "A Participant")
    git(folder, "config", "user.email", "participant@localhost")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "The kit")
    return folder


def write_encoder(path: Path, dims: int = 6, hidden: int = 16) -> None:
    """Saves an untrained network as TorchScript: images (n, 3, 64, 64) to codes (n, dims).

    Args:
        hidden: Width of a hidden layer; each of it takes 1 kB, so 5000 make a large file.
    """
    import torch
    from torch import nn

    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(256, hidden), nn.ReLU(), nn.Linear(hidden, dims))
    network = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.Flatten(), head)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.trace(network.eval(), torch.zeros(1, 3, 64, 64)).save(str(path))


def kit(checkout: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `command` in a checkout, with this Python first on PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=checkout,
        env={**os.environ, "PATH": path, "AICROWD_IS_GRADING": "0", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def bundle_encoder(checkout: Path, output: Path, experiment: str = "small") -> None:
    """Bundles an experiment under `output`; a small encoder is exported there if nothing is."""
    folder = output / experiment
    if not folder.exists():
        write_encoder(folder / "representation" / "pytorch_model.pt")
        (folder / "config.gin").write_text("main.seed = 1\n", encoding="utf-8")
    command = ("python", "-m", "submission", "bundle", experiment)
    result = kit(checkout, *command, AICROWD_OUTPUT_PATH=str(output))
    assert result.returncode == 0, result.stderr
