"""What images show, given that no two of them show the same combination."""

import itertools
import math

import numpy as np
import pytest
from numpy.random import RandomState
from numpy.typing import NDArray

from submission.transfer.combinations import distinct


def guesses(sizes: tuple[int, ...], rows: int, seed: int) -> list[NDArray[np.float32]]:
    random_state = RandomState(seed)
    return [random_state.dirichlet([0.5] * size, rows).astype(np.float32) for size in sizes]


def scaled_densely(probabilities: list[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """Sinkhorn's algorithm on the whole table of images and combinations."""
    sizes = [of_factor.shape[1] for of_factor in probabilities]
    rows = len(probabilities[0])
    table = np.ones((rows, math.prod(sizes)))
    for column, values in enumerate(itertools.product(*map(range, sizes))):
        for of_factor, value in zip(probabilities, values, strict=True):
            table[:, column] *= of_factor[:, value]
    table /= table.sum(1, keepdims=True)
    for _ in range(100):
        table /= np.maximum(table.sum(0), 1)
        table /= table.sum(1, keepdims=True)
    shape = [rows, *sizes]
    axes = range(1, len(shape))
    return [
        table.reshape(shape).sum(tuple(other for other in axes if other != axis)) for axis in axes
    ]


@pytest.mark.parametrize(
    ("sizes", "rows"), [((2, 3), 6), ((2, 3, 4), 24), ((4, 5), 9), ((3,), 3), ((2, 1, 3), 6)]
)
def test_all_combinations_of_a_small_grid_are_weighed_as_in_a_dense_table(
    sizes: tuple[int, ...], rows: int
) -> None:
    probabilities = guesses(sizes, rows, seed=len(sizes))
    for found, expected in zip(distinct(probabilities), scaled_densely(probabilities), strict=True):
        assert found.shape == expected.shape and found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


def test_an_image_that_could_be_anything_gets_the_combination_that_is_left() -> None:
    grid = np.array(list(itertools.product(range(2), range(3))))
    sure = [
        np.where(column[:, None] == np.arange(size), 0.96, 0.04 / (size - 1)).astype(np.float32)
        for column, size in zip(grid.T, (2, 3), strict=True)
    ]
    for of_factor in sure:
        of_factor[4] = 1 / of_factor.shape[1]
    found = distinct(sure)
    assert [int(of_factor[4].argmax()) for of_factor in found] == grid[4].tolist()
    assert min(float(of_factor[4].max()) for of_factor in found) > 0.6


def test_the_order_of_the_images_does_not_matter() -> None:
    """There are more images than the function looks at in one piece."""
    probabilities = guesses((3, 4, 5, 6, 7, 8), 20_000, seed=1)
    order = RandomState(0).permutation(20_000)
    moved = distinct([of_factor[order] for of_factor in probabilities])
    for one, other in zip(distinct(probabilities), moved, strict=True):
        np.testing.assert_allclose(one[order], other, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(one.sum(1), 1, rtol=1e-5)


def test_noisy_guesses_of_a_whole_grid_become_better() -> None:
    sizes = (4, 4, 2, 3, 6, 6)
    grid = np.array(list(itertools.product(*map(range, sizes))))
    random_state = RandomState(3)
    probabilities = []
    for column, size in zip(grid.T, sizes, strict=True):
        logits = random_state.normal(size=(len(grid), size)) + 3 * (
            column[:, None] == np.arange(size)
        )
        odds = np.exp(3 * logits)
        probabilities.append((odds / odds.sum(1, keepdims=True)).astype(np.float32))

    def right(of_factors: list[NDArray[np.float32]]) -> NDArray[np.float64]:
        guessed = np.stack([of_factor.argmax(1) for of_factor in of_factors], 1)
        return (guessed == grid).mean(0)

    before, after = right(probabilities), right(distinct(probabilities))
    assert (after > before).all() and (1 - after).mean() < 0.8 * (1 - before).mean()


def test_more_images_than_combinations_share_them_evenly() -> None:
    guessed = guesses((2, 3), 4000, seed=2)
    found = distinct(guessed)
    for of_factor, size in zip(found, (2, 3), strict=True):
        assert np.isfinite(of_factor).all()
        np.testing.assert_allclose(of_factor.sum(0), 4000 / size, rtol=0.01)
    assert not np.allclose(guessed[0].sum(0), 2000, rtol=0.01)


def test_a_network_that_sees_the_same_in_all_images_gives_finite_numbers() -> None:
    same = [np.tile(of_factor, (3000, 1)) for of_factor in guesses((8, 8, 8, 8), 1, seed=4)]
    for of_factor in distinct(same):
        assert np.isfinite(of_factor).all()


def test_certain_guesses_stay() -> None:
    grid = np.array(list(itertools.product(range(4), range(5), range(3))))
    certain = [
        (column[:, None] == np.arange(size)).astype(np.float32)
        for column, size in zip(grid.T, (4, 5, 3), strict=True)
    ]
    for one, other in zip(certain, distinct(certain), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    # Of two images about which the network is as sure that they are the same, one is wrong.
    same = [np.concatenate([of_factor[:1], of_factor[:1]]) for of_factor in certain]
    for one, other in zip(same, distinct(same), strict=True):
        np.testing.assert_array_equal(other[0], other[1])
        assert (other.argmax(1) == one.argmax(1)).all() and other.max() < 1
