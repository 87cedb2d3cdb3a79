"""Lines of one dim against scikit-learn's LinearSVC."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from evaluation.metrics.linear_svc import count_hits, fit_lines

_RNG = np.random.default_rng(0)
_LABELS = {
    "two classes": _RNG.integers(2, size=600),
    "four classes": _RNG.integers(4, size=600),
    "one rare class": np.where(np.arange(600) < 2, 2, np.arange(600) % 2),
}
_NOISE = _RNG.normal(size=600)
_CODES = {
    "normal": lambda labels: labels + _NOISE,
    "descending": lambda labels: _NOISE - 3 * labels,
    "far from 0": lambda labels: 1000 + labels + _NOISE,
    "heavy tails": lambda labels: labels + np.sinh(4 * _NOISE),
    "large": lambda labels: 1e20 * (labels + _NOISE),
    "two values": lambda labels: (labels > 0) * 1.0,
}


@pytest.mark.parametrize("labels", _LABELS.values(), ids=_LABELS)
@pytest.mark.parametrize("kind", _CODES)
def test_lines_are_those_of_scikit_learn(kind: str, labels: np.ndarray) -> None:
    codes = _CODES[kind](labels)
    ascending = np.argsort(codes)
    lines = fit_lines(codes[ascending], labels[ascending], int(labels.max()) + 1)

    model = LinearSVC(C=0.01, class_weight="balanced").fit(codes[:, np.newaxis], labels)
    theirs = np.column_stack((model.coef_, model.intercept_))
    scale = np.array([1 / np.abs(codes).max(), 1])  # what either unknown adds to a height
    np.testing.assert_allclose(lines / scale, theirs / scale, rtol=1e-7, atol=1e-7)
    hits = np.sum(model.predict(codes[:, np.newaxis]) == labels)
    assert count_hits(lines, codes, labels) == hits
