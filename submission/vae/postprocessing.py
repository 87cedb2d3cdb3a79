"""A linear step after the codes of any method, fitted to the codes of the training images.

Labels are not used. The step becomes the last layer of the exported network.
"""

import warnings
from typing import Literal

import gin
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evaluation.common.terminal import console
from submission.features.whitening import Whitening

_CONSTANT = 1e-6
"""A code with a smaller standard deviation is constant, and is only shifted."""
_MOST_STEPS = 1000


@gin.configurable("postprocess", denylist=["codes", "seed"])
def fit_postprocessing(
    codes: NDArray[np.float32], seed: int, method: Literal["none", "normalise", "ica"] = "none"
) -> nn.Module:
    """The step for `codes`: a module from codes (N, D) to codes (N, D), or to fewer with "ica".

    Args:
        codes: Codes (n, D) of the training images.
        seed: Seed of ICA's first guess.
        method: "none" changes nothing. "normalise" gives each code mean 0 and variance 1. "ica"
            rotates and scales the codes so that they are as independent as a linear map makes them
            (FastICA, Hyvarinen and Oja 2000); constant codes are left out.
    """
    if method == "none":
        return nn.Identity()
    rows = codes.astype(np.float64)
    mean, deviation = rows.mean(0), rows.std(0)
    varies = deviation > _CONSTANT
    if method == "normalise" or not varies.any():
        return _linear(np.eye(len(mean)), mean, np.where(varies, deviation, 1.0) ** 2)
    # Few configs ask for it, and its import takes two seconds.
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    ica = FastICA(whiten="unit-variance", random_state=seed, max_iter=_MOST_STEPS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        ica.fit((rows - mean)[:, varies] / deviation[varies])
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        console.print(f"ICA did not converge in {_MOST_STEPS} steps; its last step is used")
    components = np.zeros((len(ica.components_), len(mean)))
    components[:, varies] = ica.components_ / deviation[varies]
    return _linear(components, mean, np.ones(len(components)))


def _linear(components: NDArray, mean: NDArray, variance: NDArray) -> Whitening:
    return Whitening(*(torch.from_numpy(array).float() for array in (components, mean, variance)))
