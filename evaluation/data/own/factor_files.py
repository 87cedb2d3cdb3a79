"""Factors in a file: CSV, Parquet, or NumPy's formats."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError, first_line, require
from evaluation.common.npy import check_headers
from evaluation.common.terminal import console

TABLES = (".csv", ".tsv", ".parquet")
ARRAYS = (".npy", ".npz")

_NUMBERS = ("", "__index_level_0__", "id", "idx", "index", "row")
"""What a column is called, in lower case, that may number the rows."""

Columns = dict[str, NDArray]
"""The columns of a table by name, as they were read."""


def read_factor_file(path: Path) -> Columns:
    """The columns of a file of factors, one row a point.

    Of an `.npy` (n, k) the columns are called factor_0 and so on; an `.npz` holds one such array,
    or one array a column.

    Raises:
        KitError: it cannot be read as a table.
    """
    try:
        suffix = path.suffix.lower()
        if suffix in (".csv", ".tsv"):
            return _read_csv(path)
        if suffix == ".parquet":
            return _read_parquet(path)
        if suffix in ARRAYS:
            check_headers(path)
        if suffix == ".npy":
            return columns_of(np.load(path, allow_pickle=False))
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                held = {name: arrays[name] for name in arrays.files}
            return columns_of(next(iter(held.values())) if len(held) == 1 else held)
    except KitError:
        raise
    except Exception as error:  # of many kinds, by what a damaged file holds
        raise unreadable(path, error) from None
    raise KitError(
        "FACTORS-FILE",
        f"{path} is no file of factors that is known",
        f"Give one of {', '.join(TABLES + ARRAYS)}",
    )


def columns_of(factors: NDArray | Mapping[str, NDArray]) -> Columns:
    """The columns of an array (n, k), of one with named fields, or of a mapping.

    Raises:
        ValueError: it has other axes.
    """
    if isinstance(factors, Mapping):
        return dict(factors)
    if factors.dtype.names:
        return {name: factors[name] for name in factors.dtype.names}
    array = factors[:, np.newaxis] if factors.ndim == 1 else factors
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"its shape is {factors.shape}, and must be (n, k), none of it 0")
    return {f"factor_{place}": column for place, column in enumerate(array.T)}


def chosen(columns: Columns, names: Sequence[str] | None, path: Path) -> Columns:
    """The columns of these names, or all of them but those that number the rows.

    These have whole numbers that all differ, and no name, as pandas writes its index, or the name
    of a number.

    Raises:
        KitError: there is none of a name.
    """
    if names is None:
        numbering = [name for name, column in columns.items() if _numbers_rows(name, column)]
        for name in numbering:
            called = f"column {name}" if name else "column without a name"
            console.print(
                f"The {called} of {path.name} numbers the rows, and is no factor", markup=False
            )
        return {name: column for name, column in columns.items() if name not in numbering}
    for name in names:
        if name not in columns:
            raise KitError(
                "FACTORS-COLUMN",
                f"{path} has no column {name!r}",
                f"Choose some of {', '.join(columns)} by --factor-columns",
            )
    return {name: columns[name] for name in names}


def unreadable(path: Path, error: Exception) -> KitError:
    """The refusal of a file that cannot be read as factors."""
    return KitError(
        "FACTORS-UNREADABLE",
        f"cannot read {path} as a table of factors: {first_line(error)}",
        "Write one row a point and one column a factor, as CSV in UTF-8 with a line of names, say",
    )


def _read_csv(path: Path) -> Columns:
    text = path.read_text(encoding="utf-8-sig")
    delimiter = _delimiter(path, text)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    if not lines:
        raise ValueError("it is empty")
    names = lines[0][1]
    if all(map(_is_number, names)):  # a table without a line of names
        names = [f"factor_{place}" for place in range(len(names))]
    else:
        lines = lines[1:]
    for number, row in lines:
        if len(row) != len(names):
            raise ValueError(f"line {number} has {len(row)} fields, and line 1 has {len(names)}")
    if not lines:
        raise ValueError("it has names and no rows")
    # Separators at the end of each line, as spreadsheets write them, make a column of nothing.
    columns = [
        (name, cells)
        for name, cells in zip(names, zip(*(row for _, row in lines), strict=True), strict=True)
        if name or any(cells)
    ]
    _require_different([name for name, _ in columns])
    return {name: _typed(cells, commas=delimiter != ",") for name, cells in columns}


def _delimiter(path: Path, text: str) -> str:
    """The separator that is most frequent in the first line, outside of quotes."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    first = re.sub(r'"[^"]*"', "", text).partition("\n")[0]
    return max(",;\t", key=first.count)


def _require_different(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"of its columns two have the same name: {', '.join(names)}")


def _typed(cells: Sequence[str], commas: bool) -> NDArray:
    """Cells as whole numbers, else as floats, else as strings.

    Args:
        commas: Whether floats may have a decimal comma.
    """
    with suppress(ValueError):
        try:
            return np.array(cells, dtype=np.int64)
        except OverflowError:  # as floats, different ones would be equal
            return np.array(cells)
    with suppress(ValueError):
        return np.array(cells, dtype=np.float64)
    with suppress(ValueError):
        if commas:
            return np.array([cell.replace(",", ".", 1) for cell in cells], dtype=np.float64)
    return np.array(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> Columns:
    require("pyarrow")
    from pyarrow import parquet

    return arrow_columns(parquet.ParquetFile(path).read())


def arrow_columns(table: Any) -> Columns:
    """The columns of an Arrow table; what is missing stays None."""
    _require_different(table.column_names)
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        values = column.to_pylist() if column.null_count else None
        columns[name] = (
            column.to_numpy() if values is None else np.array([*values, None], dtype=object)[:-1]
        )
    return columns


def _numbers_rows(name: str, column: NDArray) -> bool:
    is_number = name.lower() in _NUMBERS or name.startswith("Unnamed:")
    return is_number and column.dtype.kind in "iu" and len(np.unique(column)) == len(column)
