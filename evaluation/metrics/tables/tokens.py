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


_ROWS_AT_ONCE = 256


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
        """Codes (n, tokens) of codes (n, tokens, width), whichever rows stand beside each other."""
        reduced = np.empty(codes.shape[:2])
        for start in range(0, len(codes), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            offsets = codes[part].astype(np.float64) - self.means
            reduced[part] = (offsets * self.directions).sum(axis=-1)
        return reduced


def fit_components(codes: NDArray) -> Components:
    """The components of codes (n, tokens, width); a token that does not vary has a share of 1.

    Example:
        >>> codes = np.array([[[0.0, 0.0], [1.0, 0.0]], [[3.0, 4.0], [1.0, 0.0]]])
        >>> components = fit_components(codes)
        >>> components.reduce(codes).round(3) + 0.0
        array([[-2.5,  0. ],
               [ 2.5,  0. ]])
    """
    means = np.empty(codes.shape[1:])
    directions, shares = np.empty_like(means), np.ones(len(means))
    for token in range(len(means)):
        points = codes[:, token].astype(np.float64)
        means[token] = points.mean(axis=0)
        offsets = points - means[token]
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
    components = fit_components(codes[rows_to_fit(len(codes), seed)])
    return components.reduce(codes), components


def rows_to_fit(rows: int, seed: int) -> NDArray[np.int64]:
    """The rows, in rising order, on which components are fitted."""
    return np.sort(RandomState(seed).permutation(rows)[:ROWS_FITTED])
