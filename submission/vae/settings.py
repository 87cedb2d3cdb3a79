"""The settings of the VAE's training: gin's `train_vae`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import gin
from torch import nn

from evaluation.common.gin_types import Range
from submission.runtime.optimizers import OptimizerName
from submission.vae.model import VAE, Decoder, Encoder
from submission.vae.schedules import BetaSchedule, LRSchedule


@gin.configurable("train_vae")
@dataclass
class VAETraining:
    """What is trained, and how.

    Args:
        lr: Learning rate, or with `schedule_lr` the one that `LRSchedule` warms up to.
        adam_beta1: First beta of Adam and RAdam.
        loss_weights: Factor of each loss by its name (`MSE`, `KLD`, `alpha_penalty`, `TC`), 1
            where not given.
        clip_gradients: Bound on the absolute value of each entry of the gradients.
        encoder_class, decoder_class: Called with `feature_shape` and `latent_dims`.
        schedule_classes: Schedules of loss weights, by the loss's name.
        beta_schedule_class: Schedule of the weight of `KLD`.
    """

    lr: Annotated[float, Range(0)] = 1e-3
    schedule_lr: bool = False
    latent_dims: Annotated[int, Range(1)] = 16
    epochs: Annotated[int, Range(1)] = 100
    optimizer_name: OptimizerName = "adam"
    adam_beta1: Annotated[float, Range(0, 1)] = 0.5
    loss_weights: Mapping[str, float] | None = None
    clip_gradients: Annotated[float, Range(0)] | None = None
    encoder_class: type[nn.Module] = Encoder
    decoder_class: type[nn.Module] = Decoder
    schedule_classes: Mapping[str, type[BetaSchedule]] | None = None
    beta_schedule_class: type[BetaSchedule] = BetaSchedule

    def __post_init__(self) -> None:
        classes = {**(self.schedule_classes or {}), "KLD": self.beta_schedule_class}
        self._schedules = {name: schedule_class() for name, schedule_class in classes.items()}
        self._lr_schedule = LRSchedule(self.lr) if self.schedule_lr else None

    def build(self, feature_shape: Sequence[int]) -> VAE:
        """The VAE with fresh weights, drawn from PyTorch's own stream."""
        encoder = self.encoder_class(feature_shape, self.latent_dims)
        decoder = self.decoder_class(feature_shape, self.latent_dims)
        return VAE(encoder, decoder, self.latent_dims)

    def lr_at(self, epoch: int) -> float:
        """The learning rate in a zero-based epoch."""
        return self.lr if self._lr_schedule is None else self._lr_schedule(epoch)

    def loss_weights_at(self, epoch: int) -> dict[str, float]:
        """The losses' weights in a zero-based epoch, of all that differ from 1."""
        scheduled = {name: schedule(epoch) for name, schedule in self._schedules.items()}
        return {**(self.loss_weights or {}), **scheduled}
