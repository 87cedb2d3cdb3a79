"""The linear step after the codes: against the sources that were mixed, and against NumPy."""

import numpy as np
import pytest
import torch

from submission.vae.postprocessing import fit_postprocessing


def mixed() -> tuple[np.ndarray, np.ndarray]:
    """Three independent uniform sources, and four codes: their mixtures and a constant."""
    random_state = np.random.RandomState(0)
    sources = random_state.uniform(-1, 1, (4000, 3))
    codes = sources @ random_state.randn(3, 3) * 0.1 + [3, 0, -2]
    return sources, np.column_stack([codes, np.full(4000, 7.0)]).astype(np.float32)


def test_ica_finds_the_sources() -> None:
    sources, codes = mixed()
    found = fit_postprocessing(codes, seed=1, method="ica")(torch.from_numpy(codes)).numpy()
    assert found.shape == (4000, 3)
    alike = np.abs(np.corrcoef(sources.T, found.T)[:3, 3:])
    assert sorted(alike.argmax(1)) == [0, 1, 2] and alike.max(1).min() > 0.98
    assert found.std(0) == pytest.approx(1, abs=0.01)


def test_normalised_codes_have_mean_0_and_variance_1() -> None:
    _, codes = mixed()
    found = fit_postprocessing(codes, seed=1, method="normalise")(torch.from_numpy(codes)).numpy()
    assert found.mean(0) == pytest.approx(0, abs=1e-3)
    assert found.std(0) == pytest.approx([1, 1, 1, 0], abs=1e-3)


def test_none_changes_nothing() -> None:
    _, codes = mixed()
    assert torch.equal(fit_postprocessing(codes, seed=1)(torch.ones(2, 4)), torch.ones(2, 4))
