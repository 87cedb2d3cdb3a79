"""Which processor networks run on, in which precision, and how many CPUs there are."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from evaluation.common import environment
from evaluation.common.errors import KitError

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

    found = torch.cuda.device_count()
    if choice == "auto":
        return "cuda" if found and environment.switch("AICROWD_CUDA", default=True) else "cpu"
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
    if (device.index or 0) >= found:
        raise KitError(
            "DEVICE-CUDA",
            f"'{choice}' is not available: torch finds {found} CUDA devices",
            "Choose the device cpu or auto",
        )
    return choice
