"""How much faster the five scores are than disentanglement_lib's, on codes of many kinds.

    python -m tests.benchmarks.bench_metrics

Each line is one run of both under the challenge's protocol on this machine, codes given, after a
first call of ours that compiles or loads what is compiled: codes of trained encoders first
(`codes/`), then the kinds of `code_tables`. The reference's DCI takes minutes a line; it is fitted
to one factor only, of few values, and its time scaled by the number of trees, which makes it an
estimate. --all-factors fits all. Beside the seconds of a clock stand those of the processor, which
other work on the machine changes less, and which count what our threads do.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation import reference
from evaluation.codes.table import CodeTable
from evaluation.common.errors import KitError
from evaluation.data import drawing
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import CHALLENGE, Metric
from evaluation.metrics.sampling import Representation, sample_points
from tests.benchmarks import processor, trained_codes
from tests.code_tables import KINDS, represent

_FEWEST_VALUES = 3
"""Of the factor that the reference is timed on: one of two has a single tree a stage."""


class Seconds(NamedTuple):
    """What all five scores took, and DCI alone: each by the clock and of the processor (2,)."""

    theirs: NDArray[np.float64]
    ours: NDArray[np.float64]
    their_dci: NDArray[np.float64]
    our_dci: NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--codes", nargs="*", default=[*trained_codes.names(), *KINDS])
    parser.add_argument("--all-factors", action="store_true", help="in the reference's DCI")
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the median counts")
    arguments = parser.parse_args(argv)

    print(f"{processor.describe()}, load {os.getloadavg()[0]:.1f}\n")
    print(
        "| Codes | Dims | Reference | Ours | Times | Of the processor | Ours | Times | DCI alone |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    ratios = []
    for name in arguments.codes:
        grid, table = _codes(name)
        seconds = measure(grid, table, arguments.repeats, all_factors=arguments.all_factors)
        times = seconds.theirs / seconds.ours
        ratios.append(times)
        columns = [
            f"{theirs:.1f} s | {ours:.2f} s | {ratio:.0f}"
            for theirs, ours, ratio in zip(seconds.theirs, seconds.ours, times, strict=True)
        ]
        dci = seconds.their_dci[1] / seconds.our_dci[1]
        print(f"| {name} | {table.shape[1]} | {' | '.join(columns)} | {dci:.0f} |", flush=True)
    for column, by in enumerate(("by the clock", "of the processor")):
        every = [ratio[column] for ratio in ratios]
        print(
            f"\nAll five, {by}: {np.median(every):.0f} times faster in the median, "
            f"{min(every):.0f} at worst"
        )
    return 0


def measure(grid: IndexGrid, table: NDArray, repeats: int, *, all_factors: bool) -> Seconds:
    theirs, ours, their_dci, our_dci = (np.zeros(2) for _ in range(4))
    lookup = CodeTable.given(table)
    for metric in CHALLENGE:
        metric.load()(grid, lookup, RandomState(0))
        runs = []
        for _ in range(repeats):
            drawing._kept.cache_clear()  # each run draws, as a process that grades once does
            runs.append(_time(metric.load(), metric, grid, lookup))
        ours += np.median(runs, axis=0)
        if metric.name == "dci" and not all_factors:
            reference_run = _estimate_dci(grid, table)
        else:
            reference_run = _time(reference.load(metric), metric, grid, table.__getitem__)
        theirs += reference_run
        if metric.name == "dci":
            their_dci, our_dci = reference_run, np.median(runs, axis=0)
    return Seconds(theirs, ours, their_dci, our_dci)


def _now() -> NDArray[np.float64]:
    """Seconds of a clock, and of the processor in this process."""
    return np.array([time.perf_counter(), time.process_time()])


def _codes(name: str) -> tuple[IndexGrid, NDArray]:
    if name in KINDS:
        grid = IndexGrid(KINDS[name][0])
        return grid, represent(name, grid)(np.arange(len(grid)))
    return trained_codes.load(name)


def _time(
    compute: Callable[..., dict[str, Any]],
    metric: Metric,
    grid: IndexGrid,
    lookup: Representation,
) -> NDArray[np.float64]:
    """Seconds (2,); where the reference fails, those until it does."""
    start = _now()
    try:
        with np.errstate(all="ignore"):
            compute(grid, lookup, RandomState(0))
    except KitError:
        print(f"{metric.name}: the reference fails", file=sys.stderr)
    return _now() - start


def _estimate_dci(grid: IndexGrid, table: NDArray) -> NDArray[np.float64]:
    from sklearn.ensemble import GradientBoostingClassifier

    codes, factors = sample_points(grid, table.__getitem__, 10_000, 16, RandomState(0))
    sizes = np.array(grid.factor_sizes)
    trees = np.where(sizes == 2, 1, np.where(sizes == 1, 0, sizes))
    factor = int(np.argmin(np.where(sizes >= _FEWEST_VALUES, sizes, sizes.max() + 1)))
    start = _now()
    model = GradientBoostingClassifier().fit(codes, factors[:, factor])
    model.predict(codes)
    model.predict(codes[: len(codes) // 2])
    return (_now() - start) * float(trees.sum() / trees[factor])


if __name__ == "__main__":
    sys.exit(main())
