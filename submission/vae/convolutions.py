"""The convolutional encoder and decoder of images that disentanglement_lib trains.

They are its `conv_encoder` and `deconv_decoder`, after the networks for Chairs of beta-VAE (Higgins
et al. 2017, table 1), with its initial weights: Glorot's, and zero biases.
"""

import math
from collections.abc import Sequence

import gin
from torch import Tensor, nn

from evaluation.common.errors import KitError
from submission.vae.likelihoods import BernoulliLikelihood

_HALVINGS = 4
"""Convolutions of stride 2 in the encoder, and transposed ones in the decoder."""
_CHANNELS = 64
"""Channels of the smallest maps."""


@gin.configurable(denylist=["feature_shape", "latent_dims"])
class ConvEncoder(nn.Module):
    """Images (batch, channels * H * W) to the posterior's mean and log variance, (batch, dims).

    Args:
        feature_shape: Channels, height and width of the images, (channels, H, W).
        latent_dims: Number of latents.

    Raises:
        KitError: `CONFIG-IMAGES`, the features are no images, or H or W is no multiple of 16.
    """

    def __init__(self, feature_shape: Sequence[int], latent_dims: int) -> None:
        super().__init__()
        channels, *size = _image_shape(feature_shape)
        self.tail = nn.Sequential(
            nn.Unflatten(1, (channels, *size)),
            nn.Conv2d(channels, 32, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=2, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, _CHANNELS, kernel_size=2, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(math.prod(_smallest_maps(size)), 256),
            nn.ReLU(),
        )
        self.head_mu = nn.Linear(256, latent_dims)
        self.head_logvar = nn.Linear(256, latent_dims)
        glorot(self)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.tail(images.flatten(1))
        return self.head_mu(hidden), self.head_logvar(hidden)


@gin.configurable(denylist=["feature_shape", "latent_dims"])
class ConvDecoder(nn.Module):
    """Latents (batch, dims) to the logits (batch, channels, H, W) of a Bernoulli likelihood.

    Args:
        feature_shape, latent_dims: As in `ConvEncoder`.

    Raises:
        KitError: `CONFIG-IMAGES`, as in `ConvEncoder`.
    """

    def __init__(self, feature_shape: Sequence[int], latent_dims: int) -> None:
        super().__init__()
        channels, *size = _image_shape(feature_shape)
        maps = _smallest_maps(size)
        self.layers = nn.Sequential(
            nn.Linear(latent_dims, 256),
            nn.ReLU(),
            nn.Linear(256, math.prod(maps)),
            nn.ReLU(),
            nn.Unflatten(1, maps),
            nn.ConvTranspose2d(_CHANNELS, 64, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 32, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, channels, kernel_size=4, stride=2, padding=1),
        )
        self.output_dist = BernoulliLikelihood()
        glorot(self)

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(latents)


def glorot(module: nn.Module) -> None:
    """Gives every layer TensorFlow's default weights: uniform as Glorot's, and zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _smallest_maps(size: Sequence[int]) -> tuple[int, int, int]:
    height, width = (side // 2**_HALVINGS for side in size)
    return _CHANNELS, height, width


def _image_shape(feature_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(feature_shape) != 3 or any(side % 2**_HALVINGS for side in feature_shape[1:]):
        raise KitError(
            "CONFIG-IMAGES",
            f"the features have the shape {tuple(feature_shape)}, but ConvEncoder and ConvDecoder "
            f"need (channels, height, width), both sides multiples of {2**_HALVINGS}",
            "Set get_feature_extractor.model_name = 'Pixels', "
            "get_feature_extractor.interpolation_size = (64, 64) and main.transform_class = "
            "@IdentityTransform, or train_vae.encoder_class = @Encoder and "
            "train_vae.decoder_class = @Decoder",
        )
    channels, height, width = feature_shape
    return channels, height, width
