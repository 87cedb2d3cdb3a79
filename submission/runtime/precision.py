"""Whether this machine computes a network in bf16 as it should; where not, float32 it is.

Some processors get some layers wrong (docs/known-issues.md), and say nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import nn

from evaluation.common.devices import Placement
from evaluation.common.rounding import allowed, disagreement
from evaluation.common.terminal import console
from submission.runtime import distributed
from submission.runtime.layers import LayerKind, kinds_of, results

PROBE_ROWS = 32
"""Most images that a layer is tried with. A batch of another size may take another kernel, so it is
the size of real batches where that costs less than a second or two."""


def settled(
    what: str,
    network: nn.Module,
    input_shapes: Sequence[Sequence[int]],
    placement: Placement,
    *,
    learning: bool,
) -> Placement:
    """`placement`, or the same in float32 where bf16 cannot be had or goes wrong.

    Each kind of layer in the network runs once in bf16 and once in float32, on the same operands.
    The processes of a group decide alike. A line says why it is float32.

    Args:
        what: Of the line, such as "The VAE".
        input_shapes: Shapes of the network's arguments, batch included.
        learning: Whether gradients are needed as well.
    """
    if not placement.in_bf16:
        return placement
    fault = _fault_of(network, input_shapes, placement, learning)
    if distributed.any_of_all(fault is not None, placement):
        reason = fault or "another process found bf16 wrong"
        console.print(f"{what} computes in float32: {reason}", markup=False)
        return replace(placement, precision="float32")
    return placement


def _fault_of(
    network: nn.Module,
    input_shapes: Sequence[Sequence[int]],
    placement: Placement,
    learning: bool,
) -> str | None:
    if not has_bf16(placement.kind):
        return f"this {_processor(placement)} has no instructions for bf16"
    for _, kind in kinds_of(network, *input_shapes):
        off = fault_in_bf16(kind, placement.device, learning)
        if off > allowed("bf16"):
            return (
                f"this {_processor(placement)} gets bf16 wrong for {kind} (off by {off:.2g} of the "
                f"value, where rounding explains {allowed('bf16'):.2g})"
            )
    return None


@cache
def fault_in_bf16(kind: LayerKind, device: str, learning: bool) -> float:
    """`disagreement` of what the layer gives in bf16 with float32 on the same numbers."""
    rough = results(kind, torch.bfloat16, device, learning=learning)
    exact = results(kind, torch.float32, device, learning=learning)
    pairs = zip(rough, exact, strict=True)
    return max(disagreement(r.cpu().numpy(), e.cpu().numpy()) for r, e in pairs)


def has_bf16(device: str) -> bool:
    """Whether a "cpu" or "cuda" of this machine has instructions for bf16."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _processor(placement: Placement) -> str:
    return "processor" if placement.kind == "cpu" else "GPU"
