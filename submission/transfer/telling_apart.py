"""Whether self-training has helped, found out without labels.

Each image of a set shows another combination of the factors' values. A network that reads the
values rightly tells all images apart. One that has learned its own mistakes sees the same
combination in many images.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from submission.finetuning.classifier import FactorClassifier

MOST_IMAGES = 2048
"""So many images of a set are compared, at most."""


@torch.no_grad()
def images_told_apart(classifier: FactorClassifier, batches: Iterable[Tensor]) -> int:
    """The number of different combinations of values that a network sees in images.

    Args:
        classifier: In evaluation mode.
        batches: Different images (n, 3, height, width) in [0, 1].
    """
    seen = set()
    for images in batches:
        by_factor = classifier(images).float().split(classifier.factor_sizes, 1)
        values = torch.stack([logits.argmax(1) for logits in by_factor], 1)
        seen |= set(map(tuple, values.tolist()))
    return len(seen)
