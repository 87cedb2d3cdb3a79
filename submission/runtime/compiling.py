"""Training steps through TorchInductor, which runs many small operations as few."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from evaluation.common.rounding import allowed, disagreement
from evaluation.common.terminal import console
from submission.runtime import distributed

SAMPLES_WORTH_IT = 4_000_000
"""Compiling takes 15 seconds on two cores, and saves 4 microseconds a sample of stage 1."""

Losses = Callable[..., dict[str, Tensor]]
"""Gives losses by name of a model, which comes first, and further arguments."""


def compiled_if_long(function: Losses, samples: int, placement: Placement) -> Losses:
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
    # A graph for each of an epoch's two sizes of batch: one for all sizes is slower. Dropout draws
    # as it does without compiling, so that both can be compared.
    compiled = torch.compile(
        function, dynamic=False, fullgraph=True, options={"fallback_random": True}
    )
    return _Checked(compiled, function, placement)


class _Checked:
    """Compiled losses, or the eager ones for a size of batch for which those are wrong."""

    def __init__(self, compiled: Losses, eager: Losses, placement: Placement) -> None:
        self.compiled = compiled
        self.eager = eager
        self.placement = placement
        self._by_size: dict[int, Losses] = {}

    def __call__(self, model: nn.Module, *arguments: Any) -> dict[str, Tensor]:
        size = len(arguments[-1])
        if size not in self._by_size:
            self._by_size[size] = self._choose(model, *arguments)
        return self._by_size[size](model, *arguments)

    def _choose(self, model: nn.Module, *arguments: Any) -> Losses:
        found = _losses_and_gradient(self.compiled, model, *arguments)
        expected = _losses_and_gradient(self.eager, model, *arguments)
        off = max(disagreement(f.numpy(), e.numpy()) for f, e in zip(found, expected, strict=True))
        layers = 2 * sum(isinstance(module, nn.Linear) for module in model.modules())
        bound = allowed(self.placement.precision, layers)
        if off <= bound:
            return self.compiled
        console.print(
            "Training steps are not compiled, which is slower: their losses or gradients come out "
            f"wrong on this processor (off by {off:.2g} of the value, where rounding explains "
            f"{bound:.2g})",
            markup=False,
        )
        return self.eager


def _losses_and_gradient(
    losses_of: Losses, model: nn.Module, *arguments: Any
) -> tuple[Tensor, Tensor]:
    """The losses, and the gradient of their sum; model and random stream stay as they were."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    before = [buffer.clone() for buffer in model.buffers()]
    with torch.random.fork_rng(devices=[]):
        losses = torch.stack(list(losses_of(model, *arguments).values()))
        gradients = torch.autograd.grad(losses.sum(), weights)
    for buffer, value in zip(model.buffers(), before, strict=True):
        buffer.copy_(value)
    return losses.detach().float(), torch.cat([g.flatten().float() for g in gradients])
