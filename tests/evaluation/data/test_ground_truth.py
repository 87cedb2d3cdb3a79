"""The grid of factors, and its equality with disentanglement_lib's."""

import sys
from pathlib import Path

import gin
import numpy as np
import pytest

from evaluation.data.ground_truth import ImageGrid, IndexGrid
from evaluation.data.sets.mpi3d import LAYOUTS, write_npz

FULL = LAYOUTS[1_036_800]


def test_numbers_are_row_major_with_the_last_factor_fastest() -> None:
    grid = IndexGrid(FULL)
    rows = np.array([[0] * 7, [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0, 0]])
    assert grid.indices_of(rows).tolist() == [0, 1, 40, 172_800]
    assert grid.factors_of(np.array([172_841])).tolist() == [[1, 0, 0, 0, 0, 1, 1]]
    assert len(grid) == 1_036_800


def test_every_number_has_its_own_factors() -> None:
    grid = IndexGrid((3, 2, 4))
    factors = grid.factors_of(np.arange(24))
    assert len(np.unique(factors, axis=0)) == 24
    assert grid.indices_of(factors).tolist() == list(range(24))


@pytest.mark.parametrize("row", [[0, 0, 2], [3, 0, 0], [0, -1, 0]])
def test_a_value_outside_its_factor_is_refused(row: list[int]) -> None:
    with pytest.raises(ValueError, match="invalid entry"):
        IndexGrid((3, 2, 2)).indices_of(np.array([row]))


def test_observations_of_an_index_grid_are_its_numbers() -> None:
    grid = IndexGrid((3, 2, 4))
    factors, observations = grid.sample(100, np.random.RandomState(0))
    assert observations.tolist() == np.ravel_multi_index(tuple(factors.T), (3, 2, 4)).tolist()


def test_bytes_become_the_float32_nearest_to_the_double_quotient() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(2, 1, 128, 1)
    images = ImageGrid("ramp", values, (2,), ("half",), "").observations_at(np.arange(2))
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, (values / 255.0).astype(np.float32))


@pytest.fixture(scope="module")
def reference(mini: ImageGrid, tmp_path_factory: pytest.TempPathFactory) -> object:
    """disentanglement_lib's MPI3D, reading our images by its own code, its sizes set to ours."""
    pytest.importorskip("disentanglement_lib", reason="pip install disentanglement-lib")
    sys.modules["gin.tf"] = gin
    from disentanglement_lib.data.ground_truth import mpi3d, util

    root = tmp_path_factory.mktemp("published")
    write_npz("mpi3d_real", root, mini.images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISENTANGLEMENT_LIB_DATA", str(root))
        data = mpi3d.MPI3D("mpi3d_real")
    Path(root / "mpi3d_real/mpi3d_real.npz").unlink()
    data.factor_sizes = mini.factors_num_values
    data.factor_bases = len(mini) / np.cumprod(mini.factors_num_values)
    data.state_space = util.SplitDiscreteStateSpace(mini.factors_num_values, list(range(7)))
    return data


def test_factors_and_observations_are_those_of_disentanglement_lib(
    mini: ImageGrid, reference
) -> None:
    assert mini.num_factors == reference.num_factors
    assert mini.observation_shape == reference.observation_shape
    ours, theirs = np.random.RandomState(3), np.random.RandomState(3)
    for count in (1, 500):
        factors, observations = mini.sample(count, ours)
        their_factors, their_observations = reference.sample(count, theirs)
        np.testing.assert_array_equal(factors, their_factors)
        np.testing.assert_array_equal(observations, their_observations.astype(np.float32))
        np.testing.assert_array_equal(
            mini.sample_observations(count, ours),
            reference.sample_observations(count, theirs).astype(np.float32),
        )
    assert ours.randint(2**31) == theirs.randint(2**31)  # both streams stand at the same place
