"""The parts that a config describes: images, extractor, transform and VAE, ready for training.

The extractor has its weights, and the transform has its whitening. The VAE has its initial weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evaluation.common.devices import Placement
from evaluation.common.environment import dataset_name
from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from submission.config import used
from submission.features.aggregation import Extractor, FeatureTransform, IdentityTransform
from submission.features.backbones import output_shape
from submission.features.extraction import origin, require_colour, select_images
from submission.features.extractors import get_feature_extractor
from submission.features.inference import extraction_placement
from submission.features.whitening import fit_whitening
from submission.settings import Main
from submission.vae.fitting import fitting_placement
from submission.vae.model import VAE, get_representation_extractor
from submission.vae.settings import VAETraining


@dataclass
class Method:
    """The parts of the method, on the CPU.

    Args:
        main: The settings of `main`.
        features_dir: Folder of cached features; None keeps features in memory.
        dataset: The target dataset.
        indices: Numbers (n,) of the images to train on.
        extractor: Images to feature maps or vectors.
        transform: Feature maps to vectors.
        training: The settings of the VAE's training.
        vae: The VAE with its initial weights.
        extracting: Device of the extractor, and a precision that this machine computes correctly.
        fitting: The same for the VAE's training.
        made_from: All that the trained VAE depends on.
    """

    main: Main
    features_dir: Path | None
    dataset: ImageGrid
    indices: NDArray[np.int64]
    extractor: Extractor
    transform: FeatureTransform
    training: VAETraining
    vae: VAE
    extracting: Placement
    fitting: Placement
    made_from: dict[str, str]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.dataset.image_format.channels_first

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one image's features, see the function `feature_shape`."""
        return feature_shape(self.extractor, self.transform, self.image_shape)


def prepare(features_dir: Path, placement: Placement, tuned: bool = True) -> Method:
    """Builds the parts that the current config describes, for `$AICROWD_DATASET_NAME`.

    With `main.use_pca`, this runs the extractor on all images to fit the whitening, unless the
    whitening is cached.

    Args:
        features_dir: Folder of cached features, used if the config caches them.
        placement: Device, and the precision that the user wants.
        tuned: Whether a fine-tuned extractor gets its tuned weights. If not, it gets the weights
            that fine-tuning starts from.

    Raises:
        KitError: the config, the data or the weights are missing or do not fit together.
    """
    main = Main()
    cached_in = features_dir if main.cache_features_on_disk else None
    dataset = open_dataset(dataset_name())
    require_colour(dataset)
    indices = select_images(len(dataset), main.dataset_size, main.sequential_dataset, main.seed)
    torch.manual_seed(main.seed)
    extractor = get_feature_extractor(tuned=tuned)
    extracting = extraction_placement(extractor, placement)
    transform = main.transform_class()
    if main.use_pca:
        transform.whitening = fit_whitening(
            dataset,
            indices,
            extractor,
            transform,
            features_dir=cached_in,
            placement=extracting,
        )
    training = VAETraining()
    shape = feature_shape(extractor, transform, dataset.image_format.channels_first)
    vae = training.build(shape)
    fitting = fitting_placement(vae, shape, training.latent_dims, main.vae_batch_size, placement)
    made_from = {
        **origin(dataset, indices, extractor, transform, extracting.precision),
        "fitted_in": fitting.precision,
        "config": used(),
    }
    return Method(
        main,
        cached_in,
        dataset,
        indices,
        extractor,
        transform,
        training,
        vae,
        extracting,
        fitting,
        made_from,
    )


def feature_shape(
    extractor: Extractor, transform: FeatureTransform, image_shape: Sequence[int]
) -> tuple[int, ...]:
    """Shape of one image's features, as the VAE gets them.

    That is (D,), or (C, H, W) with `IdentityTransform`.
    """
    if isinstance(transform, IdentityTransform):
        return output_shape(extractor, image_shape)
    return output_shape(nn.Sequential(extractor, transform), image_shape)


def representation(extractor: Extractor, transform: FeatureTransform, vae: VAE) -> nn.Module:
    """The module from images (N, 3, height, width) in [0, 1] to codes (N, D)."""
    return nn.Sequential(extractor, transform, get_representation_extractor(vae))
