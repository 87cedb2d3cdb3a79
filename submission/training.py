"""The main path: images -> features -> VAE on the features -> exported representation."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evaluation.common import gin_config
from evaluation.common.devices import Placement
from evaluation.common.environment import output_path
from evaluation.common.errors import KitError
from evaluation.common.files import whole_file
from evaluation.common.images import shape_in_words
from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from submission.config import save_config
from submission.export import export
from submission.features.aggregation import IdentityTransform
from submission.features.extraction import extract
from submission.features.extractors import labels_of
from submission.features.pixels import Pixels, PixelTable
from submission.method import Method, prepare, representation
from submission.runtime import distributed
from submission.vae.fitting import fit, load_fitted
from submission.vae.model import VAE, get_representation_extractor
from submission.vae.postprocessing import fit_postprocessing
from submission.vae.reconstructions import leave_reconstructions
from submission.vae.rows import Table

_ROWS = 1024
"""Rows of features that are encoded at once."""


class _Trained(NamedTuple):
    """A finished training: its VAE, the network from features to codes, and the exported file."""

    vae: VAE
    codes: nn.Module
    path: Path


def train(
    experiment: str,
    placement: Placement,
    *,
    features_dir: Path,
    codes_of: Sequence[str] = (),
) -> None:
    """Trains the method that the config describes, and exports the representation.

    All files are written to `$AICROWD_OUTPUT_PATH/<experiment>/`. Results of an earlier run of the
    same config are used again, even if that run was killed.

    Args:
        experiment: Name of the experiment's folder.
        placement: Where to extract and train. If this machine computes bf16 wrongly, float32 is
            used, and a line says so.
        features_dir: Folder of cached feature tables.
        codes_of: Names of datasets. `codes/NAME.npy` gets the codes (N, D) of all images of each,
            made from features, which are cached as well.

    Raises:
        KitError: the config, the data or the weights are missing or do not fit together.
    """
    distributed.report_progress(0.0)
    method = prepare(features_dir, placement)
    folder = output_path() / experiment
    folder.mkdir(parents=True, exist_ok=True)
    with distributed.only_group(folder):
        if distributed.is_main():
            save_config(folder, labels_of(method.extractor))
        features = _features(method)
        distributed.report_progress(0.4)
        fit(
            method.vae,
            method.training,
            features,
            batch_size=method.main.vae_batch_size,
            seed=method.main.seed,
            placement=method.fitting,
            folder=folder,
            made_from=method.made_from,
        )
        distributed.report_progress(0.9)
        if distributed.is_main():
            trained = _export_checkpoint(method, folder, lambda: features)
            leave_reconstructions(
                folder,
                trained.vae,
                features,
                method.indices,
                representation=trained.path,
                fingerprint=method.dataset.fingerprint,
            )
        for name in codes_of:
            table = _features_of_all(method, name)
            if distributed.is_main():
                with whole_file(folder / "codes" / f"{name}.npy") as temporary:
                    np.save(temporary, _codes(table, trained.codes))
    distributed.report_progress(1.0)


def leave_features(
    placement: Placement, *, features_dir: Path, codes_of: Sequence[str] = ()
) -> None:
    """Makes the features that `train` would make, or finds those that it would find.

    Args:
        codes_of: Names of datasets, as for `train`. The features of all their images are made, in
            place of those of the training images.

    Raises:
        KitError: as `train`.
    """
    method = prepare(features_dir, placement)
    for name in codes_of:
        _features_of_all(method, name)
    if not codes_of:
        _features(method)


def export_trained(experiment: str, placement: Placement, *, features_dir: Path) -> None:
    """Exports the result of a finished `train` with the same arguments.

    Raises:
        KitError: `EXPORT-UNTRAINED`, there is no such training, or it is not finished.
    """
    method = prepare(features_dir, placement)
    _export_checkpoint(method, output_path() / experiment, partial(_features, method))


def export_untrained(experiment: str, placement: Placement, *, features_dir: Path) -> None:
    """Exports the same architecture with the weights that fine-tuning and training start from.

    Its scores are a baseline: the architecture without any training.
    """
    method = prepare(features_dir, placement, tuned=False)
    path = output_path() / experiment / "representation-untrained" / "pytorch_model.pt"
    export(representation(method.extractor, method.transform, method.vae), path, method.image_shape)


def _features(method: Method) -> Table:
    """The features (n, *feature_shape) of the training images."""
    transform = method.transform
    as_they_are = isinstance(transform, IdentityTransform) and not transform.l2_normalize
    if isinstance(method.extractor, Pixels) and as_they_are:
        return PixelTable(method.dataset, method.indices, method.extractor)
    return _extracted(method, method.dataset, method.indices)


def _features_of_all(method: Method, name: str) -> Table:
    """The features (n, *feature_shape) of all images of a dataset, in its order.

    Raises:
        KitError: `DATA-…`, it cannot be opened; `FEATURES-FORMAT`, its images have another shape
            than those of the training.
    """
    dataset = open_dataset(name)
    if dataset.image_format.channels_first != method.image_shape:
        raise KitError(
            "FEATURES-FORMAT",
            f"the images of {name} are {shape_in_words(dataset.image_format.shape)}, and those of "
            f"the training {shape_in_words(method.dataset.image_format.shape)}",
            "Choose a dataset with images of the same shape",
        )
    return _extracted(method, dataset, np.arange(len(dataset)))


def _extracted(method: Method, dataset: ImageGrid, indices: NDArray[np.int64]) -> Table:
    features = extract(
        dataset,
        indices,
        method.extractor,
        method.transform,
        features_dir=method.features_dir,
        placement=method.extracting,
    )
    return features.reshape(len(features), *method.feature_shape)


def _export_checkpoint(method: Method, folder: Path, features: Callable[[], Table]) -> _Trained:
    """Exports the representation of a finished training.

    Args:
        features: Gives those of the training images; called only for a step that is fitted to them.
    """
    # A new VAE, because under torchrun the trained one has batch norms of another class.
    vae = method.training.build(method.feature_shape)
    load_fitted(
        vae,
        method.training,
        len(method.indices),
        batch_size=method.main.vae_batch_size,
        folder=folder,
        made_from=method.made_from,
    )
    network = representation(method.extractor, method.transform, vae)
    codes = get_representation_extractor(vae)
    if gin_config.sets("postprocess"):
        step = fit_postprocessing(_codes(features(), codes), method.main.seed)
        network, codes = nn.Sequential(network, step), nn.Sequential(codes, step)
    path = folder / "representation" / "pytorch_model.pt"
    export(network, path, method.image_shape)
    return _Trained(vae, codes, path)


@torch.inference_mode()
def _codes(features: Table, network: nn.Module) -> NDArray[np.float32]:
    """The codes (n, D) of features (n, *feature_shape), by a network on the CPU."""
    network.eval()
    parts = [features[start : start + _ROWS] for start in range(0, len(features), _ROWS)]
    return np.concatenate([network(torch.tensor(part)).numpy() for part in parts])
