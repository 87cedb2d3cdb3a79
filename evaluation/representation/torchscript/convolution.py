"""A 2-D convolution with weights that do not change, laid out once as its fastest way wants them.

PyTorch's own convolution lays its weights out anew for every batch.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.representation.torchscript import winograd

_SMALLEST_FOR_WINOGRAD = 64 * 128
"""Fewer inputs times outputs are faster with oneDNN: tiles cost as much as products save."""


class FastConvolution(nn.Module):
    """A convolution, and possibly a ReLU after it, for inference on a CPU.

    It is one product of matrices where the kernel covers the whole map, Winograd's method for 3x3
    kernels of float32, else oneDNN's.

    Args:
        weight: (outputs, inputs / groups, kernel height, kernel width).
        bias: (outputs,), or None.
        padding, stride, dilation: Two numbers each, down and to the right.
        groups: Groups of channels.
        relu: Whether a ReLU follows.
        dtype: What it computes in and gives; its inputs are converted.

    Raises:
        RuntimeError: this processor has no convolutions in `dtype`.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        padding: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        groups: int,
        *,
        relu: bool,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            raise RuntimeError("this processor has no convolutions in bf16")
        # No parameters: nothing may convert or move what is laid out.
        self._weight = weight.detach().to(dtype, memory_format=torch.channels_last)
        self._bias = None if bias is None else bias.detach().to(dtype)
        self._geometry: list[Any] = [list(padding), list(stride), list(dilation), groups]
        self._relu = relu
        # Laid out when the first maps have come, whose size decides how.
        self._packed: Tensor | None = None
        self._rows: Tensor | None = None
        self._factors = winograd.transformed(self._weight) if self._is_for_winograd() else None

    @torch.no_grad()
    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, inputs, height, width) to (n, outputs, height, width) in channels-last order."""
        maps = maps.to(self._weight.dtype, memory_format=torch.channels_last)
        if self._covers(maps):
            return self._product(maps)
        if self._factors is not None:
            return self._by_winograd(maps)
        return self._by_onednn(maps)

    def _is_for_winograd(self) -> bool:
        outputs, inputs, *kernel = self._weight.shape
        return (
            self._weight.dtype == torch.float32
            and kernel == [3, 3]
            and self._geometry[1:] == [[1, 1], [1, 1], 1]
            and inputs * outputs >= _SMALLEST_FOR_WINOGRAD
            and mkl_is_fast()
        )

    def _covers(self, maps: Tensor) -> bool:
        padding, _, dilation, groups = self._geometry
        same = maps.shape[2:] == self._weight.shape[2:]
        return same and padding == [0, 0] and dilation == [1, 1] and groups == 1

    def _product(self, maps: Tensor) -> Tensor:
        if self._rows is None:
            self._rows = _as_rows(self._weight)
        output = functional.linear(_as_rows(maps), self._rows, self._bias)
        output = output.relu_() if self._relu else output
        return output[:, :, None, None]

    def _by_winograd(self, maps: Tensor) -> Tensor:
        assert self._factors is not None
        padding = self._geometry[0]
        return winograd.convolve(maps, self._factors, self._bias, padding, relu=self._relu)

    def _by_onednn(self, maps: Tensor) -> Tensor:
        if self._packed is None:
            # Not told the size, oneDNN guesses a layout, and lays out anew for every batch if it
            # has guessed wrongly: up to ten times as slow.
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                self._weight, *self._geometry, list(maps.shape)
            )
        activation = "relu" if self._relu else "none"
        return torch.ops.mkldnn._convolution_pointwise(
            maps, self._packed, self._bias, *self._geometry, activation, [], ""
        )


def _as_rows(maps: Tensor) -> Tensor:
    """(n, channels, height, width) as (n, height * width * channels)."""
    return maps.permute(0, 2, 3, 1).flatten(1)


@cache
def mkl_is_fast() -> bool:
    """Whether MKL, which does Winograd's products, uses this processor's widest instructions.

    It uses AVX-512 on Intel's processors only: on AMD's it reaches less than half of what oneDNN
    does there, and Winograd's method would gain nothing.
    """
    if not torch.backends.mkl.is_available():
        return False
    is_wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return not is_wide or "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
