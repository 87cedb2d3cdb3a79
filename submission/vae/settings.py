"""The settings of the VAE's training: gin's `train_vae`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import gin
import torch
from torch import nn

from evaluation.common.gin_types import Range
from submission.runtime.optimizers import OptimizerName, make_optimizer
from submission.vae.model import VAE, Decoder, Encoder
from submission.vae.schedules import BetaSchedule, LRSchedule


@gin.configurable("train_vae")
@dataclass
class VAETraining:
    """The settings of the VAE and of its training.

    Args:
        lr: Learning rate. With `schedule_lr`, the rate after the warm-up of `LRSchedule`.
        schedule_lr: Whether `LRSchedule` changes the learning rate.
        latent_dims: Number of latents.
        epochs: Number of epochs, unless `steps` is set.
        steps: Number of training steps, one for each batch; the last epoch ends with them. None
            trains for `epochs`.
        optimizer_name: The optimiser.
        adam_beta1: First beta of Adam and RAdam.
        loss_weights: Name of a loss (`MSE` or `BCE`, `KLD`, `alpha_penalty`, `TC`,
            `discriminator`, `capacity_gap`) -> its weight; 1 for losses without an entry.
        clip_gradients: Bound on the absolute value of each entry of the gradients; None for none.
        encoder_class, decoder_class: Called with `feature_shape` and `latent_dims`.
        schedule_classes: Name of a loss -> schedule of its weight.
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
    steps: Annotated[int, Range(1)] | None = None

    def __post_init__(self) -> None:
        classes = {**(self.schedule_classes or {}), "KLD": self.beta_schedule_class}
        self._schedules = {name: schedule_class() for name, schedule_class in classes.items()}
        self._lr_schedule = LRSchedule(self.lr) if self.schedule_lr else None

    def build(self, feature_shape: Sequence[int]) -> VAE:
        """A VAE with initial weights, drawn from PyTorch's global generator."""
        encoder = self.encoder_class(feature_shape, self.latent_dims)
        decoder = self.decoder_class(feature_shape, self.latent_dims)
        return VAE(encoder, decoder, self.latent_dims)

    def optimizer(self, vae: VAE) -> torch.optim.Optimizer:
        """The optimiser of all weights. A discriminator's are in a group of their own, the last."""
        discriminator = vae.reg_loss.discriminator
        others = set() if discriminator is None else set(discriminator.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [weight for weight in vae.parameters() if weight not in others]}
        ]
        if discriminator is not None:
            rates = {"lr": discriminator.lr, "betas": discriminator.betas}
            groups.append({"params": list(discriminator.parameters()), **rates})
        return make_optimizer(self.optimizer_name, groups, self.lr, beta1=self.adam_beta1)

    def steps_by_epoch(self, rows: int, batch_size: int) -> list[int]:
        """The number of steps of each epoch, for a table of so many rows."""
        # A batch of one row is left out, see `fitting.batches`.
        whole = max(1, rows // batch_size + (rows % batch_size > 1))
        if self.steps is None:
            return [whole] * self.epochs
        epochs, rest = divmod(self.steps, whole)
        return [whole] * epochs + [rest] * (rest > 0)

    def lr_at(self, epoch: int) -> float:
        """The learning rate in a zero-based epoch."""
        return self.lr if self._lr_schedule is None else self._lr_schedule(epoch)

    def loss_weights_at(self, epoch: int) -> dict[str, float]:
        """Name of a loss -> its weight in a zero-based epoch; losses without an entry have 1."""
        scheduled = {name: schedule(epoch) for name, schedule in self._schedules.items()}
        return {**(self.loss_weights or {}), **scheduled}
