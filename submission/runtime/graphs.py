"""Replays training steps as CUDA graphs: one call starts all of a step's small operations.

A step of the VAE has some hundred operations of a few microseconds each, and one of fine-tuning
some thousand. Started one by one from Python, small ones take longer to start than to run.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from evaluation.common.errors import first_line
from evaluation.common.terminal import console
from submission.runtime import distributed

Step = Callable[..., dict[str, Tensor]]
"""Takes tensors, sets the gradients of weights, and returns losses by name."""

Capture = Callable[[Callable[[], dict[str, Tensor]]], tuple[Callable[[], Any], dict[str, Tensor]]]
"""Records a function, and returns how to run it again, and the tensors that then hold its result.
"""

_STEPS_BEFORE = 3
"""Steps that run as they are before one is recorded: libraries prepare themselves in the first."""


def captured_on_gpu(step: Step, weights: Iterable[nn.Parameter], placement: Placement) -> Step:
    """`step`, replayed as a CUDA graph if one process trains on a GPU.

    After a recording that failed, steps run as they are for the rest of the process.

    Args:
        step: Must set the gradients anew in each call, not add to them, and not read results on
            the CPU.
        weights: All weights that get gradients.
        placement: Where training runs.
    """
    if placement.kind != "cuda" or distributed.world_size() > 1 or Captured.gave_up:
        return step
    return Captured(step, weights, _aside(step), capture)


class Captured:
    """Runs a step a few times, records it, and replays it for inputs of the same shapes.

    Inputs of other shapes, such as the last batch of an epoch, run as they are.

    Args:
        step: The step.
        weights: All weights that get gradients.
        warm_up: The step as it runs before it is recorded.
        capture: Records a step.

    Attributes:
        gave_up: Whether a recording has failed in this process.
    """

    gave_up: ClassVar[bool] = False

    def __init__(
        self, step: Step, weights: Iterable[nn.Parameter], warm_up: Step, capture: Capture
    ) -> None:
        self._step = step
        self._weights = list(weights)
        self._warm_up = warm_up
        self._capture = capture
        self._shapes: list[torch.Size] | None = None
        self._calls = 0
        self._replay: Callable[[], Any] | None = None

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        shapes = [given.shape for given in inputs]
        self._shapes = self._shapes or shapes
        if shapes != self._shapes:
            return self._step(*inputs)
        self._calls += 1
        if self._calls == _STEPS_BEFORE + 1:
            self._record(inputs)
        if self._replay is None:
            return self._warm_up(*inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._replay()
        for weight, gradient in zip(self._weights, self._gradients, strict=True):
            weight.grad = gradient  # a step of another shape has put other tensors there
        return self._result

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = [given.clone() for given in inputs]
        try:
            self._replay, self._result = self._capture(lambda: self._step(*self._inputs))
        except RuntimeError as error:  # a participant's own network may do what no graph can
            Captured.gave_up = True
            console.print(
                f"Training steps are not replayed as CUDA graphs, which is slower: "
                f"{first_line(error)}",
                markup=False,
            )
            return
        self._gradients = [weight.grad for weight in self._weights]


def capture(
    run: Callable[[], dict[str, Tensor]],
) -> tuple[Callable[[], Any], dict[str, Tensor]]:
    """Records what `run` starts on the GPU. It is not computed before the first replay.

    Raises:
        RuntimeError: it cannot be recorded. Training can go on without.
    """
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    try:
        # The outer block: a recording that fails leaves its own stream as the current one. Other
        # threads may allocate memory meanwhile.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, pool, capture_error_mode="thread_local"),
        ):
            result = run()
    except RuntimeError:
        _abandon(pool)
        raise
    return graph.replay, result


def _abandon(pool: Any) -> None:
    """Ends for PyTorch, too, a recording that CUDA has ended with an error.

    Otherwise no memory that was used on two streams would ever be free again, and the next random
    number would be an error. PyTorch does both only at the end of a recording that succeeded.
    """
    device = torch.cuda.current_device()
    with suppress(RuntimeError):  # the recording itself was sound, and has been ended
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)
    generator = torch.cuda.default_generators[device]
    generator.graphsafe_set_state(generator.clone_state())


def _aside(step: Step) -> Step:
    """`step` on another stream than the current one, as autograd needs before a recording."""

    other = torch.cuda.Stream()

    def run(*inputs: Tensor) -> dict[str, Tensor]:
        current = torch.cuda.current_stream()
        other.wait_stream(current)
        with torch.cuda.stream(other):
            result = step(*inputs)
        current.wait_stream(other)
        return result

    return run
