"""The settings of the adaptation to the target: gin's `adapt`."""

from dataclasses import dataclass
from typing import Annotated

import gin

from evaluation.common.gin_types import Range


@gin.configurable("adapt")
@dataclass(frozen=True)
class Adaptation:
    """The parameters of `adapt`.

    Args:
        epochs: Epochs of self-training on the target's images; with 0, only the statistics of the
            batch norms are measured again.
        lr: The largest learning rate; it follows `finetuning.loop.one_cycle`.
        augmentation: Strength of the random changes of the images that the network learns from.
        labelled_weight: Weight of the loss on images of the other domains, with their labels.
        further_codes: Whether the latents of a VAE follow the factors' codes, which learns what
            these leave unexplained of the features, see `further_codes`. Its settings are those of
            `train_vae`, `Encoder` and `Decoder`.
    """

    epochs: Annotated[int, Range(0)] = 1
    lr: Annotated[float, Range(0)] = 1e-3
    augmentation: Annotated[float, Range(0)] = 1.0
    labelled_weight: Annotated[float, Range(0)] = 0.5
    further_codes: bool = False
