"""The table of codes, and codes in files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.codes.store import CodeStore, read_codes
from evaluation.codes.table import CodeTable, Draws
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid, IndexGrid
from evaluation.metrics import METRICS

GRID = IndexGrid((6, 6, 2, 3, 3, 40, 40))


@pytest.mark.parametrize("name", METRICS)
def test_prefill_fills_all_that_a_metric_asks_for_and_no_more(name: str) -> None:
    codes = RandomState(0).normal(size=(len(GRID), 2)).astype(np.float32)
    table = CodeTable(len(GRID))
    filled: list[NDArray[np.int64]] = []

    def fill(rows: NDArray[np.int64]) -> None:
        filled.append(rows)
        table.put(rows, codes[rows])

    Draws(GRID, [name], [3]).prefill(table, fill)
    asked = np.zeros(len(GRID), dtype=bool)

    def listen(indices: NDArray[np.int64]) -> NDArray:
        asked[indices] = True
        return table(indices)

    METRICS[name].load_sampler()(GRID, listen, RandomState(3))
    np.testing.assert_array_equal(np.sort(np.concatenate(filled)), np.flatnonzero(asked))
    assert len(table) == np.count_nonzero(asked)


@pytest.mark.parametrize("name", ["factor_vae_metric", "mig", "irs", "sap_score"])
def test_a_metric_asks_for_what_its_sampler_asks_for(name: str) -> None:
    def listening_to(asked: list[bytes]) -> Callable[[NDArray[np.int64]], NDArray]:
        def listen(indices: NDArray[np.int64]) -> NDArray:
            asked.append(indices.tobytes())
            return GRID.factors_of(indices).astype(np.float32)

        return listen

    computing: list[bytes] = []
    sampling: list[bytes] = []
    METRICS[name].load()(GRID, listening_to(computing), RandomState(1))
    METRICS[name].load_sampler()(GRID, listening_to(sampling), RandomState(1))
    assert sampling == computing


def test_rounds_are_not_filled_where_every_dim_is_pruned() -> None:
    draws = Draws(GRID, ["factor_vae_metric"], [0])
    for spread, least in ((0.001, 9_000), (1.0, 500_000)):
        codes = spread * RandomState(0).normal(size=(len(GRID), 2))
        table = CodeTable(len(GRID))
        draws.prefill(table, lambda rows, table=table, codes=codes: table.put(rows, codes[rows]))
        assert least < len(table) < 75 * least


def test_what_is_there_is_not_filled() -> None:
    def fill(rows: NDArray[np.int64]) -> None:
        raise AssertionError(rows)

    table = CodeTable.given(np.zeros((len(GRID), 2)))
    Draws(GRID, ["mig"], [0, 1]).prefill(table, fill)


def test_a_table_says_what_it_lacks() -> None:
    table = CodeTable(10)
    table.put(np.array([3, 8]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(table(np.array([8, 3, 8])), [[3, 4], [1, 2], [3, 4]])
    np.testing.assert_array_equal(table.missing(np.array([9, 3, 1, 9])), [1, 9])
    with pytest.raises(LookupError, match="1 numbers: \\[4\\]"):
        table(np.array([3, 4]))


def test_batches_of_two_types_are_joined_in_the_wider_one() -> None:
    table = CodeTable(2)
    table.put(np.array([0]), np.array([[1.5, 2.5]], dtype=np.float16))
    table.put(np.array([1]), np.array([[1e30, 0.1]], dtype=np.float32))
    expected = np.array([[1.5, 2.5], [1e30, 0.1]], dtype=np.float32)
    np.testing.assert_array_equal(table(np.arange(2)), expected)


def test_codes_are_recalled_only_if_made_from_the_same(tmp_path: Path) -> None:
    indices, codes = np.array([1, 5]), np.array([[0.5, 1.0], [2.0, 4.0]], dtype=np.float32)
    checked = np.arange(6) == 5
    path = tmp_path / "codes.npz"
    assert CodeStore(path, {"representation": "a"}).recall() is None
    CodeStore(path, {"representation": "a"}).keep(indices, codes, checked)

    recalled = CodeStore(path, {"representation": "a"}).recall()
    assert recalled is not None
    np.testing.assert_array_equal(recalled.indices, indices)
    np.testing.assert_array_equal(recalled.codes, codes)
    np.testing.assert_array_equal(recalled.checked, [False, True])
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
