"""Drawings of how values are spread in several groups: violins with all points."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from evaluation.report.drawing import LINES, as_uri, blank, shortened

_LETTERS = 26
_PER_LETTER = 0.068
"""Inches that a letter of a group's name takes."""


def violins(groups: Mapping[str, NDArray[np.float64]], axis: str) -> str:
    """A row for each group: its values as points, their median, and their density.

    Args:
        groups: By name, finite values (n,) of each.
        axis: What the values are.
    """
    names = [shortened(name, _LETTERS) for name in groups]
    width, height = 4.2, 0.55 + 0.34 * len(groups)
    figure, axes = blank(width, height, bottom=0.42, top=0.08)
    left = _PER_LETTER * max(map(len, names)) + 0.2
    figure.subplots_adjust(left=left / width)
    for place, values in enumerate(groups.values()):
        colour = LINES[place % len(LINES)]
        if len(values) > 2 and np.ptp(values) > 0:
            drawn = axes.violinplot(
                [values], [place], orientation="horizontal", widths=0.8, showextrema=False
            )
            drawn["bodies"][0].set(facecolor=colour, alpha=0.25, linewidth=0)
        spread = np.random.default_rng(0).uniform(-0.14, 0.14, len(values))
        axes.scatter(values, place + spread, s=9, color=colour, linewidths=0, alpha=0.9)
        if len(values):
            axes.vlines(np.median(values), place - 0.3, place + 0.3, color=colour, lw=1.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(axis)
    axes.xaxis.get_major_locator().set_params(nbins=5)  # more would touch on a telephone
    return as_uri(figure)
