"""Every way in which a dataset's files can be bad: one line, status 2, and nothing is written."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import PIL.Image
import pytest

from evaluation.common.errors import BAD_INPUT, KitError, run_command
from evaluation.data import open_dataset
from evaluation.data.sets import smallnorb
from tests.small_sets import (
    ROOM,
    SPRITES,
    cut_all,
    matrix,
    norb_files,
    write_cars3d,
    write_dsprites,
    write_isaac3d,
    write_scream,
    write_shapes3d,
    write_smallnorb,
)

Break = Callable[[Path], object]
COUNT = int(np.prod(SPRITES))
ROOMS = int(np.prod(ROOM))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cut_all(monkeypatch)
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "outputs"))


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 64):
        content[place] ^= 0x5A
    path.write_bytes(content)


def refusal(name: str, root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that opening ends in, as the command line prints it."""
    before = {path for path in root.rglob("*") if path.suffix in (".npy", ".json")}

    def opening(_: object) -> int:
        open_dataset(name, root)
        return 0

    with pytest.raises(SystemExit) as ended:
        run_command(opening)
    assert ended.value.code == BAD_INPUT
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith("error[DATA-")
    after = {path for path in root.rglob("*") if path.suffix in (".npy", ".json")}
    assert after == before
    return line


def bad_header(root: Path) -> None:
    path = write_dsprites(root)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("imgs.npy", b"\x93NUMPY\x01\x00\x10\x00not a dictionary")


def bomb_header(root: Path) -> None:
    """An array whose header promises more than its entry holds."""
    stream = io.BytesIO()
    np.save(stream, np.zeros((1, 64, 64), np.uint8))
    lie = stream.getvalue().replace(b"(1, 64, 64), }", f"({COUNT}, 64, 64), }}".encode())
    path = write_dsprites(root)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("imgs.npy", lie)


SPRITES_BROKEN: dict[str, tuple[Break, str]] = {
    "missing": (Path.exists, "MISSING"),
    "truncated": (lambda root: halve(write_dsprites(root)), "DAMAGED"),
    "flipped": (lambda root: flip_middle(write_dsprites(root)), "DAMAGED"),
    "no archive": (lambda root: write_dsprites(root).write_bytes(b"<html>"), "DAMAGED"),
    "empty": (lambda root: write_dsprites(root).write_bytes(b""), "DAMAGED"),
    "key": (lambda root: np.savez(write_dsprites(root), images=np.zeros(3)), "KEY"),
    "shape": (lambda root: write_dsprites(root, imgs=np.zeros((COUNT, 32, 32), "u1")), "SHAPE"),
    "count": (lambda root: write_dsprites(root, imgs=np.zeros((5, 64, 64), "u1")), "SHAPE"),
    "dtype": (lambda root: write_dsprites(root, imgs=np.zeros((COUNT, 64, 64), "f4")), "SHAPE"),
    "pickle": (lambda root: write_dsprites(root, imgs=np.array([{}], object)), "SHAPE"),
    "gray": (lambda root: write_dsprites(root, imgs=np.full((COUNT, 64, 64), 7, "u1")), "LAYOUT"),
    "header": (bad_header, "DAMAGED"),
    "lying header": (bomb_header, "DAMAGED"),
}


