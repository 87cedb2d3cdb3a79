"""What all codes together tell, of few images and of many codes."""

from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB

from evaluation.report.findings.walks import told_together


@pytest.mark.parametrize(("images", "dims"), [(12, 3), (60, 40), (400, 2048), (500, 3)])
def test_codes_that_hold_a_factor_tell_it(images: int, dims: int) -> None:
    generator = np.random.default_rng(0)
    factors = np.stack([np.arange(images) % 3, generator.integers(4, size=images)], axis=1)
    codes = np.repeat(factors[:, :1] * 10.0, dims, axis=1) + generator.normal(size=(images, dims))
    codes[:, 1] = 7.0  # a dead one
    told, other = told_together(codes, factors)
    assert told == 1.0
    assert other < 0.7


@pytest.mark.parametrize(
    ("images", "dims", "known"),
    [(1_000, 5, QuadraticDiscriminantAnalysis(reg_param=1e-3)), (100, 40, GaussianNB())],
)
def test_the_classifiers_are_those_of_scikit_learn(images: int, dims: int, known: Any) -> None:
    generator = np.random.default_rng(0)
    values = np.arange(images) % 3
    codes = generator.normal(size=(images, dims)) + 0.2 * values[:, np.newaxis]
    scaled = codes / codes.std(axis=0)
    order = np.random.default_rng(0).permutation(images)
    learned, asked = np.split(order, [images * 4 // 5])
    known.fit(scaled[learned], values[learned])
    expected = known.score(scaled[asked], values[asked])
    assert told_together(codes, values[:, np.newaxis]) == [expected]
    assert 0.35 < expected < 0.95
