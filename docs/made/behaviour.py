"""What each metric scores on codes of known properties: computed once, kept under scratch."""

import hashlib
import json
import warnings
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from docs.made import codes
from evaluation.codes.table import CodeTable
from evaluation.common import environment
from evaluation.common.files import write_json
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import METRICS
from evaluation.origin import grader_digest, versions

SIZES = {"num_train": 1_000, "num_test": 500, "num_eval": 500, "num_variance_estimate": 1_000}
"""A tenth of the challenge's, so that the site is built in a minute."""

ANGLES = (0, 5, 15, 30, 45)
DEVIATIONS = (0.0, 0.1, 0.2, 0.4, 0.8)

_HERE = Path(__file__).parent


class Behaviour(NamedTuple):
    """Scores by `metric` or `metric.key`: of each kind of codes, and along two changes."""

    of_kinds: dict[str, dict[str, float]]
    turned: list[dict[str, float]]
    noisy: list[dict[str, float]]


@cache
def behaviour() -> Behaviour:
    """The scores; those kept under scratch are used while the code is the same."""
    made_from = [grader_digest(), versions(), SIZES]
    made_from += [
        (_HERE / name).read_text(encoding="utf-8") for name in ("codes.py", "behaviour.py")
    ]
    digest = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
    path = environment.SCRATCH / "docs" / f"behaviour-{digest[:16]}.json"
    if not path.exists():
        measured = Behaviour(
            {kind: scores_of(make()) for kind, make in codes.KINDS.items()},
            [scores_of(codes.turned(angle)) for angle in ANGLES],
            [scores_of(codes.noisy(deviation)) for deviation in DEVIATIONS],
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, measured._asdict())
    return Behaviour(**json.loads(path.read_text(encoding="utf-8")))


def scores_of(table: NDArray[np.float64]) -> dict[str, float]:
    """Every metric's scores of the codes (n, dims) of all images of the grid, with seed 0."""
    from sklearn.exceptions import ConvergenceWarning

    grid, given = IndexGrid(codes.FACTOR_SIZES), CodeTable.given(table)
    scores: dict[str, float] = {}
    for metric in METRICS.values():
        compute = metric.load()
        wanted = signature(compute).parameters
        sizes = {name: size for name, size in SIZES.items() if name in wanted}
        with warnings.catch_warnings():
            # Logistic regression stops after 100 steps here as in the reference.
            warnings.simplefilter("ignore", ConvergenceWarning)
            result: dict[str, Any] = compute(grid, given, RandomState(0), **sizes)
        scores[metric.name] = float(result[metric.score_key])
        for key in metric.further_keys:
            scores[f"{metric.name}.{key}"] = float(result[key])
    return scores
