"""Compiles training steps with TorchInductor, which joins many small operations into few."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from evaluation.common.rounding import allowed, disagreement
from evaluation.common.terminal import console
from submission.runtime import distributed

SAMPLES_WORTH_IT = 4_000_000
"""From this many samples on, compiling saves time. It takes 15 seconds on two cores, and saves 4
microseconds for each sample of stage 1."""

_SWITCHED = 0.005
"""By what share of itself the gradient of a weight may differ because a unit is switched.

A ReLU whose input is nearly 0 is on in one computation and off in another, since they round in
another order. It switches one sample's part of the gradient. In stage 2's network this changed the
gradient of a weight by up to 0.0006 of its norm, and eager float32 differed as much from float64.
"""

Losses = Callable[..., dict[str, Tensor]]
"""Takes a model and more arguments, and returns losses by name."""


def compiled_if_long(function: Losses, samples: int, placement: Placement) -> Losses:
    """`function`, compiled if that saves time: in one process, on a CPU, for enough samples.

    The choice depends on the length of the whole training. So a killed training that continues
    computes as before: compiled sums differ from eager ones in the last bits.

    Args:
        function: Computes the losses.
        samples: Rows of all epochs together.
        placement: Where training runs.
    """
    if placement.kind != "cpu" or distributed.world_size() > 1 or samples < SAMPLES_WORTH_IT:
        return function
    try:
        torch.compile(torch.neg)(torch.zeros(1))
    except Exception as error:  # the compilers raise exceptions of many kinds
        reason = str(error).strip().partition("\n")[0]
        console.print(
            f"Training steps are not compiled, which is slower: {reason}. Compiling needs g++ and "
            "Python's headers (on Debian and Ubuntu: the packages g++ and python3-dev)",
            markup=False,
        )
        return function
    # dynamic=False compiles once for each of the two batch sizes of an epoch, which is faster than
    # one graph for all sizes. fallback_random draws the same dropout as eager steps do.
    compiled = torch.compile(
        function, dynamic=False, fullgraph=True, options={"fallback_random": True}
    )
    return _Checked(compiled, function, placement)


class _Checked:
    """Uses compiled losses, or eager ones for a batch size whose compiled losses are wrong."""

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
        found, gradients = _losses_and_gradients(self.compiled, model, *arguments)
        expected, expected_gradients = _losses_and_gradients(self.eager, model, *arguments)
        layers = 2 * sum(isinstance(module, nn.Linear) for module in model.modules())
        rounding = allowed(self.placement.precision, layers)
        for off, bound in (
            (disagreement(found.numpy(), expected.numpy()), rounding),
            (_gradients_disagree(gradients, expected_gradients), rounding + _SWITCHED),
        ):
            if off > bound:
                console.print(
                    "Training steps are not compiled, which is slower: compiled losses or "
                    f"gradients are wrong on this processor (relative error {off:.2g}; rounding "
                    f"explains at most {bound:.2g})",
                    markup=False,
                )
                return self.eager
        return self.compiled


def _losses_and_gradients(
    losses_of: Losses, model: nn.Module, *arguments: Any
) -> tuple[Tensor, list[Tensor]]:
    """The losses (losses,), and the gradient of their sum for each weight.

    The model and the state of the random generator do not change.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    before = [buffer.clone() for buffer in model.buffers()]
    with torch.random.fork_rng(devices=[]):
        losses = torch.stack(list(losses_of(model, *arguments).values()))
        gradients = torch.autograd.grad(losses.sum(), weights)
    for buffer, value in zip(model.buffers(), before, strict=True):
        buffer.copy_(value)
    return losses.detach().float(), [gradient.double() for gradient in gradients]


def _gradients_disagree(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest relative difference of a weight's gradient, by Euclidean norm.

    Some gradients are nothing but rounding errors, such as that of a bias ahead of a batch norm. So
    each difference is divided by the norm of its gradient plus what the norm would be if its
    numbers were as large as those of all gradients.

    Returns:
        At least 0; infinity if any difference is not finite.
    """
    numbers = sum(gradient.numel() for gradient in expected)
    typical = (sum(gradient.square().sum() for gradient in expected) / numbers) ** 0.5
    worst = 0.0
    for one, other in zip(found, expected, strict=True):
        scale = other.norm() + typical * other.numel() ** 0.5
        off = ((one - other).norm() / scale.clamp(min=torch.finfo(torch.float32).tiny)).item()
        worst = max(worst, off if math.isfinite(off) else math.inf)
    return worst
