"""Heat maps as tables: a matrix's numbers, and how strongly the cell of each is tinted."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.codes.frames.content import FramesReport
from evaluation.report.findings.matrices import Matrix, as_floats, matrices
from evaluation.report.material import Material


class Cell(NamedTuple):
    """A number as it is written, and the strength of its tint in [0, 1]."""

    text: str
    strength: float


class HeatMap(NamedTuple):
    """A matrix as a page shows it.

    Args:
        title: What it holds, in a few words.
        meaning: How to read it, in a sentence or two.
        said: What stands out, for who does not see the tints; empty where `meaning` says it.
        corner: What rows and columns are.
        columns: Names of the columns.
        rows: Name and cells of each row.
    """

    title: str
    meaning: str
    said: str
    corner: str
    columns: Sequence[str]
    rows: list[tuple[str, list[Cell]]]


def heat_maps(material: Material) -> list[HeatMap]:
    """The matrices of all metrics in the common order of codes."""
    report, order = material.report, material.order
    rows = [f"code {code}" for code in order]
    data, names = material.data, material.data.factor_names
    of_continuous = " Of a continuous factor it is the squared correlation."
    return [
        heat_map(
            matrix.values[order],
            rows,
            names,
            corner="",
            title=matrix.title,
            meaning=matrix.meaning
            + of_continuous * (matrix.metric == "sap_score" and bool(data.continuous)),
            said=_said(matrix, names),
        )
        for matrix in matrices(report.details, data.entropies, material.deviations)
    ]


def frames_maps(report: FramesReport, order: NDArray[np.int64]) -> list[HeatMap]:
    """The shares of each set of frames, in an order of codes (d,)."""
    return [
        heat_map(
            as_floats(found.shares)[order],
            [f"code {code}" for code in order],
            report.factor_names,
            corner="",
            title=title,
            meaning=f"On {found.rows_strongest} of {len(found.walked)} walks the strongest code "
            f"moves more than on any other (noise: {found.noise.rows_strongest:.1f}). The mean of "
            f"these codes' shares is {found.mean_share:.2f} (noise: {found.noise.mean_share:.2f}).",
        )
        for title, found in report.sets.items()
    ]


def heat_map(
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    corner: str,
    title: str,
    meaning: str,
    said: str = "",
) -> HeatMap:
    """A matrix (rows, columns) of values in [0, 1]; NaN is shown as a dash."""
    cells = [[Cell(_text(value), _strength(value)) for value in row] for row in values.tolist()]
    return HeatMap(title, meaning, said, corner, columns, list(zip(rows, cells, strict=True)))


def _text(value: float) -> str:
    """Two digits, without the zero before the point."""
    if np.isnan(value):
        return "-"
    return f"{value:.2f}".replace("-0.00", "0.00").removeprefix("0")


def _strength(value: float) -> float:
    return 0.0 if np.isnan(value) else round(min(max(value, 0.0), 1.0), 2)


def _said(matrix: Matrix, names: Sequence[str]) -> str:
    """The strongest code of each factor, in words."""
    values = np.nan_to_num(matrix.values)
    strongest_of = [
        f"{name}: code {values[:, factor].argmax()} with {values[:, factor].max():.2f}"
        for factor, name in enumerate(names)
    ]
    return f"Heat map of codes and factors. Strongest for each factor: {'; '.join(strongest_of)}."
