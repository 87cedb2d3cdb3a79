"""What a config describes: images, extractor, transform and VAE, ready to be trained.

The extractor has its weights and the transform its whitening; the VAE's weights are fresh.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gin
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evaluation.common.devices import Placement
from evaluation.common.environment import dataset_name
from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from submission.features.aggregation import Extractor, FeatureTransform, IdentityTransform
from submission.features.backbones import output_shape
from submission.features.extraction import origin, require_colour, select_images
from submission.features.extractors import get_feature_extractor
from submission.features.inference import extraction_placement
from submission.features.whitening import fit_whitening
from submission.settings import FOR_FINE_TUNING, Main
from submission.vae.fitting import fitting_placement
from submission.vae.model import VAE, get_representation_extractor
from submission.vae.settings import VAETraining


@dataclass
class Method:
    """The parts, on the CPU.

    Args:
        indices: Numbers of the images that are trained on.
        features_dir: Folder of cached features; None keeps them in memory.
        extracting, fitting: Where the extractor and the VAE's training run, in the precision that
            this machine gets right.
        vae: With the weights that training starts from.
        made_from: Everything that the trained VAE depends on.
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
        """Channels, height and width."""
        return self.dataset.image_format.channels_first

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return feature_shape(self.extractor, self.transform, self.image_shape)


def prepare(features_dir: Path, placement: Placement, tuned: bool = True) -> Method:
    """Makes everything that training needs of the config in force, for `$AICROWD_DATASET_NAME`.

    With `main.use_pca` this runs the extractor on all images, to fit the whitening's axes, unless
    they are cached.

    Args:
        features_dir: Folder of cached features, if the config has them cached.
        placement: Of the extractor and of training, in the precision that is asked for.
        tuned: Whether a fine-tuned extractor has its weights, or those that tuning starts from.

    Raises:
        KitError: the config, the data or the weights do not allow it.
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
        "config": _config_used(),
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


def _config_used() -> str:
    """gin's record of what has been used until now, defaults included.

    A changed metric, say, or setting of fine-tuning is no reason to train again.
    """
    others = tuple(f"main.{name} = " for name in FOR_FINE_TUNING)
    lines = gin.operative_config_str(max_line_length=10_000).splitlines()
    return "\n".join(line for line in lines if not line.startswith(others))


def feature_shape(
    extractor: Extractor, transform: FeatureTransform, image_shape: Sequence[int]
) -> tuple[int, ...]:
    """Shape of one image's features as the VAE sees them: maps stay maps without a transform."""
    if isinstance(transform, IdentityTransform):
        return output_shape(extractor, image_shape)
    return output_shape(nn.Sequential(extractor, transform), image_shape)


def representation(extractor: Extractor, transform: FeatureTransform, vae: VAE) -> nn.Module:
    """Images (N, 3, height, width) in [0, 1] to codes (N, D)."""
    return nn.Sequential(extractor, transform, get_representation_extractor(vae))
