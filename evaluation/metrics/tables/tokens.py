"""Codes of several tokens an image, made one number a token by principal components.

Methods whose latents are vectors are scored so in their papers (EncDiff, DisDiff): each token by
its first principal component.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

ROWS_FITTED = 10_000
"""Most rows that components are fitted on: as many as a metric draws to learn from."""


class Components(NamedTuple):
    """The first principal component of each token.

    Args:
        means: (tokens, width).
        directions: (tokens, width), of length 1; the largest number of each is positive.
        shares: (tokens,), the share of a token's variance that lies along it, in [0, 1].
    """

    means: NDArray[np.float64]
    directions: NDArray[np.float64]
    shares: NDArray[np.float64]

    def reduce(self, codes: NDArray) -> NDArray[np.float64]:
        """Codes (n, tokens) of codes (n, tokens, width)."""
        offsets = np.einsum("tw,tw->t", self.means, self.directions)
        return np.einsum("ntw,tw->nt", codes, self.directions) - offsets


def fit_components(codes: NDArray) -> Components:
    """The components of codes (n, tokens, width); a token that does not vary has a share of 1.

    Example:
        >>> codes = np.array([[[0.0, 0.0], [1.0, 0.0]], [[3.0, 4.0], [1.0, 0.0]]])
        >>> components = fit_components(codes)
        >>> components.reduce(codes).round(3) + 0.0
        array([[-2.5,  0. ],
               [ 2.5,  0. ]])
    """
    points = codes.astype(np.float64)
    means = points.mean(axis=0)
    directions, shares = np.empty_like(means), np.ones(len(means))
    for token, mean in enumerate(means):
        offsets = points[:, token] - mean
        variances, vectors = np.linalg.eigh(offsets.T @ offsets)
        direction = vectors[:, -1]
        directions[token] = direction * np.sign(direction[np.argmax(np.abs(direction))])
        if variances.sum() > 0:
            shares[token] = variances[-1] / variances.sum()
    return Components(means, directions, shares)


def one_number_a_token(codes: NDArray, seed: int) -> tuple[NDArray, Components | None]:
    """Codes (n, d), of (n, tokens, width) by the components of at most ROWS_FITTED random rows."""
    if codes.ndim == 2:
        return codes, None
    rows = np.sort(RandomState(seed).permutation(len(codes))[:ROWS_FITTED])
    components = fit_components(codes[rows])
    return components.reduce(codes), components
