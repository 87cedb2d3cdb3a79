"""Tables of factors in files: what is read, and what is refused in one line."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from evaluation.common.errors import KitError
from evaluation.data.own import open_own
from evaluation.data.own.dataset import OwnData

ROWS = 60
SHAPES = np.array(["ball", "cube", "cone"])[np.arange(ROWS) % 3]
PLACES = np.random.RandomState(0).random_sample(ROWS)


def lines(names: str = "shape,place", separator: str = ",") -> list[str]:
    rows = [f"{shape}{separator}{place}" for shape, place in zip(SHAPES, PLACES, strict=True)]
    return [names.replace(",", separator), *rows]


def opened(path: Path, text: str | bytes | None = None, **settings: object) -> OwnData:
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_own(None, path, **settings)  # type: ignore[arg-type]


def test_csv_of_any_separator(tmp_path: Path) -> None:
    for separator in (",", ";", "\t"):
        text = "\n".join(lines(separator=separator))
        data = opened(tmp_path / "factors.csv", f"\ufeff{text}\r\n")
        assert [column.name for column in data.columns] == ["shape", "place"]
        assert [column.kind for column in data.columns] == ["discrete", "continuous"]
        np.testing.assert_array_equal(data.columns[1].values, PLACES)


def test_csv_without_names(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "factors.csv", np.arange(80).reshape(40, 2) % 5, delimiter=",")
    data = opened(tmp_path / "factors.csv")
    assert [column.name for column in data.columns] == ["factor_0", "factor_1"]
    assert len(data) == 40


@pytest.mark.parametrize("name", ["", "id", "Index"])
def test_a_column_that_numbers_the_rows_is_left_out(name: str, tmp_path: Path) -> None:
    numbers = [name, *np.random.RandomState(0).permutation(ROWS).tolist()]
    text = "\n".join(f"{number},{line}" for number, line in zip(numbers, lines(), strict=True))
    data = opened(tmp_path / "factors.csv", text)
    assert [column.name for column in data.columns] == ["shape", "place"]


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    rows = [
        f'"{shape}, red";{str(place).replace(".", ",")};'
        for shape, place in zip(SHAPES, PLACES, strict=True)
    ]
    data = opened(tmp_path / "factors.CSV", "\r\n".join(['"shape, colour, or both";place;', *rows]))
    assert [column.name for column in data.columns] == ["shape, colour, or both", "place"]
    assert data.columns[0].value_names == ("ball, red", "cone, red", "cube, red")
    np.testing.assert_array_equal(data.columns[1].values, PLACES)


def test_tabs_part_a_tsv(tmp_path: Path) -> None:
    text = "\n".join(["shape, or kind\tplace", *lines(separator="\t")[1:]])
    assert [column.name for column in opened(tmp_path / "f.tsv", text).columns][1:] == ["place"]


def test_whole_numbers_of_any_length_differ(tmp_path: Path) -> None:
    for first in (2**60, 2**70):
        text = "\n".join(["number,size", *(f"{first + row % 3},{row % 5}" for row in range(ROWS))])
        names = opened(tmp_path / "factors.csv", text).columns[0].value_names
        assert names == tuple(str(first + step) for step in range(3))


def test_columns_and_kinds_are_chosen(tmp_path: Path) -> None:
    np.savez(tmp_path / "factors.npz", number=np.arange(ROWS) % 30, shape=SHAPES)
    data = opened(tmp_path / "factors.npz", names=["number"], kinds={"number": "continuous"})
    assert [(column.name, column.kind) for column in data.columns] == [("number", "continuous")]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"shape": pyarrow.array(SHAPES).dictionary_encode(), "place": PLACES})
    parquet.write_table(table, tmp_path / "factors.parquet")
    data = opened(tmp_path / "factors.parquet")
    assert [column.kind for column in data.columns] == ["discrete", "continuous"]
    of_days = [date(2024, 1, 1 + row % 4) for row in range(ROWS)]
    table = pyarrow.table({"size": [Decimal(row % 4) / 8 for row in range(ROWS)], "day": of_days})
    parquet.write_table(table, tmp_path / "factors.parquet")
    size, day = opened(tmp_path / "factors.parquet").columns
    assert size.value_names == ("0", "0.125", "0.25", "0.375")
    assert day.value_names == tuple(f"2024-01-0{number}" for number in range(1, 5))
    table = pyarrow.table({"size": [[1, 2]] * ROWS})
    parquet.write_table(table, tmp_path / "nested.parquet")
    with pytest.raises(KitError, match="Factor size has a ndarray in row 0"):
        opened(tmp_path / "nested.parquet")
    table = pyarrow.table({"shape": [*SHAPES[:-1], None]})
    parquet.write_table(table, tmp_path / "missing.parquet")
    with pytest.raises(KitError, match="Row 59 of factors has no value of shape"):
        opened(tmp_path / "missing.parquet")


@pytest.mark.parametrize(
    ("name", "text", "code", "problem"),
    [
        ("factors.csv", "", "FACTORS-UNREADABLE", "it is empty"),
        ("factors.csv", "shape,place\n", "FACTORS-UNREADABLE", "it has names and no rows"),
        ("factors.csv", "a,b\n1,2\n3\n", "FACTORS-UNREADABLE", "line 3 has 1 fields"),
        ("factors.csv", "a,a\n1,2\n", "FACTORS-UNREADABLE", "two have the same name: a, a"),
        ("factors.csv", b"a\n\xff\xfe", "FACTORS-UNREADABLE", "can't decode"),
        ("factors.csv", 'a,b\n"1,2\n', "FACTORS-UNREADABLE", "unexpected end"),
        ("factors.npy", b"\x93NUMPY", "FACTORS-UNREADABLE", "cannot read"),
        ("factors.npz", b"PK\x03\x04", "FACTORS-UNREADABLE", "not a zip file"),
        ("factors.xlsx", "", "FACTORS-FILE", "is no file of factors that is known"),
        ("factors.csv", "\n".join(lines()[:20]), "FACTORS-VALUES", "this one has 19"),
        ("factors.csv", "\n".join([*lines(), "ball,"]), "FACTORS-VALUES", "Row 60 of factors"),
        ("factors.csv", "\n".join([*lines(), "NA,1"]), "FACTORS-VALUES", "no value of shape"),
    ],
)
def test_what_is_refused(
    name: str, text: str | bytes, code: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(KitError, match=problem) as refused:
        opened(tmp_path / name, text)
    assert refused.value.code == code
    assert "\n" not in str(refused.value)


def test_arrays_of_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "factors.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(KitError, match="allow_pickle=False"):
        opened(tmp_path / "factors.npy")
