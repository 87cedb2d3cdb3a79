"""Codes of trained encoders, kept small beside the benchmarks.

    python -m tests.benchmarks.trained_codes NAME DATASET codes.npz

stores what a grading of DATASET left in its `codes.npz` as `codes/NAME.npz`: each dim in 65,535
steps of its range, and of a large grid only the images that metrics draw in batches of 16.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.files import whole_file
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics.sampling import sample_points

_FOLDER = Path(__file__).parent / "codes"
_STEPS = 65_535
_DRAWN = 15_000
_ROWS_OF_A_WHOLE_TABLE = 20_000


def names() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*.npz"))


def load(name: str) -> tuple[IndexGrid, NDArray[np.float32]]:
    """The grid, and a code for each of its images.

    Images whose codes are not stored have those of stored ones. Only FactorVAE draws them, and it
    costs the same whatever the codes are.
    """
    with np.load(_FOLDER / f"{name}.npz") as stored:
        grid = IndexGrid(stored["factor_sizes"].tolist())
        codes = stored["low"] + stored["step"] * stored["steps"].astype(np.float32)
        table = codes[RandomState(0).randint(len(codes), size=len(grid))]
        table[stored["indices"]] = codes
    return grid, table


def store(name: str, grid: IndexGrid, indices: NDArray[np.int64], codes: NDArray) -> None:
    """Stores the codes (n, d) of the images with these indices (n,) of the grid."""
    if len(grid) > _ROWS_OF_A_WHOLE_TABLE:
        drawn = sample_points(grid, lambda numbers: numbers, _DRAWN, 16, RandomState(0))[0]
        kept = np.isin(indices, drawn)
        indices, codes = indices[kept], codes[kept]
    low = codes.min(axis=0)
    step = (codes.max(axis=0) - low) / _STEPS
    steps = np.round((codes - low) / np.where(step > 0, step, 1)).astype(np.uint16)
    with whole_file(_FOLDER / f"{name}.npz") as path, path.open("wb") as file:
        np.savez_compressed(
            file,
            factor_sizes=np.array(grid.factor_sizes),
            indices=indices,
            steps=steps,
            low=low.astype(np.float32),
            step=step.astype(np.float32),
        )


def main(argv: Sequence[str] | None = None) -> int:
    from evaluation.data import open_dataset

    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("name")
    parser.add_argument("dataset")
    parser.add_argument("codes", type=Path)
    arguments = parser.parse_args(argv)
    sizes = open_dataset(arguments.dataset).factor_sizes
    with np.load(arguments.codes) as stored:
        store(arguments.name, IndexGrid(sizes), stored["indices"], stored["codes"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
