"""What all codes together tell, of few images and of many codes."""

import numpy as np
import pytest

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
