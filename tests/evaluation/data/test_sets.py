"""The field's datasets: what disentanglement_lib's own classes give on the same files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.data import DATASETS, open_dataset
from evaluation.data.sets import shapes3d
from evaluation.data.storage import stored
from evaluation.metrics.sampling import sample_points, sample_rounds
from tests.small_sets import (
    KITCHEN,
    cut_all,
    random_bytes,
    their_cars,
    their_room,
    their_sprites,
    their_toys,
    write_cars3d,
    write_dsprites,
    write_isaac3d,
    write_scream,
    write_shapes3d,
    write_smallnorb,
)

Write = Callable[[Path], Any]
Theirs = Callable[[str, Path, pytest.MonkeyPatch], Any]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cut_all(monkeypatch)
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "outputs"))


def write_sprites_and_scream(root: Path) -> None:
    write_dsprites(root)
    write_scream(root)


def write_room(root: Path) -> None:
    write_shapes3d(root)
    shapes3d.convert("shapes3d", root)


def write_car_files(root: Path) -> None:
    write_cars3d(root, archive=False)


SETS: list[tuple[str, Write, Theirs]] = [
    ("dsprites_full", write_dsprites, their_sprites),
    ("dsprites_full", lambda root: write_dsprites(root, compressed=False), their_sprites),
    ("dsprites_noshape", write_dsprites, their_sprites),
    ("color_dsprites", write_dsprites, their_sprites),
    ("noisy_dsprites", write_dsprites, their_sprites),
    ("scream_dsprites", write_sprites_and_scream, their_sprites),
    ("shapes3d", write_room, their_room),
    ("cars3d", write_car_files, their_cars),
    ("smallnorb", write_smallnorb, their_toys),
]


@pytest.mark.parametrize(("name", "write", "theirs"), SETS)
def test_observations_and_draws_are_those_of_disentanglement_lib(
    name: str, write: Write, theirs: Theirs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("disentanglement_lib", reason="pip install disentanglement-lib")
    write(tmp_path)
    data = open_dataset(name, tmp_path)
    reference = theirs(name, tmp_path, monkeypatch)
    assert data.num_factors == reference.num_factors
    assert data.factors_num_values == list(reference.factors_num_values)
    assert data.observation_shape == list(reference.observation_shape)
    ours, their_stream = np.random.RandomState(3), np.random.RandomState(3)
    for count in (1, 40):
        factors, observations = data.sample(count, ours)
        their_factors, their_observations = reference.sample(count, their_stream)
        np.testing.assert_array_equal(factors, their_factors)
        np.testing.assert_array_equal(
            observations.astype(np.float32), np.asarray(their_observations).astype(np.float32)
        )
    assert ours.randint(2**31) == their_stream.randint(2**31)


@pytest.mark.parametrize("name", ["dsprites_noshape", "noisy_dsprites", "smallnorb"])
def test_metrics_draw_observations_as_disentanglement_lib_would(name: str, tmp_path: Path) -> None:
    """The fast way of drawing is for observations that are not drawn."""
    (write_smallnorb if name == "smallnorb" else write_dsprites)(tmp_path)
    data = open_dataset(name, tmp_path)

    class Plain:  # the same, without being a FactorGrid
        def __getattr__(self, attribute: str) -> Any:
            return getattr(data, attribute)

    def codes(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1)[:, 1000:1004]

    def hold(factors: np.ndarray, _: np.ndarray) -> None:
        factors[..., 0] = 0

    for of in (
        lambda grid: sample_points(grid, codes, 30, 7, np.random.RandomState(0))[0],
        lambda grid: sample_rounds(grid, codes, hold, (3, 2, 5), np.random.RandomState(0))[1],
    ):
        np.testing.assert_array_equal(of(data), of(Plain()))


def test_cars_of_an_archive_are_those_of_the_folder(tmp_path: Path) -> None:
    write_cars3d(tmp_path / "archive")
    write_cars3d(tmp_path / "folder", archive=False)
    packed, loose = (open_dataset("cars3d", tmp_path / kind) for kind in ("archive", "folder"))
    assert packed.fingerprint == loose.fingerprint


def test_zipped_matrices_are_those_unzipped(tmp_path: Path) -> None:
    write_smallnorb(tmp_path / "zipped", zipped=True)
    write_smallnorb(tmp_path / "whole")
    zipped, whole = (open_dataset("smallnorb", tmp_path / kind) for kind in ("zipped", "whole"))
    assert zipped.fingerprint == whole.fingerprint
    assert zipped.images.dtype == np.float32
    assert np.asarray(zipped.images).min() < 0, "the filter swings below black"


def test_shapes3d_of_both_formats_are_the_same(tmp_path: Path) -> None:
    write_shapes3d(tmp_path)
    first = open_dataset("shapes3d", tmp_path)
    shapes3d.convert("shapes3d", tmp_path)
    (tmp_path / "3dshapes/3dshapes.h5").unlink()
    again = open_dataset("shapes3d", tmp_path)
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.images, random_bytes(len(again), 64, 64, 3))


def test_numbered_images_without_labels_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_isaac3d(tmp_path)
    data = open_dataset("isaac3d", tmp_path)
    assert data.observation_shape == [128, 128, 3]
    np.testing.assert_array_equal(data.images, random_bytes(len(data), 128, 128, 3))


def test_labels_decide_the_order_of_numbered_images(tmp_path: Path) -> None:
    numbers = np.random.RandomState(1).permutation(int(np.prod(KITCHEN)))
    labels = np.stack(np.unravel_index(numbers, KITCHEN), axis=1) / 2
    write_isaac3d(tmp_path, labels)
    data = open_dataset("isaac3d", tmp_path)
    images = random_bytes(len(data), 128, 128, 3)
    np.testing.assert_array_equal(data.images_at(numbers), images)


def test_what_a_set_was_unpacked_from_may_change(tmp_path: Path) -> None:
    write_dsprites(tmp_path)
    before = open_dataset("dsprites_full", tmp_path)
    other = 1 - random_bytes(len(before), 64, 64) // 128
    write_dsprites(tmp_path, imgs=other)
    after = open_dataset("dsprites_full", tmp_path)
    assert after.fingerprint != before.fingerprint
    np.testing.assert_array_equal(np.asarray(after.images)[..., 0], other * 255)


def test_images_of_a_painted_set_depend_on_their_numbers_only(tmp_path: Path) -> None:
    write_dsprites(tmp_path)
    data = open_dataset("noisy_dsprites", tmp_path)
    images = data.images_at(np.array([5, 3, 5]))
    np.testing.assert_array_equal(images[0], images[2])
    np.testing.assert_array_equal(images[1], data.images_at(np.array([3]))[0])
    assert (images[0] != images[1]).any()
    assert data.image_format.dtype == "float32"
    assert data.fingerprint != open_dataset("color_dsprites", tmp_path).fingerprint


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [(32, 48, 1), (128, 128, 3), (5, 7, 4)])
def test_images_of_any_shape_and_type_are_stored(
    shape: tuple[int, int, int], dtype: str, tmp_path: Path
) -> None:
    content = random_bytes(50, *shape).astype(dtype)

    def fill(target: np.ndarray) -> None:
        target[:] = content

    for _ in range(2):
        images, _ = stored.open_made("set", tmp_path, {}, content.shape, fill, dtype)
        assert images.dtype == dtype
        np.testing.assert_array_equal(images, content)
        np.testing.assert_array_equal(images[[49, 0, 7]], content[[49, 0, 7]])


def test_every_entry_says_what_is_to_be_known() -> None:
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.home and dataset.licence and dataset.shows
        assert dataset.citation.bibtex().count("{") == dataset.citation.bibtex().count("}")
        assert bool(dataset.files) != dataset.rendered
    sizes = {name: dataset.num_images for name, dataset in DATASETS.items()}
    assert sizes["dsprites_full"] == 737_280
    assert sizes["dsprites_noshape"] == 737_280
    assert sizes["shapes3d"] == 480_000
    assert sizes["cars3d"] == 17_568
    assert sizes["smallnorb"] == 48_600
    assert sizes["isaac3d"] == 737_280
    assert sizes["falcor3d"] == 233_280
    assert sizes["mpi3d_real"] == 1_036_800
    assert sizes["mpi3d_real_complex"] == 460_800
