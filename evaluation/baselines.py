"""What a score is to be held against: chance, and the draw of the sample."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.codes import CodeTable


def noise_table(rows: int, dim: int, seed: int) -> CodeTable:
    """Codes that tell nothing: independent standard normal values for each image and dim."""
    generator = np.random.default_rng(seed)

    def draw(some: NDArray[np.int64]) -> NDArray:
        return generator.standard_normal((len(some), dim))

    return CodeTable(rows, draw, batch=rows, doing="Drawing noise")


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