@pytest.mark.parametrize("how", SPRITES_BROKEN)
def test_dsprites(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it, code = SPRITES_BROKEN[how]
    break_it(tmp_path)
    assert f"DATA-{code}]" in refusal("dsprites_full", tmp_path, capsys)


SCREAM_BROKEN: dict[str, tuple[Break, str]] = {
    "missing": (Path.exists, "MISSING"),
    "truncated": (lambda root: halve(write_scream(root)), "DAMAGED"),
    "no picture": (lambda root: write_scream(root).write_bytes(b"<html>"), "DAMAGED"),
    "empty": (lambda root: write_scream(root).write_bytes(b""), "DAMAGED"),
    "grey": (lambda root: write_scream(root, "L"), "LAYOUT"),
    "four channels": (lambda root: write_scream(root, "CMYK"), "LAYOUT"),
    "small": (lambda root: write_scream(root, size=(40, 60)), "LAYOUT"),
}


@pytest.mark.parametrize("how", SCREAM_BROKEN)
def test_the_scream(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dsprites(tmp_path)
    open_dataset("dsprites_full", tmp_path)
    break_it, code = SCREAM_BROKEN[how]
    break_it(tmp_path)
    assert f"DATA-{code}]" in refusal("scream_dsprites", tmp_path, capsys)


def group_for_images(root: Path) -> None:
    with h5py.File(write_shapes3d(root, images=None), "a") as file:
        file.create_group("images")


def other_file(root: Path, how: str) -> None:
    """An array whose numbers lie in a file of the machine."""
    secret = root / "secret.h5"
    shape = (ROOMS, 64, 64, 3)
    with h5py.File(secret, "w") as file:
        file["images"] = np.zeros(shape, np.uint8)
    with h5py.File(write_shapes3d(root, images=None), "a") as file:
        if how == "link":
            file["images"] = h5py.ExternalLink(str(secret), "images")
        elif how == "virtual":
            layout = h5py.VirtualLayout(shape, np.uint8)
            layout[:] = h5py.VirtualSource(str(secret), "images", shape)
            file.create_virtual_dataset("images", layout)
        else:
            size = int(np.prod(shape))
            file.create_dataset("images", shape, np.uint8, external=[(str(secret), 0, size)])


SHAPES_BROKEN: dict[str, tuple[Break, str]] = {
    "missing": (Path.exists, "MISSING"),
    "truncated": (lambda root: halve(write_shapes3d(root)), "DAMAGED"),
    "flipped": (lambda root: flip_middle(write_shapes3d(root)), "DAMAGED"),
    "no hdf5": (lambda root: write_shapes3d(root).write_bytes(b"<html>" * 99), "DAMAGED"),
    "empty": (lambda root: write_shapes3d(root).write_bytes(b""), "DAMAGED"),
    "key": (lambda root: write_shapes3d(root, images=None), "KEY"),
    "group": (group_for_images, "KEY"),
    "linked": (lambda root: other_file(root, "link"), "LAYOUT"),
    "virtual": (lambda root: other_file(root, "virtual"), "LAYOUT"),
    "external": (lambda root: other_file(root, "external"), "LAYOUT"),
    "shape": (
        lambda root: write_shapes3d(root, images=np.zeros((ROOMS, 3, 64, 64), "u1")),
        "SHAPE",
    ),
    "count": (lambda root: write_shapes3d(root, images=np.zeros((7, 64, 64, 3), "u1")), "SHAPE"),
    "dtype": (
        lambda root: write_shapes3d(root, images=np.zeros((ROOMS, 64, 64, 3), "f4")),
        "SHAPE",
    ),
}


@pytest.mark.parametrize("how", SHAPES_BROKEN)
def test_shapes3d(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it, code = SHAPES_BROKEN[how]
    break_it(tmp_path)
    assert f"DATA-{code}]" in refusal("shapes3d", tmp_path, capsys)


def write_tar(root: Path, name: str, size: int = 9, kind: bytes = tarfile.REGTYPE) -> None:
    """An archive with one member more, which is not what it should be."""
    folder = write_cars3d(root, archive=False)
    with tarfile.open(folder / "nips2015-analogy-data.tar.gz", "w:gz") as tar:
        for path in sorted(folder.glob("*.mat")):
            tar.add(path, f"data/cars/{path.name}")
            path.unlink()
        member = tarfile.TarInfo(name)
        member.size, member.type, member.linkname = size, kind, "/etc/passwd"
        content = io.BytesIO(bytes(size)) if kind == tarfile.REGTYPE else None
        tar.addfile(member, content)


def bomb(root: Path) -> None:
    """A member that says it has a terabyte, in an archive that ends there."""
    folder = root / "cars"
    folder.mkdir()
    member = tarfile.TarInfo("data/cars/car_000_mesh.mat")
    member.size = 1 << 40
    with gzip.open(folder / "nips2015-analogy-data.tar.gz", "wb") as stream:
        stream.write(member.tobuf())


def lose_a_car(root: Path) -> None:
    next(write_cars3d(root, archive=False).glob("*_002_*")).unlink()


def html_for_a_car(root: Path) -> None:
    (write_cars3d(root, archive=False) / "car_001_mesh.mat").write_bytes(b"<html>" * 99)


CARS_BROKEN: dict[str, tuple[Break, str]] = {
    "missing": (Path.exists, "MISSING"),
    "truncated": (lambda root: halve(write_cars3d(root)), "DAMAGED"),
    "flipped": (lambda root: flip_middle(write_cars3d(root)), "LAYOUT"),
    "no archive": (lambda root: write_cars3d(root).write_bytes(b"<html>"), "DAMAGED"),
    "key": (lambda root: write_cars3d(root, im=None), "KEY"),
    "shape": (lambda root: write_cars3d(root, im=np.zeros((64, 64, 3, 24, 4), "u1")), "SHAPE"),
    "dtype": (lambda root: write_cars3d(root, im=np.zeros((128, 128, 3, 24, 4), "f4")), "SHAPE"),
    "count": (lose_a_car, "LAYOUT"),
    "no car": (html_for_a_car, "DAMAGED"),
    "climbs out": (lambda root: write_tar(root, "../../outside.mat"), "LAYOUT"),
    "absolute": (lambda root: write_tar(root, "/tmp/outside.mat"), "LAYOUT"),
    "link": (lambda root: write_tar(root, "data/cars/x.mat", 0, tarfile.SYMTYPE), "LAYOUT"),
    "large": (lambda root: write_tar(root, "data/cars/x.mat", 1 << 27), "LAYOUT"),
    "bomb": (bomb, "LAYOUT"),
}


@pytest.mark.parametrize("how", CARS_BROKEN)
def test_cars3d(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it, code = CARS_BROKEN[how]
    break_it(tmp_path)
    assert f"DATA-{code}]" in refusal("cars3d", tmp_path, capsys)


def norb_path(root: Path, kind: str, part: int = 0) -> Path:
    return write_smallnorb(root) / f"smallnorb-{smallnorb._PARTS[part]}-{kind}.mat"


def norb_with(kind: str, change: Callable[[np.ndarray], np.ndarray]) -> Break:
    key = (smallnorb._PARTS[1], kind)
    return lambda root: write_smallnorb(root, changes={key: change(norb_files()[key])})


def set_first(value: int, column: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[(0,) if column is None else (0, column)] = value
        return array

    return change


NORB_BROKEN: dict[str, tuple[Break, str]] = {
    "missing": (Path.exists, "MISSING"),
    "one missing": (lambda root: norb_path(root, "info", 1).unlink(), "MISSING"),
    "truncated images": (lambda root: halve(norb_path(root, "dat")), "DAMAGED"),
    "truncated labels": (lambda root: halve(norb_path(root, "info")), "DAMAGED"),
    "empty": (lambda root: norb_path(root, "cat").write_bytes(b""), "DAMAGED"),
    "magic": (lambda root: norb_path(root, "dat").write_bytes(b"<html>" * 99), "DAMAGED"),
    "sizes": (
        lambda root: norb_path(root, "dat").write_bytes(
            struct.pack("<6i", 0x1E3D4C55, 4, 2**31 - 1, 2**31 - 1, 96, 96)
        ),
        "DAMAGED",
    ),
    "dtype": (
        lambda root: norb_path(root, "dat").write_bytes(matrix(np.zeros((3, 3, 3), np.int32))),
        "SHAPE",
    ),
    "shape": (norb_with("dat", lambda array: array[:, :, :48, :48].copy()), "SHAPE"),
    "count": (norb_with("dat", lambda array: array[:-1].copy()), "SHAPE"),
    "fewer labels": (norb_with("cat", lambda array: array[:-1].copy()), "SHAPE"),
    "beyond": (norb_with("cat", set_first(5)), "LAYOUT"),
    "odd azimuth": (norb_with("info", set_first(1, 2)), "LAYOUT"),
    "negative": (norb_with("info", set_first(-1, 3)), "LAYOUT"),
    "twice": (norb_with("info", lambda array: array[[1, 1, *range(2, len(array))]]), "LAYOUT"),
}


@pytest.mark.parametrize("how", NORB_BROKEN)
def test_smallnorb(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it, code = NORB_BROKEN[how]
    break_it(tmp_path)
    assert f"DATA-{code}]" in refusal("smallnorb", tmp_path, capsys)


def image(root: Path, number: int = 7) -> Path:
    return write_isaac3d(root) / f"images/{number:06}.png"


def save(path: Path, mode: str = "RGB", side: int = 128) -> None:
    PIL.Image.new(mode, (side, side)).save(path)


ISAAC_BROKEN: dict[str, tuple[Break, str]] = {
    "missing": (Path.exists, "MISSING"),
    "first missing": (lambda root: image(root, 0).unlink(), "LAYOUT"),
    "one missing": (lambda root: image(root).unlink(), "LAYOUT"),
    "one more": (lambda root: save(image(root).with_name("extra.png")), "LAYOUT"),
    "other name": (lambda root: image(root).rename(image(root).with_name("x.png")), "LAYOUT"),
    "truncated": (lambda root: halve(image(root)), "DAMAGED"),
    "no picture": (lambda root: image(root).write_bytes(b"<html>"), "DAMAGED"),
    "shape": (lambda root: save(image(root), side=64), "SHAPE"),
    "mode": (lambda root: save(image(root), "RGBA"), "SHAPE"),
    "label shape": (lambda root: write_isaac3d(root, np.zeros((12, 2))), "SHAPE"),
    "label values": (lambda root: write_isaac3d(root, np.zeros((12, 3))), "LAYOUT"),
    "labels of text": (lambda root: write_isaac3d(root, np.full((12, 3), "a")), "SHAPE"),
    "labels pickled": (lambda root: write_isaac3d(root, np.full((12, 3), None)), "DAMAGED"),
}


@pytest.mark.parametrize("how", ISAAC_BROKEN)
def test_isaac3d(how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it, code = ISAAC_BROKEN[how]
    break_it(tmp_path)
    assert f"DATA-{code}]" in refusal("isaac3d", tmp_path, capsys)


def test_a_file_that_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    path = write_dsprites(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(KitError, match="cannot be read"):
        open_dataset("dsprites_full", tmp_path)
