"""Opening a dataset and drawing images from it, beside disentanglement_lib on the same file.

    .venv/bin/python -m tests.benchmarks.bench_data [--name mpi3d_sim_real]

Prints the time of 64 random images, and in a process each the time and memory that opening takes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import RandomState

from evaluation.common.files import readable_size
from evaluation.common.terminal import console
from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.sets.mpi3d import write_npz
from evaluation.data.storage.blocks import StoredImages

_BATCH = 64
_PAIRS = 31
_DRAWS = 20
"""Draws of one and then of the other in each pair: as few as share the state of the machine."""
_FIRST = 3
"""Draws of a set that was just opened."""
_NAME = "mpi3d_real"

Draw = Callable[[RandomState], object]


def theirs(root: Path, sizes: list[int]) -> Any:
    """disentanglement_lib's MPI3D of the file, with the sizes of its factors."""
    import gin

    sys.modules["gin.tf"] = gin
    os.environ["DISENTANGLEMENT_LIB_DATA"] = str(root)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from disentanglement_lib.data.ground_truth import mpi3d, util

    before, start = resident(), time.perf_counter()
    data: Any = mpi3d.MPI3D(_NAME)
    data.seconds, data.memory = time.perf_counter() - start, resident() - before
    data.factor_sizes = sizes
    data.factor_bases = np.prod(sizes) / np.cumprod(sizes)
    data.state_space = util.SplitDiscreteStateSpace(sizes, list(range(len(sizes))))
    return data


def resident() -> int:
    """Bytes of memory that this process has in use."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def median_seconds(draw: Draw, stream: RandomState) -> float:
    """Of `_DRAWS` draws, in processor time of this thread, which other programs change least."""
    seconds = []
    for _ in range(_DRAWS):
        start = time.thread_time()
        draw(stream)
        seconds.append(time.thread_time() - start)
    return statistics.median(seconds)


def in_pairs(ours: Draw, theirs: Draw) -> list[tuple[float, float]]:
    """Seconds of both in each pair; both draw from the same stream."""
    streams = RandomState(0), RandomState(0)
    return [
        (median_seconds(ours, streams[0]), median_seconds(theirs, streams[1]))
        for _ in range(_PAIRS)
    ]


def compare_draws(ours: ImageGrid, reference: Any) -> None:
    assert isinstance(ours.images, StoredImages)

    def rows(stream: RandomState) -> Any:
        return ours.sample_factors(_BATCH, stream)

    draws = {
        "as bytes": lambda stream: ours.images_at(ours.indices_of(rows(stream))),
        "as floats": lambda stream: ours.sample_observations(_BATCH, stream),
    }
    ours.observations_at(np.arange(2))  # loads what is compiled
    start, stream = time.perf_counter(), RandomState(1)
    for _ in range(_FIRST):
        ours.sample_observations(_BATCH, stream)
    first = (time.perf_counter() - start) / _FIRST
    console.print(
        f"{_BATCH} random images of blocks that are compared with their digests first:"
        f" {1e6 * first:,.0f} us"
    )
    ours.images.check()
    for how, draw in draws.items():
        pairs = in_pairs(draw, lambda stream: reference.sample_observations(_BATCH, stream))
        seconds, theirs = (statistics.median(one) for one in zip(*pairs, strict=True))
        ratios = sorted(other / own for own, other in pairs)
        console.print(
            f"{_BATCH} random images {how}: {1e6 * seconds:,.0f} us; disentanglement_lib, as"
            f" floats: {1e6 * theirs:,.0f} us; {statistics.median(ratios):.1f} times faster in the"
            f" median of {_PAIRS} pairs of {_DRAWS} draws each, {ratios[0]:.1f} in the worst"
        )


def print_opening(who: str, root: Path, name: str, sizes: list[int]) -> None:
    """What a process of its own prints: seconds and bytes of opening."""
    if who == "theirs":
        data = theirs(root, sizes)
        print(data.seconds, data.memory)
        return
    before, start = resident(), time.perf_counter()
    open_dataset(name, root)
    print(time.perf_counter() - start, resident() - before, resident(), file=sys.stderr)


def compare_opening(root: Path, sizes: list[int]) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.benchmarks import bench_data as bench;"
        "from evaluation.data.sets import mpi3d; sizes = [*map(int, sys.argv[3:])];"
        f"mpi3d.LAYOUTS[{int(np.prod(sizes))}] = tuple(sizes);"
        f"bench.print_opening(sys.argv[1], Path(sys.argv[2]), {_NAME!r}, sizes)"
    )
    open_dataset(_NAME, root)  # the first time it is read whole
    for who in ("ours", "theirs"):
        run = subprocess.run(
            [sys.executable, "-c", code, who, str(root), *map(str, sizes)],
            check=True,
            capture_output=True,
            text=True,
        )
        numbers = (run.stderr if who == "ours" else run.stdout).split()
        seconds, memory = float(numbers[0]), int(numbers[1])
        console.print(
            f"opening, {who}: {seconds:.2f} s, {readable_size(max(0, memory))} of memory"
            + (f" ({readable_size(int(numbers[2]))} the whole process)" if who == "ours" else "")
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="mpi3d_sim_real_mini", help="a simulated set")
    name = parser.parse_args().name
    simulated = open_dataset(name)
    sizes = simulated.factors_num_values
    from evaluation.data.sets import mpi3d

    mpi3d.LAYOUTS.update({len(simulated): tuple(sizes)})
    with tempfile.TemporaryDirectory(prefix="bench-data-") as folder:
        root = Path(folder)
        assert isinstance(simulated.images, StoredImages)
        write_npz(_NAME, root, simulated.images)
        compare_opening(root, sizes)
        compare_draws(open_dataset(_NAME, root), theirs(root, sizes))


if __name__ == "__main__":
    main()
