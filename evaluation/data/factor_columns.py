"""The factors of a table, column by column: which are discrete, which continuous, none missing."""

from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.arrays import as_array

Kind = Literal["discrete", "continuous"]

MISSING = ("", "na", "n/a", "nan", "null", "<na>", "nat")
"""What stands in a table where nothing is known, in lower case."""

_NUMBERS = (int, float, np.number, np.bool_, Decimal)
_SINGLE = (*_NUMBERS, str, bytes, date, time)
"""What a factor may have in a row, where a column holds objects."""

_FEW_VALUES = 20
_ROWS_A_WHOLE_VALUE = 2
_ROWS_A_FRACTION = 10


class FactorColumn(NamedTuple):
    """One factor of a table.

    Args:
        name: Its name.
        values: (n,): numbers from 0 of its values in rising order, or continuous float64.
        value_names: The names of the values by their numbers; None if it is continuous.
    """

    name: str
    values: NDArray
    value_names: tuple[str, ...] | None

    @property
    def kind(self) -> Kind:
        return "continuous" if self.value_names is None else "discrete"


def read_columns(factors: Any, kinds: Mapping[str, Kind] | None = None) -> list[FactorColumn]:
    """The factors of a table (n, k).

    Strings, booleans, and numbers with few values are discrete. A column of numbers is continuous
    if it has more than 20 values and, on average, fewer than 10 rows share one (2 if all are whole
    numbers).

    Args:
        factors: A frame or a mapping of columns, with names; or an array, a tensor or nested lists
            of k columns, which are called factor_0 and so on. (n,) is one factor.
        kinds: For some of the names, what they are, where that is not to be found out.

    Raises:
        ValueError: no such table, a name in `kinds` that it lacks, or a value that is missing or
            not finite; the row is named.

    Example:
        >>> for column in read_columns({"shape": ["cube", "ball", "cube"], "size": [1, 2, 1]}):
        ...     print(column.name, column.kind, column.values, column.value_names)
        shape discrete [1 0 1] ('ball', 'cube')
        size discrete [0 1 0] ('1', '2')
    """
    named = by_name(factors)
    kinds = dict(kinds or {})
    unknown = [name for name in kinds if name not in named]
    if unknown:
        raise ValueError(f"There is no factor {unknown[0]!r}; there are {', '.join(named)}.")
    wrong = [kind for kind in kinds.values() if kind not in ("discrete", "continuous")]
    if wrong:
        raise ValueError(f"A factor is discrete or continuous, and not {wrong[0]!r}.")
    lengths = {len(column) for column in named.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"The columns of factors have {sorted(lengths)} rows; all need the same.")
    return [_column(name, column, kinds.get(name)) for name, column in named.items()]


def as_one_kind(columns: Sequence[FactorColumn]) -> list[FactorColumn]:
    """The same factors, the continuous ones with their distinct values as discrete ones."""
    return [
        _discrete(column.name, column.values) if column.value_names is None else column
        for column in columns
    ]


def by_name(factors: Any) -> dict[str, NDArray]:
    """The columns of a table (n, k) by name, as they are: see `read_columns`.

    Raises:
        ValueError: no such table.
    """
    if isinstance(factors, Mapping):
        named = {str(name): as_array(column) for name, column in factors.items()}
    elif hasattr(factors, "columns") and hasattr(factors, "shape"):  # of pandas, polars or the like
        names = [str(name) for name in factors.columns]
        columns = [np.asarray(factors[name]) for name in factors.columns]
        named = dict(zip(names, columns, strict=True))
    else:
        array = _table(factors)
        named = {f"factor_{place}": column for place, column in enumerate(array.T)}
    if not named or any(column.ndim != 1 for column in named.values()):
        raise ValueError("Factors must be a table (n, k), none of it 0, whose names all differ.")
    return named


def _table(factors: Any) -> NDArray:
    if isinstance(factors, list | tuple):
        rows = [list(row) if isinstance(row, list | tuple) else row for row in factors]
        if any(
            isinstance(value, str) or value is None
            for row in rows
            if isinstance(row, list)
            for value in row
        ):
            factors = _mixed(rows)
    try:
        array = as_array(factors)
    except ValueError:
        raise ValueError("The rows of factors differ in length.") from None
    array = array[:, np.newaxis] if array.ndim == 1 else array
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"The shape of factors is {array.shape}; it must be (n, k), none of it 0.")
    return array


