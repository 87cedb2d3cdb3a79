"""The simulated MPI3D: what its images owe to their factors, and nothing else."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.sets.mpi3d import FACTOR_NAMES, LAYOUTS
from evaluation.data.simulated import rendering
from evaluation.data.simulated.looks import BACKGROUND_COLORS, LOOKS, OBJECT_COLORS


@pytest.fixture(params=["toy", "realistic", "real", "hard"])
def any_mini(request: pytest.FixtureRequest, data_root: Path) -> ImageGrid:
    return open_dataset(f"mpi3d_sim_{request.param}_mini", data_root)


def as_grid(dataset: ImageGrid) -> NDArray[np.uint8]:
    """Images with one axis a factor, then 64, 64, 3."""
    return np.asarray(dataset.images).reshape(*dataset.factor_sizes, 64, 64, 3)


def rendered_by_itself(look: str, factors: tuple[int, ...]) -> NDArray[np.uint8]:
    """One image of the full set, sharing nothing with any other."""
    color, shape, size, camera, background, horizontal, vertical = factors
    image = np.empty((1, 1, 64, 64, 3), np.uint8)
    rendering.draw(
        look,
        (shape, size, camera, horizontal, vertical),
        np.array([list(OBJECT_COLORS.values())[color]], np.float32),
        np.array([list(BACKGROUND_COLORS.values())[background]], np.float32),
        np.array([[np.ravel_multi_index(factors, rendering.FULL_SIZES)]]),
        image,
    )
    return image[0, 0]


def full_factors(dataset: ImageGrid, number: int) -> tuple[int, ...]:
    """The factors in the full set of an image of a mini."""
    row = dataset.factors_of(np.array([number]))[0]
    chosen = zip(rendering.SELECTIONS["mini"], row, strict=True)
    return tuple(values[value] for values, value in chosen)


def test_layouts_are_those_of_mpi3d() -> None:
    full = tuple(len(values) for values in rendering.SELECTIONS[""])
    assert full == LAYOUTS[1_036_800]
    era = tuple(len(values) for values in rendering.SELECTIONS["4x4"])
    assert era == LAYOUTS[460_800]


def test_values_are_named_as_mpi3d_names_them() -> None:
    names = rendering.VALUE_NAMES
    assert tuple(names) == FACTOR_NAMES
    assert names["object_color"] == ("white", "green", "red", "blue", "brown", "olive")
    assert names["object_shape"] == (
        *("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere"),
    )
    assert names["object_size"] == ("small", "large")
    assert names["camera_height"] == ("top", "center", "bottom")
    assert names["background_color"] == ("purple", "sea green", "salmon")


def test_a_mini_has_every_factor_and_10_000_to_30_000_images(any_mini: ImageGrid) -> None:
    assert any_mini.factor_sizes == (4, 4, 2, 3, 3, 6, 6)
    assert any_mini.images.shape == (10_368, 64, 64, 3)
    assert any_mini.factor_names == FACTOR_NAMES


def test_an_image_of_a_mini_is_that_image_of_the_full_set(any_mini: ImageGrid) -> None:
    look = any_mini.name.split("_")[2]
    for number in np.random.RandomState(0).randint(len(any_mini), size=40):
        alone = rendered_by_itself(look, full_factors(any_mini, int(number)))
        np.testing.assert_array_equal(any_mini.images[number], alone)


def test_colours_enter_linearly(data_root: Path) -> None:
    """What one colour tells of the light, another colour's image confirms."""
    toy = as_grid(open_dataset("mpi3d_sim_toy_mini", data_root)).astype(float)
    colors = np.array(list(OBJECT_COLORS.values()), float)
    white, green, red, blue = toy[:, :, :, :, 0, ::3, ::3]
    # Red channel: white against green gives the object's light, which predicts red and blue.
    light = (white - green)[..., 0] / (colors[0, 0] - colors[1, 0])
    for image, color in ((red, colors[2]), (blue, colors[3])):
        predicted = white[..., 0] + light * (color[0] - colors[0, 0])
        assert abs(predicted - image[..., 0]).max() <= 1.6  # each of three images is rounded
    # The ring's colour moves no pixel of the object, and the object's none of the ring.
    object_moves = abs(white - red).max(axis=-1) > 2
    purple, sea_green = toy[0, :, :, :, 0, ::3, ::3], toy[0, :, :, :, 1, ::3, ::3]
    ring_moves = abs(purple - sea_green).max(axis=-1) > 2
    both = (object_moves & ring_moves).mean()
    assert 0 < both < 0.1 * object_moves.mean()  # pixels that an edge divides


