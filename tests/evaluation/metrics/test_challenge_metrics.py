"""FactorVAE, SAP, MIG and IRS against disentanglement_lib, on the same draws."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation import reference
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import METRICS
from evaluation.metrics.factor_vae import compute_factor_vae
from evaluation.metrics.irs import compute_irs, irs
from evaluation.metrics.mig import mig
from evaluation.metrics.sap_score import accuracies, compute_sap, mean_gap, squared_correlations
from tests.code_tables import KINDS, MPI3D, ONE_VALUED, represent

SMALL_PROTOCOL: dict[str, dict[str, Any]] = {
    "factor_vae_metric": {"num_train": 300, "num_eval": 200, "num_variance_estimate": 500},
    "sap_score": {"num_train": 500, "num_test": 300},
    "mig": {"num_train": 1000},
    "irs": {"num_train": 1000},
}

NO_SCORE = {
    ("mig", "nearly constant"),
    ("mig", "all of float32's range"),
    ("irs", "all of float32's range"),
}
"""Where the reference raises `ValueError`, or gives NaN."""


def both(name: str, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    metric, grid = METRICS[name], IndexGrid(KINDS[kind][0])
    ours, theirs = (
        compute(grid, represent(kind, grid), RandomState(3), **SMALL_PROTOCOL[name])
        for compute in (metric.load(), reference.load(metric))
    )
    return ours, theirs


@pytest.mark.parametrize(
    ("name", "kind"),
    sorted(set(product(("factor_vae_metric", "mig", "irs"), KINDS)) - NO_SCORE),
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the reference divides by 0
def test_equal_to_the_last_bit(name: str, kind: str) -> None:
    ours, theirs = both(name, kind)
    if name == "mig" and KINDS[kind][0] == ONE_VALUED:
        assert np.isnan(theirs.pop("discrete_mig"))
    assert {key: ours[key] for key in theirs} == theirs


@pytest.mark.parametrize(
    "kind",
    [
        "perfect",
        "noisy, shapes3d",
        "all dims constant",
        "heavy tails",
        "scale 1e6",
        "scale 1e30",
        "few integers",
        "binary",
        "2 dims",
    ],
)
def test_sap_is_that_of_the_reference(kind: str) -> None:
    ours, theirs = both("sap_score", kind)
    assert ours["SAP_score"] == theirs["SAP_score"]


@pytest.mark.parametrize("kind", ["noisy", "some constant dims", "integers"])
def test_sap_of_continuous_factors(kind: str) -> None:
    grid = IndexGrid(KINDS[kind][0])
    settings: dict[str, Any] = {"num_train": 500, "num_test": 16, "continuous_factors": True}
    ours, theirs = (
        compute(grid, represent(kind, grid), RandomState(3), **settings)["SAP_score"]
        for compute in (compute_sap, reference.load(METRICS["sap_score"]))
    )
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_votes_are_those_of_the_reference() -> None:
    from disentanglement_lib.evaluation.metrics import factor_vae

    reference.load(METRICS["factor_vae_metric"])
    grid = IndexGrid(MPI3D)
    representation = represent("perfect and noise", grid)
    ours = compute_factor_vae(
        grid,
        representation,
        RandomState(0),
        batch_size=16,
        num_train=200,
        num_eval=100,
        num_variance_estimate=300,
    )

    random_state = RandomState(0)
    variances = factor_vae._compute_variances(grid, representation, 300, random_state)
    active = factor_vae._prune_dims(variances)
    for name, rounds in (("training_votes", 200), ("eval_votes", 100)):
        votes = factor_vae._generate_training_batch(
            grid, representation, 16, rounds, random_state, variances, active
        )
        assert np.array_equal(ours[name], votes)


def test_irs_matrix_is_that_of_the_reference() -> None:
    from disentanglement_lib.evaluation.metrics.irs import scalable_disentanglement_score

    grid = IndexGrid((3, 4, 5))
    factors = grid.sample_factors(500, RandomState(0))
    codes = represent("noisy", grid)(grid.indices_of(factors))
    # As its compute_irs calls it; the layout matters in the last bit.
    theirs = scalable_disentanglement_score(factors, codes.T[[True] * 3].T)
    ours = irs(codes, factors)
    assert ours["IRS"] == theirs["avg_score"]
    for key in ("IRS_matrix", "disentanglement_scores", "parents", "max_deviations"):
        assert np.array_equal(ours[key], theirs[key])


@pytest.mark.parametrize("name", SMALL_PROTOCOL)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # theirs call an old name of NumPy's
def test_datasets_of_the_reference_are_accepted(name: str) -> None:
    """Also one that draws random numbers for its observations."""
    from disentanglement_lib.data.ground_truth.dummy_data import DummyData, IdentityObservationsData

    def corners(images: NDArray) -> NDArray:
        return images[:, :2, :3, 0].reshape(len(images), -1)

    settings = {"num_train": 40} | {key: 40 for key in SMALL_PROTOCOL[name] if key != "num_train"}
    for data, represent_it in ((DummyData(), corners), (IdentityObservationsData(), np.asarray)):
        ours_state, theirs_state = RandomState(0), RandomState(0)
        ours = METRICS[name].load()(data, represent_it, ours_state, **settings)
        theirs = reference.load(METRICS[name])(data, represent_it, theirs_state, **settings)
        assert {key: ours[key] for key in theirs} == theirs
        assert np.array_equal(ours_state.get_state()[1], theirs_state.get_state()[1])


def test_perfect_useless_duplicated_and_shuffled_codes() -> None:
    grid = IndexGrid((4, 5, 3))
    every = np.arange(len(grid))
    factors = grid.factors_of(every)
    scores = {}
    for name, table in {
        "perfect": factors,
        "useless": np.random.default_rng(0).normal(size=factors.shape),
        "duplicated": np.hstack((factors, factors)),
        "shuffled": np.random.default_rng(0).permutation(factors),
    }.items():
        codes = table.astype(np.float64)
        scores[name] = {
            "factor_vae": compute_factor_vae(grid, codes.__getitem__, RandomState(0))[
                "eval_accuracy"
            ],
            "mig": mig(codes, factors)["discrete_mig"],
            "irs": compute_irs(grid, codes.__getitem__, RandomState(0))["IRS"],
            "sap": compute_sap(grid, codes.__getitem__, RandomState(0))["SAP_score"],
        }
    assert scores["perfect"]["factor_vae"] == scores["perfect"]["mig"] == 1
    assert scores["perfect"]["irs"] == pytest.approx(1)
    assert scores["duplicated"]["factor_vae"] == 1
    assert scores["duplicated"]["mig"] == scores["duplicated"]["sap"] == 0
    for useless in ("useless", "shuffled"):
        assert scores[useless]["factor_vae"] < 0.6
        assert scores[useless]["mig"] < 0.1
        assert scores[useless]["sap"] < 0.1 < scores["perfect"]["sap"]


def test_where_the_reference_has_no_score() -> None:
    grid = IndexGrid((1, 4, 5))
    factors = grid.factors_of(np.arange(len(grid)))
    codes = factors[:, 1:].astype(np.float64)
    assert mig(codes, factors)["discrete_mig"] == mig(codes, factors[:, 1:])["discrete_mig"] == 1
    assert mig(codes, factors[:, :1])["discrete_mig"] == 0
    assert mig(codes[:, :1], factors[:, 1:])["discrete_mig"] == 0.5

    # To its variance, by rounding, this constant varies, but not to its deviations.
    often, constant = np.tile(factors, (5, 1)), np.full((100, 2), 0.7)
    assert (constant.T.var(axis=1) > 0).all()
    assert irs(constant, often)["IRS"] == 0
    beside = np.hstack((constant, often[:, 1:]))
    assert irs(beside, often)["IRS"] == pytest.approx(irs(often[:, 1:], often)["IRS"])

    matrix = accuracies(codes, factors, codes, factors)
    assert np.array_equal(matrix[:, 0], [1, 1])
    assert mean_gap(matrix[:, :1]) == 0
    assert mean_gap(np.array([[0.25, 0.75]])) == 0.5
    assert np.array_equal(squared_correlations(codes, factors), [[0, 1, 0], [0, 0, 1]])
