"""MPI3D's own files: every layout, every way they can be stored, and every way they can be bad."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.data import open_dataset
from evaluation.data.sets import mpi3d
from evaluation.data.sets.refusals import Origin
from evaluation.data.storage.blocks import StoredImages

SMALL = 144
SIZES = (2, 2, 2, 3, 3, 2, 1)


@pytest.fixture(autouse=True)
def small_layout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A layout that files of 144 images have, so that tests need not write gigabytes."""
    monkeypatch.setitem(mpi3d.LAYOUTS, SMALL, SIZES)
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "outputs"))


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.RandomState(0).randint(256, size=(SMALL, 64, 64, 3)).astype(np.uint8)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "mpi3d_toy"
    folder.mkdir(parents=True)
    return folder / "mpi3d_toy.npz"


def opened(npz: Path) -> StoredImages:
    images = open_dataset("mpi3d_toy", npz.parent.parent).images
    assert isinstance(images, StoredImages)
    return images


def fingerprint(npz: Path) -> str:
    return open_dataset("mpi3d_toy", npz.parent.parent).fingerprint


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1_036_800, (6, 6, 2, 3, 3, 40, 40)), (460_800, (4, 4, 2, 3, 3, 40, 40))],
)
def test_sizes_follow_from_the_number_of_images(count: int, sizes: tuple[int, ...]) -> None:
    assert mpi3d.layout_of(count, Path("file"), Origin("mpi3d_toy", "uint8")) == sizes
    assert np.prod(sizes) == count


def test_another_number_of_images_is_refused_with_the_layouts_known() -> None:
    with pytest.raises(KitError, match=r"460,801 images.*1,036,800 \(6 .*460,800 \(4 ") as caught:
        mpi3d.layout_of(460_801, Path("file"), Origin("mpi3d_toy", "uint8"))
    assert caught.value.code == "DATA-LAYOUT"


