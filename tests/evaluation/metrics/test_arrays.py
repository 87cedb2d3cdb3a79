"""What the array functions of all metrics refuse, in one sentence, and what they take."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.random import RandomState

from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import METRICS
from evaluation.metrics.arrays import checked_codes
from evaluation.metrics.beta_vae import differences
from evaluation.metrics.dci import dci
from evaluation.metrics.factor_vae import least_varying_dims
from evaluation.metrics.infomec import infomec
from evaluation.metrics.irs import irs
from evaluation.metrics.mig import mig
from evaluation.metrics.modularity_explicitness import explicitness
from evaluation.metrics.sap_score import accuracies, squared_correlations

GRID = IndexGrid((3, 4))
FACTORS = np.tile(GRID.factors_of(np.arange(12)), (10, 1))
CODES = FACTORS + RandomState(0).normal(size=FACTORS.shape) / 10

OF_ONE_SAMPLE: dict[str, Callable[..., Any]] = {
    "mig": mig,
    "irs": irs,
    "infomec": infomec,
    "squared_correlations": squared_correlations,
}
OF_TWO_SAMPLES: dict[str, Callable[..., Any]] = {
    "dci": dci,
    "sap": accuracies,
    "explicitness": explicitness,
}
DISCRETE = ("mig", "infomec", "dci", "sap", "explicitness")


def call(name: str, codes: Any, factors: Any) -> Any:
    if name in OF_ONE_SAMPLE:
        return OF_ONE_SAMPLE[name](codes, factors)
    return OF_TWO_SAMPLES[name](codes, factors, codes, factors)


def changed(value: float, row: int) -> np.ndarray:
    codes = CODES.copy()
    codes[row, 1] = value
    return codes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("name", [*OF_ONE_SAMPLE, *OF_TWO_SAMPLES])
def test_codes_that_are_not_finite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"^Row 17 of codes has NaN, infinity, or a number that"):
        call(name, changed(value, 17), FACTORS)


@pytest.mark.parametrize("name", OF_TWO_SAMPLES)
def test_test_codes_that_are_not_finite(name: str) -> None:
    with pytest.raises(ValueError, match=r"^Row 3 of test codes has NaN"):
        OF_TWO_SAMPLES[name](CODES, FACTORS, changed(np.nan, 3), FACTORS)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_representations_that_are_not_finite(name: str, value: float) -> None:
    def represent(numbers: np.ndarray) -> np.ndarray:
        codes = GRID.factors_of(numbers).astype(float)
        codes[numbers == 7] = value
        return codes

    sizes = dict.fromkeys(("num_train", "num_eval", "num_test", "num_variance_estimate"), 60)
    compute = METRICS[name].load()
    settings = {key: size for key, size in sizes.items() if key in compute.__annotations__}
    with pytest.raises(ValueError, match=r"^Row \d+ of \w+ has NaN, infinity"):
        compute(GRID, represent, RandomState(0), **settings)


def test_rounds_that_are_not_finite() -> None:
    rounds = np.ones((4, 5, 2))
    rounds[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match=r"^Row 11 of rounds has NaN"):
        least_varying_dims(rounds, np.ones(2), np.ones(2, bool))
    with pytest.raises(ValueError, match=r"^Row 11 of pairs has NaN"):
        differences(rounds.reshape(2, 2, 5, 2))


@pytest.mark.parametrize("kind", ["float16", "float32", ">f4", "float64", "uint8"])
@pytest.mark.parametrize("dims", [2, 5, 33])
def test_the_least_varying_dim_is_that_of_numpys_var(kind: str, dims: int) -> None:
    """Two dims differ in the last bits alone, and one is constant in some rounds."""
    rounds = np.random.default_rng(dims).uniform(0, 20, (400, 64, dims)).astype(kind)
    rounds[..., -1] = rounds[:, ::-1, 0]
    rounds[::7, :, 1] = 1
    variances = np.full_like(rounds[0].var(axis=0), 3)
    expected = [np.argmin(np.var(points, axis=0, ddof=1) / variances) for points in rounds]
    winners = least_varying_dims(rounds, variances, np.ones(dims, bool))
    assert np.array_equal(winners, expected)
    assert len(set(expected)) > 1


@pytest.mark.parametrize("name", DISCRETE)
def test_continuous_factors(name: str) -> None:
    factors = FACTORS + np.array([0.0, 0.25])
    factors[:9] = FACTORS[:9]
    with pytest.raises(ValueError, match=r"^Row 9 of factors has \S+25; discrete factors are"):
        call(name, CODES, factors)


@pytest.mark.parametrize("name", ["irs", "squared_correlations"])
def test_metrics_that_take_continuous_factors(name: str) -> None:
    call(name, CODES, FACTORS / 3)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8, np.int64])
@pytest.mark.parametrize("name", DISCRETE)
def test_whole_numbers_of_any_type_are_discrete_factors(name: str, kind: type) -> None:
    np.testing.assert_equal(call(name, CODES, FACTORS.astype(kind)), call(name, CODES, FACTORS))


@pytest.mark.parametrize("name", [*OF_ONE_SAMPLE, *OF_TWO_SAMPLES])
def test_lists_are_taken(name: str) -> None:
    ours, theirs = call(name, CODES.tolist(), FACTORS.tolist()), call(name, CODES, FACTORS)
    np.testing.assert_equal(ours, theirs)


@pytest.mark.parametrize(
    ("codes", "factors", "sentence"),
    [
        (CODES[:, 0], FACTORS, r"The shape of codes is \(120,\); it must be \(n, d\)"),
        (CODES[:0], FACTORS, r"The shape of codes is \(0, 2\); it must be"),
        (CODES[:, :0], FACTORS, r"The shape of codes is \(120, 0\); it must be"),
        (CODES, FACTORS[:, 0], r"The shape of factors is \(120,\); it must be \(n, k\)"),
        (CODES[:90], FACTORS, r"The shape of codes is \(90, 2\) and that of factors \(120, 2\)"),
        ([[1, 2], [3]], FACTORS, r"The rows of codes differ in length"),
        (CODES.astype(complex), FACTORS, r"The type of codes is complex128"),
        (CODES.astype(str), FACTORS, r"The type of codes is <U"),
        (CODES, FACTORS + np.nan, r"Row 0 of factors has NaN or infinity"),
    ],
)
@pytest.mark.parametrize("name", [*OF_ONE_SAMPLE, *OF_TWO_SAMPLES])
def test_arrays_that_do_not_fit(name: str, codes: Any, factors: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}") as refused:
        call(name, codes, factors)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", OF_TWO_SAMPLES)
def test_samples_that_do_not_fit_each_other(name: str) -> None:
    with pytest.raises(ValueError, match=r"codes is \(120, 2\) and that of test codes \(120, 1\)"):
        OF_TWO_SAMPLES[name](CODES, FACTORS, CODES[:, :1], FACTORS)
    with pytest.raises(ValueError, match=r"test factors \(120, 1\); both need the same number"):
        OF_TWO_SAMPLES[name](CODES, FACTORS, CODES, FACTORS[:, :1])


def test_checked_codes_are_the_same_array() -> None:
    """In the same memory: sums depend on its order in the last bit."""
    codes = np.asfortranarray(CODES)
    assert checked_codes(codes) is codes
