"""The metrics as functions of codes and factors, whatever holds them."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from numpy.random import RandomState

from evaluation import metrics, reference
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import METRICS
from evaluation.metrics.baselines import Noise

FUNCTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "factor_vae_metric": metrics.factor_vae,
    "dci": metrics.dci,
    "sap_score": metrics.sap,
    "mig": metrics.mig,
    "irs": metrics.irs,
    "beta_vae": metrics.beta_vae,
    "modularity_explicitness": metrics.modularity_explicitness,
    "infomec": metrics.infomec,
}
SIZES = {
    "num_train": 400,
    "num_test": 200,
    "num_eval": 100,
    "num_variance_estimate": 300,
}
GRID = IndexGrid((3, 4, 2))
FACTORS = GRID.factors_of(np.arange(len(GRID)))
CODES = FACTORS @ RandomState(1).normal(size=(3, 4))

_DRAWS = RandomState(2)
TABLE = _DRAWS.randint((3, 4), size=(200, 2))
TABLE_CODES = TABLE + _DRAWS.normal(size=TABLE.shape) / 5


def sizes_of(name: str) -> dict[str, int]:
    wanted = METRICS[name].load().__annotations__
    return {key: size for key, size in SIZES.items() if key in wanted}


def test_there_is_a_function_of_each_metric() -> None:
    assert FUNCTIONS.keys() == METRICS.keys()


@pytest.mark.parametrize("module", ["mig", "dci", "irs", "factor_vae", "beta_vae", "infomec"])
def test_a_function_keeps_its_name_when_its_module_is_loaded(module: str) -> None:
    loaded = importlib.import_module(f"evaluation.metrics.{module}")
    assert hasattr(loaded, f"compute_{module}")
    assert getattr(metrics, module) in FUNCTIONS.values()


@pytest.mark.parametrize("name", METRICS)
def test_a_full_grid_in_any_order_scores_what_the_grader_gives(name: str) -> None:
    order = RandomState(3).permutation(len(GRID))
    sizes = sizes_of(name)
    graded = METRICS[name].load()(GRID, CODES.__getitem__, RandomState(0), **sizes)
    ours = FUNCTIONS[name](CODES[order], FACTORS[order], **sizes)
    np.testing.assert_equal(ours, graded)


def test_values_of_a_full_grid_may_be_of_any_kind() -> None:
    frame = pandas.DataFrame(
        {
            "shape": np.array(["ball", "cone", "cube"])[FACTORS[:, 0]],
            "angle": FACTORS[:, 1] * 0.25 - 1,
            "large": FACTORS[:, 2] == 1,
        }
    )
    np.testing.assert_equal(metrics.mig(CODES, frame), metrics.mig(CODES, FACTORS))


@pytest.mark.parametrize(
    "held",
    [
        TABLE_CODES.tolist(),
        pandas.DataFrame(TABLE_CODES),
        torch.from_numpy(TABLE_CODES).requires_grad_() * 1,
        list(torch.from_numpy(TABLE_CODES)),
    ],
)
def test_codes_of_many_kinds(held: Any) -> None:
    np.testing.assert_equal(metrics.mig(held, TABLE), metrics.mig(TABLE_CODES, TABLE))


def test_bfloat16_is_taken() -> None:
    tensor = torch.from_numpy(TABLE_CODES).to(torch.bfloat16).requires_grad_()
    rounded = tensor.detach().float().numpy()
    np.testing.assert_equal(metrics.mig(tensor, TABLE), metrics.mig(rounded, TABLE))


@pytest.mark.parametrize(
    "held",
    [
        TABLE.tolist(),
        torch.from_numpy(TABLE),
        pandas.DataFrame(TABLE, columns=["a", "b"]),
        {"a": TABLE[:, 0].tolist(), "b": torch.from_numpy(TABLE[:, 1])},
        [[f"value {value}" for value in row] for row in TABLE],
        [[f"value {first}", int(second)] for first, second in TABLE],
    ],
)
def test_factors_of_many_kinds(held: Any) -> None:
    np.testing.assert_equal(metrics.mig(TABLE_CODES, held), metrics.mig(TABLE_CODES, TABLE))


def test_the_gap_of_rows_is_that_of_disentanglement_lib() -> None:
    reference.load(METRICS["mig"])
    from disentanglement_lib.evaluation.metrics.mig import _compute_mig

    theirs = _compute_mig(TABLE_CODES.T, TABLE.T)["discrete_mig"]
    assert metrics.mig(TABLE_CODES, TABLE)["discrete_mig"] == theirs


def test_sap_of_continuous_factors_is_that_of_disentanglement_lib() -> None:
    reference.load(METRICS["sap_score"])
    from disentanglement_lib.evaluation.metrics.sap_score import _compute_sap

    factors = RandomState(4).normal(size=(300, 2))
    codes = factors @ [[1.0, 0.5, 0.1], [0.0, 0.5, 2.0]]
    ours = metrics.sap(codes, factors)
    train = RandomState(0).permutation(300)[:200]  # two thirds, as of 10,000 and 5,000
    theirs = _compute_sap(codes[train].T, factors[train].T, None, None, continuous_factors=True)
    assert ours["SAP_score"] == pytest.approx(theirs["SAP_score"], abs=1e-12)


def test_dci_regresses_what_is_continuous_and_classifies_the_rest() -> None:
    draws = RandomState(5)
    factors = {"place": draws.random_sample(240), "shape": draws.choice(["ball", "cube"], 240)}
    codes = np.stack([factors["shape"] == "cube", factors["place"]], axis=1)
    result = metrics.dci(codes, factors)
    np.testing.assert_allclose(result["importance_matrix"], [[0, 1], [1, 0]], atol=1e-3)
    assert result["disentanglement"] > 0.98
    assert result["informativeness_test"] > 0.99
    noise = metrics.dci(draws.normal(size=(240, 2)), factors)
    assert noise["informativeness_test"] < 0.5


def test_what_is_learnt_is_tested_on_other_rows() -> None:
    draws = RandomState(6)
    codes, factors = draws.normal(size=(90, 3)), draws.randint(4, size=(90, 2))
    result = metrics.dci(codes, factors)
    assert result["informativeness_train"] == 1.0
    assert result["informativeness_test"] < 0.6


@pytest.mark.parametrize("name", ["factor_vae_metric", "beta_vae"])
def test_interventions_by_rows_that_share_a_value(name: str) -> None:
    key = METRICS[name].score_key
    sizes = sizes_of(name)
    assert FUNCTIONS[name](TABLE_CODES, TABLE, **sizes)[key] == 1.0
    noise = Noise(len(TABLE), 2, seed=0)(np.arange(len(TABLE)))
    assert FUNCTIONS[name](noise, TABLE, **sizes)[key] < 0.75


def test_rows_that_too_few_share() -> None:
    factors = TABLE.copy()
    factors[:5, 1] = 9
    for function in (metrics.factor_vae, metrics.beta_vae):
        with pytest.raises(ValueError, match=r"16 rows or more .* factor_1 = 9 has 5\.$"):
            function(TABLE_CODES, factors)
    with pytest.raises(ValueError, match=r"of 20 bins\), and factor_1 = 9 has 5\.$"):
        metrics.irs(TABLE_CODES, factors)
    with pytest.raises(ValueError, match=r"of the continuous b no rows share one\.$"):
        metrics.factor_vae(TABLE_CODES, {"a": TABLE[:, 0], "b": TABLE_CODES[:, 0]})


@pytest.mark.parametrize(
    ("codes", "factors", "sentence"),
    [
        (TABLE_CODES[:90], TABLE, r"The shape of codes is \(90, 2\), and factors have 200 rows"),
        (TABLE_CODES[:, 0], TABLE, r"The shape of codes is \(200,\); it must be \(n, d\)"),
        (TABLE_CODES * np.nan, TABLE, r"Row 0 of codes has NaN"),
        ([[1, 2], [3]], TABLE, r"The rows of a list must all have the same length\.$"),
        (
            TABLE_CODES[:9],
            TABLE[:9],
            r"A table that is no full grid needs 32 rows, and this one has 9",
        ),
        (TABLE_CODES, {"a": [1, 2], "b": [1]}, r"The columns of factors have \[1, 2\] rows"),
        (TABLE_CODES, list(map(str, range(200))), r"Factor factor_0 has another value in each"),
    ],
)
def test_what_does_not_fit(codes: Any, factors: Any, sentence: str) -> None:
    factors = {"id": factors[:]} if isinstance(factors, str) else factors
    with pytest.raises(ValueError, match=f"^{sentence}") as refused:
        metrics.mig(codes, factors)
    assert "\n" not in str(refused.value)


def test_tokens_are_one_number_each() -> None:
    direction = np.array([3.0, 4.0]) / 5
    codes = TABLE_CODES[:, :, np.newaxis] * direction
    alone = metrics.mig(TABLE_CODES, TABLE)["discrete_mig"]
    assert metrics.mig(codes, TABLE)["discrete_mig"] == pytest.approx(alone, abs=1e-6)
