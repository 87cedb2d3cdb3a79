"""Draws and codes, against disentanglement_lib's own sampling."""

from typing import Any

import numpy as np
import pytest
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation import reference  # noqa: F401 - lets disentanglement_lib be imported
from evaluation.data import drawing
from evaluation.data.ground_truth import FactorGrid, ImageGrid, IndexGrid
from evaluation.metrics import sampling

GRID = IndexGrid([3, 1, 2, 40, 16])
CODES = np.random.default_rng(0).normal(size=(len(GRID), 5)).astype(np.float32)


class Stranger:
    """A grid that does not say that its observations draw nothing."""

    def __init__(self, grid: FactorGrid) -> None:
        self._grid = grid

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)


def same_state(one: RandomState, other: RandomState) -> bool:
    (_, words, *rest), (_, other_words, *other_rest) = one.get_state(), other.get_state()
    return np.array_equal(words, other_words) and rest == other_rest


def lookup(numbers: NDArray[np.int64]) -> NDArray:
    return CODES[numbers]


@pytest.mark.parametrize("words_at_once", [7, 1 << 20])
def test_integers_are_those_of_randint(words_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_WORDS_AT_ONCE", words_at_once)
    bounds, counts = [7, 1, 2, 3, 40, 64, 1000], [1, 5, 3, 4, 0, 9, 2]
    ours, theirs = RandomState(5), RandomState(5)
    ours.normal(), theirs.normal()  # half of a pair of normals waits in the state

    drawn = drawing.draw_integers(ours, bounds, counts, rounds=11)

    expected = [
        np.concatenate([theirs.randint(b, size=c) for b, c in zip(bounds, counts, strict=True)])
        for _ in range(11)
    ]
    assert np.array_equal(drawn, expected)
    assert same_state(ours, theirs)
    assert ours.normal() == theirs.normal()


@pytest.mark.parametrize(("points", "batch"), [(50, 16), (48, 16), (10, 16), (10, 10)])
def test_points_are_those_of_the_reference(points: int, batch: int) -> None:
    from disentanglement_lib.evaluation.metrics.utils import generate_batch_factor_code

    ours, strangers, theirs = RandomState(1), RandomState(1), RandomState(1)
    codes, factors = sampling.sample_points(GRID, lookup, points, batch, ours)
    stranger = sampling.sample_points(Stranger(GRID), lookup, points, batch, strangers)
    expected = generate_batch_factor_code(GRID, lookup, points, theirs, batch)

    assert np.array_equal(codes.T, expected[0]) and np.array_equal(factors.T, expected[1])
    assert np.array_equal(stranger[0], codes) and np.array_equal(stranger[1], factors)
    assert same_state(ours, theirs) and same_state(strangers, theirs)


def test_draws_that_are_kept_are_those_of_a_first_time() -> None:
    for seed in (1, 2, 1):
        ours, theirs = RandomState(seed), RandomState(seed)
        for _ in range(2):  # the second time from where the first one left the state
            factors, numbers = drawing.draw_points(GRID.factor_sizes, 50, 16, ours)
            batches = [GRID.sample_factors(size, theirs) for size in (16, 16, 16, 2)]
            assert np.array_equal(factors, np.concatenate(batches))
            assert np.array_equal(numbers, GRID.indices_of(factors))
            assert same_state(ours, theirs)
    with pytest.raises(ValueError, match="read-only"):
        factors[0, 0] = 1


@pytest.mark.parametrize("groups", [1, 2])
def test_rounds_are_the_same_on_a_grid_as_call_by_call(groups: int) -> None:
    def hold(factors: NDArray[np.int64], held: NDArray[np.int64]) -> None:
        rounds = np.arange(len(held))
        factors[rounds, :, :, held] = factors[rounds, 0, :1, held][:, np.newaxis]

    ours, strangers = RandomState(1), RandomState(1)
    shape = (20, groups, 8)
    held, codes = sampling.sample_rounds(GRID, lookup, hold, shape, ours)
    also_held, same = sampling.sample_rounds(Stranger(GRID), lookup, hold, shape, strangers)

    assert codes.shape == (*shape, 5)
    assert np.array_equal(held, also_held) and np.array_equal(codes, same)
    assert same_state(ours, strangers)


def test_numbers_are_asked_for_once_and_images_in_bounded_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (len(GRID), 4, 4, 3), dtype=np.uint8)
    grid = ImageGrid("noise", images, GRID.factor_sizes, "abcde", "0")
    monkeypatch.setattr(sampling, "OBSERVATIONS_AT_ONCE", 20)
    asked: list[int] = []

    def first_pixels(observations: NDArray) -> NDArray:
        asked.append(len(observations))
        return observations.reshape(len(observations), -1)[:, :3]

    codes, factors = sampling.sample_points(grid, first_pixels, 95, 16, RandomState(0))
    assert asked == [20, 20, 20, 20, 15]
    assert np.array_equal(codes, first_pixels(grid.observations_at(grid.indices_of(factors))))
    for batch, parts in ((8, [16, 16, 8]), (40, [20, 20])):
        asked.clear()
        points = sampling.sample_points(Stranger(grid), first_pixels, 40, batch, RandomState(0))
        assert asked == parts
        of_grid = sampling.sample_points(grid, first_pixels, 40, batch, RandomState(0))
        assert np.array_equal(points[0], of_grid[0])

    monkeypatch.undo()
    asked.clear()
    sampling.sample_points(GRID, lambda x: asked.append(len(x)) or CODES[x], 95, 16, RandomState(0))
    assert asked == [95]
