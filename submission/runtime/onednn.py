"""Runs linear layers in float32 with oneDNN where that is faster than MKL.

PyTorch computes float32 products with MKL. MKL uses AVX-512 only on Intel's processors: on a core
of an AMD EPYC with AVX-512 it reaches 110 GFLOPS, and oneDNN 240, in the same precision. On one
with AVX2 only it is the other way round: MKL reaches 91, and oneDNN 80. For convolutions and for
bfloat16 PyTorch uses oneDNN itself.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from evaluation.common.devices import Placement
from evaluation.common.rounding import allowed, disagreement
from evaluation.common.terminal import console

_SMALLEST_WEIGHT = 8192
"""Weights with fewer values stay with MKL: there the extra Python call costs more than it saves."""


def linear_layers(placement: Placement) -> AbstractContextManager:
    """Within the block, linear layers on vectors use oneDNN if the device is faster with it."""
    has_it = placement.kind == "cpu" and torch.backends.mkldnn.is_available()
    return _LinearByOneDNN() if has_it and not mkl_is_faster() else nullcontext()


def mkl_is_faster() -> bool:
    """Whether MKL is there and has all instructions that oneDNN would use."""
    return torch.backends.mkl.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX2"


class _LinearByOneDNN(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is functional.linear and _is_worthwhile(*args[:2]):
            return _Linear.apply(*args)
        return func(*args, **(kwargs or {}))


def _is_worthwhile(rows: Tensor, weight: Tensor) -> bool:
    return rows.ndim == 2 and len(rows) > 0 and weight.numel() >= _SMALLEST_WEIGHT


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        wants_rows, wants_weight, wants_bias = ctx.needs_input_grad
        # oneDNN needs a contiguous left factor; a compiled step writes the gradient that way.
        return (
            _product(gradient, weight.T) if wants_rows else None,
            _product(gradient.T.contiguous(), rows.T) if wants_weight else None,
            gradient.sum(0) if wants_bias else None,
        )


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """rows @ weight.T + bias"""
    return torch.ops.kit.product(rows, weight, bias)


# Our own operator, because TorchInductor expects packed weights for oneDNN's operator.
torch.library.define("kit::product", "(Tensor rows, Tensor weight, Tensor? bias) -> Tensor")


@torch.library.impl("kit::product", "cpu")
def _on_cpu(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    key = (rows.shape, rows.stride(), weight.shape, weight.stride(), bias is None)
    if key not in _right:
        _right[key] = all(_right.values()) and _is_right(rows, weight, bias)
    return (_by_onednn if _right[key] else _by_pytorch)(rows, weight, bias)


_right: dict[tuple, bool] = {}
"""Shapes and layouts -> whether oneDNN is used. After one wrong result, no new shape uses it."""


def _is_right(rows: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    found, expected = _by_onednn(rows, weight, bias), _by_pytorch(rows, weight, bias)
    off = disagreement(found.numpy(), expected.numpy())
    if off > allowed("float32"):
        console.print(
            f"Linear layers do not use oneDNN, which computes products of {tuple(rows.shape)} and "
            f"{tuple(weight.T.shape)} wrongly on this processor (relative error {off:.2g}; "
            f"rounding explains at most {allowed('float32'):.2g})",
            markup=False,
        )
    return off <= allowed("float32")


def _by_onednn(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


def _by_pytorch(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)


@torch.library.register_fake("kit::product")
def _shape(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG001
    return rows.new_empty(len(rows), len(weight))
