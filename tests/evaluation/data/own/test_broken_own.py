"""Broken Parquet, archives and saved datasets of one's own: one line each, nothing written."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.common.errors import KitError
from evaluation.data.own import open_own
from tests.evaluation.data.own.test_own_images import FACTORS, IMAGES, ROWS, write_saved_dataset

h5py = pytest.importorskip("h5py", reason="h5py is missing: pip install h5py")
pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install pyarrow")

Spoil = Callable[[Path], object]


def refused(path: Path | None, factors: Path | None, code: str, problem: str) -> None:
    folder = path or factors
    assert folder is not None
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(KitError, match=problem) as refusal:
        open_own(path, factors)
    assert refusal.value.code == code
    assert "\n" not in str(refusal.value)
    assert sorted(folder.parent.rglob("*")) == before


def change_json(name: str, **values: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return spoil


def with_column(name: str, change: Callable[[list[Any]], list[Any]]) -> Spoil:
    """Writes a column anew."""

    def spoil(folder: Path) -> None:
        path = str(folder / "data-00000-of-00001.arrow")
        with pyarrow.OSFile(path) as source:
            table = pyarrow.ipc.open_stream(source).read_all()
        column = pyarrow.array(change(table.column(name).to_pylist()))
        table = table.set_column(table.column_names.index(name), name, column)
        with pyarrow.OSFile(path, "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as new:
            new.write_table(table)

    return spoil


def cut(folder: Path) -> None:
    path = folder / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:2000])


def two_splits(folder: Path) -> None:
    for split in ("train", "test"):
        (folder / split).mkdir()
        (folder / "state.json").rename(folder / split / "state.json")
        (folder / "state.json").write_text("{}")
    (folder / "state.json").unlink()
    (folder / "dataset_dict.json").write_text("{}")


SAVED: dict[str, tuple[Spoil, str, str]] = {
    "cut": (cut, "DATA-DAMAGED", "cannot read"),
    "no JSON": (
        lambda folder: (folder / "state.json").write_text("{"),
        "DATA-DAMAGED",
        "Expecting",
    ),
    "no files": (
        lambda folder: (folder / "state.json").write_text("{}"),
        "DATA-DAMAGED",
        "_data_files",
    ),
    "a list of features": (
        change_json("dataset_info.json", features=[1]),
        "DATA-DAMAGED",
        "cannot",
    ),
    "a climbing name": (
        change_json("state.json", _data_files=[{"filename": "../../secret.arrow"}]),
        "DATA-DAMAGED",
        r"mine/secret\.arrow",
    ),
    "no images": (change_json("dataset_info.json", features={}), "DATA-KEY", "has 0 columns"),
    "two splits": (two_splits, "DATA-SPLIT", "holds the splits test, train"),
    "a missing image": (
        with_column("image", lambda cells: [*cells[:9], None, *cells[10:]]),
        "DATA-DAMAGED",
        "row 9 of .* cannot be read as an image .it is missing",
    ),
    "an image that is none": (
        with_column("image", lambda cells: [*cells[:9], {"bytes": b"GIF89a"}, *cells[10:]]),
        "DATA-DAMAGED",
        "row 9 of .* cannot be read as an image",
    ),
    "a missing factor": (
        with_column("color", lambda cells: [*cells[:-1], None]),
        "FACTORS-VALUES",
        "Row 39 of factors has no value of color",
    ),
    "a factor of lists": (
        with_column("color", lambda cells: [[cell] for cell in cells]),
        "FACTORS-VALUES",
        "Factor color has a ndarray in row 0",
    ),
}


@pytest.mark.parametrize(("spoil", "code", "problem"), SAVED.values(), ids=SAVED)
def test_saved_datasets(spoil: Spoil, code: str, problem: str, tmp_path: Path) -> None:
    folder = write_saved_dataset(tmp_path / "mine")
    spoil(folder)
    refused(folder, None, code, problem)


def parquet_of(**columns: Any) -> Spoil:
    def write(path: Path) -> None:
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(columns), path)

    return write


def cut_parquet(path: Path) -> None:
    parquet_of(a=list(range(500)))(path)
    path.write_bytes(path.read_bytes()[:-30])


SIZES = [row % 4 for row in range(ROWS)]
TABLES: dict[str, tuple[Spoil, str, str]] = {
    "cut": (cut_parquet, "FACTORS-UNREADABLE", "cannot read"),
    "empty": (lambda path: path.write_bytes(b""), "FACTORS-UNREADABLE", "cannot read"),
    "text": (lambda path: path.write_text("a,b\n1,2\n"), "FACTORS-UNREADABLE", "cannot read"),
    "no rows": (parquet_of(a=pyarrow.array([], "int64")), "FACTORS-VALUES", "rows"),
    "nothing known": (
        parquet_of(a=pyarrow.nulls(ROWS)),
        "FACTORS-VALUES",
        "Row 0 of factors has no",
    ),
    "structs": (parquet_of(a=[{"x": 1}] * ROWS), "FACTORS-VALUES", "has a dict in row 0"),
    "lists": (parquet_of(a=[[1] * (row % 3) for row in SIZES]), "FACTORS-VALUES", "has a ndarray"),
    "bytes": (parquet_of(a=[b"\xff"] * ROWS, b=SIZES), "FACTORS-VALUES", "which are no text"),
    "infinity": (parquet_of(a=[float("inf")] * ROWS), "FACTORS-VALUES", "has infinity in a"),
}


@pytest.mark.parametrize(("write", "code", "problem"), TABLES.values(), ids=TABLES)
def test_parquet(write: Spoil, code: str, problem: str, tmp_path: Path) -> None:
    write(tmp_path / "factors.parquet")
    refused(None, tmp_path / "factors.parquet", code, problem)


def bomb(path: Path) -> None:
    """Images that would take 3 TB."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000, 1000, 3), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        archive.writestr("images.npy", content + bytes(10_000_000))
        archive.writestr("factors.npy", content)


