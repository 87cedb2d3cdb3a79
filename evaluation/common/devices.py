"""Which processor networks run on, in which precision, and how many CPUs there are."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from evaluation.common import environment
from evaluation.common.errors import KitError, first_line
from evaluation.common.terminal import console

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class Placement:
    """The device that networks run on, and the precision they compute in.

    Args:
        device: "cpu", "cuda" or "cuda:N": a name that torch accepts and `pick_device` returns.
        precision: "bf16" computes products and convolutions in bfloat16; weights, losses and
            results stay float32.
    """

    device: str = "cpu"
    precision: Precision = "float32"

    @property
    def kind(self) -> str:
        """The device without its number: "cpu" or "cuda"."""
        return self.device.partition(":")[0]

    @property
    def in_bf16(self) -> bool:
        return self.precision == "bf16"


def cores() -> int:
    """The number of CPUs that this process may use. In a container it can be below the total."""
    return len(os.sched_getaffinity(0))


def pick_device(choice: str = "auto") -> str:
    """The torch device for `choice`; "auto" is CUDA if found, unless `AICROWD_CUDA` is false.

    Args:
        choice: "auto", "cpu", "cuda", or "cuda:N" for one of several.

    Raises:
        KitError: `DEVICE-NAME`, another name; `DEVICE-CUDA`, torch does not find the device.
    """
    if choice == "cpu" or (choice == "auto" and find_spec("torch") is None):
        return "cpu"
    import torch

    if choice == "auto":
        if not environment.switch("AICROWD_CUDA", default=True):
            return "cpu"
        found, fault = _gpus()
        if fault is not None:
            console.print(
                f"The CPU is used: a GPU is here, but {fault}. For what to do, run "
                "`python -m evaluation doctor`",
                markup=False,
            )
        return "cuda" if found else "cpu"
    try:
        device = torch.device(choice)
    except RuntimeError:
        device = torch.device("meta")
    if device.type != "cuda":
        raise KitError(
            "DEVICE-NAME",
            f"'{choice}' is not a device of this kit",
            "Choose auto, cpu, cuda or cuda:N",
        )
    found, fault = _gpus()
    if (device.index or 0) >= found:
        reason = f"torch finds {found} CUDA devices" if fault is None else fault
        raise KitError(
            "DEVICE-CUDA", f"'{choice}' is not available: {reason}", "Choose the device cpu or auto"
        )
    return choice


def start_cuda() -> None:
    """Starts CUDA in this process.

    Raises:
        RuntimeError: it does not start; the text says why.
    """
    import torch

    torch.cuda.init()


def _gpus() -> tuple[int, str | None]:
    """The number of GPUs that torch can use, and why CUDA does not start if it sees some."""
    import torch

    # The count comes from the driver. It is above 0 for a driver that is too old for torch, too,
    # and then the first tensor on the GPU would fail.
    found = torch.cuda.device_count()
    if found == 0:
        return 0, None
    try:
        start_cuda()
    except Exception as error:  # torch raises errors of several kinds
        return 0, first_line(error).rstrip(".")
    return found, None
