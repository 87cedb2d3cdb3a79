"""Reconstructions of features, shown by the nearest images."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from submission.vae.likelihoods import GaussianLikelihood
from submission.vae.model import VAE
from submission.vae.reconstructions import NAME, leave_reconstructions, nearest_rows


def test_the_nearest_row_is_that_of_all_distances() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(20_000, 2, 3)).astype(np.float32)
    wanted = generator.normal(size=(7, 6)).astype(np.float32)
    distances = ((wanted[:, np.newaxis] - features.reshape(-1, 6)) ** 2).sum(axis=2)
    np.testing.assert_array_equal(
        nearest_rows(wanted, features, np.arange(20_000)), distances.argmin(axis=1)
    )


class Halves(nn.Module):
    """Keeps the first feature and loses the second."""

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return features[:, :1], features[:, :1]


class Doubles(nn.Module):
    output_dist = GaussianLikelihood(1, 2)

    def forward(self, latents: Tensor) -> Tensor:
        return torch.cat([latents, torch.zeros_like(latents)], 1)


def test_what_the_vae_loses_is_seen_in_the_images(tmp_path: Path) -> None:
    vae = VAE(Halves(), Doubles(), 1)
    # Image 100 + i has the features (i // 3, i % 3), so what is kept of it is 100 + 3 * (i // 3).
    features = np.stack(np.divmod(np.arange(60), 3), axis=1).astype(np.float32)
    exported = tmp_path / "model.pt"

    def leave(fingerprint: str = "f") -> bytes:
        leave_reconstructions(
            tmp_path,
            vae,
            features,
            100 + np.arange(60),
            representation=exported,
            fingerprint=fingerprint,
        )
        return (tmp_path / NAME).read_bytes()

    exported.write_bytes(b"first")
    first = leave()
    found = json.loads(first)
    images, nearest = np.array(found["images"]) - 100, np.array(found["nearest"]) - 100
    assert len(set(images)) == 24
    np.testing.assert_array_equal(nearest, 3 * (images // 3))

    state = (tmp_path / NAME).stat()
    assert leave() == first and (tmp_path / NAME).stat().st_mtime_ns == state.st_mtime_ns
    exported.write_bytes(b"second")
    second = leave()
    assert second != first and leave("g") != second
    (tmp_path / NAME).write_text("[")
    exported.write_bytes(b"first")
    assert leave() == first
