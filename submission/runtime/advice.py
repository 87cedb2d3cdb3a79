"""Says what bf16 would bring on this CPU, after a measurement that takes about a second."""

import time

import torch

from evaluation.common.devices import Placement
from evaluation.common.terminal import console
from submission.runtime import distributed
from submission.runtime.layers import LayerKind
from submission.runtime.precision import has_bf16

_LAYER = LayerKind((8, 128, 32, 32), 128, ((3, 3), (1, 1), (1, 1), (1, 1), 1), True)
"""A layer of VGG19 at 64x64: most of a network's time is spent in such layers."""

_SECONDS = 0.4
_WORTH_IT = 1.2


def advise(placement: Placement) -> None:
    """Prints a line if networks would be clearly faster in bf16 on this CPU.

    float32 stays the default, because bf16 changes codes slightly.
    """
    if placement.kind != "cpu" or placement.in_bf16 or not has_bf16("cpu"):
        return
    ratio = layer_seconds(torch.float32) / layer_seconds(torch.bfloat16)
    if ratio >= _WORTH_IT and distributed.is_main():
        console.print(
            f"Computing in float32. This processor computes a convolution {ratio:.1f} times as "
            "fast in bf16: --precision bf16 uses that"
        )


def layer_seconds(dtype: torch.dtype, seconds: float = _SECONDS) -> float:
    """The shortest time of one convolution, of as many runs as fit in `seconds`, at least two."""
    layer, images = _LAYER.build("cpu").to(dtype), _LAYER.inputs("cpu").to(dtype)
    times: list[float] = []
    end = time.perf_counter() + seconds
    with torch.inference_mode():
        while len(times) < 2 or time.perf_counter() < end:
            start = time.perf_counter()
            layer(images)
            times.append(time.perf_counter() - start)
    return min(times)
