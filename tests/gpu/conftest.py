"""What the tests of devices share.

Each test gets the name of a device, and compares its results with the CPU's. With the device "cpu"
it runs everywhere, so that no mistake in a test waits for the day when a GPU is there. With "cuda"
it has the marker `gpu`: `./local_eval.sh test --gpu` runs these.

The bounds were chosen from the precisions. None has been measured on a GPU yet.
"""

import os
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch

from evaluation.data.ground_truth import ImageGrid

FLOAT32 = 1e-3
"""The largest `rounding.disagreement` of results in float32 with those of the CPU, TF32 off."""

TF32 = 2e-2
"""The same with TF32 on, which keeps 10 bits of each factor."""

BF16 = 1e-1
"""The same in bf16, which keeps 7 bits of each factor, through a whole network."""

BOTH = [pytest.param("cpu"), pytest.param("cuda", marks=pytest.mark.gpu)]
"""Parameters of a test that is cheap on a CPU, too."""

GPU = [pytest.param("cuda", marks=pytest.mark.gpu)]
"""Parameter of a test that only a GPU makes sense for."""


@cache
def gpus() -> int:
    wanted = os.environ.get("AICROWD_CUDA", "1").lower() not in ("", "0", "false", "no", "off")
    return torch.cuda.device_count() if wanted and torch.cuda.is_available() else 0


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not gpus():
        pytest.skip("there is no GPU here that PyTorch can use")


@pytest.fixture(autouse=True)
def without_tf32() -> Iterator[None]:
    """As `distributed.process_group` sets it."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture(scope="session")
def grid() -> ImageGrid:
    images = np.random.RandomState(0).randint(256, size=(48, 64, 64, 3)).astype(np.uint8)
    return ImageGrid("random", images, (8, 6), ("row", "column"), "fingerprint")
