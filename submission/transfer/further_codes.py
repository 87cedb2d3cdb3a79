"""Further codes: a VAE's latents of the part of the features that the heads leave unexplained.

A code a factor is all that the heads can give. What else the images show, such as light or texture,
is in the features, beside the factors' values. A linear map from the values' probabilities to the
features is taken out of them; a VAE learns the rest.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.common.terminal import progress
from submission.config import used
from submission.features.batches import image_batches, in_batches
from submission.finetuning.classifier import FactorClassifier
from submission.transfer.codes import FactorCodes
from submission.transfer.method import TransferMethod
from submission.vae.fitting import fit, fitting_placement, load_fitted
from submission.vae.model import VAE, get_representation_extractor
from submission.vae.settings import VAETraining

FOLDER = "further"
"""The VAE's checkpoint and curves are in this folder of the experiment."""
_IMAGES = 256


class Unexplained(nn.Module):
    """Features (N, D) and the values' probabilities (N, sum of sizes) to what is left (N, D).

    Args:
        features: The features that the linear map is fitted to (n, D).
        probabilities: The probabilities that belong to them (n, sum of sizes).
    """

    mean: Tensor
    explained: Tensor
    scale: Tensor

    def __init__(self, features: NDArray[np.float32], probabilities: NDArray[np.float32]) -> None:
        super().__init__()
        exact, given = features.astype(np.float64), probabilities.astype(np.float64)
        mean, usual = exact.mean(0), given.mean(0)
        # Many maps fit equally well, because each factor's probabilities sum to 1, up to float32's
        # rounding. This takes the one with the smallest weights.
        explained = np.linalg.lstsq(given - usual, exact - mean, rcond=1e-5)[0]
        left = exact - mean - (given - usual) @ explained
        scale = np.sqrt(np.square(left).mean())
        self.register_buffer("mean", torch.from_numpy(mean - usual @ explained).float())
        self.register_buffer("explained", torch.from_numpy(explained).float())
        self.register_buffer("scale", torch.tensor(1 / scale if scale > 0 else 1.0).float())

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        return (features - self.mean - probabilities @ self.explained) * self.scale


class ExtendedCodes(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to codes: one for each factor, then the VAE's latents.

    Args:
        factor_codes: The codes of the factors.
        unexplained: What they leave of the features.
        encoder: That to the latents' posterior mean.
    """

    def __init__(
        self, factor_codes: FactorCodes, unexplained: Unexplained, encoder: nn.Module
    ) -> None:
        super().__init__()
        self.factor_codes = factor_codes
        self.unexplained = unexplained
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        features = self.factor_codes.extractor(images)
        probabilities = self.factor_codes.probabilities(features)
        latents = self.encoder(self.unexplained(features, probabilities))
        return torch.cat([self.factor_codes.of_probabilities(probabilities), latents], 1)


def fit_further_codes(method: TransferMethod, classifier: FactorClassifier, folder: Path) -> None:
    """Trains the VAE on the target's images. It continues where an earlier run stopped.

    Args:
        method: The parts of the method.
        classifier: The adapted classifier. All processes have the same.
        folder: The experiment's folder.
    """
    _, left = _left(method, FactorCodes(classifier))
    training, vae, made_from = _vae(method, left)
    shape, batch_size = left.shape[1:], method.main.vae_batch_size
    fit(
        vae,
        training,
        left,
        batch_size=batch_size,
        seed=method.main.seed,
        placement=fitting_placement(vae, shape, training.latent_dims, batch_size, method.placement),
        folder=folder / FOLDER,
        made_from=made_from,
    )


def with_further_codes(
    method: TransferMethod, factor_codes: FactorCodes, folder: Path | None
) -> ExtendedCodes:
    """The representation with the VAE's latents.

    Args:
        method: The parts of the method.
        factor_codes: Those of the adapted classifier.
        folder: The experiment's folder, where `fit_further_codes` has trained the VAE; None takes
            its initial weights.

    Raises:
        KitError: `EXPORT-UNTRAINED`, there is no such training, or it is not finished.
    """
    unexplained, left = _left(method, factor_codes)
    training, vae, made_from = _vae(method, left)
    if folder is not None:
        load_fitted(
            vae,
            training,
            len(left),
            batch_size=method.main.vae_batch_size,
            folder=folder / FOLDER,
            made_from=made_from,
        )
    return ExtendedCodes(factor_codes, unexplained, get_representation_extractor(vae))


@torch.no_grad()
def _left(
    method: TransferMethod, factor_codes: FactorCodes
) -> tuple[Unexplained, NDArray[np.float32]]:
    """What turns features to what is left of them, and this of all images (n, D).

    Each process computes all, because one alone exports.
    """
    network, chosen = factor_codes.to(method.placement.device).eval(), method.chosen
    batches = in_batches(chosen, _IMAGES)
    features, probabilities = [], []
    with progress("Features", len(chosen)) as advance:
        for images in image_batches(method.target.images_at, batches, method.placement):
            features.append(network.extractor(images).float())
            probabilities.append(network.probabilities(features[-1]))
            advance(len(images))
    all_features, all_probabilities = torch.cat(features).cpu(), torch.cat(probabilities).cpu()
    unexplained = Unexplained(all_features.numpy(), all_probabilities.numpy())
    return unexplained, unexplained(all_features, all_probabilities).numpy()


def _vae(
    method: TransferMethod, left: NDArray[np.float32]
) -> tuple[VAETraining, VAE, dict[str, Any]]:
    """The settings of `train_vae`, the VAE with initial weights, and what its training is from."""
    torch.manual_seed(method.main.seed)
    training = VAETraining()
    vae = training.build(left.shape[1:])
    return training, vae, {**method.made_from, "config": used()}
