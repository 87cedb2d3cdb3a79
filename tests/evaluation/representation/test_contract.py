"""What counts as the same codes."""

import numpy as np
import pytest

from evaluation.representation.contract import differ, differing_rows

CODES = np.random.RandomState(0).normal(size=(16, 4)) * [1, 100, 1e-6, 1]


def test_floating_point_noise_is_no_difference() -> None:
    assert differ(CODES, CODES.astype(np.float32)) is None
    assert differ(CODES, CODES * (1 + 1e-6)) is None


@pytest.mark.parametrize("dim", [0, 1, 3])
def test_a_small_part_of_one_dim_is_a_difference(dim: int) -> None:
    other = CODES.copy()
    other[5, dim] += 0.01 * np.abs(CODES[:, dim]).max()
    assert differ(CODES, other) == pytest.approx(abs(other - CODES).max())


def test_large_codes_in_float32_are_compared_as_others_are() -> None:
    codes = (CODES * 1e20).astype(np.float32)
    assert differ(codes, codes) is None
    assert differ(codes, codes[::-1]) is not None


def test_a_dead_dim_may_be_all_noise() -> None:
    other = CODES.copy()
    other[:, 2] = -other[:, 2]
    assert differ(CODES, other) is None


def test_bf16_allows_its_own_noise_and_no_more() -> None:
    assert differ(CODES, CODES * 1.02, "bf16") is None
    assert differ(CODES, CODES * 1.02, "float32") is not None
    assert differ(CODES, CODES * 1.5, "bf16") is not None


def test_a_few_huge_codes_excuse_nothing_in_the_others() -> None:
    codes = np.random.RandomState(0).normal(size=(200, 4))
    codes[::40] *= 1e6
    other = codes.copy()
    other[7, 1] += 0.01
    other[40, 2] *= 1 + 1e-6
    assert differing_rows(codes, other).tolist() == [7]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_one_row_that_differs_is_found_among_thousands(precision: str) -> None:
    codes = np.random.RandomState(0).normal(size=(4603, 18))
    other = codes + 1e-7 * np.random.RandomState(1).normal(size=codes.shape)
    assert differ(codes, other, precision) is None
    other[1234] = codes[4321]
    assert differing_rows(codes, other, precision).tolist() == [1234]


def test_sparse_codes_may_differ_by_rounding() -> None:
    codes = np.maximum(np.random.RandomState(0).normal(size=(500, 4)) - 2, 0)
    assert differ(codes, codes * (1 + 2e-6)) is None
    assert differ(codes, codes * 1.001) is not None


@pytest.mark.parametrize(("bits", "steps"), [(13, 2.0**-10), (16, 2.0**-7)])
def test_rounding_to_half_precision_may_go_either_way_and_no_further(
    bits: int, steps: float
) -> None:
    def rounded(codes: np.ndarray) -> np.ndarray:
        numbers = codes.astype(np.float32).view(np.uint32) >> bits << bits
        return numbers.view(np.float32)

    codes = rounded(1 + np.random.RandomState(0).rand(500, 4) / 2)
    other = codes.copy()
    other[::7] += np.float32(steps)
    assert differ(codes, other) is None
    other[7] += np.float32(steps)
    assert differing_rows(codes, other).tolist() == [7]
    assert differ(codes + np.float32(1e-5), other + np.float32(1e-5)) is not None


def test_whole_numbers_are_compared_as_such() -> None:
    codes = np.random.RandomState(0).randint(10, size=(500, 4)).astype(np.float16)
    other = codes.copy()
    other[3, 1] += 1
    assert differing_rows(codes, other).tolist() == [3]
