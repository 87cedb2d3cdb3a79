"""The decoder's distribution of the features.

It is a Gaussian of fixed variance around its mean, or of pixels a Bernoulli distribution.
"""

from typing import ClassVar

import gin
import torch
from torch import Tensor, nn
from torch.nn import functional


class Likelihood(nn.Module):
    """The last layer of a decoder, which gives the mean, and the loss of this mean.

    Args:
        input_dims: Number of hidden values; with maps, at each position of the map.
        output_dims: Number of values of a feature vector, or of channels of maps.
        scale_mean_zero_one: Whether a sigmoid keeps the mean in (0, 1).
        scale_loss_by_batch: Whether the summed squared error is divided by the batch size.
        scale_loss_by_dims: Whether it is divided by the number of values in one observation.
    """

    name: ClassVar[str] = "MSE"
    on_maps: ClassVar[bool]

    def __init__(
        self,
        input_dims: int,
        output_dims: int,
        scale_mean_zero_one: bool = True,
        scale_loss_by_batch: bool = True,
        scale_loss_by_dims: bool = False,
    ) -> None:
        super().__init__()
        self.mean: nn.Module = (
            nn.Conv2d(input_dims, output_dims, kernel_size=1)
            if self.on_maps
            else nn.Linear(input_dims, output_dims)
        )
        self.scale_mean_zero_one = scale_mean_zero_one
        self.scale_loss_by_batch = scale_loss_by_batch
        self.scale_loss_by_dims = scale_loss_by_dims

    def forward(self, hidden: Tensor) -> Tensor:
        mean = self.mean(hidden)
        return torch.sigmoid(mean) if self.scale_mean_zero_one else mean

    def mean_of(self, output: Tensor) -> Tensor:
        """The mean of the distribution that the decoder's output stands for: itself."""
        return output

    def loss(self, mean: Tensor, features: Tensor) -> Tensor:
        """The squared error of `mean`, summed over batch and values, then divided as configured.

        Both arguments have the shape (batch, *feature_shape).
        """
        loss = functional.mse_loss(mean, features, reduction="sum")
        if self.scale_loss_by_batch:
            loss = loss / len(features)
        if self.scale_loss_by_dims:
            loss = loss / features[0].numel()
        return loss


@gin.configurable(denylist=["input_dims", "output_dims"])
class GaussianLikelihood(Likelihood):
    """For vectors: hidden values (batch, input_dims) to the mean (batch, output_dims)."""

    on_maps = False


@gin.configurable(denylist=["input_dims", "output_dims"])
class GaussianLikelihood2d(Likelihood):
    """For maps: hidden values (batch, input_dims, H, W) to the mean (batch, output_dims, H, W)."""

    on_maps = True


class BernoulliLikelihood(nn.Module):
    """For images in [0, 1], as in disentanglement_lib: a decoder gives the logit of each value."""

    name: ClassVar[str] = "BCE"

    def mean_of(self, logits: Tensor) -> Tensor:
        """The mean of each value, in (0, 1)."""
        return logits.sigmoid()

    def loss(self, logits: Tensor, images: Tensor) -> Tensor:
        """The cross entropy, summed over the values of an image, and its mean over the batch.

        Both arguments have the shape (batch, channels, height, width).
        """
        total = functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        return total / len(images)
