"""Trees that are grown from groups of points, against those grown from the points."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics.boosting import fitting
from evaluation.metrics.boosting import model as model_module
from evaluation.metrics.boosting.grouped_factor import GroupedFactor
from evaluation.metrics.boosting.growth.columns import sort_columns
from evaluation.metrics.boosting.growth.groups import can_be_grouped
from evaluation.metrics.boosting.model import Boosting
from evaluation.metrics.sampling import sample_points
from tests.code_tables import KINDS, represent

GROUPED = (
    "perfect",
    "perfect, scaled to [0, 1]",
    "mirrored dims",
    "all dims constant",
    "nearly constant",
    "binary",
    "scale 1e-7",
)
POINTS = ("noisy", "scale 1e-4", "smooth, three factors")


@pytest.fixture
def grouped_to_the_end(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each factor and stage, whether groups still paid."""
    answers: list[bool] = []
    follow = GroupedFactor.follow

    def spy(*arguments: object) -> bool:
        answers.append(follow(*arguments))  # type: ignore[arg-type]
        return answers[-1]

    monkeypatch.setattr(GroupedFactor, "follow", spy)
    return answers


def from_points(monkeypatch: pytest.MonkeyPatch, fit: Callable[[], Boosting]) -> Boosting:
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "can_be_grouped", lambda _: False)
        return fit()


def drawn(kind: str, n: int) -> tuple[NDArray, NDArray]:
    grid = IndexGrid(KINDS[kind][0])
    return sample_points(grid, represent(kind, grid), n, 16, RandomState(1))


def assert_same(ours: Boosting, expected: Boosting) -> None:
    """But for nodes all but pure, where rounding decides what takes some 1e-9 from the error."""
    assert ours.importances == pytest.approx(expected.importances, abs=1e-7)
    assert ours.raw == pytest.approx(expected.raw, abs=1e-9)


@pytest.mark.parametrize("kind", GROUPED)
def test_trees_of_groups_are_those_of_points(
    kind: str, grouped_to_the_end: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, factors = drawn(kind, 1500)
    ours = model_module.fit(codes, factors, seed=3)
    assert any(grouped_to_the_end[-7:])
    expected = from_points(monkeypatch, lambda: model_module.fit(codes, factors, seed=3))
    assert_same(ours, expected)


@pytest.mark.parametrize("kind", POINTS)
def test_continuous_codes_are_not_grouped(kind: str) -> None:
    codes, factors = drawn(kind, 700)
    assert not can_be_grouped(sort_columns(codes.astype(np.float32), factors.T.copy()))


@pytest.mark.parametrize("kind", ["integers", "few integers", "quantised"])
def test_a_factor_goes_back_to_points_where_groups_do_not_pay(
    kind: str, grouped_to_the_end: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, factors = drawn(kind, 1500)
    ours = model_module.fit(codes, factors, seed=3)
    assert not all(grouped_to_the_end)
    expected = from_points(monkeypatch, lambda: model_module.fit(codes, factors, seed=3))
    assert_same(ours, expected)


@pytest.mark.parametrize("seed", range(6))
def test_any_discrete_codes(
    seed: int, grouped_to_the_end: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows many times over, which tell little of the factors, and several columns alike."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 6, 5)
    factors = rng.integers(sizes, size=(900, 5))
    seen = np.where(rng.random(factors.shape) < 0.4, rng.integers(sizes, size=(900, 5)), factors)
    mixed = seen[:, :2] @ rng.integers(-1, 2, (2, 3))
    codes = np.hstack((mixed, mixed[:, :1], -mixed[:, 1:2])).astype(np.float32)
    ours = model_module.fit(codes, factors, seed=seed)
    assert any(grouped_to_the_end)
    expected = from_points(monkeypatch, lambda: model_module.fit(codes, factors, seed=seed))
    assert_same(ours, expected)


def test_cells_of_several_values_are_not_grouped() -> None:
    """Values closer than 1e-7 share a cell, and may be parted in a small node."""
    codes = np.array([[0.0], [6e-8], [1.2e-7], [0.5]] * 50, dtype=np.float32)
    assert not can_be_grouped(sort_columns(codes, np.arange(200)[np.newaxis] % 2))
