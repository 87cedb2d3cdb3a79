"""What the command line says of the datasets, and the sheets that it draws."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from evaluation.common.errors import BAD_INPUT, KitError
from evaluation.data import DATASETS, open_dataset
from evaluation.data.__main__ import main
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.sets import mpi3d
from evaluation.data.sheet import contact_sheet
from tests.small_sets import cut_all, random_bytes, write_dsprites, write_shapes3d, write_smallnorb


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cut_all(monkeypatch)
    monkeypatch.setitem(mpi3d.LAYOUTS, 648, (6, 6, 2, 3, 3, 1, 1))
    monkeypatch.setitem(mpi3d.LAYOUTS, 288, (4, 4, 2, 3, 3, 1, 1))
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "outputs"))


def command(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_the_list_has_every_dataset_and_says_which_are_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dsprites(tmp_path)
    assert command("list", "--data-root", tmp_path) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows.keys() >= DATASETS.keys()
    here = {name for name in DATASETS if rows[name].rstrip().endswith("yes")}
    assert here == {"dsprites_full", "dsprites_noshape", "color_dsprites", "noisy_dsprites"}


@pytest.mark.parametrize("name", DATASETS)
def test_info_of_a_set_that_is_not_here(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("info", name, "--data-root", tmp_path) == 0
    page = capsys.readouterr().out
    dataset = DATASETS[name]
    assert dataset.licence in page
    assert f"{{{dataset.citation.key}," in page
    assert all(f"factor {factor.name} (" in page for factor in dataset.factors)
    assert ("evaluation.data render" if dataset.rendered else "data download") in page
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "count", "said"),
    [
        (
            "mpi3d_toy",
            648,
            "expects 4 colours x 4 shapes: without an error, it reads the first 460,800 images",
        ),
        ("mpi3d_realistic", 288, None),
        ("mpi3d_real", 648, None),
        ("mpi3d_real", 288, "expects 6 colours x 6 shapes: it fails"),
        ("mpi3d_real_complex", 288, "does not know this set"),
    ],
)
def test_info_says_which_layout_was_found_and_what_would_misread_it(
    name: str, count: int, said: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name / f"{name}.npz"
    path.parent.mkdir()
    np.savez(path, images=random_bytes(count, 64, 64, 3))
    assert command("info", name, "--data-root", tmp_path) == 0
    page = capsys.readouterr().out
    side = 6 if count == 648 else 4
    assert f"{side} colours x {side} shapes, in {path}" in page
    assert (said in page) if said else ("1.5 expects" not in page)


def test_value_names_are_those_of_the_layout() -> None:
    whole = mpi3d._value_names("mpi3d_real", (6, 6, 2, 3, 3, 40, 40))
    assert whole[0] == ("white", "green", "red", "blue", "brown", "olive")
    assert mpi3d._value_names("mpi3d_toy", (4, 4, 2, 3, 3, 40, 40))[1][2] == "hexagonal"
    assert mpi3d._value_names("mpi3d_real_complex", (4, 4, 2, 3, 3, 40, 40))[1][2] == "croissant"


def test_what_needs_no_conversion_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KitError, match="datasets with a conversion: shapes3d"):
        command("convert", "mpi3d_toy", "--data-root", tmp_path)
    write_shapes3d(tmp_path)
    assert command("convert", "shapes3d", "--data-root", tmp_path) == 0
    assert "look-at-object-room" in capsys.readouterr().out


def test_verify_of_an_unpacked_set_finds_damage_and_mends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dsprites(tmp_path)
    assert command("verify", "dsprites_full", "--data-root", tmp_path) == 0
    assert "images are good" in capsys.readouterr().out
    path = tmp_path / "dsprites/dsprites.npy"
    with path.open("rb+") as stream:
        stream.seek(path.stat().st_size - 99)
        stream.write(b"\x07\x07\x07")
    damaged = path.read_bytes()
    assert command("verify", "dsprites_full", "--data-root", tmp_path) == BAD_INPUT
    assert "have changed since they were first read" in capsys.readouterr().err
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("name", ["smallnorb", "noisy_dsprites", "dsprites_full"])
def test_a_sheet_is_drawn_of_any_images(name: str, tmp_path: Path) -> None:
    (write_smallnorb if name == "smallnorb" else write_dsprites)(tmp_path)
    path = tmp_path / "sheet.png"
    assert command("sheet", name, "--data-root", tmp_path, "--output", path) == 0
    with PIL.Image.open(path) as sheet:
        assert sheet.mode == "RGB"
        assert min(sheet.size) > 300


def test_a_sheet_shows_each_factor_walked_by_itself() -> None:
    sizes = (3, 12)
    values = np.arange(36, dtype=np.uint8) * 7
    images = np.broadcast_to(values[:, None, None, None], (36, 48, 96, 3))
    names = [["one", "two", "three"], list("abcdefghijkl")]
    grid = ImageGrid("ramp", images, sizes, ("few", "many"), "0", value_names=names)
    sheet = contact_sheet(grid)
    shown = {tuple(colour) for colour in sheet.reshape(-1, 3).tolist()}
    few = [grid.indices_of(np.array([[value, 12 * 3 // 5]]))[0] for value in range(3)]
    many = [grid.indices_of(np.array([[3 * 3 // 5, value]]))[0] for value in (0, 1, 10, 11)]
    assert {(int(values[index]),) * 3 for index in (*few, *many)} <= shown


def test_sheets_are_the_same_every_time(tmp_path: Path) -> None:
    write_dsprites(tmp_path)
    grid = open_dataset("color_dsprites", tmp_path)
    np.testing.assert_array_equal(contact_sheet(grid), contact_sheet(grid))


def test_frames_stand_below_the_row_of_their_factor(tmp_path: Path) -> None:
    write_dsprites(tmp_path)
    grid = open_dataset("color_dsprites", tmp_path)
    frames = np.zeros((grid.num_factors, 12, *grid.observation_shape), np.uint8)
    frames[0, 1:], frames[1, 1:] = (200, 0, 250), (250, 0, 200)  # no colour of text
    # The file has the factors in another order.
    np.savez(tmp_path / "frames.npz", color=frames[::-1], factor_names=grid.factor_names[::-1])
    output = tmp_path / "sheet.png"
    arguments = ("--data-root", tmp_path, "--output", output, "--beside", tmp_path / "frames.npz")
    assert command("sheet", "color_dsprites", *arguments) == 0
    with PIL.Image.open(output) as sheet:
        pixels = np.asarray(sheet)
    assert len(pixels) > len(contact_sheet(grid))
    shown = [(pixels == colour).all(axis=2) for colour in ((200, 0, 250), (250, 0, 200))]
    assert shown[0].sum() == shown[1].sum() > 0
    assert np.nonzero(shown[0])[0].max() < np.nonzero(shown[1])[0].min()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "FRAMES-MISSING"),
        (b"no archive", "FRAMES-FILE"),
        ({"color": np.zeros((7, 2, 64, 64, 3), np.float32)}, "FRAMES-FILE"),
        ({"color": np.array([None])}, "FRAMES-FILE"),
        ({"real": np.zeros((6, 2, 64, 64, 3), np.uint8)}, "FRAMES-SET"),
        ({"color": np.zeros((6, 2, 32, 32, 3), np.uint8)}, "FRAMES-SET"),
        ({"color": np.zeros((2, 2, 64, 64, 3), np.uint8)}, "FRAMES-SET"),
    ],
)
def test_frames_that_do_not_fit_are_refused(
    content: bytes | dict[str, np.ndarray] | None,
    code: str,
    tmp_path: Path,
) -> None:
    write_dsprites(tmp_path)
    frames = tmp_path / "frames.npz"
    if isinstance(content, dict):
        count = len(next(iter(content.values())))
        names = [f"factor {number}" for number in range(count)]
        known = open_dataset("color_dsprites", tmp_path).factor_names
        np.savez(frames, factor_names=known if count == len(known) else names, **content)
    elif content is not None:
        frames.write_bytes(content)
    output = tmp_path / "sheet.png"
    arguments = ("--data-root", tmp_path, "--output", output, "--beside", frames)
    with pytest.raises(KitError) as caught:
        command("sheet", "color_dsprites", *arguments)
    assert caught.value.code == code
    assert not output.exists()
