"""The settings of a run that belong to no single part of it: gin's `main`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gin

from evaluation.common import gin_config
from evaluation.common.files import whole_file
from submission.features.aggregation import FeatureTransform, MaximumTransform


@gin.configurable("main")
@dataclass(frozen=True)
class Main:
    """What fine-tuning and training take from `main`; either ignores what it does not use.

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

    dataset_name: str | list[str] = "mpi3d_realistic"
    dataset_size: int = 0
    batch_size: int = 128
    test_ratio: float = 0.2
    seed: int = 1
    sequential_dataset: bool = False
    vae_batch_size: int = 64
    use_pca: bool = False
    cache_features_on_disk: bool = True
    transform_class: type[FeatureTransform] = MaximumTransform

    def __post_init__(self) -> None:
        gin_config.check_range("main.dataset_size", self.dataset_size, 0)
        gin_config.check_range("main.test_ratio", self.test_ratio, 0, 1)
        gin_config.check_range("main.seed", self.seed, 0, 2**32)
        # A single row has no variance for batch norm, so batches of one are left out.
        gin_config.check_range("main.batch_size", self.batch_size, 2)
        gin_config.check_range("main.vae_batch_size", self.vae_batch_size, 2)


FOR_FINE_TUNING = ("dataset_name", "batch_size", "test_ratio")
"""Those of `main` that training ignores."""


def load(path: Path, bindings: Sequence[str] = ()) -> None:
    """Loads a config of the method; see `evaluation.common.gin_config.load`."""
    # Importing a module makes its names known to gin.
    from submission.features import aggregation, extractors  # noqa: F401
    from submission.finetuning import loop  # noqa: F401
    from submission.vae import settings  # noqa: F401

    gin_config.load(path, bindings)


def save_config(folder: Path) -> None:
    """Writes the configuration in force to `folder`/config.gin."""
    with whole_file(folder / "config.gin") as temporary:
        temporary.write_text(gin_config.effective(), encoding="utf-8")
