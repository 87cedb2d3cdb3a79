"""The variational autoencoder on features, and the representation that it gives.

`feature_shape` is (dims,) for vectors or (channels, height, width) for maps. The modules have the
names of the original, so its weights can be loaded.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

import gin
import torch
from torch import Tensor, nn

from evaluation.common.errors import KitError
from submission.vae.likelihoods import BernoulliLikelihood, GaussianLikelihood, Likelihood
from submission.vae.objectives import RegularizationLoss

Init = Literal["default", "orthogonal"]


@gin.configurable(denylist=["feature_shape", "latent_dims"])
class Encoder(nn.Module):
    """Features (batch, *feature_shape) to the posterior's mean and log variance, (batch, dims).

    A hidden layer is linear, batch norm, ReLU and dropout.

    Args:
        feature_shape: Shape of one image's features.
        latent_dims: Number of latents.
        features_per_layer: Widths of the hidden layers.
        batch_norm: Whether hidden layers have batch norm; their linear layers then have no bias.
        dropout: Probability that a hidden value is dropped in training.
        init: `orthogonal` linear weights with zero biases, or PyTorch's `default`.
    """

    def __init__(
        self,
        feature_shape: Sequence[int],
        latent_dims: int,
        features_per_layer: Sequence[int] = (256, 128, 64),
        batch_norm: bool = False,
        dropout: float = 0.0,
        init: Init = "default",
    ) -> None:
        super().__init__()
        widths = [math.prod(feature_shape), *features_per_layer]
        self.tail = _hidden_layers(widths, batch_norm, dropout)
        self.head_mu = nn.Linear(widths[-1], latent_dims)
        self.head_logvar = nn.Linear(widths[-1], latent_dims)
        _initialise(self, init)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.tail(features.flatten(1))
        return self.head_mu(hidden), self.head_logvar(hidden)


@gin.configurable(denylist=["feature_shape", "latent_dims"])
class Decoder(nn.Module):
    """Latents (batch, dims) to the likelihood's mean (batch, *feature_shape).

    With a likelihood for maps this is a spatial broadcast decoder (Watters et al., arXiv
    1901.07017) of 1x1 convolutions. At each position of the map, the hidden layers get the latents
    and the two coordinates of the position, in [-1, 1].

    Args:
        feature_shape, latent_dims: As in `Encoder`.
        features_per_layer, batch_norm, dropout, init: As in `Encoder`.
        likelihood_class: `GaussianLikelihood` for vectors, or `GaussianLikelihood2d` for maps.

    Raises:
        KitError: `CONFIG-LIKELIHOOD`, a likelihood for maps, but features that are vectors.
    """

    def __init__(
        self,
        feature_shape: Sequence[int],
        latent_dims: int,
        features_per_layer: Sequence[int] = (64, 128, 256),
        batch_norm: bool = False,
        dropout: float = 0.0,
        init: Init = "default",
        likelihood_class: type[Likelihood] = GaussianLikelihood,
    ) -> None:
        super().__init__()
        self.feature_shape = tuple(feature_shape)
        self.register_buffer("places", None, persistent=False)
        input_dims, output_dims = latent_dims, math.prod(feature_shape)
        if likelihood_class.on_maps:
            if len(self.feature_shape) != 3:
                raise KitError(
                    "CONFIG-LIKELIHOOD",
                    f"{likelihood_class.__name__} needs maps, but the features are vectors of "
                    f"{output_dims} dims",
                    "Set main.transform_class = @IdentityTransform with an extractor that gives "
                    "maps, or Decoder.likelihood_class = @GaussianLikelihood",
                )
            input_dims, output_dims = latent_dims + 2, self.feature_shape[0]
            self.places = _places(*self.feature_shape[1:])
        widths = [input_dims, *features_per_layer]
        self.layers = _hidden_layers(widths, batch_norm, dropout)
        self.output_dist = likelihood_class(widths[-1], output_dims)
        _initialise(self, init)

    def forward(self, latents: Tensor) -> Tensor:
        if self.places is None:
            return self.output_dist(self.layers(latents)).unflatten(1, self.feature_shape)
        rows = torch.cat(
            [
                latents.repeat_interleave(len(self.places), dim=0),
                self.places.repeat(len(latents), 1),
            ],
            dim=1,
        )
        maps = self.layers(rows).view(len(latents), *self.feature_shape[1:], -1)
        return self.output_dist(maps.permute(0, 3, 1, 2))


class VAE(nn.Module):
    """Encoder, decoder and the losses of a batch. The caller gives the noise for sampling."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent_dims: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.reg_loss = RegularizationLoss(latent_dims)

    def forward(self, features: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The decoder's output, latents, and the posterior's mean and log variance, in float32.

        Args:
            noise: (batch, latent_dims), standard normal.
        """
        mean, logvar = self.encoder(features)
        mean, logvar = mean.float(), logvar.float()
        latents = mean + noise * torch.exp(0.5 * logvar)
        return self.decoder(latents).float(), latents, mean, logvar

    def losses(
        self,
        features: Tensor,
        reconstruction: Tensor,
        latents: Tensor,
        mean: Tensor,
        logvar: Tensor,
    ) -> dict[str, Tensor]:
        """Name in `train_vae.loss_weights` -> loss, a scalar.

        The arguments are a batch's features and the four results of `forward`.
        """
        likelihood = self._likelihood
        return {
            likelihood.name: likelihood.loss(reconstruction, features),
            **self.reg_loss(latents, mean, logvar),
        }

    def reconstruct(self, latents: Tensor) -> Tensor:
        """The mean (batch, *feature_shape) of the features that latents (batch, dims) stand for."""
        return self._likelihood.mean_of(self.decoder(latents))

    @property
    def _likelihood(self) -> Likelihood | BernoulliLikelihood:
        return cast(Likelihood | BernoulliLikelihood, self.decoder.output_dist)


class PosteriorMean(nn.Module):
    """Features (batch, *feature_shape) to the posterior mean (batch, dims), or some of its dims.

    Args:
        encoder: An `Encoder`.
        dims: Numbers (n,) of the dims to keep; None keeps all.
    """

    def __init__(self, encoder: nn.Module, dims: Tensor | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("dims", dims)

    def forward(self, features: Tensor) -> Tensor:
        mean = self.encoder(features)[0]
        return mean if self.dims is None else mean.index_select(1, self.dims)


@gin.configurable(denylist=["vae"])
def get_representation_extractor(vae: VAE, top_n_variance_dims: int | None = None) -> PosteriorMean:
    """The posterior mean, of all dims or of those with the largest learned prior variance.

    Args:
        vae: The trained VAE.
        top_n_variance_dims: How many dims to keep; None keeps all. Without a learned prior
            variance, all are kept.

    Raises:
        KitError: `CONFIG-DIMS`, `top_n_variance_dims` is not between 1 and the number of latents.
    """
    log_precision = vae.reg_loss.log_precision
    if top_n_variance_dims is None or log_precision is None:
        return PosteriorMean(vae.encoder)
    if not 1 <= top_n_variance_dims <= log_precision.numel():
        raise KitError(
            "CONFIG-DIMS",
            f"top_n_variance_dims is {top_n_variance_dims}, but there are "
            f"{log_precision.numel()} latents",
            "Set get_representation_extractor.top_n_variance_dims to a number from 1 to "
            f"{log_precision.numel()}",
        )
    largest = log_precision.detach()[0].topk(top_n_variance_dims, largest=False)
    return PosteriorMean(vae.encoder, largest.indices)


def _hidden_layers(widths: Sequence[int], batch_norm: bool, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers.append(nn.Linear(inputs, outputs, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(nn.ReLU())
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def _initialise(module: nn.Module, init: Init) -> None:
    if init == "default":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _places(height: int, width: int) -> Tensor:
    """Coordinates (height * width, 2) of a map's positions, row by row, in [-1, 1]."""
    rows, columns = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    return torch.cartesian_prod(rows, columns)
