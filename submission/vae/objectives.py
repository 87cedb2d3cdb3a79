"""The VAE's losses beside the reconstruction: functions of the posterior of a batch.

`mean`, `logvar` and `latents` are always (batch, dims): the parameters of the posterior q(z|x), and
one sample from it. The functions return sums over the batch.
"""

import math
from typing import Annotated, Literal

import gin
import torch
from torch import Tensor, nn

from evaluation.common.gin_types import Range
from submission.vae.capacity import CapacityGap
from submission.vae.discriminator import Discriminator, permuted_dims


def kl_divergence(mean: Tensor, logvar: Tensor, log_precision: Tensor | None = None) -> Tensor:
    """KL divergence of the posterior from a normal prior N(0, 1 / precision), a scalar.

    It is summed over batch and dims. Without `log_precision`, the prior is standard normal:
    appendix B of Kingma and Welling (arXiv 1312.6114). With a learned `log_precision` (1, dims), it
    is the prior of Bayes-Factor-VAE-0 (Kim et al., arXiv 1909.02820).
    """
    return 0.5 * _twice_divergences(mean, logvar, log_precision).sum()


def divergences(mean: Tensor, logvar: Tensor, log_precision: Tensor | None = None) -> Tensor:
    """The terms (batch, dims) that `kl_divergence` sums."""
    return 0.5 * _twice_divergences(mean, logvar, log_precision)


def _twice_divergences(mean: Tensor, logvar: Tensor, log_precision: Tensor | None) -> Tensor:
    spread = mean.square() + logvar.exp()
    if log_precision is not None:
        spread = spread * log_precision.exp()
        logvar = logvar + log_precision
    return spread - logvar - 1


def variance_penalty(log_precision: Tensor) -> Tensor:
    """The sum of squared differences between the prior's variances and 1 (arXiv 1909.02820).

    Args:
        log_precision: (1, dims).
    """
    return (torch.exp(-log_precision) - 1).square().sum()


def total_correlation(latents: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """The dependence between the dims of the aggregate posterior, a scalar.

    It is log q(z) - sum over dims of log q(z_d), summed over the batch, where q is the mixture of
    the batch's posteriors. The estimator of Chen et al. (arXiv 1802.04942) has additional constants
    without a gradient. They are omitted, as in the original.
    """
    deviations = (latents[:, None] - mean[None]).square() * torch.exp(-logvar)[None]
    log_densities = -0.5 * (math.log(2 * math.pi) + logvar[None] + deviations)
    log_joint = log_densities.sum(2).logsumexp(1)
    log_marginals = log_densities.logsumexp(1).sum(1)
    return (log_joint - log_marginals).sum()


@gin.configurable
class RegularizationLoss(nn.Module):
    """The regularising losses: name in `train_vae.loss_weights` -> scalar.

    `KLD` is always there, `alpha_penalty` with a learned prior, `TC` with `use_tc_loss`,
    `discriminator` if that estimates the total correlation, and `capacity_gap` with `capacity`.

    Args:
        latent_dims: Number of latents.
        scale_by_batch: Whether every loss is also divided by the batch size.
        use_bayes_factor_vae0_loss: Whether the prior's variances are learned.
        use_tc_loss: Whether the total correlation is a loss.
        scale_by_dims: Whether every loss is divided by the number of dims.
        tc_estimator: `minibatch`, from the batch's posteriors (beta-TCVAE), or `discriminator`
            (FactorVAE), which is trained along.
        capacity: What the divergence shall reach in the end (AnnealedVAE), scaled as `KLD` is; None
            for no such loss.
        capacity_steps: Number of training steps in which it grows from 0 to `capacity`.
    """

    def __init__(
        self,
        latent_dims: int,
        scale_by_batch: bool = True,
        use_bayes_factor_vae0_loss: bool = False,
        use_tc_loss: bool = False,
        scale_by_dims: bool = True,
        tc_estimator: Literal["minibatch", "discriminator"] = "minibatch",
        capacity: Annotated[float, Range(0)] | None = None,
        capacity_steps: Annotated[int, Range(1)] = 100_000,
    ) -> None:
        super().__init__()
        self.scale_by_batch = scale_by_batch
        self.scale_by_dims = scale_by_dims
        self.use_tc_loss = use_tc_loss
        by_discriminator = use_tc_loss and tc_estimator == "discriminator"
        self.discriminator = Discriminator(latent_dims) if by_discriminator else None
        self.capacity_gap = None if capacity is None else CapacityGap(capacity, capacity_steps)
        self.log_precision = (
            nn.Parameter(torch.zeros(1, latent_dims)) if use_bayes_factor_vae0_loss else None
        )

    def forward(self, latents: Tensor, mean: Tensor, logvar: Tensor) -> dict[str, Tensor]:
        losses = {"KLD": kl_divergence(mean, logvar, self.log_precision)}
        if self.log_precision is not None:
            losses["alpha_penalty"] = variance_penalty(self.log_precision)
        if self.discriminator is not None:
            losses["TC"] = self.discriminator.total_correlation(latents)
            losses["discriminator"] = self.discriminator.loss(latents, permuted_dims(latents))
        elif self.use_tc_loss:
            losses["TC"] = total_correlation(latents, mean, logvar)
        batch, dims = mean.shape
        divisor = (dims if self.scale_by_dims else 1) * (batch if self.scale_by_batch else 1)
        scaled = {name: loss / divisor for name, loss in losses.items()}
        if self.capacity_gap is not None:
            scaled["capacity_gap"] = self.capacity_gap(scaled["KLD"])
        return scaled

    def count_step(self) -> None:
        """To be called after each training step."""
        # Not in `forward`: compiled gradients would be those of the next step's capacity.
        if self.capacity_gap is not None:
            self.capacity_gap.steps_made += 1
