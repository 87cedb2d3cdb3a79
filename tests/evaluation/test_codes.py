"""The table of codes, and codes in files."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.code_store import CodeStore, read_codes
from evaluation.codes import CodeTable
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid


def test_each_row_is_encoded_once_in_rising_order_and_bounded_batches() -> None:
    asked: list[NDArray[np.int64]] = []

    def encode(rows: NDArray[np.int64]) -> NDArray:
        asked.append(rows)
        return np.stack((rows, rows**2), axis=1).astype(np.float32)

    table = CodeTable(rows=100, encode=encode, batch=7)
    random_state = np.random.RandomState(0)
    drawn = [random_state.randint(100, size=40) for _ in range(5)]
    for indices in drawn:
        np.testing.assert_array_equal(table(indices), np.stack((indices, indices**2), axis=1))

    encoded = np.concatenate(asked)
    np.testing.assert_array_equal(np.sort(encoded), np.unique(np.concatenate(drawn)))
    assert max(map(len, asked)) <= 7
    assert all((np.diff(rows) > 0).all() for rows in asked)
    np.testing.assert_array_equal(table.content[0], np.unique(encoded))


def test_what_was_put_is_not_encoded() -> None:
    def encode(rows: NDArray[np.int64]) -> NDArray:
        raise AssertionError(rows)

    table = CodeTable(rows=10, encode=encode, batch=4)
    table.put(np.array([3, 8]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(table(np.array([8, 3, 8])), [[3, 4], [1, 2], [3, 4]])


def test_codes_are_recalled_only_if_made_from_the_same(tmp_path: Path) -> None:
    indices, codes = np.array([1, 5]), np.array([[0.5, 1.0], [2.0, 4.0]], dtype=np.float32)
    path = tmp_path / "codes.npz"
    assert CodeStore(path, {"representation": "a"}).recall() is None
    CodeStore(path, {"representation": "a"}).keep(indices, codes)

    recalled = CodeStore(path, {"representation": "a"}).recall()
    assert recalled is not None
    np.testing.assert_array_equal(recalled[0], indices)
    np.testing.assert_array_equal(recalled[1], codes)
    assert CodeStore(path, {"representation": "b"}).recall() is None

    forged = {**np.load(path), "codes": codes + 1}
    np.savez(path, **forged)
    assert CodeStore(path, {"representation": "a"}).recall() is None

    path.write_bytes(path.read_bytes()[:-30])
    assert CodeStore(path, {"representation": "a"}).recall() is None


@pytest.mark.parametrize(
    ("code", "codes"),
    [
        ("CODES-SHAPE", np.zeros((10, 3))),
        ("CODES-SHAPE", np.zeros(24)),
        ("CODES-SHAPE", np.zeros((24, 0))),
        ("CODES-DTYPE", np.full((24, 3), "a")),
        ("CODES-DTYPE", np.zeros((24, 3), dtype=complex)),
        ("CODES-NONFINITE", np.where(np.arange(72).reshape(24, 3) == 50, np.inf, 0.0)),
        ("CODES-NONFINITE", np.full((24, 3), 1e39)),
        ("CODES-DTYPE", np.full((24, 3), None)),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, code: str, codes: NDArray) -> None:
    np.save(tmp_path / "codes.npy", codes, allow_pickle=True)
    with pytest.raises(KitError) as refused:
        read_codes(tmp_path / "codes.npy", small_grid())
    assert refused.value.code == code
    assert str(tmp_path / "codes.npy") in refused.value.problem


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"1.0, 2.0\n"])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "codes.npy").write_bytes(content)
    with pytest.raises(KitError, match="CODES-UNREADABLE"):
        read_codes(tmp_path / "codes.npy", small_grid())


def test_whole_numbers_serve_as_codes(tmp_path: Path) -> None:
    codes = np.arange(48, dtype=np.uint8).reshape(24, 2)
    np.save(tmp_path / "codes.npy", codes)
    read = read_codes(tmp_path / "codes.npy", small_grid())
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, codes)


def small_grid() -> ImageGrid:
    images = np.zeros((24, 64, 64, 3), dtype=np.uint8)
    return ImageGrid("small", images, (4, 3, 2), ("a", "b", "c"), "0")
