"""How much sharing a geometry among its colours saves, and how long a whole set takes.

    python -m tests.benchmarks.bench_render [--folder DIR]

Writes and removes 5.7 GB in DIR.
"""

import argparse
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np

from evaluation.data import open_dataset
from evaluation.data.simulated.looks import BACKGROUND_COLORS, LOOKS, OBJECT_COLORS, compose
from evaluation.data.simulated.rendering import light_maps

GEOMETRIES = 100
COLORS = np.array(list(OBJECT_COLORS.values()), np.float32)
RINGS = np.array(list(BACKGROUND_COLORS.values()), np.float32)


def render(look_name: str, draws: np.random.RandomState, shared: bool) -> float:
    """Images a second, one thread, over random geometries in all 18 colours."""
    look = LOOKS[look_name]
    numbers = np.arange(18).reshape(6, 3)
    images = np.empty((6, 3, 64, 64, 3), np.uint8)
    start = time.perf_counter()
    for _ in range(GEOMETRIES):
        geometry = [draws.randint(size) for size in (6, 2, 3, 40, 40)]
        if shared:
            compose(light_maps(look, *geometry), COLORS, RINGS, look.noise, numbers, images)
            continue
        for i, j in product(range(6), range(3)):
            one = (slice(i, i + 1), slice(j, j + 1))
            maps = light_maps(look, *geometry)
            compose(maps, COLORS[one[0]], RINGS[one[1]], look.noise, numbers[one], images[one])
    return GEOMETRIES * 18 / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's)")
    folder = parser.parse_args().folder

    for look in LOOKS:
        for shared in (True, False):
            render(look, np.random.RandomState(1), shared)  # compiled, and warm
        alone = render(look, np.random.RandomState(0), shared=False)
        together = render(look, np.random.RandomState(0), shared=True)
        print(
            f"{look}: {alone:,.0f} images/s each by itself, {together:,.0f} images/s sharing"
            f" geometries: {together / alone:.1f} times as many"
        )
    with tempfile.TemporaryDirectory(dir=folder) as root:
        start = time.perf_counter()
        dataset = open_dataset("mpi3d_sim_real_4x4", Path(root))
        seconds = time.perf_counter() - start
    print(f"{len(dataset):,} images rendered, written and hashed in {seconds:.1f} s")


if __name__ == "__main__":
    main()
