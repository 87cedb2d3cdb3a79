"""The parts of a page that show codes: factor by factor, and code by code."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.report import drawing
from evaluation.report.findings.knowledge import Known
from evaluation.report.findings.matrices import PRUNED_BELOW
from evaluation.report.findings.walks import along, confusion, curve, strongest
from evaluation.report.heat_maps import HeatMap, heat_map
from evaluation.report.material import Material
from evaluation.report.pictures import Picture, strip

_IMAGES = 8
_CURVES = 3
_MOST_CONFUSED = 10


class FactorSection(NamedTuple):
    """A factor, walked from its first value to its last.

    Args:
        name: Its name.
        values: What its values are, in a few words.
        known: What the codes know of it.
        images: Images along it.
        ends: Names of the values of the first and the last image.
        curves: The codes that tell most of it, along it.
        confusion: Which of its values the best code takes for which, where they are few.
    """

    name: str
    values: str
    known: Known
    images: Picture
    ends: tuple[str, str]
    curves: Picture
    confusion: HeatMap | None


class CodeSection(NamedTuple):
    """A code, from its least value to its greatest.

    Args:
        code: Its number.
        mean: Over the images.
        deviation: Its standard deviation.
        ends: Its values at the first and the last image.
        dead: Whether it varies so little that FactorVAE leaves it out.
        follows: The factor that it tells most of, and how much.
        images: Images along it.
    """

    code: int
    mean: float
    deviation: float
    ends: tuple[float, float]
    dead: bool
    follows: str
    images: Picture


def factor_sections(material: Material) -> list[FactorSection]:
    """One a factor, in the dataset's order."""
    return [_factor(material, known) for known in material.known]


def code_sections(material: Material) -> list[CodeSection]:
    """One a code, in the common order."""
    return [_code(material, int(code)) for code in material.order]


def _factor(material: Material, known: Known) -> FactorSection:
    data, factor = material.data, known.factor
    name, size, value_names = (
        data.factor_names[factor],
        data.factor_sizes[factor],
        data.value_names[factor],
    )
    best = strongest(material.shares, factor, _CURVES)
    walked = [
        (f"code {code}", *curve(material.codes[:, code], material.factors[:, factor], size))
        for code in best
    ]
    unit = "bin" if factor in data.continuous else "value"
    steps = np.linspace(0, size - 1, min(size, _IMAGES)).round().astype(np.int64)
    points = np.tile(np.array(data.factor_sizes) * 3 // 5, (len(steps), 1))
    points[:, factor] = steps
    along_it = [value_names[step] for step in steps]
    return FactorSection(
        name=name,
        values=f"{size} {unit}{'' if size == 1 else 's'}",
        known=known,
        images=Picture("", "")
        if data.without_walks
        else strip(
            data,
            data.rows_of(points),
            f"Images from {name} {along_it[0]} to {along_it[-1]}, all else equal.",
        ),
        ends=(along_it[0], along_it[-1]),
        curves=Picture(
            drawing.curves(walked, value_names),
            "Mean and deviation along the factor: "
            + "; ".join(_course(name, mean) for name, mean, _ in walked)
            + ".",
        ),
        confusion=_confused(material, known) if 1 < size <= _MOST_CONFUSED else None,
    )


def _confused(material: Material, known: Known) -> HeatMap:
    data, factor = material.data, known.factor
    size, values = data.factor_sizes[factor], data.value_names[factor]
    taken = confusion(material.codes[:, known.code], material.factors[:, factor], size)
    right = float(np.nanmean(np.diag(taken)))
    return heat_map(
        taken,
        values,
        values,
        corner="is / taken for",
        title=f"What code {known.code} takes {data.factor_names[factor]} for",
        meaning=f"{right:.0%} are right, {1 / size:.0%} would be by chance.",
    )


def _code(material: Material, code: int) -> CodeSection:
    values = material.codes[:, code]
    places = along(values, _IMAGES)
    factor = int(np.nan_to_num(material.shares[code]).argmax())
    share = material.shares[code, factor]
    deviation = float(material.deviations[code])
    return CodeSection(
        code=code,
        mean=float(values.mean()),
        deviation=deviation,
        ends=(float(values[places[0]]), float(values[places[-1]])),
        dead=deviation < PRUNED_BELOW,
        follows=f"{material.data.factor_names[factor]} ({share:.0%})",
        images=Picture("", "")
        if material.data.without_images
        else strip(
            material.data,
            material.numbers[places],
            f"Images from the least code {code} to the greatest.",
        ),
    )


def _course(name: str, mean: NDArray[np.float64]) -> str:
    known = mean[np.isfinite(mean)]
    return f"{name} goes from {known[0]:.2f} to {known[-1]:.2f}"
