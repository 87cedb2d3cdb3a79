"""Frames that walk one factor after the other: the shares, the file, and the command."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation import __main__ as command
from evaluation.codes.frames.content import FramesReport, read_own
from evaluation.codes.frames.shares import (
    chance,
    mean_share,
    own_rows,
    strongest_codes,
    walked_shares,
)
from evaluation.common.errors import KitError
from evaluation.data.frames import read_frames

NAMES = np.array(["red", "green", "blue"])


def walks() -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """Factors (n, 3) of images, and the walks out and back along each from the first one."""
    factors, found = [np.zeros(3)], []
    for factor in range(3):
        out = np.arange(len(factors), len(factors) + 4)
        factors += [np.eye(3)[factor] * step for step in (1, 2, 3, 4)]
        found.append(np.concatenate([[0], out, out[::-1]]))
    return np.array(factors), found


def test_a_code_of_one_factor_has_all_of_its_walk() -> None:
    factors, along = walks()
    shares = walked_shares(factors[:, [2, 0, 1]], along)
    np.testing.assert_array_equal(shares, np.eye(3)[[2, 0, 1]])
    found = strongest_codes(shares)
    assert [(one.code, one.share, one.is_its_own) for one in found] == [
        (1, 1.0, True),
        (2, 1.0, True),
        (0, 1.0, True),
    ]
    assert own_rows(found) == 3 and mean_share(found) == 1.0


def test_shares_are_those_of_variances_and_know_no_scale() -> None:
    factors, along = walks()
    mixed = factors @ np.array([[1.0], [2.0], [3.0]])
    shares = walked_shares(np.hstack([mixed, 7 - 1e-3 * mixed, 1e6 * mixed]), along)
    np.testing.assert_allclose(shares, [[1 / 14, 4 / 14, 9 / 14]] * 3)
    found = strongest_codes(shares[:1])
    assert [one.is_its_own for one in found] == [False, False, True]
    assert mean_share(found) == pytest.approx(1 / 3)


def test_an_image_that_comes_twice_counts_once() -> None:
    factors, along = walks()
    once = [np.unique(walk) for walk in along]
    codes = np.random.default_rng(0).normal(size=(len(factors), 5))
    np.testing.assert_array_equal(walked_shares(codes, along), walked_shares(codes, once))


def test_a_code_that_only_rounds_stands_still() -> None:
    factors, along = walks()
    codes = np.stack([factors[:, 0], np.full(len(factors), 0.3), 5 + 1e-7 * factors[:, 1]], axis=1)
    shares = walked_shares(codes.astype(np.float32), along)
    assert np.isnan(shares).tolist() == [[False] * 3, [True] * 3, [True] * 3]
    nothing = strongest_codes(shares[1:])
    assert [(one.code, one.share, one.is_its_own) for one in nothing] == [(None, 0.0, False)] * 3


def test_noise_has_rows_but_small_shares() -> None:
    factors, along = walks()
    few, many = (chance(len(factors), dims, along) for dims in (2, 50))
    assert 1 / 3 < few.share < many.share < 0.95
    assert 0 < few.rows < many.rows <= 3


def frames() -> dict[str, NDArray]:
    """A set of frames of one colour each, each row of which walks a colour."""
    along = np.concatenate([np.arange(5), np.arange(5)[::-1]])
    colours = np.eye(3)[:, np.newaxis] * along[np.newaxis, :, np.newaxis] * 40
    pixels = np.broadcast_to(colours[:, :, np.newaxis, np.newaxis], (3, 10, 64, 64, 3))
    return {"lights": pixels.astype(np.uint8), "factor_names": NAMES}


def test_frames_of_the_same_pixels_are_one_image(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "f.npz", **frames())
    found = read_frames(tmp_path / "f.npz")
    assert len(found) == 1 + 3 * 4
    assert found.walks["lights"][:, [0, 9]].tolist() == [[0, 0]] * 3
    again = found.images_at(found.walks["lights"].ravel()).reshape(3, 10, 64, 64, 3)
    np.testing.assert_array_equal(again, frames()["lights"])


BAD = {
    "no names": {"lights": frames()["lights"]},
    "no set": {"factor_names": NAMES},
    "other names": {**frames(), "factor_names": NAMES[:2]},
    "floats": {**frames(), "lights": frames()["lights"] / 255},
    "rows apart": {
        **frames(),
        "lights": frames()["lights"] + np.arange(3)[:, None, None, None, None],
    },
    "one step": {**frames(), "lights": frames()["lights"][:, :1]},
    "a name twice": {**frames(), "factor_names": np.array(["red", "green", "red"])},
    "other sizes": {**frames(), "small": frames()["lights"][:, :, :32]},
    "objects": {**frames(), "lights": np.array([{}], dtype=object)},
}


SIZE = b"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 99999999999999), }\n"
MEMBERS = {
    "more than arrays": ("readme.txt", b"hello"),
    "a head that promises too much": ("x.npy", b"\x93NUMPY\x01\0" + bytes([len(SIZE), 0]) + SIZE),
    "a head that is cut off": ("x.npy", b"\x93NUMPY\x01\0\x05\0{(((("),
}


@pytest.mark.parametrize("what", [*BAD, *MEMBERS, "text", "half a file"])
def test_a_file_of_something_else_is_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "frames.npz"
    np.savez(path, **BAD.get(what, frames()))
    if what == "text":
        path.write_text("no archive")
    elif what == "half a file":
        path.write_bytes(path.read_bytes()[:5_000])
    elif what in MEMBERS:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(*MEMBERS[what])
    with pytest.raises(KitError) as refused:
        read_frames(path)
    assert refused.value.code == "FRAMES-FILE" and "\n" not in str(refused.value)


def test_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(KitError, match="FRAMES-MISSING"):
        command.main(["frames", "--representation", "x", "--frames", str(tmp_path / "none.npz")])


class Colours(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        means = images.mean((2, 3))
        return torch.cat([means, means.sum(1, keepdim=True)], 1)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_the_command_says_which_code_follows_which_walk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez_compressed(tmp_path / "f.npz", **frames())
    torch.jit.script(Colours()).save(tmp_path / "colours.pt")
    (tmp_path / "broken.pt").write_text("nothing")
    words = ["frames", "--frames", str(tmp_path / "f.npz"), "--output", str(tmp_path / "out")]
    status = command.main(
        [
            *words,
            "--json",
            "--representation",
            str(tmp_path / "colours.pt"),
            str(tmp_path / "broken.pt"),
        ]
    )
    said = capsys.readouterr()
    assert status == 2 and said.err.startswith("error[")
    (found,) = json.loads(said.out)["colours"]["sets"].values()
    assert [(one["factor"], one["code"], one["share"]) for one in found["walked"]] == [
        ("red", 0, 1.0),
        ("green", 1, 1.0),
        ("blue", 2, 1.0),
    ]
    assert found["rows_strongest"] == 3 and found["mean_share"] == 1.0
    np.testing.assert_allclose(found["shares"][3], [1 / 3] * 3, rtol=1e-5)

    written = tmp_path / "out/colours/frames.json"
    report = read_own(written)
    assert isinstance(report, FramesReport) and report.representation.dim == 4
    written.write_text(written.read_text().replace("1.0", "0.9"))
    assert read_own(written) is None  # what another wrote is not believed
