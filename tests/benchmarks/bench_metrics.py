"""How much faster the five scores are than disentanglement_lib's, codes given.

    python -m tests.benchmarks.bench_metrics

MPI3D's grid, the challenge's protocol, 18 dims, on this machine and in one run, after a first call
of ours that compiles or loads what is compiled. The reference takes about eight minutes on two
cores; --dci-factors K lets it fit the first K factors only and scales its time by the number of
trees, which is then marked as an estimate.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation import reference
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import CHALLENGE, Metric
from evaluation.metrics.sampling import sample_points
from tests.code_tables import MPI3D, represent


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kind", default="rotated, 18 dims", help="of codes, see code_tables.py")
    parser.add_argument("--dci-factors", type=int, default=len(MPI3D), metavar="K")
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the median counts")
    arguments = parser.parse_args(argv)

    grid = IndexGrid(MPI3D)
    table = represent(arguments.kind, grid)(np.arange(len(grid)))
    print(f"{arguments.kind}: {table.shape[1]} dims, factors {MPI3D}")
    totals = np.zeros(2)
    estimated = arguments.dci_factors < len(MPI3D)
    for metric in CHALLENGE:
        metric.load()(grid, table.__getitem__, RandomState(0))
        runs = [_time(metric.load(), metric, grid, table) for _ in range(arguments.repeats)]
        ours = float(np.median([seconds for seconds, _ in runs]))
        if metric.name == "dci" and estimated:
            theirs, score = _estimate_dci(grid, table, arguments.dci_factors), float("nan")
        else:
            theirs, score = _time(reference.load(metric), metric, grid, table)
        totals += ours, theirs
        mark = " (estimated)" if metric.name == "dci" and estimated else ""
        print(
            f"{metric.name:18} {theirs:8.2f} s{mark} against {ours:6.3f} s: {theirs / ours:6.1f} "
            f"times; score {score:.4f} against {runs[0][1]:.4f}",
            flush=True,
        )
    mark = " (estimated)" if estimated else ""
    print(
        f"all five           {totals[1]:8.2f} s{mark} against {totals[0]:6.3f} s: "
        f"{totals[1] / totals[0]:6.1f} times"
    )
    return 0


def _time(
    compute: Callable[..., dict[str, Any]], metric: Metric, grid: IndexGrid, table: NDArray
) -> tuple[float, float]:
    """Seconds, and the score."""
    start = time.perf_counter()
    result = compute(grid, table.__getitem__, RandomState(0))
    return time.perf_counter() - start, float(result[metric.score_key])


def _estimate_dci(grid: IndexGrid, table: NDArray, factors: int) -> float:
    from disentanglement_lib.evaluation.metrics.dci import _compute_dci

    (codes, labels), (test_codes, test_labels) = (
        sample_points(grid, table.__getitem__, size, 16, RandomState(0)) for size in (10_000, 5_000)
    )
    start = time.perf_counter()
    _compute_dci(codes.T, labels[:, :factors].T, test_codes.T, test_labels[:, :factors].T)
    seconds = time.perf_counter() - start
    trees = np.cumsum([1 if size == 2 else size for size in grid.factor_sizes])
    return seconds * float(trees[-1] / trees[factors - 1])


if __name__ == "__main__":
    sys.exit(main())
