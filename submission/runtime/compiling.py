"""Training steps through TorchInductor, which runs many small operations as few."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from evaluation.common.devices import Placement
from evaluation.common.terminal import console
from submission.runtime import distributed

P = ParamSpec("P")
R = TypeVar("R")

SAMPLES_WORTH_IT = 4_000_000
"""Compiling takes 15 seconds on two cores, and saves 4 microseconds a sample of stage 1."""


def compiled_if_long(
    function: Callable[P, R], samples: int, placement: Placement
) -> Callable[P, R]:
    """`function`, compiled where that pays: one process, on a CPU, for millions of samples.

    It depends on the length of the whole training, so that one that goes on where it was killed
    computes as it did before. Compiled sums differ from eager ones in their last bits.

    Args:
        samples: Rows of all epochs together.
    """
    if placement.kind != "cpu" or distributed.world_size() > 1 or samples < SAMPLES_WORTH_IT:
        return function
    try:
        torch.compile(torch.neg)(torch.zeros(1))
    except Exception as error:  # whatever the compilers below it raise
        reason = str(error).strip().partition("\n")[0]
        console.print(
            f"Training steps are not compiled, which is slower: {reason}. It takes g++ and "
            "Python's headers (on Debian and Ubuntu: the packages g++ and python3-dev)",
            markup=False,
        )
        return function
    # A graph for each of an epoch's two sizes of batch: one for all sizes is slower.
    return torch.compile(function, dynamic=False, fullgraph=True)
