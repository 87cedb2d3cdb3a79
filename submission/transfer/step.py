"""One step of the adaptation: images of the target, and images of other domains with labels."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from submission.finetuning.augmentation import Augmenter
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.loop import one_cycle
from submission.finetuning.step import batch_logits
from submission.runtime import distributed
from submission.runtime.optimizers import make_optimizer
from submission.transfer.settings import Adaptation

_LARGEST_GRADIENT = 5.0
"""Longer gradients are shortened. Most are 3 to 5 long. Its gain alone has not been measured."""


class Batch(NamedTuple):
    """What one step learns from. Images are this process's share."""

    seen: Tensor
    """Images of the target (n, 3, height, width) in [0, 1]."""
    labels: Tensor
    """Their pseudo-labels (N, factors), of all processes together."""
    pictures: Tensor
    """Images (m, 3, height, width) of the other domains."""
    factors: Tensor
    """Their factors (M, factors), of all processes together."""


class Learner:
    """The network and its optimiser.

    Args:
        classifier: The network; trained in place.
        adaptation: The settings.
        placement: Where and in which precision to train.
    """

    def __init__(
        self, classifier: FactorClassifier, adaptation: Adaptation, placement: Placement
    ) -> None:
        self._classifier = classifier
        self._adaptation = adaptation
        self._placement = placement
        self._model = distributed.data_parallel(classifier)
        self.optimizer = make_optimizer("adam", classifier.parameters(), adaptation.lr)

    def learn(self, batch: Batch, augment: Augmenter, done: float) -> Tensor:
        """One step, after a part `done`, in [0, 1], of the adaptation.

        Returns:
            The loss of the target's images, and that of the labelled ones (2,).
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self._adaptation.lr * one_cycle(done)
        unlabelled = self._loss(augment(batch.seen, len(batch.labels)), batch.labels)
        labelled = self._loss(augment(batch.pictures, len(batch.factors)), batch.factors)
        self.optimizer.zero_grad()
        (unlabelled + self._adaptation.labelled_weight * labelled).backward()
        nn.utils.clip_grad_norm_(self._classifier.parameters(), _LARGEST_GRADIENT)
        self.optimizer.step()
        return torch.stack([unlabelled.detach(), labelled.detach()])

    def _loss(self, images: Tensor, values: Tensor) -> Tensor:
        logits = batch_logits(self._model, images, len(values), self._placement)
        return self._classifier.losses(logits, values).sum()
