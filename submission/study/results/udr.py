"""Unsupervised disentanglement ranking (Duan et al. 2020, arXiv 1905.12614).

A model that disentangles finds the same codes again from another seed. This is the variant with
Spearman's correlation, and follows disentanglement_lib's `evaluation/udr/metrics/udr.py`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

INFORMATIVE = 0.01
"""Codes whose divergence from the prior is at most so many nats say nothing, and do not count."""


def ranking(codes: Sequence[NDArray], divergences: Sequence[NDArray]) -> list[float]:
    """For each model the median of its similarities to the others, in [0, 1].

    Args:
        codes: Codes (n, d) of the same images by each model of one setting, two models or more.
        divergences: Divergence (d,) of each code from the prior, in nats.
    """
    standard = [
        _standard_ranks(table[:, by_code > INFORMATIVE])
        for table, by_code in zip(codes, divergences, strict=True)
    ]
    number = len(standard)
    similarities = np.zeros((number, number))
    for first in range(number):
        for second in range(first):
            correlations = np.abs(standard[first].T @ standard[second])
            similarities[first, second] = similarity(correlations)
            similarities[second, first] = similarities[first, second]
    others = ~np.eye(number, dtype=bool)
    return [float(np.median(row[other])) for row, other in zip(similarities, others, strict=True)]


def similarity(correlations: NDArray[np.float64]) -> float:
    """How nearly each code of two models has one partner in the other.

    Args:
        correlations: Absolute correlations (d, e) of the codes of both.

    Returns:
        The mean over both models of the largest correlation of a code, squared, by the sum of all
        of that code; 0 where a model has no code that counts.
    """
    if not correlations.size:
        return 0.0
    parts = []
    for axis in (0, 1):
        sums = correlations.sum(axis)
        shares = np.divide(
            correlations.max(axis) ** 2, sums, out=np.zeros_like(sums), where=sums > 0
        )
        parts.append(shares.mean())
    return float(np.mean(parts))


def _standard_ranks(codes: NDArray) -> NDArray[np.float64]:
    """Ranks (n, d) by code, with mean 0 and length 1; 0 where a code never changes."""
    ranks = rankdata(codes, axis=0).astype(np.float64) if codes.size else codes.astype(np.float64)
    centred = ranks - ranks.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    return np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
