"""FactorVAE's estimate of the total correlation, by a network that learns beside the VAE.

Kim and Mnih, "Disentangling by Factorising" (arXiv 1802.05983), as in disentanglement_lib.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import gin
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.common.gin_types import Range
from submission.vae.convolutions import glorot


@gin.configurable(denylist=["latent_dims"])
class Discriminator(nn.Module):
    """Latents (batch, dims) to logits (batch, 2): a row as it is, or of a permuted batch.

    In a permuted batch the dims are independent, so the difference of the logits estimates the
    logarithm of q(z) / prod_d q(z_d).

    Args:
        latent_dims: Number of latents.
        features_per_layer: Widths of the hidden layers, each followed by a leaky ReLU.
        lr: Learning rate; no schedule changes it.
        betas: Both betas of Adam or RAdam.
    """

    def __init__(
        self,
        latent_dims: int,
        features_per_layer: Sequence[int] = (1000,) * 6,
        lr: Annotated[float, Range(0)] = 1e-4,
        betas: Sequence[float] = (0.5, 0.9),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([latent_dims, *features_per_layer]):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear([latent_dims, *features_per_layer][-1], 2))
        self.lr = lr
        self.betas = tuple(betas)
        glorot(self)

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(latents)

    def total_correlation(self, latents: Tensor) -> Tensor:
        """The estimate, summed over the batch. It has gradients for the latents alone."""
        frozen = {name: weight.detach() for name, weight in self.named_parameters()}
        logits = torch.func.functional_call(self, frozen, (latents,))
        return (logits[:, 0] - logits[:, 1]).sum()

    def loss(self, latents: Tensor, permuted: Tensor) -> Tensor:
        """Half the cross entropies of both kinds of rows, summed over the batch.

        It has gradients for the discriminator alone.
        """
        as_it_is, mixed = self(latents.detach()), self(permuted.detach())
        own = torch.zeros(len(latents), dtype=torch.long, device=latents.device)
        return 0.5 * (
            functional.cross_entropy(as_it_is, own, reduction="sum")
            + functional.cross_entropy(mixed, own + 1, reduction="sum")
        )


def permuted_dims(latents: Tensor) -> Tensor:
    """Each dim of (batch, dims) in a random order of its own, by PyTorch's global generator."""
    return latents.gather(0, torch.rand_like(latents).argsort(0))
