"""The feature table: what extractor and transform make of each image of a dataset.

A table is filed under a key of everything that it depends on, so that a re-tuned extractor never
meets the features of the old one. The processes under torchrun each do whole batches of the same
division into batches, so their number does not change a bit of it.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.common.devices import Placement, Precision
from evaluation.common.errors import KitError
from evaluation.common.images import shape_in_words
from evaluation.common.terminal import progress
from evaluation.data.ground_truth import ImageGrid
from submission.features.aggregation import Extractor, FeatureTransform
from submission.features.backbones import output_shape
from submission.features.batches import image_batches
from submission.features.inference import accelerated, batch_size_for
from submission.features.tables import table_in_memory, table_on_disk


def select_images(total: int, dataset_size: int, sequential: bool, seed: int) -> NDArray[np.int64]:
    """Numbers of the images to use: all, the first `dataset_size`, or as many drawn.

    Raises:
        KitError: more than there are.
    """
    if dataset_size > total:
        raise KitError(
            "FEATURES-SIZE",
            f"main.dataset_size is {dataset_size:,}, and the dataset has {total:,} images",
            f"Set it to at most {total}, or to 0 for all",
        )
    order = np.arange(total) if sequential else RandomState(seed).permutation(total)
    return order[: dataset_size if dataset_size > 0 else total]


def require_colour(dataset: ImageGrid) -> None:
    """Refuses images that the backbones do not take.

    Raises:
        KitError: they have not three channels.
    """
    shape = dataset.image_format.shape
    if shape[-1] != 3:
        raise KitError(
            "FEATURES-CHANNELS",
            f"the images of {dataset.name} are {shape_in_words(shape)}, and the method's backbones "
            "take 3 channels",
            "Choose a dataset in colour by AICROWD_DATASET_NAME, or export a model of your own",
        )


def extract(
    dataset: ImageGrid,
    indices: NDArray[np.int64],
    extractor: Extractor,
    transform: FeatureTransform | None,
    *,
    features_dir: Path | None,
    placement: Placement,
) -> NDArray[np.float32]:
    """The features of the images `indices`, in that order: (len(indices), D).

    Without a transform the extractor's output is kept as it is: maps (n, C, H, W).

    Args:
        features_dir: Folder of cached tables, the same for all processes; with None the table is
            made in memory.
        placement: Of the networks; the transform computes in float32.

    Returns:
        An array in memory, or a file that is mapped to memory for reading.

    Raises:
        KitError: the disk has no room for the table, or the transform does not fit the maps.
    """
    whole = nn.Sequential(extractor, transform or nn.Identity())
    shape = (len(indices), *output_shape(whole, dataset.image_format.channels_first))
    batch_size = batch_size_for(extractor, placement)

    def compute(batches: Sequence[slice]) -> Iterator[NDArray[np.float32]]:
        chosen = [indices[batch] for batch in batches]
        for features in run(dataset, chosen, extractor, transform, placement):
            yield features.float().cpu().numpy()

    if features_dir is None:
        return table_in_memory(shape, batch_size, compute, placement)
    made_from = origin(dataset, indices, extractor, transform, placement.precision)
    path = features_dir / folder_name(dataset, extractor, made_from) / "features.npy"
    return table_on_disk(path, made_from, shape, batch_size, compute)


def run(
    dataset: ImageGrid,
    batches: Sequence[NDArray[np.int64]],
    extractor: Extractor,
    transform: nn.Module | None,
    placement: Placement,
) -> Iterator[Tensor]:
    """Yields the features of each batch of indices, on the device."""
    fast = accelerated(extractor, placement)
    network = nn.Sequential(fast, transform or nn.Identity()).eval().to(placement.device)
    total = sum(map(len, batches))
    with progress(f"Extracting {dataset.name}", total) as advance:
        for images in image_batches(dataset.images_at, batches, placement):
            with torch.inference_mode():
                features = network(images)
            yield features
            advance(len(images))


def origin(
    dataset: ImageGrid,
    indices: NDArray[np.int64],
    extractor: Extractor,
    transform: nn.Module | None,
    precision: Precision,
) -> dict[str, str]:
    """Everything that features depend on: digests, precision and PyTorch's version."""
    return {
        "dataset": dataset.fingerprint,
        "images": hashlib.sha256(indices.tobytes()).hexdigest(),
        "extractor": digest_of(extractor),
        "transform": digest_of(transform),
        "precision": precision,
        "torch": str(torch.__version__),
    }


def folder_name(dataset: ImageGrid, extractor: Extractor, made_from: dict[str, str]) -> str:
    """A name that a person can read, with a key that nothing else has."""
    key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    height, width = extractor.interpolation_size
    return f"{dataset.name}_{extractor.name}_{height}x{width}_{key}"


def digest_of(module: nn.Module | None) -> str:
    """Digest of a module's settings (its text) and weights."""
    digest = hashlib.sha256(repr(module).encode())
    for name, tensor in module.state_dict().items() if module is not None else ():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
