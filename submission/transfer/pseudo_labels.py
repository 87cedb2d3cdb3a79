"""Labels that a network gives to images without labels, and how far they are trusted.

The likeliest value is taken for the label (Lee, "Pseudo-Label", 2013), as seen on the unchanged
image, and learned on a changed one (FixMatch, Sohn et al., arXiv 2001.07685). FixMatch drops labels
below a threshold of confidence. Here each has a weight, so that a domain on which the network is
seldom sure is learned, too.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_MEMORY = 0.95
_RAREST = 1e-3


class Marginals:
    """The mean probability of each value of each factor, over the images of the last batches.

    In a set that holds every combination of the factors' values, each value is equally frequent.
    Probabilities divided by their mean have this property, too (distribution alignment, Berthelot
    et al., arXiv 1911.09785).

    Args:
        factor_sizes: Number of values of each factor.
        device: Device of the probabilities.
    """

    def __init__(self, factor_sizes: Sequence[int], device: str) -> None:
        self.means = [torch.full((size,), 1 / size, device=device) for size in factor_sizes]

    def aligned(self, probabilities: Sequence[Tensor]) -> list[Tensor]:
        """The probabilities (n, size) of each factor, divided by their mean and scaled to sum 1."""
        result = []
        for position, of_factor in enumerate(probabilities):
            self.means[position].lerp_(of_factor.mean(0), 1 - _MEMORY)
            even = of_factor / self.means[position].clamp_min(_RAREST)
            result.append(even / even.sum(1, keepdim=True))
        return result


def trust(probabilities: Tensor) -> Tensor:
    """The weight (n,) of each image's label: 0 if all values are equally likely, 1 if one is sure.

    Args:
        probabilities: Of the values of one factor (n, size).
    """
    chance = 1 / probabilities.shape[1]
    largest = probabilities.max(1).values
    return ((largest - chance) / (1 - chance)).clamp(0, 1).square()


def self_training_loss(logits: Sequence[Tensor], taught: Sequence[Tensor]) -> Tensor:
    """The sum over factors of the mean over images of trust times cross entropy.

    Args:
        logits: For each factor (n, size), from the changed images.
        taught: For each factor, the teacher's probabilities (n, size).
    """
    losses = [
        (trust(right) * functional.cross_entropy(guess, right.argmax(1), reduction="none")).mean()
        for guess, right in zip(logits, taught, strict=True)
    ]
    return torch.stack(losses).sum()
