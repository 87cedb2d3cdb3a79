"""BetaVAE, modularity and explicitness against disentanglement_lib; InfoMEC against its parts."""

from typing import Any

import numpy as np
import pytest
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.feature_selection import mutual_info_classif
from sklearn.metrics import mutual_info_score

from evaluation import reference
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import METRICS
from evaluation.metrics.infomec import compute_infomec, infomec
from evaluation.metrics.modularity_explicitness import explicitness, modularity
from tests.code_tables import represent

GRID = IndexGrid((3, 2, 5, 4))


def both(name: str, kind: str, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    ours, theirs = (
        compute(GRID, represent(kind, GRID), RandomState(0), **settings)
        for compute in (METRICS[name].load(), reference.load(METRICS[name]))
    )
    return ours, theirs


@pytest.mark.parametrize("kind", ["perfect", "noisy", "rotated, 18 dims", "noise", "scale 1e6"])
def test_beta_vae_is_that_of_the_reference(kind: str) -> None:
    ours, theirs = both("beta_vae", kind, num_train=400, num_eval=200, batch_size=16)
    assert ours == theirs


@pytest.mark.parametrize("kind", ["perfect", "noisy", "rotated, 18 dims", "noise", "integers"])
def test_modularity_and_explicitness_are_those_of_the_reference(kind: str) -> None:
    ours, theirs = both("modularity_explicitness", kind, num_train=500, num_test=300)
    assert ours["modularity_score"] == theirs["modularity_score"]
    for key in ("explicitness_score_train", "explicitness_score_test"):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-6)


def test_where_the_reference_has_no_modularity_or_explicitness() -> None:
    assert modularity(np.array([[0.5], [0.0]])) == 0.5
    factors = np.array([[0, 7], [1, 7], [2, 7]] * 20)
    codes = np.hstack((factors, np.ones((60, 1)))).astype(float)
    train, test = explicitness(codes, factors, codes[:4:2], factors[:4:2])
    assert (train, test) == (1, 1)
    assert explicitness(codes, factors[:, 1:], codes, factors[:, 1:]) == (1, 1)
    alone = IndexGrid((4,))
    result = METRICS["beta_vae"].load()(alone, lambda x: x[:, np.newaxis], RandomState(0))
    assert result["eval_accuracy"] == 1


def uniform(*sizes: int) -> NDArray[np.int64]:
    grid = IndexGrid(sizes)
    return grid.factors_of(np.repeat(np.arange(len(grid)), 20))


def test_infomec_of_discrete_codes_by_hand() -> None:
    factors = uniform(2, 4)
    perfect = infomec(factors, factors, discrete_codes=True)
    assert perfect["infom"] == pytest.approx(1)
    assert perfect["infoc"] == pytest.approx(1)
    assert perfect["infoe"] == pytest.approx(1, abs=1e-3)
    assert perfect["normalized_information"] == pytest.approx(np.eye(2))

    # One code holds the first factor and one bit of two of the second; the other holds nothing.
    codes = np.stack((2 * factors[:, 0] + factors[:, 1] // 2, np.tile([0, 1], 80)), axis=1)
    result = infomec(codes, factors, discrete_codes=True)
    assert result["normalized_information"] == pytest.approx(np.array([[1, 0], [0.5, 0]]))
    # Of what the first code holds, 1 / 1.5 concerns one factor; the second, empty, counts as 0.
    assert result["infom"] == pytest.approx((2 / 3 - 0.5) / 0.5 / 2)
    assert result["infoc"] == pytest.approx(1)
    # The first factor is told exactly; of the second, log 2 of log 4 is left.
    assert result["infoe"] == pytest.approx(0.75, abs=1e-3)


def test_infomec_of_continuous_codes_dim_by_dim() -> None:
    representation = represent("rotated, 18 dims, float64", GRID)
    factors = GRID.sample_factors(300, RandomState(0))
    codes = representation(GRID.indices_of(factors)) * np.linspace(0.03, 1, 18)

    result = infomec(codes, factors)

    expected = [
        [
            mutual_info_classif(
                dim[:, np.newaxis], factor, discrete_features=False, n_neighbors=10, random_state=1
            )[0]
            / mutual_info_score(factor, factor)
            for dim in codes.T
        ]
        for factor in factors.T
    ]
    assert result["normalized_information"] == pytest.approx(np.array(expected), abs=1e-6)
    spans = np.ptp(codes, axis=0)
    active = np.array([span > spans.max() / 20 for span in spans])
    assert not active.all()
    assert np.array_equal(result["active_dims"], active)
    kept = np.array(expected)[:, active]
    infom = np.mean(kept.max(axis=0) / kept.sum(axis=0))
    infoc = np.mean(kept.max(axis=1) / kept.sum(axis=1))
    assert result["infom"] == pytest.approx((infom - 1 / 4) / (1 - 1 / 4), abs=1e-5)
    dims = active.sum()
    assert result["infoc"] == pytest.approx((infoc - 1 / dims) / (1 - 1 / dims), abs=1e-5)
    assert 0 < result["infoe"] < 1


def test_infomec_where_the_authors_divide_by_0() -> None:
    factors = uniform(3, 1)
    dead = infomec(np.ones((60, 2)), factors)
    assert [dead[key] for key in ("infom", "infoc", "infoe")] == [0, 0, 0]
    single = infomec(factors[:, :1], factors, discrete_codes=True)
    assert [single[key] for key in ("infom", "infoc")] == [1, 1]
    assert single["infoe"] == pytest.approx(1, abs=1e-3)


def test_infomec_repeats() -> None:
    one, two = (
        compute_infomec(GRID, represent("noisy", GRID), RandomState(0), num_train=200)
        for _ in range(2)
    )
    assert all(one[key] == two[key] for key in ("infom", "infoc", "infoe"))
