"""How much of a code's variation falls on the walk along each factor: functions of arrays."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-6
"""A code that varies less than this part of its largest value stands still: float32 rounds so."""

_NOISE_TABLES = 200


class Strongest(NamedTuple):
    """The code that moves most for a factor.

    Args:
        code: Its number; None where every code stands still.
        share: The share of its variation that falls on the walk along the factor.
        is_its_own: Whether the code moves most on that walk, of all walks.
    """

    code: int | None
    share: float
    is_its_own: bool


class Chance(NamedTuple):
    """What codes that are noise get on average.

    Args:
        rows: Number of walks whose strongest code moves most there.
        share: The mean of the strongest codes' shares.
    """

    rows: float
    share: float


def walked_shares(codes: NDArray, walks: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """The share of each code's variation that falls on each walk.

    The variation of a code on a walk is its variance over the walk's different images, each of
    which counts once. Its shares are these variances, divided by their sum over all walks. So they
    do not depend on the code's scale or zero. Walks start at the same image, and each moves one
    factor: a code that follows one factor alone has a share of 1 there.

    Args:
        codes: (n, d), one row an image.
        walks: The images (s,) of each walk, which may name an image more than once.

    Returns:
        (d, walks), rows that sum to 1, or are NaN where the code stands still on all walks.

    Example:
        >>> codes = np.array([[0.0, 5.0], [2.0, 5.0], [0.0, 6.0], [0.0, 5.0]])
        >>> walked_shares(codes, [np.array([0, 1, 0]), np.array([0, 2]), np.array([0, 3])])
        array([[1., 0., 0.],
               [0., 1., 0.]])
    """
    exact = codes.astype(np.float64)
    variances = np.stack([exact[np.unique(walk)].var(axis=0) for walk in walks], axis=1)
    smallest = (_ROUNDING * np.abs(exact).max(axis=0)) ** 2
    still = variances.max(axis=1) <= smallest
    sums = np.where(still, np.nan, variances.sum(axis=1))
    return variances / sums[:, np.newaxis]


def strongest_codes(shares: NDArray[np.float64]) -> list[Strongest]:
    """For each walk of (d, walks) the code with the largest share; of equal ones the first."""
    known = np.nan_to_num(shares)
    found = []
    for walk, column in enumerate(known.T):
        code = int(column.argmax())
        share = float(column[code])
        if share == 0:
            found.append(Strongest(None, 0.0, False))
        else:
            found.append(Strongest(code, share, int(known[code].argmax()) == walk))
    return found


def mean_share(strongest: Sequence[Strongest]) -> float:
    """The mean over the walks of their strongest codes' shares."""
    return float(np.mean([one.share for one in strongest]))


def own_rows(strongest: Sequence[Strongest]) -> int:
    """Number of walks whose strongest code moves most there."""
    return sum(one.is_its_own for one in strongest)


def chance(images: int, dims: int, walks: Sequence[NDArray[np.int64]]) -> Chance:
    """What noise of as many dims gets: the mean over 200 tables of normal numbers, one an image."""
    generator = np.random.default_rng(0)
    rows, shares = [], []
    for _ in range(_NOISE_TABLES):
        noise = strongest_codes(walked_shares(generator.normal(size=(images, dims)), walks))
        rows.append(own_rows(noise))
        shares.append(mean_share(noise))
    return Chance(float(np.mean(rows)), float(np.mean(shares)))
