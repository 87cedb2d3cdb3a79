"""DCI against disentanglement_lib's."""

import numpy as np
import pytest
from numpy.random import RandomState

from evaluation import reference
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import METRICS
from evaluation.metrics.dci import compute_dci, dci, disentanglement
from evaluation.metrics.sampling import sample_points
from tests.code_tables import represent

KEYS = ("disentanglement", "completeness", "informativeness_train", "informativeness_test")
GRID = IndexGrid((3, 2, 4))


@pytest.mark.parametrize(
    "importance",
    [
        np.random.default_rng(0).random((5, 3)),
        np.eye(4, 3),
        np.zeros((4, 2)),
        np.array([[1.0, 0.0], [0.0, 0.0], [0.5, 0.5]]),
    ],
)
def test_concentration_is_the_references(importance: np.ndarray) -> None:
    from disentanglement_lib.evaluation.metrics import dci as theirs

    reference.load(METRICS["dci"])
    assert disentanglement(importance) == pytest.approx(theirs.disentanglement(importance))
    assert disentanglement(importance.T) == pytest.approx(theirs.completeness(importance))


@pytest.mark.parametrize(
    "kind",
    [
        "perfect",
        "noisy",
        "duplicated dims",
        "few integers",
        "2 dims",
        "scale 1e-7",
        "all dims dead",
    ],
)
def test_scores_lie_among_those_of_the_reference(kind: str) -> None:
    from disentanglement_lib.evaluation.metrics.dci import _compute_dci

    random_state = RandomState(0)
    (codes, factors), (test_codes, test_factors) = (
        sample_points(GRID, represent(kind, GRID), size, 16, random_state) for size in (240, 120)
    )
    theirs = np.array(
        [
            [run[key] for key in KEYS]
            for run in (
                _compute_dci(codes.T, factors.T, test_codes.T, test_factors.T) for _ in range(5)
            )
        ]
    )
    ours = dci(codes, factors, test_codes, test_factors)
    spread = np.ptp(theirs, axis=0)
    # Five runs show less of the spread than twenty.
    slack = np.where(spread > 1e-9, 2 * spread + 5e-3, 1e-4)
    assert np.all(np.abs([ours[key] for key in KEYS] - theirs.mean(axis=0)) <= slack)


def test_draws_and_the_state_left_are_the_references() -> None:
    seen: list[np.ndarray] = []

    def codes(numbers: np.ndarray) -> np.ndarray:
        seen.append(numbers)
        return GRID.factors_of(numbers).astype(np.float64)

    ours, theirs = RandomState(0), RandomState(0)
    settings = {"num_train": 100, "num_test": 50}
    result = compute_dci(GRID, codes, ours, **settings)
    drawn = np.concatenate(seen)
    seen.clear()
    expected = reference.load(METRICS["dci"])(GRID, codes, theirs, **settings)

    assert np.array_equal(drawn, np.concatenate(seen))
    assert np.array_equal(ours.get_state()[1], theirs.get_state()[1])
    assert [result[key] for key in KEYS] == pytest.approx([expected[key] for key in KEYS])
    assert result == compute_dci(GRID, codes, RandomState(0), **settings) | {
        "importance_matrix": pytest.approx(result["importance_matrix"], abs=0)
    }


def test_perfect_duplicated_useless_and_shuffled_codes() -> None:
    random_state = RandomState(0)
    factors, test_factors = (GRID.sample_factors(size, random_state) for size in (600, 300))
    noise, test_noise = (random_state.normal(size=(size, 3)) for size in (600, 300))

    perfect = dci(factors, factors, test_factors, test_factors)
    assert [perfect[key] for key in KEYS] == pytest.approx([1, 1, 1, 1])
    assert perfect["importance_matrix"] == pytest.approx(np.eye(3))

    twice, test_twice = np.hstack((factors, factors)), np.hstack((test_factors, test_factors))
    duplicated = dci(twice, factors, test_twice, test_factors)
    assert duplicated["disentanglement"] == pytest.approx(1)
    assert duplicated["completeness"] < 0.8

    shuffled = random_state.permutation(factors), random_state.permutation(test_factors)
    for useless in ((noise, test_noise), shuffled):
        result = dci(useless[0], factors, useless[1], test_factors)
        assert result["disentanglement"] < 0.2
        assert result["informativeness_test"] < 0.5


def test_where_the_reference_has_no_score() -> None:
    random_state = RandomState(0)
    factors = np.hstack((np.full((300, 1), 7), GRID.sample_factors(300, random_state)))
    result = dci(factors, factors, factors, factors)
    assert not result["importance_matrix"][:, 0].any()
    assert [result[key] for key in KEYS] == pytest.approx([1, 1, 1, 1])

    one_dim = dci(factors[:, 1:2], factors[:, 1:2], factors[:, 1:2], factors[:, 1:2])
    assert [one_dim[key] for key in KEYS] == [1, 1, 1, 1]

    with pytest.raises(ValueError, match="finite"):
        dci(factors * np.nan, factors, factors, factors)
    with pytest.raises(ValueError, match="finite"), np.errstate(over="ignore"):
        dci(factors, factors, factors * 1e39, factors)
