"""How much faster the five scores are than disentanglement_lib's, on codes of many kinds.

    python -m tests.benchmarks.bench_metrics

Each line is one run of both under the challenge's protocol on this machine, codes given, after a
first call of ours that compiles or loads what is compiled: codes of trained encoders first
(`codes/`), then the kinds of `code_tables`. The reference's DCI takes minutes a line; it is fitted
to one factor only, of few values, and its time scaled by the number of trees, which makes it an
estimate. --all-factors fits all.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation import reference
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import CHALLENGE, Metric
from evaluation.metrics.sampling import sample_points
from tests.benchmarks import trained_codes
from tests.code_tables import KINDS, represent

_FEWEST_VALUES = 3
"""Of the factor that the reference is timed on: one of two has a single tree a stage."""


class Seconds(NamedTuple):
    """What all five scores took, and DCI alone."""

    theirs: float
    ours: float
    their_dci: float
    our_dci: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--codes", nargs="*", default=[*trained_codes.names(), *KINDS])
    parser.add_argument("--all-factors", action="store_true", help="in the reference's DCI")
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the median counts")
    arguments = parser.parse_args(argv)

    print("| Codes | Dims | Reference | Ours | Times | DCI alone | Ours | Times |")
    print("|---|---|---|---|---|---|---|---|")
    ratios = []
    for name in arguments.codes:
        grid, table = _codes(name)
        seconds = measure(grid, table, arguments.repeats, all_factors=arguments.all_factors)
        ratios.append(seconds.theirs / seconds.ours)
        print(
            f"| {name} | {table.shape[1]} | {seconds.theirs:.1f} s | {seconds.ours:.2f} s | "
            f"{ratios[-1]:.0f} | {seconds.their_dci:.1f} s | {seconds.our_dci:.2f} s | "
            f"{seconds.their_dci / seconds.our_dci:.0f} |",
            flush=True,
        )
    print(
        f"\nAll five: {np.median(ratios):.0f} times faster in the median, "
        f"{min(ratios):.0f} at worst"
    )
    return 0


def measure(grid: IndexGrid, table: NDArray, repeats: int, *, all_factors: bool) -> Seconds:
    totals = np.zeros(2)
    dci = (np.nan, np.nan)
    for metric in CHALLENGE:
        metric.load()(grid, table.__getitem__, RandomState(0))
        ours = float(np.median([_time(metric.load(), metric, grid, table) for _ in range(repeats)]))
        if metric.name == "dci" and not all_factors:
            theirs = _estimate_dci(grid, table)
        else:
            theirs = _time(reference.load(metric), metric, grid, table)
        totals += theirs, ours
        if metric.name == "dci":
            dci = theirs, ours
    return Seconds(float(totals[0]), float(totals[1]), *dci)


def _codes(name: str) -> tuple[IndexGrid, NDArray]:
    if name in KINDS:
        grid = IndexGrid(KINDS[name][0])
        return grid, represent(name, grid)(np.arange(len(grid)))
    return trained_codes.load(name)


def _time(
    compute: Callable[..., dict[str, Any]], metric: Metric, grid: IndexGrid, table: NDArray
) -> float:
    """Seconds; where the reference fails, those until it does."""
    start = time.perf_counter()
    try:
        with np.errstate(all="ignore"):
            compute(grid, table.__getitem__, RandomState(0))
    except KitError:
        print(f"{metric.name}: the reference fails", file=sys.stderr)
    return time.perf_counter() - start


def _estimate_dci(grid: IndexGrid, table: NDArray) -> float:
    from sklearn.ensemble import GradientBoostingClassifier

    codes, factors = sample_points(grid, table.__getitem__, 10_000, 16, RandomState(0))
    sizes = np.array(grid.factor_sizes)
    trees = np.where(sizes == 2, 1, np.where(sizes == 1, 0, sizes))
    factor = int(np.argmin(np.where(sizes >= _FEWEST_VALUES, sizes, sizes.max() + 1)))
    start = time.perf_counter()
    model = GradientBoostingClassifier().fit(codes, factors[:, factor])
    model.predict(codes)
    model.predict(codes[: len(codes) // 2])
    return (time.perf_counter() - start) * float(trees.sum() / trees[factor])


if __name__ == "__main__":
    sys.exit(main())
