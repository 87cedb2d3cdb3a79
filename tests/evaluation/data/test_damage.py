"""Damage to a dataset's files: found when it is read, and mended where the kit made the file."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.common.errors import BAD_INPUT, KitError
from evaluation.data.__main__ import main
from evaluation.data.sets import mpi3d
from evaluation.data.simulated import rendering
from evaluation.data.simulated.looks import LOOKS
from evaluation.data.storage import records, stored, verifying
from evaluation.data.storage.blocks import StoredImages

COUNT = 144
BLOCK = 16
IMAGE_BYTES = 64 * 64 * 3
MADE_FROM = {"seed": 0}
Damage = Callable[[Path], None]


@pytest.fixture(autouse=True)
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpi3d.LAYOUTS, COUNT, (2, 2, 2, 3, 3, 2, 1))
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "outputs"))


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.RandomState(0).randint(256, size=(COUNT, 64, 64, 3)).astype(np.uint8)


@pytest.fixture
def made(images: NDArray[np.uint8], tmp_path: Path) -> Callable[[], StoredImages]:
    """Opens a set that the kit makes, in tmp_path."""

    def fill(target: NDArray[np.uint8]) -> None:
        target[:] = images

    return lambda: stored.open_made("toy", tmp_path, MADE_FROM, images.shape, fill)[0]


@pytest.fixture
def given(images: NDArray[np.uint8], tmp_path: Path) -> Path:
    path = tmp_path / "mpi3d_toy" / "mpi3d_toy.npy"
    path.parent.mkdir()
    np.save(path, images)
    return path


def flip(path: Path, image: int, keep_times: bool = True) -> None:
    """Changes four bytes of an image."""
    before = path.stat()
    with path.open("rb+") as stream:
        place = before.st_size - (COUNT - image) * IMAGE_BYTES + 77
        stream.seek(place)
        content = stream.read(4)
        stream.seek(place)
        stream.write(bytes(byte ^ 0x10 for byte in content))
    if keep_times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: flip(path, 40),
        lambda path: flip(path, 143, keep_times=False),
        cut,
        flip_header,
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.write_bytes(b""),
        Path.unlink,
    ],
)
def test_what_the_kit_made_is_made_again(
    made: Callable[[], StoredImages], images: NDArray[np.uint8], tmp_path: Path, damage: Damage
) -> None:
    np.testing.assert_array_equal(made(), images)
    damage(tmp_path / "toy" / "toy.npy")
    np.testing.assert_array_equal(made(), images)


def test_it_is_said_which_images_were_damaged(
    made: Callable[[], StoredImages], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = made()
    flip(tmp_path / "toy" / "toy.npy", 40)
    opened[[40]]
    assert "images 32 to 47 in" in capsys.readouterr().out


def test_only_what_is_read_is_compared(made: Callable[[], StoredImages], tmp_path: Path) -> None:
    opened = made()
    path = tmp_path / "toy" / "toy.npy"
    flip(path, 40)
    inode = path.stat().st_ino
    opened[np.array([0, 31, 48, 143])]
    assert path.stat().st_ino == inode, "it was made again"
    opened[33]
    assert path.stat().st_ino != inode


@pytest.mark.parametrize("damage", [lambda path: flip(path, 5, keep_times=False), cut])
def test_damage_while_open_is_found(
    made: Callable[[], StoredImages], images: NDArray[np.uint8], tmp_path: Path, damage: Damage
) -> None:
    opened = made()
    opened[:]
    damage(tmp_path / "toy" / "toy.npy")
    np.testing.assert_array_equal(opened, images)


def test_two_that_find_the_same_damage_make_the_file_once(
    made: Callable[[], StoredImages], images: NDArray[np.uint8], tmp_path: Path
) -> None:
    first, second = made(), made()
    path = tmp_path / "toy" / "toy.npy"
    flip(path, 5)
    np.testing.assert_array_equal(first, images)
    inode = path.stat().st_ino
    np.testing.assert_array_equal(second, images)
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("seconds", [0, 2**33])
def test_times_do_not_matter(
    made: Callable[[], StoredImages], tmp_path: Path, seconds: int
) -> None:
    made()
    path = tmp_path / "toy" / "toy.npy"
    os.utime(path, (seconds, seconds))
    inode = path.stat().st_ino
    made()[:]
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("key", ["made_from", "file", "array", "digests", "digest"])
def test_a_changed_record_is_no_record(
    made: Callable[[], StoredImages], images: NDArray[np.uint8], tmp_path: Path, key: str
) -> None:
    made()
    path = tmp_path / "toy" / "toy.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {key: None}))
    assert records.records("toy", tmp_path) == []
    np.testing.assert_array_equal(made(), images)
    assert json.loads(path.read_text())["digests"] == content["digests"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff" * 100, bytes(4096)])
def test_a_damaged_record_is_no_record(
    made: Callable[[], StoredImages], images: NDArray[np.uint8], tmp_path: Path, content: bytes
) -> None:
    made()
    (tmp_path / "toy" / "toy.json").write_bytes(content)
    np.testing.assert_array_equal(made(), images)


def test_what_was_given_is_refused(given: Path, tmp_path: Path) -> None:
    opened = mpi3d.open_published("mpi3d_toy", tmp_path)
    flip(given, 40)
    again = mpi3d.open_published("mpi3d_toy", tmp_path)
    assert again.fingerprint == opened.fingerprint
    again.images_at(np.array([0, 143]))
    with pytest.raises(KitError, match=r"images 32 to 47 of .*remove .*mpi3d_toy\.json") as refused:
        again.observations_at(np.array([0, 40]))
    assert refused.value.code == "DATA-CHANGED"


def test_what_was_given_and_changed_is_refused_when_opened(given: Path, tmp_path: Path) -> None:
    mpi3d.open_published("mpi3d_toy", tmp_path)
    flip(given, 40)
    os.utime(given, (0, 0))
    with pytest.raises(KitError, match="DATA-CHANGED"):
        mpi3d.open_published("mpi3d_toy", tmp_path)
    given.with_suffix(".json").unlink()  # as the line says, where the change is meant
    mpi3d.open_published("mpi3d_toy", tmp_path)


def test_an_archive_that_was_replaced_is_read_anew(
    images: NDArray[np.uint8], given: Path, tmp_path: Path
) -> None:
    npz = given.with_suffix(".npz")
    np.savez(npz, images=images)
    before = mpi3d.open_published("mpi3d_toy", tmp_path)
    np.savez(npz, images=255 - images)
    os.utime(npz, (0, 0))
    after = mpi3d.open_published("mpi3d_toy", tmp_path)
    assert after.fingerprint != before.fingerprint
    np.testing.assert_array_equal(after.images, 255 - images)


def test_verify_names_what_is_damaged(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["verify", "mpi3d_toy", "--data-root", str(tmp_path)]
    for _ in range(2):
        assert main(command) == 0
        assert "all 144 images are good" in capsys.readouterr().out
    for image in (0, 17, 143):
        flip(given, image)
    assert main(command) == BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error[DATA-CHANGED]: ")
    assert "images 0 to 31, images 128 to 143 have changed" in error
    assert error.count("\n") == 1


def test_verify_renders_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "mpi3d_sim_toy_mini", "--data-root", str(tmp_path)]) == BAD_INPUT
    assert "error[DATA-MISSING]" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.npy"))


def test_verify_finds_damage_in_what_was_rendered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = (*((0,),) * 5, tuple(range(12)), tuple(range(12)))
    monkeypatch.setitem(rendering.SELECTIONS, "mini", few)
    grid = rendering.open_simulated("mpi3d_sim_toy_mini", tmp_path)
    verifying.verify("mpi3d_sim_toy_mini", tmp_path)
    path = tmp_path / "mpi3d_sim_toy_mini" / "mpi3d_sim_toy_mini.npy"
    images = np.asarray(grid.images)
    flip(path, 100)
    with pytest.raises(KitError, match=r"images 96 to 111 .*render mpi3d_sim_toy_mini"):
        verifying.verify("mpi3d_sim_toy_mini", tmp_path)
    assert "Rendering" not in capsys.readouterr().err
    again = rendering.open_simulated("mpi3d_sim_toy_mini", tmp_path)
    np.testing.assert_array_equal(again.images, images)
    verifying.verify("mpi3d_sim_toy_mini", tmp_path)


def test_the_names_of_simulated_sets_are_those_of_the_registry() -> None:
    from evaluation.data import DATASETS

    names = {
        f"mpi3d_sim_{look}" + f"_{selection}" * bool(selection)
        for look in (*LOOKS, "hard")
        for selection in rendering.SELECTIONS
    }
    assert names == {name for name, dataset in DATASETS.items() if dataset.rendered}


@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(5, 60, 7),
        slice(0, 0),
        np.array([3, 3, 0, 143, 16, 15]),
        [1, -1, -144],
        np.arange(COUNT) % 3 == 0,
        np.array([], np.int64),
        7,
        np.int64(-1),
    ],
)
def test_rows_are_indexed_as_in_an_array(
    made: Callable[[], StoredImages], images: NDArray[np.uint8], rows
) -> None:
    opened = made()
    for _ in range(2):  # compared with its digest, then not
        np.testing.assert_array_equal(opened[rows], images[rows])


@pytest.mark.parametrize("rows", [COUNT, -COUNT - 1, [0, COUNT]])
def test_rows_that_are_not_there(made: Callable[[], StoredImages], rows) -> None:
    with pytest.raises(IndexError):
        made()[rows]


def test_a_last_block_may_be_short(tmp_path: Path) -> None:
    content = np.random.RandomState(1).randint(256, size=(BLOCK + 1, 64, 64, 3)).astype(np.uint8)

    def fill(target: NDArray[np.uint8]) -> None:
        target[:] = content

    opened, _ = stored.open_made("set", tmp_path, {}, content.shape, fill)
    assert opened.num_blocks == 2
    np.testing.assert_array_equal(opened, content)
