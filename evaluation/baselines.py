"""What a score is to be held against: chance, and the draw of the sample."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.codes.table import CodeTable


class NoiseTable(CodeTable):
    """Codes that tell nothing: independent standard normal values, drawn when first asked for."""

    def __init__(self, rows: int, dim: int, seed: int) -> None:
        super().__init__(rows)
        self._generator = np.random.default_rng(seed)
        self._width = dim

    def __call__(self, indices: NDArray[np.int64]) -> NDArray:
        missing = self.missing(indices)
        if len(missing):
            self.put(missing, self._generator.standard_normal((len(missing), self._width)))
        return super().__call__(indices)


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
