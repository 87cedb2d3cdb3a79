"""How DCI's time and memory grow with samples, dims, values of a factor, and threads.

    python -m tests.benchmarks.bench_growth

From one size of codes each variable in turn is made larger; each line is a process of its own. The
ratio says how many times more a step costs than a linear one: up to 1.3 is what docs/speed.md says.
"""

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np

_STEPS = {
    "samples": (1_000, 10_000, 50_000, 200_000),
    "dims": (2, 18, 64, 256, 2_048),
    "values": (2, 10, 40, 100),
}
_MIB = 1 << 10  # of the kibibytes that Linux counts peaks in


class Size(NamedTuple):
    """Of the codes: as in the challenge's protocol, with one factor."""

    samples: int = 10_000
    dims: int = 18
    values: int = 10
    threads: int = 0  # 0: as many as there are cores


class Cost(NamedTuple):
    """Seconds, and MiB beyond what the process had before."""

    seconds: float
    memory: float


def main(argv: Sequence[str] | None = None) -> int:
    from evaluation.common.devices import cores

    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--variables", nargs="*", default=[*_STEPS, "threads"])
    arguments = parser.parse_args(argv)

    print("| Variable | Value | Seconds | Beside linear | MiB | Beside linear |")
    print("|---|---|---|---|---|---|")
    for variable in arguments.variables:
        before: tuple[int, Cost] | None = None
        for value in _STEPS.get(variable, range(1, cores() + 1)):
            cost = _measure(Size()._replace(**{variable: value}))
            beside = ["", ""]
            if before:
                growth = _linear(variable, value) / _linear(variable, before[0])
                beside = [
                    f"{new / old / growth:.2f}" for new, old in zip(cost, before[1], strict=True)
                ]
            print(
                f"| {variable} | {value:,} | {cost.seconds:.2f} | {beside[0]} | "
                f"{cost.memory:.0f} | {beside[1]} |",
                flush=True,
            )
            before = value, cost
    return 0


def _linear(variable: str, value: int) -> float:
    """What the cost is to be proportional to."""
    if variable == "threads":
        return 1 / value
    return 1 if variable == "values" and value == 2 else value  # the trees of a stage


def _measure(size: Size) -> Cost:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_grow, size).result()


def _grow(size: Size) -> Cost:
    from evaluation.metrics.boosting import model, threads

    if size.threads:
        threads.cores = lambda: size.threads
    rng = np.random.default_rng(0)
    factors = rng.integers(size.values, size=(size.samples, 1))
    codes = rng.normal(size=(size.samples, size.dims)).astype(np.float32)
    codes[:, 0] += factors[:, 0] / size.values
    model.fit(codes[:200], factors[:200] % 2, seed=0)  # loads compiled code
    before = _peak()
    start = time.perf_counter()
    model.fit(codes, factors, seed=0)
    return Cost(time.perf_counter() - start, (_peak() - before) / _MIB)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())
