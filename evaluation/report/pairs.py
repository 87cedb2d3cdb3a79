"""Pairs of codes against each other, each coloured by one factor after the other.

The reader chooses the factor. All colourings are on the page, and its style shows one of them: a
page runs no script.
"""

from typing import NamedTuple

import numpy as np

from evaluation.report import drawing
from evaluation.report.findings.walks import strongest
from evaluation.report.material import Material
from evaluation.report.pictures import Picture

_POINTS = 1_500
_MOST_FACTORS = 10
"""Factors by which a pair is coloured, and that have a pair; those of the kit's datasets do."""


class Key(NamedTuple):
    """What the colours of a factor mean.

    Args:
        factor: Its name.
        colours: One for each of `values`; of many values the first, the middle and the last.
        values: Names of values; of many the first and the last.
        gradual: Whether the colours run from the first value to the last.
    """

    factor: str
    colours: tuple[str, ...]
    values: tuple[str, ...]
    gradual: bool


class Pair(NamedTuple):
    """Two codes against each other.

    Args:
        first, second: Their numbers, across and upwards.
        across, upwards: The ranges of their values.
        factors: Names of the factors of which no two codes tell more.
        drawn: One picture for each key.
    """

    first: int
    second: int
    across: tuple[float, float]
    upwards: tuple[float, float]
    factors: list[str]
    drawn: list[Picture]


def keys(material: Material) -> list[Key]:
    """The colours of each factor by which pairs are coloured."""
    data, found = material.data, []
    for name, values in list(zip(data.factor_names, data.value_names, strict=True))[:_MOST_FACTORS]:
        gradual = len(values) > len(drawing.LINES)
        colours = drawing.ALONG if gradual else drawing.LINES[: len(values)]
        shown = (values[0], values[-1]) if gradual else tuple(values)
        found.append(Key(name, colours, shown, gradual))
    return found


def pairs(material: Material) -> list[Pair]:
    """The two codes that tell most of each factor, each pair once."""
    names = material.data.factor_names[:_MOST_FACTORS]
    told: dict[tuple[int, int], list[str]] = {}
    for factor, name in enumerate(names):
        best = [int(code) for code in strongest(material.shares, factor, 2)]
        if len(best) == 2:
            told.setdefault((min(best), max(best)), []).append(name)
    return [_pair(material, *codes, factors) for codes, factors in told.items()]


def _pair(material: Material, first: int, second: int, factors: list[str]) -> Pair:
    some = np.random.default_rng(0).permutation(len(material.codes))[:_POINTS]
    across, upwards = material.codes[some, first], material.codes[some, second]
    data = material.data
    sizes = data.factor_sizes[:_MOST_FACTORS]
    values = material.factors[some]
    sources = drawing.points(
        across, upwards, [(values[:, factor], size) for factor, size in enumerate(sizes)]
    )
    return Pair(
        first,
        second,
        (float(across.min()), float(across.max())),
        (float(upwards.min()), float(upwards.max())),
        factors,
        [
            Picture(source, f"Code {first} against code {second}, coloured by {name}.")
            for source, name in zip(sources, data.factor_names, strict=False)
        ],
    )
