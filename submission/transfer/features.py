"""The features of the target's images, as the adapted extractor gives them."""

import numpy as np
import torch
from torch import Tensor

from submission.features.extraction import extract
from submission.features.inference import extraction_placement
from submission.transfer.method import TransferMethod


def target_features(method: TransferMethod) -> Tensor:
    """The features (n, D), on the CPU, of the images to train on.

    They are cached as those of the other methods are. So each image is encoded once, by one of the
    processes of a group.

    Args:
        method: The parts of the method; its classifier has its final weights.
    """
    extractor = method.classifier.extractor
    table = extract(
        method.target,
        method.chosen,
        extractor,
        None,
        features_dir=method.features_dir,
        placement=extraction_placement(extractor, method.placement),
    )
    return torch.from_numpy(np.array(table))
