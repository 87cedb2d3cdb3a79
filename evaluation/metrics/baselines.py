"""What a score is to be held against: chance, and the draw of the sample."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.arrays import not_filled


class Noise:
    """Codes that tell nothing: independent standard normal values, drawn when first asked for.

    Args:
        rows: Number of points that it has codes for.
        dim: Number of dims.
        seed: For the values.
    """

    def __init__(self, rows: int, dim: int, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        # Pages of `empty` that nobody writes to take no memory.
        self._codes = np.empty((rows, dim))
        self._filled = np.zeros(rows, dtype=bool)

    def __call__(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Codes (n, dim) of the numbers (n,), the same each time."""
        missing = not_filled(self._filled, indices)
        self._codes[missing] = self._generator.standard_normal((len(missing), self._codes.shape[1]))
        self._filled[missing] = True
        return self._codes[indices]


def spread(scores: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and 95 % bootstrap interval of the mean over sampling seeds."""
    values = np.asarray(scores)
    means = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {
        "scores": values.tolist(),
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)),
        "interval": [float(low), float(high)],
    }
