"""The conditions under which the look `hard` is taken: random, repeatable and not too much."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.data import open_dataset
from evaluation.data.simulated.draws import uniform, value_noise
from evaluation.data.simulated.jpeg import leave_jpeg_marks
from evaluation.data.simulated.photograph import photograph

COLORS = np.array([[226, 226, 222], [214, 40, 38]], np.float32)
RINGS = np.array([[106, 90, 152]], np.float32)


def photographs(numbers: list[list[int]]) -> NDArray[np.uint8]:
    """Images (2, 1, 64, 64, 3) of one scene: object above, ring in the middle, table below."""
    lamps = np.zeros((2, 6, 64, 64), np.float32)
    lamps[:, 5, :20] = 1
    lamps[:, 0, 20:30] = 0.8
    lamps[:, 1, 30:40] = 0.8
    lamps[:, 2:5, 40:] = 100
    images = np.empty((2, 1, 64, 64, 3), np.uint8)
    photograph(lamps, COLORS, RINGS, np.array(numbers), images)
    return images


def test_a_photograph_depends_on_its_number_alone() -> None:
    first = photographs([[5], [9]])
    np.testing.assert_array_equal(photographs([[5], [9]]), first)
    other = photographs([[6], [9]])
    np.testing.assert_array_equal(other[1], first[1])
    assert (other[0] != first[0]).mean() > 0.9


def test_light_wall_and_white_balance_differ_among_photographs() -> None:
    stack = np.concatenate([photographs([[2 * k], [2 * k + 1]]) for k in range(40)])[:, 0]
    wall = stack[:, :16].mean(axis=(1, 2))
    table = stack[:, 48:].mean(axis=(1, 2))
    assert wall.std(axis=0).min() > 15
    assert table.std(axis=0).min() > 8
    assert (table[:, 0] / table[:, 2]).std() > 0.08


def test_white_and_red_stay_apart_in_every_photograph() -> None:
    for k in range(40):
        white, red = photographs([[k], [k]])[:, 0, 23:27].astype(int).mean(axis=(1, 2))
        assert white[1] - red[1] > 30, k


def test_draws_fill_their_range_evenly() -> None:
    values = np.array([uniform(key, -2.0, 3.0) for key in range(4000)])
    assert -2 <= values.min() < -1.98
    assert 2.98 < values.max() < 3
    assert np.histogram(values, 10)[0].min() > 320


def test_value_noise_is_smooth_and_differs_by_key() -> None:
    xs = np.linspace(-3, 3, 601)
    walk = np.array([value_noise(4, x, 0.3) for x in xs])
    assert abs(walk).max() <= 1
    assert walk.std() > 0.15
    assert abs(np.diff(walk)).max() < 0.05
    assert abs(walk - [value_noise(5, x, 0.3) for x in xs]).max() > 0.3


def test_jpeg_keeps_flat_blocks_and_coarsens_the_rest() -> None:
    flat = np.full((3, 16, 16), 128, np.float32)
    leave_jpeg_marks(flat, 0.5)
    np.testing.assert_allclose(flat, 128, atol=1e-3)

    texture = np.random.RandomState(0).uniform(60, 200, (3, 16, 16)).astype(np.float32)
    errors = []
    for coarseness in (0.01, 0.2, 1.0):
        marked = texture.copy()
        leave_jpeg_marks(marked, coarseness)
        errors.append(abs(marked - texture).mean())
    assert errors[0] < 2 < errors[1] < errors[2]


def test_jpegs_marks_are_what_the_transform_written_plainly_leaves() -> None:
    """Brightness alone: grey in, so both colour planes are empty."""
    grey = np.random.RandomState(1).uniform(0, 255, (8, 8)).astype(np.float32)
    marked = np.stack([grey] * 3)
    leave_jpeg_marks(marked, 1.0)
    u, x = np.mgrid[:8, :8]
    basis = np.cos((2 * x + 1) * u * np.pi / 16) * np.where(u == 0, np.sqrt(1 / 8), 0.5)
    left = basis @ (marked[1] - 128) @ basis.T
    first_row = [16, 11, 10, 16, 24, 40, 51, 61]  # of the table in Annex K
    np.testing.assert_allclose(left[0] / first_row, np.round(left[0] / first_row), atol=1e-3)
    assert abs(left - basis @ (grey - 128.0) @ basis.T)[0].max() <= max(first_row) / 2 + 1e-3


def test_colours_of_the_object_can_be_read_in_the_hard_look(data_root: Path) -> None:
    """Averaged over all conditions, each colour's images differ from the others' as its paint."""
    hard = open_dataset("mpi3d_sim_hard_mini", data_root)
    grid = np.asarray(hard.images).reshape(*hard.factor_sizes, 64, 64, 3)
    large = grid[:, :, 1, :, :, 2, 2].reshape(4, -1, 64, 64, 3).astype(float).mean(axis=1)
    white, green, red, blue = (image - large.mean(axis=0) for image in large)
    assert green[..., 1].max() > 5 > green[..., 0].max()
    assert red[..., 0].max() > 10 > red[..., 2].max()
    assert blue[..., 2].max() > 10 > blue[..., 0].max()
    assert white.max() > 10
