"""The settings of a run that several parts share: gin's `main`."""

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
    """The parameters of `main`. Fine-tuning and training each use some of them.

    Args:
        dataset_name: The dataset or datasets with labels for fine-tuning. The dataset without
            labels is `$AICROWD_DATASET_NAME`.
        dataset_size: How many images of each dataset are used; 0 means all.
        batch_size: Batch size of fine-tuning.
        test_ratio: The part of each dataset, in [0, 1), that fine-tuning keeps for testing.
        seed: Seed of all random numbers.
        sequential_dataset: Whether the first `dataset_size` images are used. If not, they are drawn
            at random without replacement.
        vae_batch_size: Batch size of the VAE.
        use_pca: Whether the regions of `RMACTransform` are whitened.
        cache_features_on_disk: Whether the feature table is a file that later runs use again. If
            not, it is an array in memory.
        transform_class: Makes a vector from the extractor's feature maps.
    """

    # Batch norm needs at least two rows to compute a variance.
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
"""The parameters of `main` that training does not use."""
