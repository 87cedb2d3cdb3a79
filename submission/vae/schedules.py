"""Loss weights and learning rate over the epochs: pure functions of the zero-based epoch."""

import math
from typing import Literal

import gin

from evaluation.common.errors import KitError

ScheduleType = Literal["constant", "linear", "cosine", "cosine-restarts"]


@gin.configurable
class BetaSchedule:
    """The weight of a loss: `beta0` until `beta_start`, `beta1` after `beta_end`.

    In between it is interpolated.

    Args:
        schedule_type: `constant` (needs equal `beta0` and `beta1`), `linear`, `cosine` (half a wave
            from `beta0` to `beta1`), or `cosine-restarts`: the same half wave `cycles` times, each
            `(beta_end - beta_start) // cycles` epochs long.
        beta0, beta1: The weight at the start and at the end.
        beta_start: Zero-based epoch in which the change starts; its weight is still `beta0`.
        beta_end: Zero-based epoch in which the change ends.
        cycles: Number of half waves.

    Raises:
        KitError: `CONFIG-SCHEDULE`, the numbers contradict each other.
    """

    def __init__(
        self,
        schedule_type: ScheduleType = "linear",
        beta0: float = 0.001,
        beta1: float = 0.1,
        beta_start: int = 10,
        beta_end: int = 100,
        cycles: int = 1,
    ) -> None:
        if beta_start > beta_end:
            raise _bad(
                f"beta_start {beta_start} is after beta_end {beta_end}",
                "Set beta_start to at most beta_end",
            )
        if schedule_type == "constant" and beta0 != beta1:
            raise _bad(
                f"a constant schedule has beta0 {beta0} and beta1 {beta1}",
                "Give both the same value",
            )
        if schedule_type == "cosine-restarts" and not 1 <= cycles <= beta_end - beta_start:
            raise _bad(
                f"{cycles} cycles do not fit in {beta_end - beta_start} epochs",
                "Set cycles to at least 1 and at most the number of these epochs",
            )
        self.schedule_type = schedule_type
        self.beta0 = beta0
        self.beta1 = beta1
        self.beta_start = beta_start
        self.beta_end = beta_end
        self.cycles = cycles

    def __call__(self, epoch: int) -> float:
        """The weight in a zero-based epoch."""
        if epoch < self.beta_start:
            return self.beta0
        if epoch > self.beta_end:
            return self.beta1
        return self.beta0 + (self.beta1 - self.beta0) * self._fraction_done(epoch)

    def _fraction_done(self, epoch: int) -> float:
        """How much of the change from `beta0` to `beta1` is done, in [0, 1]."""
        since_start, length = epoch - self.beta_start, self.beta_end - self.beta_start
        if self.schedule_type == "cosine-restarts":
            length //= self.cycles
            since_start %= length
        if self.schedule_type == "constant" or length == 0:
            return 0.0
        done = since_start / length
        return done if self.schedule_type == "linear" else (1 - math.cos(math.pi * done)) / 2


@gin.configurable
class LRSchedule:
    """A learning rate: `warmup_lr` in the first `warmup_epochs` epochs, then `lr`.

    Args:
        lr: The rate after the warm-up. Training gives it `train_vae.lr`.
        warmup_lr: The rate of the warm-up; None for no warm-up.
        warmup_epochs: Number of epochs of the warm-up.
    """

    def __init__(self, lr: float, warmup_lr: float | None = None, warmup_epochs: int = 0) -> None:
        self.lr = lr
        self.warmup_lr = warmup_lr
        self.warmup_epochs = warmup_epochs

    def __call__(self, epoch: int) -> float:
        """The learning rate in a zero-based epoch."""
        if self.warmup_lr is not None and epoch < self.warmup_epochs:
            return self.warmup_lr
        return self.lr


def _bad(problem: str, remedy: str) -> KitError:
    return KitError("CONFIG-SCHEDULE", f"BetaSchedule: {problem}", remedy)
