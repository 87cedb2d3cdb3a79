"""Further codes: a VAE's latents of the part of the features that the heads leave unexplained.

A code a factor is all that the heads can give. What else the images show, such as light or texture,
is in the features, beside the factors' values. A linear map from the values' probabilities to the
features is taken out of them; a VAE learns the rest.
"""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.common.devices import Placement
from submission.config import used
from submission.transfer.codes import FactorCodes
from submission.transfer.method import TransferMethod
from submission.vae.fitting import fit, fitting_placement, load_fitted
from submission.vae.model import VAE, get_representation_extractor
from submission.vae.settings import VAETraining

FOLDER = "further"
"""The VAE's checkpoint and curves are in this folder of the experiment."""


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
        return self.of_features(self.factor_codes.extractor(images))

    def of_features(self, features: Tensor) -> Tensor:
        """The codes (N, factors and latents) of the extractor's features (N, D)."""
        probabilities = self.factor_codes.probabilities(features)
        latents = self.encoder(self.unexplained(features, probabilities))
        return torch.cat([self.factor_codes.of_probabilities(probabilities), latents], 1)


class _Parts(NamedTuple):
    """What the features are turned to, and the VAE with initial weights that learns it."""

    unexplained: Unexplained
    left: NDArray[np.float32]
    """What is left of the features of all images to train on (n, D)."""
    training: VAETraining
    vae: VAE
    placement: Placement
    made_from: dict[str, Any]


def fit_further_codes(
    method: TransferMethod, factor_codes: FactorCodes, features: Tensor, folder: Path
) -> ExtendedCodes:
    """Trains the VAE on the target's images. It continues where an earlier run stopped.

    Args:
        method: The parts of the method.
        factor_codes: Those of the adapted classifier, the same in all processes.
        features: Features (n, D) of the images to train on, from the same classifier.
        folder: The experiment's folder.

    Returns:
        The representation with the VAE's latents.
    """
    parts = _parts(method, factor_codes, features)
    # A copy is trained, because under torchrun it gets batch norms of another class.
    trained = copy.deepcopy(parts.vae)
    fit(
        trained,
        parts.training,
        parts.left,
        batch_size=method.main.vae_batch_size,
        seed=method.main.seed,
        placement=parts.placement,
        folder=folder / FOLDER,
        made_from=parts.made_from,
    )
    parts.vae.load_state_dict(trained.state_dict())
    return _extended(factor_codes, parts)


def fitted_further_codes(
    method: TransferMethod, factor_codes: FactorCodes, features: Tensor, folder: Path
) -> ExtendedCodes:
    """The representation with the latents of a finished `fit_further_codes` of the same.

    Raises:
        KitError: `EXPORT-UNTRAINED`, there is no such training, or it is not finished.
    """
    parts = _parts(method, factor_codes, features)
    load_fitted(
        parts.vae,
        parts.training,
        len(parts.left),
        batch_size=method.main.vae_batch_size,
        folder=folder / FOLDER,
        made_from=parts.made_from,
    )
    return _extended(factor_codes, parts)


def untrained_further_codes(
    method: TransferMethod, factor_codes: FactorCodes, features: Tensor
) -> ExtendedCodes:
    """The representation with the latents of a VAE that has its initial weights."""
    return _extended(factor_codes, _parts(method, factor_codes, features))


def _extended(factor_codes: FactorCodes, parts: _Parts) -> ExtendedCodes:
    return ExtendedCodes(factor_codes, parts.unexplained, get_representation_extractor(parts.vae))


def _parts(method: TransferMethod, factor_codes: FactorCodes, features: Tensor) -> _Parts:
    with torch.no_grad():
        probabilities = factor_codes.probabilities(features)
        unexplained = Unexplained(features.numpy(), probabilities.numpy())
        left = unexplained(features, probabilities).numpy()
    torch.manual_seed(method.main.seed)
    training = VAETraining()
    shape, batch_size = left.shape[1:], method.main.vae_batch_size
    vae = training.build(shape)
    fitting = fitting_placement(vae, shape, training.latent_dims, batch_size, method.placement)
    made_from = {
        **method.made_from,
        "fitted_in": fitting.precision,
        "config": used(),
    }
    return _Parts(unexplained, left, training, vae, fitting, made_from)
