"""The settings of a run that belong to no single part of it: gin's `main`."""

from dataclasses import dataclass
from typing import Annotated

import gin

from evaluation.common.gin_types import OneOf, Range
from evaluation.data import DATASETS
from submission.features.aggregation import FeatureTransform, MaximumTransform

DatasetName = Annotated[str, OneOf(tuple(DATASETS))]


@gin.configurable("main")
@dataclass(frozen=True)
class Main:
    """What fine-tuning and training take from `main`; either leaves alone what it does not use.

    Args:
        dataset_name: Dataset or datasets with labels that the extractor is fine-tuned on. The
            set without labels is `$AICROWD_DATASET_NAME`.
        dataset_size: How many images of each dataset are used; 0 means all.
        batch_size: Batch size of fine-tuning.
        test_ratio: Part of each dataset that fine-tuning holds out, in [0, 1).
        seed: Of everything that is drawn.
        sequential_dataset: Whether these are the first ones, rather than drawn without
            replacement.
        vae_batch_size: Batch size of the VAE.
        use_pca: Whether the regions of `RMACTransform` are whitened.
        cache_features_on_disk: Whether the feature table is a file to be used again, rather than
            an array in memory.
        transform_class: Makes a vector of the extractor's feature maps.
    """

    # A single row has no variance for batch norm, so a batch has two at least.
    dataset_name: DatasetName | list[DatasetName] = "mpi3d_realistic"
    dataset_size: Annotated[int, Range(0)] = 0
    batch_size: Annotated[int, Range(2)] = 128
    test_ratio: Annotated[float, Range(0, 1)] = 0.2
    seed: Annotated[int, Range(0, 2**32)] = 1
    sequential_dataset: bool = False
    vae_batch_size: Annotated[int, Range(2)] = 64
    use_pca: bool = False
    cache_features_on_disk: bool = True
    transform_class: type[FeatureTransform] = MaximumTransform


FOR_FINE_TUNING = ("dataset_name", "batch_size", "test_ratio")
"""Those of `main` that training leaves alone."""
