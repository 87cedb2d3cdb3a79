"""Which processor work runs on, in which precision, and how much of it there is."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from evaluation.common import environment
from evaluation.common.errors import KitError

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class Placement:
    """Where networks run, and in what they compute.

    Args:
        device: "cpu", "cuda" or "cuda:N", as torch takes it and `pick_device` gives it.
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
    """CPUs that this process may run on, which in a container can be fewer than there are."""
    return len(os.sched_getaffinity(0))


def pick_device(choice: str = "auto") -> str:
    """The torch device for `choice`; "auto" is CUDA if found, unless `AICROWD_CUDA` is false.

    Args:
        choice: "auto", "cpu", "cuda", or "cuda:N" for one of several.

    Raises:
        KitError: another name, or a CUDA device that torch does not find.
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
            f"'{choice}' is no device of this kit",
            "Choose auto, cpu, cuda or cuda:N",
        )
    if (device.index or 0) >= found:
        raise KitError(
            "DEVICE-CUDA",
            f"'{choice}' is not here: torch finds {found} CUDA devices",
            "Choose the device cpu or auto",
        )
    return choice
