"""Makes the feature table: the output of extractor and transform for each image of a dataset.

The folder of a table is named by a key of all that the table depends on. So a newly tuned extractor
never gets the features of an older one. Under torchrun, each process computes some of the batches.
The batches are the same for any number of processes, so the table is the same to the last bit.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.common.devices import Placement, Precision
from evaluation.common.errors import KitError
from evaluation.common.images import shape_in_words
from evaluation.common.parts import Parts
from evaluation.common.terminal import console, progress
from evaluation.data.ground_truth import ImageGrid
from evaluation.representation.torchscript.threads import in_threads
from submission.features.aggregation import Extractor, FeatureTransform
from submission.features.backbones import output_shape
from submission.features.batches import arrays, image_batches
from submission.features.inference import accelerated, batch_size_for
from submission.features.tables import table_in_memory, table_on_disk


def select_images(total: int, dataset_size: int, sequential: bool, seed: int) -> NDArray[np.int64]:
    """The numbers (n,) of the images to use.

    Args:
        total: Number of images of the dataset.
        dataset_size: How many to use; 0 means all.
        sequential: Whether to use the first ones. If not, they are drawn without replacement.
        seed: Seed of the draw.

    Raises:
        KitError: `FEATURES-SIZE`, `dataset_size` is above `total`.
    """
    if dataset_size > total:
        raise KitError(
            "FEATURES-SIZE",
            f"main.dataset_size is {dataset_size:,}, but the dataset has {total:,} images",
            f"Set it to at most {total}, or to 0 for all",
        )
    order = np.arange(total) if sequential else RandomState(seed).permutation(total)
    return order[: dataset_size if dataset_size > 0 else total]


def require_colour(dataset: ImageGrid) -> None:
    """Checks that the images have three channels, as the backbones need.

    Raises:
        KitError: `FEATURES-CHANNELS`, they have not.
    """
    shape = dataset.image_format.shape
    if shape[-1] != 3:
        raise KitError(
            "FEATURES-CHANNELS",
            f"the images of {dataset.name} are {shape_in_words(shape)}, but the method's backbones "
            "need 3 channels",
            "Choose a dataset in colour with AICROWD_DATASET_NAME, or export a model of your own",
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
    """The features of the images `indices` (n,), in that order.

    Args:
        dataset: The images.
        indices: Numbers of the images.
        extractor: Images to feature maps or vectors.
        transform: Feature maps to vectors, in float32; None keeps the extractor's output.
        features_dir: Folder of cached tables, the same for all processes. None makes the table in
            memory.
        placement: Where and in which precision the extractor runs.

    Returns:
        Features (n, D), or (n, C, H, W) for maps without a transform. An array in memory, or a
        read-only memory map of a file.

    Raises:
        KitError: `FEATURES-DISK`, the disk has no room; `RMAC-KERNEL`, the transform does not fit
            the maps.
    """
    whole = nn.Sequential(extractor, transform or nn.Identity())
    shape = (len(indices), *output_shape(whole, dataset.image_format.channels_first))
    batch_size = batch_size_for(extractor, placement)

    def compute(batches: Sequence[slice]) -> Iterator[NDArray[np.float32]]:
        chosen = [indices[batch] for batch in batches]
        yield from arrays(run(dataset, chosen, extractor, transform, placement))

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
    """Yields the features of each batch of image numbers (n,), on the device."""
    fast = accelerated(extractor, placement)
    network = nn.Sequential(fast, transform or nn.Identity()).eval().to(placement.device)

    def tell(at_once: int) -> None:
        console.print(f"The GPU's memory takes {at_once} images at once: batches are cut to that")

    parts, total = Parts(tell), sum(map(len, batches))
    with progress(f"Extracting {dataset.name}", total) as advance:
        images = image_batches(dataset.images_at, batches, placement)
        at_once = torch.get_num_threads() if placement.kind == "cpu" else 1
        for features in in_threads(partial(_compute, network, parts), images, at_once):
            yield features
            advance(len(features))


def _compute(network: nn.Module, parts: Parts, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return parts.run(len(images), partial(_in_parts, network, images))


def _in_parts(network: nn.Module, images: Tensor, parts: list[slice]) -> Tensor:
    if len(parts) == 1:
        return network(images)
    return torch.cat([network(images[part]) for part in parts])


def origin(
    dataset: ImageGrid,
    indices: NDArray[np.int64],
    extractor: Extractor,
    transform: nn.Module | None,
    precision: Precision,
) -> dict[str, str]:
    """All that features depend on: digests, precision and PyTorch's version."""
    return {
        "dataset": dataset.fingerprint,
        "images": hashlib.sha256(indices.tobytes()).hexdigest(),
        "extractor": digest_of(extractor),
        "transform": digest_of(transform),
        "precision": precision,
        "torch": str(torch.__version__),
    }


def folder_name(dataset: ImageGrid, extractor: Extractor, made_from: dict[str, str]) -> str:
    """The name of a table's folder: a readable part, and a key of all that it was made from."""
    key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    height, width = extractor.interpolation_size
    return f"{dataset.name}_{extractor.name}_{height}x{width}_{key}"


def digest_of(module: nn.Module | None) -> str:
    """The hexadecimal SHA-256 of a module's `repr`, which shows its settings, and its weights."""
    digest = hashlib.sha256(repr(module).encode())
    for name, tensor in module.state_dict().items() if module is not None else ():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
