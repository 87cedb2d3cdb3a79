"""Images of the user's own: folders, arrays, saved datasets, and what is refused of each."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from evaluation.common.errors import KitError
from evaluation.data.opening import open_data
from evaluation.data.own import open_own

ROWS = 40
IMAGES = np.random.RandomState(0).randint(0, 256, (ROWS, 12, 16, 3)).astype(np.uint8)
FACTORS = np.stack([np.arange(ROWS) % 3, np.arange(ROWS) % 7], axis=1)


def write_folder(folder: Path, names: list[str] | None = None) -> Path:
    (folder / "photos").mkdir(parents=True)
    names = names or [f"photos/{row:02}.png" for row in range(ROWS)]
    for name, image in zip(names, IMAGES, strict=False):
        Image.fromarray(image).save(folder / name)
    rows = [f"{a},{name},{b}" for (a, b), name in zip(FACTORS, names, strict=False)]
    (folder / "factors.csv").write_text("\n".join(["shape,file_name,color", *rows]))
    return folder


def test_a_folder(tmp_path: Path) -> None:
    data = open_own(write_folder(tmp_path / "mine"), None)
    assert (data.name, len(data), data.image_format.shape) == ("mine", ROWS, (12, 16, 3))
    assert [column.name for column in data.columns] == ["shape", "color"]
    rows = np.array([7, 3, 3])
    np.testing.assert_array_equal(data.images_at(rows), IMAGES[rows])


def test_a_change_of_one_image_changes_the_fingerprint(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    before = open_own(folder, None).fingerprint
    assert open_own(folder, None).fingerprint == before
    Image.fromarray(IMAGES[0]).save(folder / "photos/05.png")
    assert open_own(folder, None).fingerprint != before


def test_sizes_differ_until_they_are_resized(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    Image.fromarray(IMAGES[0, :6]).save(folder / "photos/05.png")
    with pytest.raises(KitError, match=r"05\.png is 6x16, and .*00\.png is 12x16"):
        open_own(folder, None)
    data = open_own(folder, None, size=(8, 10))
    assert data.images_at(np.arange(ROWS)).shape == (ROWS, 8, 10, 3)


def test_images_stand_upright_and_are_of_one_kind(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", [f"photos/{row}.webp" for row in range(ROWS)])
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(np.zeros((16, 12), np.uint8))
    lying.save(folder / "photos/5.webp", exif=exif.tobytes())
    assert open_own(folder, None).images_at(np.array([5])).shape == (1, 12, 16, 3)


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    for path in (folder / "photos").iterdir():
        Image.open(path).convert("L").save(path)
    assert open_own(folder, None).image_format.shape == (12, 16, 1)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    for suffix in ("png", "tif", "pgm"):
        folder = write_folder(tmp_path / suffix, [f"photos/{row}.{suffix}" for row in range(ROWS)])
        for row in range(ROWS):
            deep = Image.fromarray(IMAGES[row, ..., 0].astype(np.uint16) * 257)
            deep.save(folder / f"photos/{row}.{suffix}")
        images = open_own(folder, None).images_at(np.arange(ROWS))
        np.testing.assert_array_equal(images, IMAGES[..., :1])


def test_images_of_many_modes(tmp_path: Path) -> None:
    few = (IMAGES // 64) * 64
    written = {
        "palette": ("png", [Image.fromarray(image).quantize(256) for image in few], few),
        "alpha": ("png", [Image.fromarray(np.dstack([x, x[..., 0]])) for x in IMAGES], IMAGES),
        "cmyk": ("tif", [Image.fromarray(image).convert("CMYK") for image in IMAGES], IMAGES),
        "bmp": ("BMP", [Image.fromarray(image) for image in IMAGES], IMAGES),
    }
    for name, (suffix, pictures, expected) in written.items():
        folder = write_folder(
            tmp_path / name, [f"photos/Größe {row}.{suffix}" for row in range(40)]
        )
        for row, picture in enumerate(pictures):
            picture.save(folder / f"photos/Größe {row}.{suffix}")
        images = open_own(folder, None).images_at(np.arange(ROWS))
        np.testing.assert_array_equal(images, expected)


def test_of_an_animation_the_first_image_counts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", [f"photos/{row}.tiff" for row in range(ROWS)])
    for row, image in enumerate(IMAGES):
        others = [Image.fromarray(IMAGES[0])]
        path = folder / f"photos/{row}.tiff"
        Image.fromarray(image).save(path, save_all=True, append_images=others)
    np.testing.assert_array_equal(open_own(folder, None).images_at(np.arange(ROWS)), IMAGES)


def test_paths_of_windows_and_suffixes_in_capitals(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    table = folder / "factors.csv"
    (folder / "FACTORS.CSV").write_text(table.read_text().replace("/", "\\"))
    table.unlink()
    np.testing.assert_array_equal(open_own(folder, None).images_at(np.arange(ROWS)), IMAGES)


def damaged(folder: Path) -> None:
    (folder / "photos/07.png").write_bytes(b"\x89PNG")


def lacking(folder: Path) -> None:
    (folder / "photos/07.png").unlink()


def without_table(folder: Path) -> None:
    (folder / "factors.csv").unlink()


def of_a_program(folder: Path) -> None:
    """For which Pillow would start the program `gs`."""
    lines = ["%!PS-Adobe-3.0 EPSF-3.0", "%%BoundingBox: 0 0 16 12", "%%EndComments", "showpage"]
    (folder / "photos/07.png").write_text("\n".join([*lines, "%%EOF", ""]))


def with_a_pipe_as_table(folder: Path) -> None:
    without_table(folder)
    os.mkfifo(folder / "factors.csv")


def with_a_name_too_long(folder: Path) -> None:
    table = folder / "factors.csv"
    table.write_text(table.read_text().replace("photos/07", "photos/" + "7" * 300))


def with_two_tables(folder: Path) -> None:
    (folder / "others.csv").write_text("a\n1\n")


def without_files(folder: Path) -> None:
    (folder / "factors.csv").write_text("a,b\n1,2\n")


def truncated(folder: Path) -> None:
    path = folder / "photos/07.png"
    path.write_bytes(path.read_bytes()[:-200])


def of_many_bits(folder: Path) -> None:
    Image.fromarray(np.zeros((12, 16), np.float32)).save(folder / "photos/07.png", "TIFF")


def without_names(folder: Path) -> None:
    rows = [f"photos/{row:02}.png,{row % 3}" for row in range(ROWS)]
    (folder / "factors.csv").write_text("\n".join(rows))


@pytest.mark.parametrize(
    ("spoil", "code", "problem"),
    [
        (of_many_bits, "DATA-DAMAGED", r"07\.png .*its numbers have 32 bits"),
        (without_names, "FACTORS-FILE", r"the first line of .* names the image photos/00\.png"),
        (of_a_program, "DATA-DAMAGED", r"07\.png .*cannot identify image file"),
        (damaged, "DATA-DAMAGED", r"07\.png cannot be read as an image"),
        (truncated, "DATA-DAMAGED", r"07\.png cannot be read as an image"),
        (lacking, "DATA-MISSING", r"row 7 of .*factors\.csv names photos/07\.png"),
        (without_table, "FACTORS-FILE", "holds none"),
        (with_a_pipe_as_table, "FACTORS-FILE", "holds none"),
        (with_a_name_too_long, "DATA-MISSING", r"row 7 of .*factors\.csv names photos/7777"),
        (with_two_tables, "FACTORS-FILE", r"holds factors\.csv, others\.csv"),
        (without_files, "FACTORS-FILE", "no column of .* names image files"),
    ],
)
def test_folders_that_are_refused(
    spoil: Callable[[Path], None], code: str, problem: str, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "mine")
    spoil(folder)
    with pytest.raises(KitError, match=problem) as refused:
        open_own(folder, None).images_at(np.arange(ROWS))
    assert refused.value.code == code
    assert "\n" not in str(refused.value)


def write_arrays(path: Path, **arrays: Any) -> Path:
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                strings = np.asarray(array).dtype.kind == "U"
                file[name] = [text.encode() for text in array] if strings else array
    return path


@pytest.mark.parametrize("name", ["mine.npz", "mine.h5"])
def test_arrays(name: str, tmp_path: Path) -> None:
    names = np.array(["shape", "color"])
    path = write_arrays(tmp_path / name, images=IMAGES, factors=FACTORS, factor_names=names)
    data = open_own(path, None)
    assert [column.name for column in data.columns] == ["shape", "color"]
    np.testing.assert_array_equal(data.images_at(np.array([2, 1])), IMAGES[[2, 1]])
    floats = write_arrays(tmp_path / name, images=IMAGES[..., 0] / 255, factors=FACTORS)
    assert open_own(floats, None).image_format == ((12, 16, 1), "float32")


@pytest.mark.parametrize("name", ["mine.npz", "mine.h5"])
@pytest.mark.parametrize(
    ("arrays", "code", "problem"),
    [
        ({"images": IMAGES}, "DATA-KEY", "holds images, not 'factors'"),
        ({"factors": FACTORS}, "DATA-KEY", "holds factors, not 'images'"),
        ({"images": IMAGES[1:], "factors": FACTORS}, "DATA-ROWS", "39 images and 40 rows"),
        ({"images": IMAGES[0], "factors": FACTORS[0]}, "DATA-ROWS", "12 images and 2 rows"),
        ({"images": IMAGES.astype(int), "factors": FACTORS}, "DATA-SHAPE", "are int64"),
        ({"images": IMAGES * 1.0, "factors": FACTORS}, "DATA-SHAPE", "are float64 from 0 to 255"),
        ({"images": IMAGES.swapaxes(1, 3), "factors": FACTORS}, "DATA-SHAPE", "channels first"),
        (
            {"images": IMAGES, "factors": FACTORS, "factor_names": np.array(["shape"])},
            "DATA-DAMAGED",
            "factor_names are shape, for 2 factors",
        ),
    ],
)
def test_arrays_that_are_refused(
    name: str, arrays: dict[str, Any], code: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(KitError, match=problem) as refused:
        open_own(write_arrays(tmp_path / name, **arrays), None)
    assert refused.value.code == code


def test_a_group_in_the_place_of_an_array(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["images/train"], file["factors"] = IMAGES, FACTORS
    with pytest.raises(KitError, match="holds factors, not 'images'"):
        open_own(tmp_path / "mine.h5", None)


def test_factors_that_memory_cannot_hold(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["images"] = IMAGES
        file.create_dataset("factors", (10**12, 4), "f8", chunks=(1000, 4))
    with pytest.raises(KitError, match=r"the factors of .* take 32 TB"):
        open_own(tmp_path / "mine.h5", None)


@pytest.mark.parametrize("name", ["mine.npz", "mine.h5"])
def test_arrays_that_are_cut_short(name: str, tmp_path: Path) -> None:
    path = write_arrays(tmp_path / name, images=IMAGES, factors=FACTORS)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(KitError) as refused:
        open_own(path, None)
    assert refused.value.code == "DATA-DAMAGED"


def write_saved_dataset(folder: Path) -> Path:
    """As `datasets.Dataset.save_to_disk` lays it out."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install pyarrow")
    folder.mkdir()
    pixels = folder.parent / "pixels.png"
    cells = []
    for image in IMAGES:
        Image.fromarray(image).save(pixels)
        cells.append({"bytes": pixels.read_bytes(), "path": None})
    table = pyarrow.table({"image": cells, "shape": FACTORS[:, 0], "color": FACTORS[:, 1]})
    path = str(folder / "data-00000-of-00001.arrow")
    with pyarrow.OSFile(path, "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (folder / "state.json").write_text(json.dumps(state))
    names = {"names": ["ball", "cube", "cone"], "_type": "ClassLabel"}
    features = {"image": {"_type": "Image"}, "shape": names, "color": {"_type": "Value"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def test_a_saved_dataset(tmp_path: Path) -> None:
    data = open_own(write_saved_dataset(tmp_path / "mine"), None)
    assert data.columns[0].value_names == ("ball", "cone", "cube")
    np.testing.assert_array_equal(data.images_at(np.array([9])), IMAGES[[9]])
    with pytest.raises(KitError, match="holds the splits none"):
        (tmp_path / "splits").mkdir()
        (tmp_path / "splits/dataset_dict.json").write_text("{}")
        open_own(tmp_path / "splits", None)


def test_a_saved_dataset_that_is_damaged(tmp_path: Path) -> None:
    folder = write_saved_dataset(tmp_path / "mine")
    arrow = folder / "data-00000-of-00001.arrow"
    arrow.write_bytes(arrow.read_bytes()[:2000])
    with pytest.raises(KitError, match=r"cannot (be )?read"):
        open_own(folder, None)


def test_a_label_of_nothing_is_missing(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install pyarrow")
    folder = write_saved_dataset(tmp_path / "mine")
    arrow = folder / "data-00000-of-00001.arrow"
    with pyarrow.OSFile(str(arrow)) as source:
        table = pyarrow.ipc.open_stream(source).read_all()
    unknown = np.where(np.arange(ROWS) == 7, -1, FACTORS[:, 0])
    table = table.set_column(1, "shape", pyarrow.array(unknown))
    with pyarrow.OSFile(str(arrow), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as to:
        to.write_table(table)
    with pytest.raises(KitError, match="Row 7 of factors has no value of shape"):
        open_own(folder, None)


def test_flags_that_say_nothing(tmp_path: Path) -> None:
    arrays = write_arrays(tmp_path / "mine.npz", images=IMAGES, factors=FACTORS)
    with pytest.raises(KitError, match="--image-size is for a folder"):
        open_own(arrays, None, size=(8, 8))
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "state.json").write_text("{}")
    with pytest.raises(KitError, match="--factors is for data that have no"):
        open_own(saved, arrays)
    with pytest.raises(KitError, match="whose factors and images are known"):
        open_data("mpi3d_toy", tmp_path, None, ["shape"], {}, None)


def test_a_kind_that_is_told_changes_the_fingerprint(tmp_path: Path) -> None:
    grid = np.stack(np.meshgrid(np.arange(30) / 7, np.arange(4)), axis=-1).reshape(-1, 2)
    np.save(tmp_path / "factors.npy", grid)
    found = open_own(None, tmp_path / "factors.npy")
    told = open_own(None, tmp_path / "factors.npy", kinds={"factor_0": "continuous"})
    assert found.full_grid
    assert not told.full_grid
    assert found.fingerprint != told.fingerprint


def test_what_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "mine.tar").write_bytes(b"")
    with pytest.raises(KitError, match="is no dataset that is known"):
        open_own(tmp_path / "mine.tar", None)
    with pytest.raises(KitError, match="There is no"):
        open_own(tmp_path / "nothing", None)