@numba.njit
def fewest_changed(first: NDArray[np.uint8], second: NDArray[np.uint8], levels: int) -> int:
    """Over pairs of images (n, 64, 64, 3), the fewest pixels that differ by `levels` or more."""
    fewest = 64 * 64
    for pair in range(first.shape[0]):
        changed = 0
        for row in range(64):
            for column in range(64):
                largest = 0
                for channel in range(3):
                    one = int(first[pair, row, column, channel])
                    largest = max(largest, abs(one - int(second[pair, row, column, channel])))
                changed += largest >= levels
        fewest = min(fewest, changed)
    return fewest


def test_every_two_values_of_a_factor_can_be_told_apart(any_mini: ImageGrid) -> None:
    """All else equal, at least 15 pixels differ by 20 of 255 or more, whatever the rest is."""
    grid = as_grid(any_mini)
    for axis, size in enumerate(any_mini.factor_sizes):
        values = [grid.take(value, axis).reshape(-1, 64, 64, 3) for value in range(size)]
        for one, other in itertools.combinations(range(size), 2):
            changed = fewest_changed(values[one], values[other], 20)
            assert changed >= 15, (FACTOR_NAMES[axis], one, other)


def test_no_two_images_are_equal(any_mini: ImageGrid) -> None:
    assert len({image.tobytes() for image in any_mini.images}) == len(any_mini)


@pytest.mark.parametrize("axis", ["horizontal_axis", "vertical_axis"])
def test_neighbours_among_the_forty_values_of_an_axis_differ(axis: str) -> None:
    where = FACTOR_NAMES.index(axis)
    draws = np.random.RandomState(1)
    for _ in range(150):
        factors = np.array([draws.randint(size) for size in rendering.FULL_SIZES])
        factors[where] = draws.randint(39)
        neighbour = factors.copy()
        neighbour[where] += 1
        first = rendered_by_itself("toy", tuple(factors)).astype(int)
        second = rendered_by_itself("toy", tuple(neighbour)).astype(int)
        assert (abs(first - second).max(axis=-1) >= 5).sum() >= 10, factors


def test_the_sensors_noise_is_small_centred_and_different_in_every_image(mini: ImageGrid) -> None:
    noise = []
    largest = LOOKS["real"].noise
    quiet = LOOKS["real"]._replace(noise=0.0)
    for number in range(0, len(mini), 700):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(LOOKS, "real", quiet)
            clean = rendered_by_itself("real", full_factors(mini, number))
        noise.append(mini.images[number].astype(int) - clean)
    stacked = np.stack(noise)
    assert abs(stacked).max() <= largest + 1
    assert abs(stacked.mean()) < 0.02
    # A triangle over [-n, n] has the variance n^2 / 6, and rounding adds 1 / 12.
    assert stacked.var() == pytest.approx(largest**2 / 6 + 1 / 12, rel=0.02)
    flat = stacked.reshape(len(stacked), -1)
    correlations = np.corrcoef(flat)[~np.eye(len(flat), dtype=bool)]
    assert abs(correlations).max() < 0.05
    channels = np.corrcoef(stacked.reshape(-1, 3).T)[~np.eye(3, dtype=bool)]
    assert abs(channels).max() < 0.02


def test_one_thread_in_another_process_renders_the_same_bytes(
    mini: ImageGrid, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-m", "evaluation.data", "render", mini.name, "--data-root", tmp_path],
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )
    again = np.load(tmp_path / mini.name / f"{mini.name}.npy")
    np.testing.assert_array_equal(again, mini.images)
