"""Powers of e of many numbers at once are those of the C library."""

import numpy as np
import pytest

from evaluation.common.compiled import exponentials as module
from evaluation.common.compiled.exponentials import Tables, exponentials, tables

LIBRARY = Tables(np.empty(0, np.int64), np.empty(0))

NUMBERS = {
    "of scores": lambda rng: -np.abs(rng.normal(size=1_000_000) * 5),
    "far apart": lambda rng: -rng.uniform(0, 512, 1_000_000),
    "near 0": lambda rng: -(10.0 ** rng.uniform(-300, -1, 100_000)),
    "none": lambda _: np.empty(0),
    "0 and the least": lambda _: np.array([0.0, -0.0, -5e-324, -512.0]),
    "beyond": lambda _: np.array([-1.0, -512.5, -708.5, -745.2, -1e4, -np.inf, np.nan]),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_all_bits_are_the_librarys(kind: str) -> None:
    """Also where its steps are other ones, as then it is called itself."""
    numbers = NUMBERS[kind](np.random.default_rng(7))
    found, expected = np.empty((2, len(numbers)))
    exponentials(numbers, found, tables())
    exponentials(numbers, expected, LIBRARY)
    assert np.array_equal(found.view(np.int64), expected.view(np.int64))
    assert np.allclose(found, np.exp(numbers), rtol=1e-15, atol=0, equal_nan=True)


def test_a_library_of_other_bits_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = module._powers()
    wrong = right._replace(rest=right.rest + 1e-18)
    monkeypatch.setattr(module, "_powers", lambda: wrong)
    assert tables.__wrapped__().bits.size == 0