def _mixed(rows: list[Any]) -> NDArray:
    """Rows of numbers beside strings, each of its own type."""
    widths = {len(row) if isinstance(row, list) else -1 for row in rows}
    if len(widths) != 1:
        raise ValueError("The rows of factors differ in length.")
    array = np.empty((len(rows), widths.pop()), dtype=object)
    array[:] = rows
    return array


def _column(name: str, column: NDArray, kind: Kind | None) -> FactorColumn:
    values = _plain(name, column)
    if values.dtype.kind == "U":
        if kind == "continuous":
            raise ValueError(f"Factor {name} has strings, and cannot be continuous.")
        return _discrete(name, values)
    if (kind or _likely_kind(values)) == "discrete":
        return _discrete(name, values)
    return FactorColumn(name, values.astype(np.float64), None)


def _plain(name: str, column: NDArray) -> NDArray:
    """A column as whole numbers, finite floats, or strings."""
    if column.dtype.kind == "O":
        column = _of_objects(name, column)
    if column.dtype.kind == "S":
        column = np.array([_text(name, value) for value in column])
    if column.dtype.kind in "TMm":  # NumPy's strings of any length, and times
        column = column.astype(str)
    if column.dtype.kind == "b":
        return column.astype(np.int64)
    if column.dtype.kind == "U":
        empty = np.flatnonzero(np.isin(np.char.lower(np.char.strip(column)), MISSING))
        if len(empty):
            raise _lacking(int(empty[0]), name)
        return column
    if column.dtype.kind not in "fiu":
        raise ValueError(
            f"The type of factor {name} is {column.dtype}; it must be numbers or strings."
        )
    finite = np.isfinite(column)
    if not finite.all():
        row = int(np.argmin(finite))
        if np.isnan(column[row]):
            raise _lacking(row, name)
        raise ValueError(f"Row {row} of factors has infinity in {name}.")
    return column


def _of_objects(name: str, column: NDArray) -> NDArray:
    """Objects as numbers, where all are, else as strings; None of them may be missing."""
    for row, value in enumerate(column):
        if _is_missing(value):
            raise _lacking(row, name)
        if not isinstance(value, _SINGLE):
            raise ValueError(
                f"Factor {name} has a {type(value).__name__} in row {row}; it must be numbers or"
                " strings."
            )
    if all(isinstance(value, _NUMBERS) for value in column):
        is_decimal = any(isinstance(value, Decimal) for value in column)
        return np.array(column.tolist(), dtype=np.float64 if is_decimal else None)
    return np.array([_text(name, value) for value in column])


def _text(name: str, value: Any) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise ValueError(f"Factor {name} has the bytes {value!r}, which are no text.") from None


def _is_missing(value: Any) -> bool:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    # What pandas has for a value that is missing differs from itself, or is called <NA> or NaT.
    return value is None or str(value).strip().lower() in MISSING


def _lacking(row: int, name: str) -> ValueError:
    return ValueError(f"Row {row} of factors has no value of {name} (it is missing or NaN).")


def _likely_kind(values: NDArray) -> Kind:
    distinct = len(np.unique(values))
    whole = values.dtype.kind in "iu" or bool((values == np.floor(values)).all())
    least = _ROWS_A_WHOLE_VALUE if whole else _ROWS_A_FRACTION
    few_share = distinct > _FEW_VALUES and len(values) < least * distinct
    return "continuous" if few_share else "discrete"


def _discrete(name: str, values: NDArray) -> FactorColumn:
    distinct, numbers = np.unique(values, return_inverse=True)
    return FactorColumn(name, numbers.astype(np.int64), tuple(map(_shown, distinct)))


def _shown(value: Any) -> str:
    if not isinstance(value, np.floating):
        return str(value)
    return f"{value:g}" if value % 1 else f"{value:.0f}"
