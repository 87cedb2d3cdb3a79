"""Two processes on gloo, started by `--devices 2`, do what one process does."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.common.devices import Placement
from evaluation.common.errors import KitError
from submission.runtime import distributed
from submission.vae.fitting import CHECKPOINT


@pytest.mark.parametrize(("precision", "rounding"), [("float32", 1e-4), ("bf16", 3e-2)])
def test_two_processes_train_as_one(
    submission: Callable[..., subprocess.Popen],
    small_config: Path,
    tmp_path: Path,
    precision: str,
    rounding: float,
) -> None:
    """Features to the bit, curves and weights to rounding.

    300 rows in batches of 32 leave a last one of 12, batch norm and total correlation look at the
    whole batch, and every parameter has its share of the gradient.
    """
    processes = {
        devices: submission(
            *("train", small_config, f"on-{devices}"),
            *("--devices", devices, "--precision", precision),
            *("--features-dir", tmp_path / f"features-{devices}"),
        )
        for devices in (1, 2)
    }
    for process in processes.values():
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert output.count("Exported") == 1

    one, two = (
        np.load(next((tmp_path / f"features-{devices}").glob("*/features.npy")))
        for devices in (1, 2)
    )
    np.testing.assert_array_equal(one, two)

    one, two = (
        torch.load(tmp_path / "shared" / f"on-{devices}" / CHECKPOINT, weights_only=True)
        for devices in (1, 2)
    )
    for row, other in zip(one["rows"], two["rows"], strict=True):
        # A code's divergence is a small difference of numbers near 1, which are rounded.
        assert other == pytest.approx(row, rel=rounding, abs=0.01 * rounding)
    for weight, tensor in one["vae"].items():
        # By norm: a number whose gradient is next to nothing goes where rounding sends it.
        expected = tensor.double()
        allowed = 10 * rounding * expected.norm() + rounding / 10 * expected.numel() ** 0.5
        assert (two["vae"][weight] - expected).norm() <= allowed, weight


def test_an_error_of_the_processes_is_that_of_the_command(
    submission: Callable[..., subprocess.Popen], small_config: Path
) -> None:
    bad = ["--devices", "2", "--binding", "train_vae.epoch = 3"]
    process = submission("train", small_config, "x", *bad)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "error[CONFIG-NAME]" in errors


def test_shared_batch_norm_counts_and_adds_in_float32() -> None:
    rows = (3 + torch.rand(513, 4)).bfloat16()  # bfloat16 has no 513
    usual, shared = nn.BatchNorm1d(4), distributed._SharedBatchNorm(4)
    torch.testing.assert_close(shared(rows), usual(rows), rtol=1e-2, atol=1e-2)
    for name, value in usual.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], value)


@pytest.mark.parametrize(
    ("devices", "device"), [(2, "cuda:0"), (torch.cuda.device_count() + 1, "cuda")]
)
def test_devices_that_are_not_there(devices: int, device: str) -> None:
    with pytest.raises(KitError, match="DEVICE-NUMBER"):
        distributed.launch(devices, device, [])


def test_float32_is_not_rounded_on_the_way() -> None:
    for precision in ("bf16", "float32"):
        with distributed.process_group(Placement("cpu", precision)):
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32


def test_one_process_is_a_group_of_its_own() -> None:
    rows = torch.rand(5, 2)
    model = nn.Linear(2, 2)
    assert distributed.is_main() and distributed.world_size() == 1
    assert distributed.share(5) == slice(0, 5)
    assert distributed.gather_rows(rows, 5) is rows
    assert distributed.data_parallel(model) is model
