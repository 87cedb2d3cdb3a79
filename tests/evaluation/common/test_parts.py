"""Batches in parts where memory runs out, and the errors of a GPU that is full or gone."""

import subprocess
import sys

import pytest

from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import is_full_gpu, of_device
from evaluation.common.parts import Parts

torch = pytest.importorskip("torch", reason="torch is missing: pip install torch")

IN_TORCHSCRIPT = """The following operation failed in the TorchScript interpreter.
Traceback of TorchScript (most recent call last):
  File "model.py", line 9, in forward
RuntimeError: """


def sizes(parts: list[slice]) -> list[int]:
    return [part.stop - part.start for part in parts]


def run_with(limit: int, parts: Parts, rows: torch.Tensor) -> tuple[torch.Tensor, list[list[int]]]:
    """Doubles rows on a device that takes `limit` of them, and gives the sizes that were tried."""
    tried = []

    def compute(slices: list[slice]) -> torch.Tensor:
        tried.append(sizes(slices))
        if max(tried[-1]) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return torch.cat([rows[part] * 2 for part in slices])

    return parts.run(len(rows), compute), tried


def test_a_batch_is_halved_until_it_fits_and_that_is_said_once() -> None:
    told: list[int] = []
    parts = Parts(told.append)
    rows = torch.arange(50)
    result, tried = run_with(13, parts, rows)
    assert torch.equal(result, rows * 2)
    assert tried == [[50], [25, 25], [10, 10, 10, 10, 10]]
    assert told == [parts.at_once] == [12]
    again, tried = run_with(13, parts, rows[:30])
    assert torch.equal(again, rows[:30] * 2)
    assert len(tried) == 1
    assert len(told) == 1


def test_whole_batches_stay_whole() -> None:
    parts = Parts(lambda _: pytest.fail("nothing was cut"))
    _, tried = run_with(50, parts, torch.arange(50))
    assert tried == [[50]]
    assert parts.at_once is None


def test_nothing_is_tried_again_while_a_graph_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.common.parts._recording", lambda: True)
    parts = Parts(lambda _: pytest.fail("nothing was cut"))
    with pytest.raises(torch.OutOfMemoryError):
        run_with(13, parts, torch.arange(50))
    assert parts.at_once is None


@pytest.mark.parametrize("smallest", [1, 4])
def test_the_smallest_part_ends_it_with_the_error(smallest: int) -> None:
    parts = Parts(lambda _: None, smallest)
    with pytest.raises(torch.OutOfMemoryError):
        run_with(0, parts, torch.arange(37))
    assert (parts.at_once or 0) >= smallest


def test_no_part_is_smaller_than_half_of_the_smallest() -> None:
    for count in range(2, 200):
        for at_once in range(4, count + 4):
            parts = Parts(lambda _: None, 4)
            parts.at_once = at_once
            found = sizes(parts.of(count))
            assert sum(found) == count
            assert max(found) <= at_once
            assert min(found) >= 2


def test_other_errors_pass() -> None:
    def fail(_: list[slice]) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        Parts(lambda _: None).run(8, fail)


@pytest.mark.parametrize(
    ("error", "full", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), True, "DEVICE-MEMORY"),
        (RuntimeError("CUDA error: out of memory"), True, "DEVICE-MEMORY"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"), True, "DEVICE-MEMORY"),
        (RuntimeError(IN_TORCHSCRIPT + "CUDA out of memory. Tried to"), True, "DEVICE-MEMORY"),
        (RuntimeError(IN_TORCHSCRIPT + "CUDA error: unknown error"), False, "DEVICE-LOST"),
        (RuntimeError("CUDA error: unspecified launch failure"), False, "DEVICE-LOST"),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), False, "DEVICE-LOST"),
        (RuntimeError("CUDA error: device-side assert triggered"), False, None),  # a bug
        (RuntimeError("shape mismatch: unknown error"), False, None),
        (ValueError("CUDA error: unknown error"), False, None),
    ],
)
def test_what_is_the_devices_and_what_is_a_bug(
    error: Exception, full: bool, code: str | None
) -> None:
    assert is_full_gpu(error) == full
    found = of_device(error)
    assert (None if found is None else found.code) == code


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')", "DEVICE-MEMORY"),
        ("RuntimeError('CUDA error: unspecified launch failure\\nMore')", "DEVICE-LOST"),
    ],
)
def test_a_command_ends_with_one_line_and_status_2(raised: str, code: str) -> None:
    program = f"""
import torch
from evaluation.common.errors import run_command
def command(_):
    raise {raised}
run_command(command)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error[{code}]: the GPU")
