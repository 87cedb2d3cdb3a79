"""Reconstructions of the VAE, shown by images of the dataset.

What the VAE decodes is features, and most often not pixels. So a reconstruction is shown by the
image whose features are nearest to it.
"""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.files import sha256_of, write_json
from submission.vae.model import VAE
from submission.vae.rows import Table

NAME = "reconstructions.json"

_IMAGES = 24
_MOST_BYTES = 4 << 30
"""Features that are searched; of a larger table every second row, every third row, and so on."""

_ROWS = 2048


def leave_reconstructions(
    folder: Path,
    vae: VAE,
    features: Table,
    indices: NDArray[np.int64],
    *,
    representation: Path,
    fingerprint: str,
) -> None:
    """Writes which images are nearest to the reconstructions of 24 images, unless it is there.

    Args:
        folder: Gets `reconstructions.json`.
        vae: The trained VAE, on the CPU.
        features: (n, *feature_shape) of the images that were trained on.
        indices: Their numbers (n,) in the dataset.
        representation: The exported file, by whose digest the page knows that both belong together.
        fingerprint: That of the dataset.
    """
    path = folder / NAME
    made_from = {"representation": sha256_of(representation), "dataset": fingerprint}
    if _is_made_from(path, made_from):
        return
    step = -(-features.nbytes // _MOST_BYTES)
    searched = np.arange(0, len(features), step)
    shown = searched[np.sort(RandomState(0).permutation(len(searched))[:_IMAGES])]
    vae.eval()
    with torch.inference_mode():
        mean, _ = vae.encoder(torch.from_numpy(features[shown]))
        decoded = vae.reconstruct(mean).flatten(1).numpy()
    found = searched[nearest_rows(decoded, features, searched)]
    write_json(
        path,
        {**made_from, "images": indices[shown].tolist(), "nearest": indices[found].tolist()},
    )


def nearest_rows(
    wanted: NDArray[np.float32], features: Table, searched: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each row (m, d) the nearest of the rows `searched` (n,), by Euclidean distance.

    Returns:
        Places (m,) in `searched`.

    Example:
        >>> table = np.array([[0, 0], [3, 4], [9, 9]], dtype=np.float32)
        >>> nearest_rows(np.array([[8, 9], [1, 1]], dtype=np.float32), table, np.arange(3))
        array([2, 0])
    """
    found = np.zeros(len(wanted), dtype=np.int64)
    least = np.full(len(wanted), np.inf)
    for start in range(0, len(searched), _ROWS):
        block = features[searched[start : start + _ROWS]].reshape(-1, wanted.shape[1])
        # The squared distance, less the square of `wanted`, which is the same for all rows.
        distances = np.einsum("ij,ij->i", block, block) - 2 * wanted @ block.T
        best = distances.argmin(axis=1)
        own = distances[np.arange(len(wanted)), best]
        nearer = own < least
        found[nearer], least[nearer] = start + best[nearer], own[nearer]
    return found


def _is_made_from(path: Path, made_from: dict[str, str]) -> bool:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return bool({name: known[name] for name in made_from} == made_from)
    except (OSError, ValueError, TypeError, KeyError):
        return False
