"""A folder that Hugging Face's `datasets` wrote with `save_to_disk`: Arrow files of rows."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError, first_line, require
from evaluation.common.files import sha256_of
from evaluation.common.images import shape_in_words
from evaluation.data.factor_columns import Kind
from evaluation.data.own.dataset import OwnData, own_data
from evaluation.data.own.decoding import decode, look, refusing
from evaluation.data.own.factor_files import arrow_columns, chosen

STATE = "state.json"
_SPLITS = "dataset_dict.json"
_INFO = "dataset_info.json"


def is_arrow_folder(folder: Path) -> bool:
    return (folder / STATE).is_file() or (folder / _SPLITS).is_file()


def open_arrow_folder(
    folder: Path, names: Sequence[str] | None, kinds: Mapping[str, Kind]
) -> OwnData:
    """Opens a saved dataset with one column of images; the others are factors.

    Args:
        folder: It holds one split, or several of which there is one only.
        names: The columns that are factors; all but the images if None.
        kinds: What some factors are.

    Raises:
        KitError: it cannot be read, or has no column of images.
    """
    require("pyarrow")
    folder = _only_split(folder)
    try:
        table, features, digest = _read(folder)
    except Exception as error:  # of many kinds, by what a damaged file holds
        raise KitError(
            "DATA-DAMAGED",
            f"cannot read {folder} as a saved dataset ({first_line(error)})",
            "Write it again, with save_to_disk",
        ) from error
    of_images = [
        name for name in table.column_names if features.get(name, {}).get("_type") == "Image"
    ]
    if len(of_images) != 1:
        raise KitError(
            "DATA-KEY",
            f"{folder} has {len(of_images)} columns of images, and must have one",
            "Save a dataset with one column of the type datasets.Image",
        )
    images = _decode(table.column(of_images[0]).to_pylist(), folder)
    columns = arrow_columns(table.drop_columns(of_images))
    for name, column in columns.items():
        labels = features.get(name, {}).get("names")
        if labels and column.dtype.kind in "iu":
            columns[name] = _labelled(column, labels)
    return own_data(folder, chosen(columns, names, folder), kinds, images, digest)


def _only_split(folder: Path) -> Path:
    if (folder / STATE).is_file():
        return folder
    splits = sorted(path.parent.name for path in folder.glob(f"*/{STATE}"))
    if len(splits) != 1:
        raise KitError(
            "DATA-SPLIT",
            f"{folder} holds the splits {', '.join(splits) or 'none'}, and one is graded",
            f"Name one, as in --dataset {folder / (splits or ['train'])[0]}",
        )
    return folder / splits[0]


def _read(folder: Path) -> tuple[Any, dict[str, Any], str]:
    import pyarrow

    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    features = json.loads((folder / _INFO).read_text(encoding="utf-8"))["features"]
    # A list of values is described by a list, a struct by its fields.
    features = {name: each if isinstance(each, dict) else {} for name, each in features.items()}
    digest = hashlib.sha256(json.dumps(features, sort_keys=True).encode())
    tables = []
    for entry in state["_data_files"]:
        path = folder / Path(entry["filename"]).name
        digest.update(sha256_of(path).encode())
        with pyarrow.memory_map(str(path)) as source:
            tables.append(pyarrow.ipc.open_stream(source).read_all())
    return pyarrow.concat_tables(tables), features, digest.hexdigest()


def _labelled(numbers: NDArray, labels: Sequence[str]) -> NDArray:
    """The names (n,) of the numbers (n,); None for those that stand for nothing, as -1 does."""
    known = (numbers >= 0) & (numbers < len(labels))
    named = np.array([*labels, None], dtype=object)[np.where(known, numbers, len(labels))]
    return named if not known.all() else named.astype(str)


def _decode(cells: Sequence[Mapping[str, Any] | None], folder: Path) -> NDArray[np.uint8]:
    require("PIL")
    remedy = "Write it again, or leave the row out"
    sizes, grey = [], True
    for row, cell in enumerate(cells):
        with refusing(f"row {row} of {folder}", remedy):
            size, is_grey = look(_source(cell))
        grey &= is_grey
        sizes.append(size)
        if size != sizes[0]:
            raise KitError(
                "DATA-SHAPE",
                f"row {row} of {folder} is {shape_in_words(size)}, and row 0 is"
                f" {shape_in_words(sizes[0])}",
                "Resize the images to one size before you save them",
            )
    images = np.empty((len(cells), *sizes[0], 1 if grey else 3), np.uint8)
    for row, cell in enumerate(cells):
        with refusing(f"row {row} of {folder}", remedy):
            images[row] = decode(_source(cell), grey=grey)
    return images


def _source(cell: Mapping[str, Any] | None) -> Path | io.BytesIO:
    """Where the image of a cell is: in the cell itself, or in a file beside.

    Raises:
        ValueError: in neither.
    """
    if cell is None or not (cell["bytes"] or cell["path"]):
        raise ValueError("it is missing")
    return io.BytesIO(cell["bytes"]) if cell["bytes"] else Path(cell["path"])
