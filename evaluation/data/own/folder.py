"""A folder of image files, with a table that names a file and has its factors in each row."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError, require
from evaluation.common.files import sha256_of
from evaluation.common.images import shape_in_words
from evaluation.common.terminal import progress
from evaluation.data.factor_columns import Kind
from evaluation.data.own.dataset import OwnData, own_data
from evaluation.data.own.decoding import decode, look, refusing
from evaluation.data.own.factor_files import TABLES, Columns, chosen, read_factor_file

_REMEDY = "Write it again, or remove its row from the table"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def open_folder(
    folder: Path,
    table: Path | None,
    names: Sequence[str] | None,
    kinds: Mapping[str, Kind],
    size: tuple[int, int] | None,
) -> OwnData:
    """Opens a folder of images.

    Args:
        folder: It holds the images, in folders of its own or not.
        table: The file of factors; the only one in the folder if None.
        names: The columns that are factors; all but the files' names if None.
        kinds: What some factors are.
        size: Height and width that images are resized to; they must have one size if None.

    Raises:
        KitError: there is no such table, or a file that it names is no image.
    """
    require("PIL")
    table = table or _only_table(folder)
    columns = read_factor_file(table)
    key = _column_of_files(columns, folder, table)
    paths = [_file(folder, str(name), row, table) for row, name in enumerate(columns.pop(key))]
    images = FolderImages(paths, size)
    return own_data(folder, chosen(columns, names, table), kinds, images, images.digest)


class FolderImages:
    """Images (n, height, width, channels) that are read from their files when they are asked for.

    Colour images become RGB; where all are grey there is one channel.

    Args:
        paths: One a row; a file may be that of several.
        size: As `open_folder`.

    Attributes:
        digest: Of the content of all files.

    Raises:
        KitError: a file is no image, or they differ in size.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: Sequence[Path], size: tuple[int, int] | None) -> None:
        self._paths = paths
        self._size = size
        first: tuple[int, int] | None = None
        grey = True
        digest = hashlib.sha256(repr(size).encode())
        known: dict[Path, str] = {}
        with progress("Reading images", len(paths)) as advance:
            for path in paths:
                if path not in known:
                    with refusing(str(path), _REMEDY):
                        shape, is_grey = look(path)
                    first = first or shape
                    grey &= is_grey
                    if size is None and shape != first:
                        raise KitError(
                            "DATA-SHAPE",
                            f"{path} is {shape_in_words(shape)}, and {paths[0]} is"
                            f" {shape_in_words(first)}",
                            "Give images of one size, or have them resized by --image-size 64x64,"
                            " say",
                        )
                    known[path] = sha256_of(path)
                digest.update(known[path].encode())
                advance(1)
        assert first is not None
        self.shape = (len(paths), *(size or first), 1 if grey else 3)
        self.digest = digest.hexdigest()

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([self._decode(self._paths[index]) for index in indices])

    def _decode(self, path: Path) -> NDArray[np.uint8]:
        with refusing(str(path), _REMEDY):
            pixels = decode(path, grey=self.shape[-1] == 1, size=self._size)
            return pixels.reshape(self.shape[1:])


def _only_table(folder: Path) -> Path:
    tables = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in TABLES and path.is_file()
    )
    if len(tables) != 1:
        names = ", ".join(path.name for path in tables) or "none"
        raise KitError(
            "FACTORS-FILE",
            f"{folder} must hold one table of factors ({', '.join(TABLES)}), and holds {names}",
            "Name the table by --factors",
        )
    return tables[0]


def _column_of_files(columns: Columns, folder: Path, table: Path) -> str:
    """The column whose values name files in the folder, at least its first two."""
    for name, column in columns.items():
        if all(_names_image(folder, value) for value in column[:2]):
            if _names_image(folder, name):
                raise KitError(
                    "FACTORS-FILE",
                    f"the first line of {table} names the image {name}, and no columns",
                    "Put a line with the names of the columns above it",
                )
            return name
    raise KitError(
        "FACTORS-FILE",
        f"no column of {table} names image files in {folder}",
        f"Add a column, file_name say, with each image's path from {folder}",
    )


def _names_image(folder: Path, value: Any) -> bool:
    if not isinstance(value, str) or Path(value).suffix.lower() not in _SUFFIXES:
        return False
    return _is_file(_path_of(folder, value))


def _file(folder: Path, name: str, row: int, table: Path) -> Path:
    path = _path_of(folder, name)
    if not _is_file(path):
        raise KitError(
            "DATA-MISSING",
            f"row {row} of {table} names {name or 'no file'}, and {folder} has no such file",
            "Put it there, or remove the row",
        )
    return path


def _path_of(folder: Path, name: str) -> Path:
    """The file that a table calls so, perhaps in the manner of Windows."""
    path = folder / name
    return path if _is_file(path) else folder / name.replace("\\", "/")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is longer than the system allows
        return False
