"""Tests whether this machine computes a network correctly in bf16, and uses float32 if not.

Some processors compute some layers wrongly, without an error (docs/known-issues.md).
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
"""The most images for a test of a layer. Another batch size may use another kernel, so the test has
the size of the real batches, unless that takes more than a second or two."""


def settled(
    what: str,
    network: nn.Module,
    input_shapes: Sequence[Sequence[int]],
    placement: Placement,
    *,
    learning: bool,
) -> Placement:
    """`placement`, or the same with float32 if this machine has no bf16 or computes it wrongly.

    Each kind of layer in the network runs once in bf16 and once in float32, on the same operands.
    All processes of a group make the same choice. A printed line gives the reason for float32.

    Args:
        what: Names the network in that line, such as "The VAE".
        network: The network.
        input_shapes: The shape of each of its arguments, batch included.
        placement: The device, and the precision that the user wants.
        learning: Whether gradients are needed, too.
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
                f"this {_processor(placement)} gets bf16 wrong for {kind} (relative error "
                f"{off:.2g}; rounding explains at most {allowed('bf16'):.2g})"
            )
    return None


@cache
def fault_in_bf16(kind: LayerKind, device: str, learning: bool) -> float:
    """The `disagreement` between a layer's results in bf16 and in float32, on the same operands."""
    rough = results(kind, torch.bfloat16, device, learning=learning)
    exact = results(kind, torch.float32, device, learning=learning)
    pairs = zip(rough, exact, strict=True)
    return max(disagreement(r.cpu().numpy(), e.cpu().numpy()) for r, e in pairs)


def has_bf16(device: str) -> bool:
    """Whether the "cpu" or the "cuda" device of this machine has instructions for bf16."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _processor(placement: Placement) -> str:
    return "processor" if placement.kind == "cpu" else "GPU"