def test_the_layout_found_is_said(
    npz: Path, images: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(npz, images=images)
    opened(npz)
    assert "mpi3d_toy: 144 images, 2 colours x 2 shapes" in capsys.readouterr().out


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images_are_those_of_numpys_own_files(npz: Path, images: NDArray[np.uint8], save) -> None:
    save(npz, images=images)
    np.testing.assert_array_equal(opened(npz), images)


def test_the_fingerprint_depends_on_the_images_and_not_on_how_they_are_stored(
    npz: Path, images: NDArray[np.uint8]
) -> None:
    np.savez(npz, images=images)
    stored = fingerprint(npz)
    np.savez_compressed(npz, images=images)
    assert fingerprint(npz) == stored
    npz.unlink()
    np.save(npz.with_suffix(".npy"), images)
    assert fingerprint(npz) == stored
    npz.with_suffix(".npy").unlink()
    images[-1, -1, -1, -1] ^= 1
    np.savez(npz, images=images)
    assert fingerprint(npz) != stored


def test_stored_images_are_read_where_they_are(npz: Path, images: NDArray[np.uint8]) -> None:
    np.savez(npz, something=np.arange(5), images=images)
    opened(npz)
    assert not npz.with_suffix(".npy").exists()


def test_compressed_images_are_unpacked_once(npz: Path, images: NDArray[np.uint8]) -> None:
    np.savez_compressed(npz, images=images)
    opened(npz)
    unpacked = npz.with_suffix(".npy").stat()
    np.testing.assert_array_equal(opened(npz), images)
    assert npz.with_suffix(".npy").stat().st_ino == unpacked.st_ino


def test_a_replaced_archive_is_unpacked_anew(npz: Path, images: NDArray[np.uint8]) -> None:
    np.savez_compressed(npz, images=images)
    opened(npz)
    np.savez_compressed(npz, images=255 - images)
    np.testing.assert_array_equal(opened(npz), 255 - images)


def test_unpacked_images_that_were_changed_are_unpacked_anew(
    npz: Path, images: NDArray[np.uint8]
) -> None:
    np.savez_compressed(npz, images=images)
    opened(npz)
    npy = npz.with_suffix(".npy")
    np.save(npy, 255 - images)
    os.utime(npy, (0, 0))
    np.testing.assert_array_equal(opened(npz), images)


def test_unpacked_images_without_a_record_are_not_trusted(
    npz: Path, images: NDArray[np.uint8]
) -> None:
    np.savez_compressed(npz, images=images)
    np.save(npz.with_suffix(".npy"), 255 - images)
    np.testing.assert_array_equal(opened(npz), images)
    npz.with_suffix(".json").write_text("{broken")
    np.testing.assert_array_equal(opened(npz), images)


def test_copied_images_are_known_by_their_content(npz: Path, images: NDArray[np.uint8]) -> None:
    np.savez_compressed(npz, images=images)
    first = fingerprint(npz)
    npy = npz.with_suffix(".npy")
    os.utime(npy, (0, 0))
    inode = npy.stat().st_ino
    assert fingerprint(npz) == first
    assert npy.stat().st_ino == inode


def test_our_archives_are_read_by_numpy(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    (tmp_path / "mpi3d_toy").mkdir()
    np.save(tmp_path / "mpi3d_toy" / "mpi3d_toy.npy", images)
    path = mpi3d.write_npz("mpi3d_toy", tmp_path, opened(tmp_path / "mpi3d_toy" / "mpi3d_toy.npz"))
    with np.load(path) as archive:
        assert archive.files == ["images"]
        np.testing.assert_array_equal(archive["images"], images)
    np.testing.assert_array_equal(open_dataset("mpi3d_toy", tmp_path).images, images)


def _refused(npz: Path) -> KitError:
    with pytest.raises(KitError) as caught:
        opened(npz)
    assert str(npz.with_suffix("")) in caught.value.problem
    assert not list(npz.parent.glob(".*.npy")), "a temporary file stays"
    return caught.value


def test_a_missing_file_is_asked_for_by_its_place(npz: Path) -> None:
    error = _refused(npz)
    assert error.code == "DATA-MISSING"
    assert str(npz) in error.problem
    assert "python -m evaluation.data download mpi3d_toy" in error.remedy


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((SMALL, 64, 64, 3), np.float32), "float32"),
        (np.zeros((SMALL, 3, 64, 64), np.uint8), r"\(144, 3, 64, 64\)"),
        (np.zeros((SMALL, 64, 64), np.uint8), r"\(144, 64, 64\)"),
        (np.zeros((), np.uint8), r"\(\)"),
        (np.asfortranarray(np.zeros((SMALL, 64, 64, 3), np.uint8)), "column order"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_arrays_of_another_kind_are_refused(
    npz: Path, array: NDArray, found: str, packed: bool
) -> None:
    if packed:
        np.savez(npz, images=array)
    else:
        np.save(npz.with_suffix(".npy"), array)
    error = _refused(npz)
    assert error.code == "DATA-SHAPE"
    assert pytest.RaisesExc(KitError, match=found).matches(error)


def test_an_archive_without_images_is_refused_with_what_it_holds(npz: Path) -> None:
    np.savez(npz, data=np.zeros(3), labels=np.zeros(3))
    error = _refused(npz)
    assert error.code == "DATA-KEY"
    assert "data" in error.problem
    assert "labels" in error.problem


def test_a_number_of_images_that_is_no_layout_is_refused(
    npz: Path, images: NDArray[np.uint8]
) -> None:
    np.savez(npz, images=images[:100])
    assert _refused(npz).code == "DATA-LAYOUT"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("damage", ["empty", "cut", "no zip", "changed", "short array"])
def test_damaged_archives_are_refused(
    npz: Path, images: NDArray[np.uint8], compression: int, damage: str
) -> None:
    np.save(npz.with_suffix(".npy"), images)
    whole = npz.with_suffix(".npy").read_bytes()
    npz.with_suffix(".npy").unlink()
    with zipfile.ZipFile(npz, "w", compression) as archive:
        archive.writestr("images.npy", whole[:-5] if damage == "short array" else whole)
    content = bytearray(npz.read_bytes())
    if damage == "empty":
        content = bytearray()
    elif damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "no zip":
        content = bytearray(b"version https://git-lfs.github.com/spec/v1\n")
    elif damage == "changed":
        content[len(content) // 2] ^= 0xFF
    npz.write_bytes(content)
    assert _refused(npz).code == "DATA-DAMAGED"
    assert not npz.with_suffix(".npy").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"nonsense" * 100])
def test_damaged_npy_files_are_refused(npz: Path, content: bytes) -> None:
    npz.with_suffix(".npy").write_bytes(content)
    assert _refused(npz).code == "DATA-DAMAGED"


def test_a_cut_npy_file_is_refused(npz: Path, images: NDArray[np.uint8]) -> None:
    npy = npz.with_suffix(".npy")
    np.save(npy, images)
    npy.write_bytes(npy.read_bytes()[:-1])
    assert _refused(npz).code == "DATA-DAMAGED"


@pytest.mark.parametrize("name", ["mpi3d", "mpi3d_sim_toy_micro", "", "../mpi3d_toy"])
def test_unknown_names_are_refused_with_those_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(KitError, match="mpi3d_real_complex, dsprites_full") as caught:
        open_dataset(name, tmp_path)
    assert caught.value.code == "DATA-NAME"


def test_a_data_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(KitError, match="is not a folder"):
        open_dataset("mpi3d_toy", path)
