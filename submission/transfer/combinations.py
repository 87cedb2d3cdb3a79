"""What images show, given that no two of them show the same combination of the factors' values.

A grid holds each combination once. So images that look alike but for one factor show different
values of it, and a network's guesses about them correct each other. This is a fact about how the
set was made, not a label. Where a set has more images than there are combinations, because its
grid is finer than that of the labels, each combination has an even share of them.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_LIKELY = 32
"""Combinations that are considered for an image, at most."""
_ROUNDS = 100
_ROWS = 1 << 14
"""Images whose combinations are searched at a time, to bound the memory."""
_SMALLEST_SCALE = 1e-150
"""A combination that far too many images want is never ruled out: else an image that wants no
other would have none."""


def distinct(probabilities: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The probabilities of each factor's values, if all images show different combinations.

    The probability of a combination is at first the product of those of its values. Sinkhorn's
    algorithm then scales those of each combination, over all images, to a sum of at most 1 (or the
    even share), and those of each image to 1 again, a hundred times. Asano et al. (arXiv
    1911.05371) learned labels from scratch in this way, with equal parts for all labels; here no
    label gets more than one image.

    Args:
        probabilities: For each factor (n, size), of n different images of one grid.

    Returns:
        In the same form. The same images in another order have the same probabilities, up to the
        rounding of sums.
    """
    count, sizes = len(probabilities[0]), [of_factor.shape[1] for of_factor in probabilities]
    logs = [np.log(np.maximum(of_factor, 1e-12)) for of_factor in probabilities]
    parts = [
        _likely([log[start : start + _ROWS] for log in logs]) for start in range(0, count, _ROWS)
    ]
    likely = np.concatenate([part for part, _ in parts])
    numbers, columns = np.unique(np.concatenate([cells for _, cells in parts]), return_inverse=True)
    columns = columns.reshape(likely.shape)
    scale = np.ones(len(numbers))
    share = max(1.0, count / math.prod(sizes))
    for _ in range(_ROUNDS):
        sums = np.bincount(columns.ravel(), _of_images(likely, scale, columns).ravel())
        scale = np.maximum(scale / np.maximum(sums / share, 1), _SMALLEST_SCALE)
    joint = _of_images(likely, scale, columns)
    values = np.unravel_index(numbers, sizes)
    result = []
    for value, size in zip(values, sizes, strict=True):
        shown = value[columns]
        sums_of_values = [np.where(shown == each, joint, 0).sum(1) for each in range(size)]
        result.append(np.stack(sums_of_values, 1).astype(np.float32))
    return result


def _of_images(
    likely: NDArray[np.float64], scale: NDArray[np.float64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The probabilities (n, m) of each image's combinations, scaled, with a sum of 1."""
    scaled = likely * scale[columns]
    return scaled / scaled.sum(1, keepdims=True)


def _likely(
    logs: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The likeliest combinations of images: probabilities (n, m), and their numbers in the grid.

    Factor by factor, the best beginnings of combinations are kept. None of the best combinations
    is missed, because the factors are independent: its beginning is among the best, too.
    """
    best = np.zeros((len(logs[0]), 1), np.float32)
    numbers = np.zeros((len(logs[0]), 1), np.int64)
    for log in logs:
        size = log.shape[1]
        best = (best[:, :, None] + log[:, None, :]).reshape(len(log), -1)
        numbers = (numbers[:, :, None] * size + np.arange(size)).reshape(len(log), -1)
        if best.shape[1] > _MOST_LIKELY:
            kept = np.argpartition(-best, _MOST_LIKELY - 1, axis=1)[:, :_MOST_LIKELY]
            best = np.take_along_axis(best, kept, 1)
            numbers = np.take_along_axis(numbers, kept, 1)
    likely = np.exp(best - best.max(1, keepdims=True)).astype(np.float64)
    return likely, numbers
