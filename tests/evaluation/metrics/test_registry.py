"""Every metric of the registry can be loaded and called, and so can its reference."""

from importlib import import_module

import numpy as np
import pytest
from numpy.random import RandomState

from evaluation import reference  # noqa: F401 - lets disentanglement_lib be imported
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import CHALLENGE, METRICS, Metric
from evaluation.metrics.sampling import Representation
from tests.code_tables import represent

GRID = IndexGrid((3, 2, 4))


def scores(metric: Metric, representation: Representation) -> list[float]:
    """The metric's score and further ones, from few points."""
    sizes = dict.fromkeys(("num_train", "num_eval", "num_test", "num_variance_estimate"), 60)
    compute = metric.load()
    settings = {key: size for key, size in sizes.items() if key in compute.__annotations__}
    result = compute(GRID, representation, RandomState(0), **settings)
    return [result[key] for key in (metric.score_key, *metric.further_keys)]


def test_names_are_those_of_the_challenge() -> None:
    names = [metric.name for metric in CHALLENGE]
    assert names == ["factor_vae_metric", "dci", "sap_score", "mig", "irs"]


@pytest.mark.parametrize("name", METRICS)
def test_metric_has_its_scores_and_its_reference(name: str) -> None:
    metric = METRICS[name]
    perfect = scores(metric, lambda x: GRID.factors_of(x).astype(np.float32))
    assert all(0 <= score <= 1 for score in perfect)
    if metric.reference:
        module, function = metric.reference.rsplit(".", 1)
        assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("kind", ["nearly constant", "all of float32's range"])
@pytest.mark.parametrize("name", METRICS)
def test_codes_at_the_ends_of_float32_have_scores(name: str, kind: str) -> None:
    assert np.isfinite(scores(METRICS[name], represent(kind, GRID))).all()
