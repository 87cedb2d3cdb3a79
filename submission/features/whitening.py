"""Fits the principal axes of RMAC's regions to all regions of a dataset, and caches them."""

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.common.devices import Placement
from evaluation.common.errors import KitError
from evaluation.common.files import locked, whole_file
from evaluation.common.terminal import console
from evaluation.data.ground_truth import ImageGrid
from submission.features.aggregation import Extractor, RMACTransform, Whitening
from submission.features.batches import in_batches
from submission.features.extraction import folder_name, origin, run
from submission.features.inference import batch_size_for
from submission.runtime import distributed

_PARTS = ("components", "mean", "explained_variance")


def fit_whitening(
    dataset: ImageGrid,
    indices: NDArray[np.int64],
    extractor: Extractor,
    transform: nn.Module,
    *,
    features_dir: Path | None,
    placement: Placement,
) -> Whitening:
    """The principal axes of all regions of the images `indices` (n,), by IncrementalPCA.

    The regions are used batch by batch, and are not kept. The first process fits; the others wait
    for the file.

    Args:
        dataset: The images.
        indices: Numbers of the images.
        extractor: Images to feature maps.
        transform: Must be an `RMACTransform`.
        features_dir: Folder of the cache; None fits in memory.
        placement: Where and in which precision the extractor runs.

    Raises:
        KitError: `PCA-TRANSFORM`, `transform` has no regions; `PCA-REGIONS`, there are fewer
            regions than channels.
    """
    if not isinstance(transform, RMACTransform):
        raise KitError(
            "PCA-TRANSFORM",
            f"main.use_pca whitens the regions of RMACTransform, but main.transform_class is "
            f"{type(transform).__name__}",
            "Set main.transform_class = @RMACTransform or main.use_pca = False",
        )
    made_from = origin(dataset, indices, extractor, transform, placement.precision)
    batches = in_batches(indices, batch_size_for(extractor, placement))

    def fit() -> dict[str, NDArray]:
        regions = _Regions(transform)
        return _fit(run(dataset, batches, extractor, regions, placement))

    if features_dir is None:
        return _whitening(fit())
    path = features_dir / folder_name(dataset, extractor, made_from) / "whitening.npz"
    if distributed.is_main():
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent, path.parent.name):
            if _stored(path, made_from) is not None:
                console.print(f"Reusing {path}", markup=False)
            else:
                if path.exists():
                    console.print(f"{path} is damaged: fitting it again", markup=False)
                fitted = fit()
                with whole_file(path) as temporary:
                    record = np.array(json.dumps(made_from))
                    np.savez(temporary, allow_pickle=False, made_from=record, **fitted)
    distributed.barrier()
    stored = _stored(path, made_from)
    assert stored is not None
    return _whitening(stored)


def _stored(path: Path, made_from: dict[str, str]) -> dict[str, NDArray] | None:
    """The content of the file; None if it is missing, damaged, or made from something else."""
    try:
        with np.load(path) as stored:
            # Reading each part makes zipfile compare it with its checksum.
            content = {name: stored[name] for name in ("made_from", *_PARTS)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, struct.error):
        return None
    return content if str(content["made_from"]) == json.dumps(made_from) else None


class _Regions(nn.Module):
    """Feature maps (N, C, H, W) to all regions of all images, as rows (rows, C)."""

    def __init__(self, transform: RMACTransform) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, maps: Tensor) -> Tensor:
        scales = self.transform.pooled(maps)
        return torch.cat([regions.movedim(1, 3).flatten(0, 2) for regions in scales])


def _fit(regions: Iterator[Tensor]) -> dict[str, NDArray]:
    from sklearn.decomposition import IncrementalPCA

    pca = None
    waiting: list[NDArray[np.float32]] = []
    for rows in regions:
        waiting.append(rows.cpu().numpy())
        channels = rows.shape[1]
        # IncrementalPCA needs at least C rows at first, and is faster with more rows at once.
        if sum(map(len, waiting)) < 8 * channels:
            continue
        pca = pca or IncrementalPCA(channels)
        pca.partial_fit(np.concatenate(waiting))
        waiting = []
    if waiting:
        rest = np.concatenate(waiting)
        if pca is None and len(rest) < rest.shape[1]:
            raise KitError(
                "PCA-REGIONS",
                f"{len(rest)} regions are too few for {rest.shape[1]} axes; there must be at least "
                "one region for each axis",
                "Raise main.dataset_size",
            )
        pca = pca or IncrementalPCA(rest.shape[1])
        pca.partial_fit(rest)
    assert pca is not None
    return {
        "components": pca.components_,
        "mean": pca.mean_,
        "explained_variance": pca.explained_variance_,
    }


def _whitening(fitted: dict[str, NDArray]) -> Whitening:
    return Whitening(*(torch.from_numpy(fitted[part]) for part in _PARTS))
