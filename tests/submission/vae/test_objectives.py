"""The losses against torch.distributions and numbers worked by hand."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from submission.vae import objectives
from submission.vae.objectives import RegularizationLoss


@pytest.fixture
def posterior() -> tuple[Tensor, Tensor, Tensor]:
    """Latents, mean and log variance of 9 rows and 4 dims."""
    generator = torch.Generator().manual_seed(0)
    mean, logvar, noise = torch.randn(3, 9, 4, generator=generator, dtype=torch.float64)
    return mean + noise * (logvar / 2).exp(), mean, logvar


def test_kl_divergence_from_the_standard_normal(posterior) -> None:
    _, mean, logvar = posterior
    expected = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(objectives.kl_divergence(mean, logvar), expected)


def test_kl_divergence_from_a_prior_of_learned_variance(posterior) -> None:
    _, mean, logvar = posterior
    log_precision = torch.tensor([[0.5, -1.0, 0.0, 2.0]], dtype=torch.float64)
    prior = Normal(torch.zeros(1, 4, dtype=torch.float64), (-log_precision / 2).exp())
    expected = kl_divergence(Normal(mean, (logvar / 2).exp()), prior).sum()
    found = objectives.kl_divergence(mean, logvar, log_precision)
    torch.testing.assert_close(found, expected)


def test_variance_penalty() -> None:
    log_precision = torch.log(torch.tensor([[1.0, 2.0, 0.5]]))  # variances 1, 1/2 and 2
    assert objectives.variance_penalty(log_precision).item() == pytest.approx(0.25 + 1)


def test_total_correlation_is_that_of_the_mixture_of_posteriors(posterior) -> None:
    latents, mean, logvar = posterior
    rows, dims = mean.shape
    std = (logvar / 2).exp()
    uniform = Categorical(torch.ones(rows, dtype=torch.float64))
    joint = MixtureSameFamily(uniform, Independent(Normal(mean, std), 1))
    marginals = MixtureSameFamily(
        Categorical(torch.ones(dims, rows, dtype=torch.float64)), Normal(mean.T, std.T)
    )
    dependence = (joint.log_prob(latents) - marginals.log_prob(latents).sum(1)).sum()
    # The original leaves the mixtures' 1 / rows out: once of the joint, once of each marginal.
    constant = rows * (dims - 1) * math.log(rows)
    found = objectives.total_correlation(latents, mean, logvar)
    torch.testing.assert_close(found, dependence - constant)


def test_losses_are_divided_by_dims_and_if_asked_by_the_batch(posterior) -> None:
    latents, mean, logvar = posterior
    options = {"use_bayes_factor_vae0_loss": True, "use_tc_loss": True}
    summed = RegularizationLoss(4, scale_by_batch=False, **options)(latents, mean, logvar)
    scaled = RegularizationLoss(4, scale_by_batch=True, **options)(latents, mean, logvar)
    assert list(summed) == list(scaled) == ["KLD", "alpha_penalty", "TC"]
    torch.testing.assert_close(summed["KLD"], objectives.kl_divergence(mean, logvar) / 4)
    tc = objectives.total_correlation(latents, mean, logvar)
    torch.testing.assert_close(summed["TC"], tc / 4)
    for name in summed:
        torch.testing.assert_close(scaled[name], summed[name] / 9)


def test_only_what_is_asked_for_is_there(posterior) -> None:
    loss = RegularizationLoss(4)
    assert list(loss(*posterior)) == ["KLD"]
    assert not list(loss.parameters())
