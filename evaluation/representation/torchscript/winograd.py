"""Convolutions with 3x3 kernels by Winograd's method, with a quarter of the multiplications.

It is F(4x4, 3x3) of Lavin and Gray (arXiv 1509.09308): maps are cut into tiles of 6x6 that overlap
by 2. A linear map takes each tile and each kernel to 36 numbers, whose products over all channels
another linear map takes to 4x4 outputs. So a layer is 36 products of matrices, which MKL computes.

The points at which the polynomials are evaluated are 0, 1, -1, 1/2, -2 and infinity. With these,
rounding is no larger than in oneDNN's own convolution of 256 channels (measured against float64).
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
_OUTPUTS, _KERNEL = 4, 3
_TILE = _OUTPUTS + _KERNEL - 1
_POINT_ONE = 1 * _TILE + 1
"""The place of point 1 in both directions: what is added there is added to all 4x4 outputs."""

_TILES_AT_ONCE = 128
"""So many that products are fast, and so few that the numbers stay in the processor's cache."""


def transformed(weight: Tensor) -> Tensor:
    """Kernels (outputs, inputs, 3, 3) as the factors (36, inputs, outputs) of the products."""
    outputs, inputs, *_ = weight.shape
    kernels = weight.double().flatten(2).permute(2, 1, 0).reshape(_KERNEL**2, -1)
    return (_of_both_dims()[1] @ kernels).view(-1, inputs, outputs).float()


def convolve(
    maps: Tensor, factors: Tensor, bias: Tensor | None, padding: Sequence[int], *, relu: bool
) -> Tensor:
    """The convolution with stride 1, in channels-last order.

    Args:
        maps: (n, inputs, height, width), float32.
        factors: `transformed` kernels.
        bias: (outputs,), or None.
        padding: Rows and columns of zeros on each side.
        relu: Whether a ReLU follows.

    Returns:
        (n, outputs, height + 2 * padding[0] - 2, width + 2 * padding[1] - 2).
    """
    count, inputs, height, width = maps.shape
    (down, right), outputs = padding, factors.shape[2]
    sizes = height + 2 * down - _KERNEL + 1, width + 2 * right - _KERNEL + 1
    tiles = [-(-size // _OUTPUTS) for size in sizes]
    result = maps.new_empty(count, *sizes, outputs)
    at_once = max(1, _TILES_AT_ONCE // (tiles[0] * tiles[1]))
    padded = maps.new_zeros(
        min(at_once, count), *(_OUTPUTS * number + _KERNEL - 1 for number in tiles), inputs
    )
    for start in range(0, count, at_once):
        part = maps[start : start + at_once].permute(0, 2, 3, 1)
        window = padded[: len(part)]
        window[:, down : down + height, right : right + width] = part
        outcome = _of_padded(window, tiles, factors, bias)[:, : sizes[0], : sizes[1]]
        place = result[start : start + at_once]
        if relu:
            torch.clamp_min(outcome, 0, out=place)
        else:
            place.copy_(outcome)
    return result.permute(0, 3, 1, 2)


def _of_padded(maps: Tensor, tiles: list[int], factors: Tensor, bias: Tensor | None) -> Tensor:
    """Whole tiles of outputs (n, height - 2, width - 2, outputs) of (n, height, width, inputs)."""
    count, inputs, outputs = len(maps), factors.shape[1], factors.shape[2]
    of_tile, _, of_output = (matrix.float() for matrix in _of_both_dims())
    image, row, column, channel = maps.stride()
    overlapping = maps.as_strided(
        (_TILE, _TILE, count, *tiles, inputs),
        (row, column, image, _OUTPUTS * row, _OUTPUTS * column, channel),
    )
    left = (of_tile @ overlapping.reshape(_TILE**2, -1)).view(_TILE**2, -1, inputs)
    products = torch.bmm(left, factors)
    if bias is not None:
        products[_POINT_ONE] += bias
    blocks = of_output @ products.view(_TILE**2, -1)
    blocks = blocks.view(_OUTPUTS, _OUTPUTS, count, *tiles, outputs).permute(2, 3, 0, 4, 1, 5)
    return blocks.reshape(count, _OUTPUTS * tiles[0], _OUTPUTS * tiles[1], outputs)


def _matrices() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What a tile (6, 6), a kernel (6, 3) and the products (4, 6) are multiplied with, in one dim.

    Toom and Cook's algorithm, transposed: a polynomial is known from its values at these points.
    """
    points = np.array(_POINTS)
    of_tile = np.zeros((_TILE, _TILE))
    of_kernel, of_output = np.zeros((_TILE, _KERNEL)), np.zeros((_OUTPUTS, _TILE))
    for number, point in enumerate(points):
        others = np.delete(points, number)
        of_tile[number, :-1] = np.poly(others)[::-1]
        of_kernel[number] = point ** np.arange(_KERNEL) / np.prod(point - others)
        of_output[:, number] = point ** np.arange(_OUTPUTS)
    of_tile[-1] = np.poly(points)[::-1]  # the point at infinity
    of_kernel[-1, -1] = of_output[-1, -1] = 1
    return of_tile, of_kernel, of_output


@cache
def _of_both_dims() -> tuple[Tensor, Tensor, Tensor]:
    """The same for both dims, (36, 36), (36, 9) and (16, 36), for tiles that are a column each."""
    tile, kernel, output = (np.kron(matrix, matrix) for matrix in _matrices())
    return torch.from_numpy(tile), torch.from_numpy(kernel), torch.from_numpy(output)
