"""The VAE's losses beside the reconstruction: functions of the posterior of a batch.

`mean`, `logvar` and `latents` are always (batch, dims): the parameters of the posterior q(z|x), and
one sample from it. The functions return sums over the batch.
"""

import math

import gin
import torch
from torch import Tensor, nn


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

    `KLD` is always there, `alpha_penalty` with a learned prior, and `TC` with `use_tc_loss`. Each
    is divided by the number of dims.

    Args:
        latent_dims: Number of latents.
        scale_by_batch: Whether every loss is also divided by the batch size.
        use_bayes_factor_vae0_loss: Whether the prior's variances are learned.
        use_tc_loss: Whether the total correlation is a loss.
    """

    def __init__(
        self,
        latent_dims: int,
        scale_by_batch: bool = True,
        use_bayes_factor_vae0_loss: bool = False,
        use_tc_loss: bool = False,
    ) -> None:
        super().__init__()
        self.scale_by_batch = scale_by_batch
        self.use_tc_loss = use_tc_loss
        self.log_precision = (
            nn.Parameter(torch.zeros(1, latent_dims)) if use_bayes_factor_vae0_loss else None
        )

    def forward(self, latents: Tensor, mean: Tensor, logvar: Tensor) -> dict[str, Tensor]:
        losses = {"KLD": kl_divergence(mean, logvar, self.log_precision)}
        if self.log_precision is not None:
            losses["alpha_penalty"] = variance_penalty(self.log_precision)
        if self.use_tc_loss:
            losses["TC"] = total_correlation(latents, mean, logvar)
        batch, dims = mean.shape
        divisor = dims * batch if self.scale_by_batch else dims
        return {name: loss / divisor for name, loss in losses.items()}
