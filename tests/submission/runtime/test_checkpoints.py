"""Checkpoints: whole or told, with the epoch before to fall back on."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evaluation.common.devices import Placement
from submission.runtime import checkpoints
from tests.gpu.test_training import run_fit

ORIGIN = {"name": "test"}


def save(path: Path, epoch: int) -> None:
    checkpoints.save(path, ORIGIN, rows=[{"loss": 0.5}] * epoch, vae={"w": torch.arange(99.0)})


def epochs(path: Path) -> int | None:
    state = checkpoints.load(path, ORIGIN)
    return None if state is None else len(state["rows"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pt"
    for epoch in (1, 2, 3):
        save(path, epoch)
    return path


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path) -> None:
    """In the weights, which torch.load takes as they are."""
    content = path.read_bytes()
    weights = torch.arange(99.0).numpy().tobytes()
    assert weights in content
    path.write_bytes(content.replace(weights, weights[:100] + b"\x01" + weights[101:]))


DAMAGES = [cut, zeroed, flipped, lambda path: os.truncate(path, 0)]


def test_the_last_state_comes_back_and_the_one_before_is_kept(path: Path) -> None:
    state = checkpoints.load(path, ORIGIN)
    assert state is not None and len(state["rows"]) == 3
    assert torch.equal(state["vae"]["w"], torch.arange(99.0))
    assert epochs(checkpoints.previous(path)) == 2
    assert checkpoints.load(path, {"name": "other"}) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_epoch_before_a_damaged_one_is_used(
    path: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(path)
    checkpoints._undamaged_here.clear()  # as in a new process
    assert epochs(path) == 2
    assert capsys.readouterr().out == f"Damaged: {path}; the epoch before is used\n"
    # The damaged file does not take the place of the good one.
    save(path, 3)
    assert epochs(path) == 3 and epochs(checkpoints.previous(path)) == 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_two_damaged_ones_begin_anew(
    path: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    for each in (path, checkpoints.previous(path)):
        damage(each)
    assert epochs(path) is None
    output = capsys.readouterr().out
    assert output.count("\n") == 1 and output.endswith("; training starts again\n")


def test_a_kill_between_the_two_renames_leaves_the_epoch_before(path: Path) -> None:
    path.replace(checkpoints.previous(path))
    assert epochs(path) == 3


def test_a_small_checkpoint_is_always_due_and_a_large_one_now_and_then(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkpoints.is_due(path)
    monkeypatch.setattr(checkpoints, "_LARGE", path.stat().st_size)
    assert not checkpoints.is_due(path)
    monkeypatch.setitem(checkpoints._saved_at, path, -1e9)
    assert checkpoints.is_due(path)
    save(path, 4)
    assert not checkpoints.is_due(path)
    path.unlink()
    assert checkpoints.is_due(path)


def test_large_checkpoints_lose_nothing_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_LARGE", 0)
    written, write = [], checkpoints.save
    monkeypatch.setattr(
        checkpoints, "save", lambda *args, **state: (written.append(1), write(*args, **state))
    )
    assert len(run_fit(tmp_path, Placement(), 4)) == 4
    assert len(written) == 2  # after the first epoch and after the last
