"""Codes of many kinds, to compare metrics on.

A table answers for any grid: its codes are functions of an image's factors, and of noise that is
fixed by the image's number.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.data.ground_truth import IndexGrid

MPI3D = (6, 6, 2, 3, 3, 40, 40)
DSPRITES = (3, 6, 40, 32, 32)
SHAPES3D = (10, 10, 10, 8, 4, 15)
ONE_VALUED = (1, 3, 6, 40, 32, 32)
MINI = (4, 4, 2, 3, 3, 6, 6)
THREE = (4, 10, 12)
SMALL = (3, 4, 2, 5)
"""Few enough values for disentanglement_lib's DCI to be run twenty times."""

_NOISE = np.random.default_rng(1).standard_normal((65_521, 64))
_MIXTURE = np.random.default_rng(2).standard_normal((16, 64))
_LAYER = np.random.default_rng(3).standard_normal((65, 18))


class Images(NamedTuple):
    """What codes may depend on: numbers (n,), factors (n, k) and the same scaled to [0, 1]."""

    numbers: NDArray[np.int64]
    factors: NDArray[np.int64]
    scaled: NDArray[np.float64]

    def noise(self, dims: int) -> NDArray[np.float64]:
        return _NOISE[self.numbers * 40_503 % len(_NOISE), :dims]

    def mixed(self, dims: int) -> NDArray[np.float64]:
        return self.scaled @ _MIXTURE[: self.scaled.shape[1], :dims]

    def smooth(self) -> NDArray[np.float64]:
        """18 dims without noise, as of a trained encoder: a small network of the factors."""
        return np.tanh(1.5 * self.mixed(64) + _LAYER[64:, :1]) @ _LAYER[:64] / 8

    def noisy(self, deviation: float) -> NDArray[np.float64]:
        return self.scaled + deviation * self.noise(self.scaled.shape[1])


def _beside(*parts: NDArray) -> NDArray:
    return np.hstack(parts)


def _outlier(images: Images) -> NDArray:
    codes = images.noisy(0.1)
    codes[images.numbers % 997 == 0, 0] = 50.0
    return codes


KINDS: dict[str, tuple[tuple[int, ...], Callable[[Images], NDArray]]] = {
    "perfect": (MPI3D, lambda x: x.factors.astype(np.float32)),
    "perfect, shapes3d": (SHAPES3D, lambda x: x.factors.astype(np.float32)),
    "perfect, dsprites": (DSPRITES, lambda x: x.factors.astype(np.float32)),
    "perfect, scaled to [0, 1]": (MPI3D, lambda x: x.scaled),
    "perfect and noise": (MPI3D, lambda x: _beside(x.scaled, x.noise(11))),
    "noisy": (MPI3D, lambda x: x.noisy(0.2)),
    "noisy, dsprites": (DSPRITES, lambda x: x.noisy(0.2)),
    "noisy, shapes3d": (SHAPES3D, lambda x: x.noisy(0.2).astype(np.float32)),
    "very noisy": (SHAPES3D, lambda x: x.noisy(1.0)),
    "rotated": (MPI3D, lambda x: x.mixed(x.scaled.shape[1])),
    "rotated, 18 dims": (MPI3D, lambda x: (x.mixed(18) + 0.3 * x.noise(18)).astype(np.float32)),
    "rotated, 18 dims, float64": (MPI3D, lambda x: x.mixed(18) + 0.3 * x.noise(18)),
    "rotated, shapes3d": (SHAPES3D, lambda x: x.mixed(10) + 0.1 * x.noise(10)),
    "duplicated dims": (MPI3D, lambda x: _beside(x.noisy(0.1), x.noisy(0.1))),
    "mirrored dims": (DSPRITES, lambda x: _beside(x.factors, -x.factors).astype(np.float64)),
    "some constant dims": (
        MPI3D,
        lambda x: _beside(x.noisy(0.1), np.full((len(x.numbers), 3), 0.7)),
    ),
    "all dims dead": (MPI3D, lambda x: 1e-3 * x.noisy(0.5)),
    "all dims constant": (MPI3D, lambda x: np.full((len(x.numbers), 6), 0.25)),
    "heavy tails": (MPI3D, lambda x: x.scaled + 0.1 * np.sinh(2 * x.noise(x.scaled.shape[1]))),
    "outliers": (SHAPES3D, _outlier),
    "scale 1e6": (MPI3D, lambda x: 1e6 * x.noisy(0.2)),
    "scale 1e30": (SHAPES3D, lambda x: 1e30 * x.noisy(0.2)),
    "scale 1e-4": (MPI3D, lambda x: 1e-4 * x.noisy(0.2)),
    "scale 1e-7": (SHAPES3D, lambda x: 1e-7 * x.noisy(0.2)),
    "nearly constant": (
        MPI3D,
        lambda x: (0.5 + 6e-8 * np.round(3 * x.noisy(0.2))).astype(np.float32),
    ),
    "all of float32's range": (
        SHAPES3D,
        lambda x: (6e38 * np.clip(x.noisy(0.2), 0, 1) - 3e38).astype(np.float32),
    ),
    "integers": (MPI3D, lambda x: np.round(4 * x.mixed(10) + x.noise(10)).astype(np.float32)),
    "few integers": (DSPRITES, lambda x: np.round(x.mixed(8) + 0.3 * x.noise(8))),
    "binary": (MPI3D, lambda x: (x.noisy(0.3) > 0.5).astype(np.float32)),
    "quantised": (SHAPES3D, lambda x: np.round(x.noisy(0.1), 1)),
    "2 dims": (SHAPES3D, lambda x: x.mixed(2) + 0.1 * x.noise(2)),
    "3 dims": (DSPRITES, lambda x: (x.mixed(3) + 0.1 * x.noise(3)).astype(np.float32)),
    "32 dims": (SHAPES3D, lambda x: x.mixed(32) + 0.5 * x.noise(32)),
    "64 dims": (DSPRITES, lambda x: (x.mixed(64) + 0.5 * x.noise(64)).astype(np.float32)),
    "noise": (MPI3D, lambda x: x.noise(10)),
    "heavy-tailed noise": (SHAPES3D, lambda x: np.sinh(3 * x.noise(10)).astype(np.float32)),
    "saturated": (MPI3D, lambda x: np.tanh(8 * (x.noisy(0.1) - 0.5)).astype(np.float32)),
    "rectified": (MPI3D, lambda x: np.maximum(x.mixed(12) + 0.3 * x.noise(12), 0)),
    "angles": (
        DSPRITES,
        lambda x: _beside(np.sin(6.28 * x.scaled), np.cos(6.28 * x.scaled)) + 0.05 * x.noise(1),
    ),
    "smooth": (MINI, lambda x: x.smooth().astype(np.float32)),
    "smooth, three factors": (THREE, lambda x: x.smooth().astype(np.float32)),
    "one-valued factor": (ONE_VALUED, lambda x: x.noisy(0.2)),
}
"""Each kind's grid, and its codes."""


def represent(kind: str, grid: IndexGrid) -> Callable[[NDArray[np.int64]], NDArray]:
    """The representation of this kind of an `IndexGrid`: codes of image numbers."""
    largest = np.maximum(np.array(grid.factor_sizes) - 1, 1)

    def representation(numbers: NDArray[np.int64]) -> NDArray:
        factors = grid.factors_of(numbers)
        return KINDS[kind][1](Images(numbers, factors, factors / largest))

    return representation
