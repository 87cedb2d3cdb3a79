"""The labels that a network gives to the target's images, before it learns them.

The likeliest value is taken for the label (Lee, "Pseudo-Label", 2013), as seen on the unchanged
image, and learned on a changed one (FixMatch, Sohn et al., arXiv 2001.07685). Which value is the
likeliest is decided for all images together, see `combinations`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.common.devices import Placement
from submission.features.batches import Read, image_batches
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.step import batch_logits
from submission.transfer.combinations import distinct
from submission.transfer.statistics import measure_statistics


@torch.no_grad()
def pseudo_labels(
    classifier: FactorClassifier,
    read: Read,
    own: Sequence[NDArray[np.int64]],
    positions: Sequence[NDArray[np.int64]],
    placement: Placement,
) -> NDArray[np.int64]:
    """The label of each factor (n, factors) for all images of the target.

    All processes get those of all images. Afterwards the batch norms have the target's statistics,
    and the network is in evaluation mode.

    Args:
        classifier: The network.
        read: Reads images by their numbers.
        own: The numbers of this process's share of each batch of images.
        positions: The rows of the result that belong to each whole batch. Rows of no batch are of
            an image that no step uses.
        placement: Where and in which precision to compute.
    """
    measure_statistics(classifier, image_batches(read, own, placement))
    sizes = classifier.factor_sizes
    count = max(int(rows.max()) for rows in positions) + 1
    probabilities = [torch.full((count, size), 1 / size) for size in sizes]
    for rows, images in zip(positions, image_batches(read, own, placement), strict=True):
        logits = batch_logits(classifier, images, len(rows), placement)
        for of_factor, part in zip(probabilities, logits.split(sizes, 1), strict=True):
            of_factor[torch.from_numpy(rows)] = part.softmax(1).cpu()
    likely = distinct([of_factor.numpy() for of_factor in probabilities])
    return np.stack([of_factor.argmax(1) for of_factor in likely], 1)
