"""Tables of codes whose fault is known, graded in small, as material of a page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.codes.table import CodeTable
from evaluation.data.ground_truth import ImageGrid, IndexGrid
from evaluation.metrics import CHALLENGE
from evaluation.report.material import Material
from evaluation.rules import Rules
from evaluation.scores import Graded, MadeFrom, Report, plain

NAMES = ("color", "shape", "height", "angle")
SIZES = (3, 4, 2, 6)
SMALL: dict[str, dict[str, Any]] = {
    "factor_vae_metric": {"num_train": 400, "num_eval": 400, "num_variance_estimate": 400},
    "dci": {"num_train": 400, "num_test": 200},
    "sap_score": {"num_train": 400, "num_test": 200},
    "mig": {"num_train": 1000},
    "irs": {"num_train": 1000},
}

Codes = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Codes (n, d) of factors (n, k) that are scaled to [0, 1]."""


def dataset() -> ImageGrid:
    """Images of one colour each, which tells their factors."""
    grid = IndexGrid(SIZES)
    factors = grid.factors_of(np.arange(len(grid)))
    shades = (factors[:, :3] * [100, 70, 200]).astype(np.uint8)
    images = np.tile(shades[:, np.newaxis, np.newaxis], (1, 16, 16, 1))
    return ImageGrid("shades", images, SIZES, NAMES, fingerprint="0")


def table_of(codes: Codes) -> NDArray[np.float64]:
    """The codes (n, d) of each image of the dataset, with a little noise."""
    grid = IndexGrid(SIZES)
    factors = grid.factors_of(np.arange(len(grid)))
    table = codes(factors / (np.array(SIZES) - 1))
    return table + 0.01 * np.random.default_rng(0).standard_normal(table.shape)


def material_of(codes: Codes, output: Path, path: str = "model.pt") -> Material:
    """What a page of these codes is made of."""
    grid, table = IndexGrid(SIZES), table_of(codes)
    answer = CodeTable.given(table)
    details, scores = {}, {}
    for metric in CHALLENGE:
        result = metric.load()(grid, answer, RandomState(0), **SMALL[metric.name])
        details[metric.name] = plain(result)
        scores[metric.name] = plain(float(result[metric.score_key]))
    further = {f"{metric.name}.{key}": 0.0 for metric in CHALLENGE for key in metric.further_keys}
    report = Report(
        scores=scores,
        details=details,
        seconds={"encode": 2.0, **dict.fromkeys(scores, 0.1)},
        dataset="shades",
        factor_sizes=list(SIZES),
        engine="fast",
        seed=0,
        versions={"python": "3"},
        baselines={"noise": dict.fromkeys(scores, 0.1) | further},
        representation=Graded(path=path, kind="torchscript", sha256="0", dim=table.shape[1]),
        made_from=MadeFrom(
            representation="0",
            untrained=None,
            data="0",
            protocol=plain(Rules(metrics=tuple(scores)).as_written),
            grader="0",
        ),
    )
    return Material.sampled(report, dataset(), (np.arange(len(grid)), table), output)
