"""Every metric of the registry can be loaded and called, and so can its reference."""

from importlib import import_module

import numpy as np
import pytest
from numpy.random import RandomState

from evaluation import reference  # noqa: F401 - lets disentanglement_lib be imported
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import CHALLENGE, METRICS

GRID = IndexGrid((3, 2, 4))


def test_names_are_those_of_the_challenge() -> None:
    names = [metric.name for metric in CHALLENGE]
    assert names == ["factor_vae_metric", "dci", "sap_score", "mig", "irs"]


@pytest.mark.parametrize("name", METRICS)
def test_metric_has_its_scores_and_its_reference(name: str) -> None:
    metric = METRICS[name]
    sizes = dict.fromkeys(("num_train", "num_eval", "num_test", "num_variance_estimate"), 60)
    compute = metric.load()
    settings = {key: size for key, size in sizes.items() if key in compute.__annotations__}
    result = compute(
        GRID, lambda x: GRID.factors_of(x).astype(np.float32), RandomState(0), **settings
    )
    for key in (metric.score_key, *metric.further_keys):
        assert 0 <= result[key] <= 1
    if metric.reference:
        module, function = metric.reference.rsplit(".", 1)
        assert callable(getattr(import_module(module), function))
