"""What the pages on metrics say in words holds of the numbers that they show."""

from functools import cache
from inspect import signature

import numpy as np
import pytest
from numpy.random import RandomState
from numpy.typing import NDArray

from docs.made import behaviour, codes
from evaluation.codes.table import CodeTable
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import METRICS


@cache
def score(name: str, kind: str) -> float:
    return of(name, codes.KINDS[kind]())


def of(name: str, table: NDArray[np.float64]) -> float:
    metric = METRICS[name]
    compute = metric.load()
    wanted = signature(compute).parameters
    sizes = {key: size for key, size in behaviour.SIZES.items() if key in wanted}
    grid = IndexGrid(codes.FACTOR_SIZES)
    result = compute(grid, CodeTable.given(table), RandomState(0), **sizes)
    return float(result[metric.score_key])


def test_factor_vae_forgives_turns_copies_and_noise_but_not_the_scale() -> None:
    assert of("factor_vae_metric", codes.turned(30)) == 1
    assert score("factor_vae_metric", "duplicated") == 1
    assert score("factor_vae_metric", "perfect, and noise") == 1
    assert score("factor_vae_metric", "rotated") < 0.6
    assert score("factor_vae_metric", "small scale") == 0


def test_dci_forgives_copies_and_small_turns_of_coarse_codes() -> None:
    assert score("dci", "duplicated") > 0.99
    assert of("dci", codes.turned(5)) > 0.99
    assert score("dci", "noise") < 0.05


def test_sap_gives_perfect_codes_little_and_moves_with_the_scale() -> None:
    assert score("sap_score", "perfect") < 0.5
    assert score("sap_score", "duplicated") == 0
    assert score("sap_score", "small scale") != score("sap_score", "perfect")
    assert score("sap_score", "merged") > 0.1


def test_mig_falls_by_outliers_copies_and_turns_and_not_by_merging() -> None:
    assert score("mig", "perfect") > 0.95
    assert score("mig", "outliers") < 0.01
    assert score("mig", "duplicated") == 0
    assert of("mig", codes.turned(15)) < 0.1
    assert score("mig", "merged") > 0.85
    assert score("mig", "noise") < 0.01


def test_irs_gives_noise_much_and_noise_with_heavy_tails_more() -> None:
    assert score("irs", "noise") > 0.2
    assert score("irs", "noise, heavy tails") > 0.9
    assert score("irs", "outliers") > 0.99
    assert score("irs", "duplicated") == pytest.approx(1)
    assert score("irs", "perfect, and noise") < score("irs", "noise") + 0.15


def test_modularity_gives_noise_more_than_half() -> None:
    assert score("modularity_explicitness", "noise") > 0.5
    assert of("modularity_explicitness", codes.turned(45)) > 0.75


def test_every_kind_is_explained() -> None:
    assert codes.KINDS.keys() == codes.MEANING.keys()
