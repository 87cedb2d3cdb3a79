"""The comparison that every fast way to compute must pass."""

import math

import numpy as np
import pytest

from evaluation.common.rounding import allowed, disagreement

RANDOM = np.random.RandomState(0)


def rounded_to_bf16(values: np.ndarray) -> np.ndarray:
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


def test_rounding_agrees_and_one_wrong_number_does_not() -> None:
    expected = RANDOM.randn(64, 100).astype(np.float32)
    found = rounded_to_bf16(expected)
    assert 0 < disagreement(found, expected) < allowed("bf16")
    assert disagreement(found, expected) > allowed("float32")
    found[3, 7] += 0.5
    assert disagreement(found, expected) > allowed("bf16")


def test_sums_of_products_in_another_order_agree() -> None:
    rows, weight = RANDOM.randn(8, 4608), RANDOM.randn(4608, 16)
    exact = rows @ weight
    backwards = rows[:, ::-1].astype(np.float32) @ weight[::-1].astype(np.float32)
    in_turn = np.zeros((8, 16), np.float32)
    for column, row in zip(rows.astype(np.float32).T, weight.astype(np.float32), strict=True):
        in_turn += np.outer(column, row)
    for found in (backwards, in_turn):
        assert 0 < disagreement(found, exact) < allowed("float32")


def test_what_is_not_finite_disagrees_and_nothing_agrees_with_nothing() -> None:
    zeros = np.zeros(3)
    assert disagreement(zeros, zeros) == 0
    assert disagreement(np.zeros(0), np.zeros(0)) == 0
    assert disagreement(np.array([0, np.nan, 0]), zeros) == math.inf
    assert disagreement(np.array([0, 1e-3, 0]), zeros) > 1


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_layers_in_a_row_may_differ_more(precision: str) -> None:
    assert allowed(precision, 16) == 4 * allowed(precision)
