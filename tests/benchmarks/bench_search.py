"""What a search costs the process that drives it, beyond its trials, which cost nothing here.

    python -m tests.benchmarks.bench_search --trials 200

Ray Tune and Optuna are left out: the benchmark calls what they call when a trial begins and ends.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from evaluation.common.terminal import silent
from submission.study.search.history import History
from tests.submission.study.fake_trials import (
    DATASET,
    FINGERPRINT,
    leave_done,
    make_search,
    opened,
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--trials", type=int, default=200)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, silent(True):
        os.environ["TORCH_HOME"] = f"{folder}/search/torch"
        file = make_search(Path(folder) / "search")
        each, restart = cost(file, arguments.trials)
    fifth = arguments.trials // 5
    means = [sum(each[start : start + fifth]) / fifth for start in range(0, 5 * fifth, fifth)]
    print(f"{arguments.trials} trials of two runs, in ms of the processor")
    print(f"  a trial, by fifths of them: {' '.join(f'{mean * 1000:.1f}' for mean in means)}")
    print(f"  all: {sum(each) * 1000:.0f}; a start after them: {restart * 1000:.0f}")
    return 0


def cost(file: Path, trials: int) -> tuple[list[float], float]:
    """Seconds of the processor of each trial, and of a start after all of them."""
    course = opened(file)
    history = History(course, file, {DATASET: FINGERPRINT})
    each = []
    for number in range(trials):
        parameters = {"p0": 1e-5 * 1e4 ** (number / trials)}
        start = time.process_time()
        history.begin(parameters)
        begun = time.process_time() - start
        for run in course.plan.runs[-2:]:
            leave_done(course, run, 0.5)
        start = time.process_time()
        history.end(parameters, 0.5, None)
        each.append(begun + time.process_time() - start)
    start = time.process_time()
    again = History(opened(file), file, {DATASET: FINGERPRINT})
    restart = time.process_time() - start
    assert len(again.values) == trials
    return each, restart


if __name__ == "__main__":
    raise SystemExit(main())
