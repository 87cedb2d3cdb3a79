"""Factors of rows: what each column is, whether the rows are a grid, and what is drawn of them."""

from typing import Any

import numpy as np
import pandas
import pytest
from numpy.random import RandomState

from evaluation.data.factor_columns import read_columns
from evaluation.data.factor_table import FactorTable, GridOfRows, open_table

_DRAWS = RandomState(0)
ROWS = {"shape": _DRAWS.choice(["ball", "cube"], 300), "place": _DRAWS.random_sample(300)}


def kinds_of(factors: Any, **told: Any) -> list[str]:
    return [column.kind for column in read_columns(factors, told or None)]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (np.arange(300) % 40, "discrete"),
        (np.arange(300) % 40 / 7, "continuous"),  # 7.5 rows a value
        (np.arange(300) % 20 / 7, "discrete"),
        (np.arange(300), "continuous"),
        (_DRAWS.random_sample(300), "continuous"),
        (np.arange(300) % 2 == 0, "discrete"),
        (np.array([b"one", b"two", b"three"])[np.arange(300) % 3], "discrete"),
        (pandas.Series(["x", "y", "z"] * 100, dtype="category"), "discrete"),
    ],
)
def test_the_kind_is_found_out(column: Any, kind: str) -> None:
    assert kinds_of({"it": column}) == [kind]


def test_the_kind_can_be_told() -> None:
    assert kinds_of({"it": np.arange(300) % 40}, it="continuous") == ["continuous"]
    assert kinds_of({"it": np.arange(300)}, it="discrete") == ["discrete"]
    with pytest.raises(ValueError, match=r"^There is no factor 'that'; there are it\.$"):
        kinds_of({"it": np.arange(300)}, that="discrete")
    with pytest.raises(ValueError, match=r"not 'ordinal'\.$"):
        kinds_of({"it": np.arange(300)}, it="ordinal")
    with pytest.raises(ValueError, match=r"^Factor shape has strings"):
        kinds_of(ROWS, shape="continuous")


@pytest.mark.parametrize("missing", [None, float("nan"), "", " NA ", pandas.NA, "nan"])
def test_what_is_missing_is_refused_with_its_row(missing: Any) -> None:
    column = np.array(["ball", "cube"] * 20, dtype=object)
    column[17] = missing
    for factors in ({"shape": column}, pandas.DataFrame({"shape": column})):
        with pytest.raises(ValueError, match=r"^Row 17 of factors has no value of shape"):
            read_columns(factors)


def test_numbers_that_are_not_finite() -> None:
    column = np.arange(40.0)
    column[3] = np.inf
    with pytest.raises(ValueError, match=r"^Row 3 of factors has infinity in factor_0\.$"):
        read_columns(column)


def test_a_grid_is_known_in_any_order() -> None:
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(7)), axis=-1).reshape(-1, 2)
    shuffled = grid[RandomState(1).permutation(35)]
    opened = open_table(read_columns(shuffled))
    assert isinstance(opened, GridOfRows)
    factors = opened.factors_of(np.arange(35))
    np.testing.assert_array_equal(shuffled[opened.observations_at(np.arange(35))], factors)
    assert isinstance(open_table(read_columns(shuffled[:-1])), FactorTable)
    twice = np.concatenate([shuffled[:-1], shuffled[:1]])
    assert isinstance(open_table(read_columns(twice)), FactorTable)


def test_a_grid_of_fractions_unless_told_otherwise() -> None:
    grid = np.stack(np.meshgrid(np.arange(30) / 7, np.arange(7) / 9), axis=-1).reshape(-1, 2)
    assert isinstance(open_table(read_columns(grid)), GridOfRows)
    assert isinstance(open_table(read_columns(grid), told=["factor_0"]), FactorTable)
    alone = read_columns(RandomState(2).random_sample(50))
    assert isinstance(open_table(alone), FactorTable)


def test_bins_of_continuous_factors() -> None:
    table = open_table(read_columns(ROWS))
    assert isinstance(table, FactorTable)
    assert table.continuous == (1,)
    binned = table.binned
    assert binned.continuous == ()
    np.testing.assert_array_equal(binned.factors[:, 0], table.factors[:, 0])
    edges = np.histogram_bin_edges(ROWS["place"], 20)
    expected = np.clip(np.digitize(ROWS["place"], edges) - 1, 0, 19)
    np.testing.assert_array_equal(binned.factors[:, 1], expected)


def test_rows_to_learn_from_and_to_test_with_differ() -> None:
    table = FactorTable(read_columns(ROWS))
    train, test = table.split_rows(10_000, 5_000, RandomState(0))
    assert len(train) == 200
    assert sorted([*train, *test]) == list(range(300))
    train, test = table.split_rows(20, 10, RandomState(0))
    assert len(set(train) | set(test)) == 30
    assert len(set(table.sample_rows(100, RandomState(0)))) == 100


def test_rows_that_share_a_value() -> None:
    values = {"a": np.arange(120) % 3, "b": np.arange(120) // 4 % 5}
    table = FactorTable(read_columns(values))
    rows, factor = np.arange(120), np.arange(120) % 2
    others = table.rows_sharing(rows, factor, RandomState(0))
    np.testing.assert_array_equal(table.factors[rows, factor], table.factors[others, factor])
    assert (others != rows).mean() > 0.9
    many = table.rows_sharing(np.zeros(2000, int), np.zeros(2000, int), RandomState(1))
    assert set(many) == set(range(0, 120, 3))
