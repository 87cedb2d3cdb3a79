"""What the VAE's codes are asked to be, beside reconstructing: functions of a batch's posterior.

Everywhere `mean`, `logvar` and `latents` are (batch, dims): the parameters of the posterior
q(z|x) and one sample from it. Terms are sums over the batch, divided by the number of dims.
"""

import math

import gin
import torch
from torch import Tensor, nn


def kl_divergence(mean: Tensor, logvar: Tensor, log_precision: Tensor | None = None) -> Tensor:
    """KL of the posterior from a normal prior N(0, 1 / precision), summed over batch and dims.

    With the standard normal prior (no `log_precision`) this is appendix B of Kingma and Welling
    (arXiv 1312.6114); with a learned one, (dims,), the prior of Bayes-Factor-VAE-0 (Kim et al.,
    arXiv 1909.02820).
    """
    spread = mean.square() + logvar.exp()
    if log_precision is not None:
        spread = spread * log_precision.exp()
        logvar = logvar + log_precision
    return 0.5 * (spread - logvar - 1).sum()


def variance_penalty(log_precision: Tensor) -> Tensor:
    """How far the prior's variances (dims,) are from one: squares, summed (arXiv 1909.02820)."""
    return (torch.exp(-log_precision) - 1).square().sum()


def total_correlation(latents: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """Dependence between the dims of the aggregate posterior, summed over the batch.

    log q(z) - sum over dims of log q(z_d), with q taken as the mixture of the batch's posteriors;
    the constants of Chen et al.'s estimator (arXiv 1802.04942), which have no gradient, are left
    out as in the original.
    """
    deviations = (latents[:, None] - mean[None]).square() * torch.exp(-logvar)[None]
    log_densities = -0.5 * (math.log(2 * math.pi) + logvar[None] + deviations)
    log_joint = log_densities.sum(2).logsumexp(1)
    log_marginals = log_densities.logsumexp(1).sum(1)
    return (log_joint - log_marginals).sum()


@gin.configurable
class RegularizationLoss(nn.Module):
    """The regularising losses by the names under which `train_vae.loss_weights` knows them.

    `KLD` always; `alpha_penalty` with the learned-variance prior; `TC` where it is asked for.

    Args:
        scale_by_batch: Whether every term is divided by the batch size.
        use_bayes_factor_vae0_loss: Whether the prior's variances are learned.
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