def climbing(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../images.npy", b"\x93NUMPY")
        archive.writestr("../factors.npy", b"\x93NUMPY")


def pickled(path: Path) -> None:
    np.savez(path, images=IMAGES, factors=np.array([[None]] * ROWS, dtype=object))


def with_names(path: Path, header: bytes) -> None:
    """An `.npz` with a header for the names, which are read after the others."""
    np.savez(path, images=IMAGES, factors=FACTORS)
    with zipfile.ZipFile(path, "a") as archive:
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        archive.writestr("factor_names.npy", content)


def ending_numpy(path: Path) -> None:
    with_names(path, b"{'descr': '<M8[s/0]', 'fortran_order': False, 'shape': (2,)}\n")


def without_memory(path: Path) -> None:
    with_names(path, b"{'descr': '<U1000000', 'fortran_order': False, 'shape': (1000000000,)}\n")


def stored_elsewhere(file: Any, secret: Path) -> None:
    file.create_dataset("images", IMAGES.shape, "u1", external=[(str(secret), 0, IMAGES.size)])


def linked(file: Any, secret: Path) -> None:
    with h5py.File(secret, "w") as other:
        other["images"] = IMAGES
    file["images"] = h5py.ExternalLink(str(secret), "images")


def linked_behind_a_link(file: Any, secret: Path) -> None:
    linked(file, secret)
    file.move("images", "behind")
    file["images"] = h5py.SoftLink("/behind")


def virtual(file: Any, secret: Path) -> None:
    layout = h5py.VirtualLayout(IMAGES.shape, "u1")
    layout[:] = h5py.VirtualSource(str(secret), "images", IMAGES.shape)
    file.create_virtual_dataset("images", layout)


@pytest.mark.parametrize("put", [stored_elsewhere, linked, linked_behind_a_link, virtual])
def test_hdf5_shows_no_other_file(put: Callable[[Any, Path], None], tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(IMAGES.size))
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        put(file, tmp_path / "secret")
        file["factors"] = FACTORS
    refused(tmp_path / "mine.h5", None, "DATA-DAMAGED", "other file")


ARCHIVES: dict[str, tuple[Spoil, str, str]] = {
    "a bomb": (bomb, "DATA-MEMORY", "the images of .* take 3.0 TB"),
    "climbing names": (climbing, "DATA-KEY", r"holds \.\./images"),
    "a type that ends NumPy": (ending_numpy, "DATA-DAMAGED", "no type is called '<M8.s/0.'"),
    "names beyond memory": (without_memory, "DATA-DAMAGED", "Unable to allocate"),
    "objects": (pickled, "DATA-DAMAGED", "allow_pickle"),
    "no archive": (lambda path: path.write_bytes(b"PK"), "DATA-DAMAGED", "not a zip file"),
    "three axes of factors": (
        lambda path: np.savez(path, images=IMAGES, factors=FACTORS[..., np.newaxis]),
        "DATA-DAMAGED",
        r"its shape is \(40, 2, 1\)",
    ),
    "complex factors": (
        lambda path: np.savez(path, images=IMAGES, factors=FACTORS + 0j),
        "FACTORS-VALUES",
        "complex128",
    ),
}


@pytest.mark.parametrize(("write", "code", "problem"), ARCHIVES.values(), ids=ARCHIVES)
def test_archives(write: Spoil, code: str, problem: str, tmp_path: Path) -> None:
    write(tmp_path / "mine.npz")
    refused(tmp_path / "mine.npz", None, code, problem)
