"""Drawings of numbers by matplotlib, which look right whether the reader chose light or dark."""

import io
import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common import environment
from evaluation.common.escaping import visible
from evaluation.report.pictures import data_uri

LINES = ("#e69f00", "#0e8fd6", "#00a878", "#cc79a7", "#d55e00", "#8a8a8a", "#b5a800")
"""Colours that the colour-blind can tell apart, on white and on black."""

ALONG = ("#0e8fd6", "#9aa7b0", "#e05a1a")
"""From the first to the last of many values, each seen on white and on black."""

_INK = "#010203"
"""Stands in the drawing for the colour of the page's text."""

_STYLE = b"<style>svg{color:#1b1f24}@media(prefers-color-scheme:dark){svg{color:#e8eaed}}</style>"

_POINTS_SIDE = 2.2
_POINTS_DPI = 144
_PER_INCH_OF_LEGEND = 6.2


def curves(
    lines: Sequence[tuple[str, NDArray[np.float64], NDArray[np.float64]]],
    ticks: Sequence[str],
) -> str:
    """Means with bands of one standard deviation along a factor's values.

    Args:
        lines: Name, means (size,) and deviations (size,) of each.
        ticks: Names of the values.
    """
    figure, axes = blank(4.2, 2.1, top=0.3, bottom=0.3)
    places = np.arange(len(ticks))
    marker = "o" if len(ticks) <= 12 else None
    for colour, (name, mean, deviation) in zip(LINES, lines, strict=False):
        axes.fill_between(
            places, mean - deviation, mean + deviation, color=colour, alpha=0.16, lw=0
        )
        axes.plot(places, mean, color=colour, marker=marker, ms=3.5, lw=1.8, label=name)
    shown = np.unique(np.linspace(0, len(ticks) - 1, min(len(ticks), 8)).round().astype(int))
    axes.set_xticks(shown, [shortened(ticks[place], 11) for place in shown])
    axes.set_ylabel("code")
    figure.legend(frameon=False, loc="upper center", ncols=len(LINES))
    return as_uri(figure)


def histories(
    lines: Sequence[tuple[str, NDArray[np.float64]]], *, logarithmic: bool = False
) -> str:
    """Values (epochs,) by epoch, which is numbered from 0; NaN where there is none."""
    legend = (len(lines) + 1) // 2 / _PER_INCH_OF_LEGEND + 0.1
    figure, axes = blank(4.0, 2.2 + legend, top=0.2, bottom=0.45 + legend)
    for place, (name, values) in enumerate(lines):
        style = ("-", "--", ":")[place // len(LINES) % 3]
        colour = LINES[place % len(LINES)]
        axes.plot(values, style, color=colour, lw=1.6, label=shortened(name, 26))
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")  # powers would be mathematics, which is off
        axes.yaxis.set_minor_formatter("")
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(frameon=False, loc="lower center", ncols=2, labelspacing=0.25)
    return as_uri(figure)


def points(
    first: NDArray, second: NDArray, colourings: Sequence[tuple[NDArray[np.int64], int]]
) -> list[str]:
    """Pairs of two codes (n,) as points of a square without axes, once for each colouring.

    Args:
        first, second: The codes, across and upwards. Each side spans the range of its code.
        colourings: Values (n,) of a factor, and how many values it has.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, axes = blank(_POINTS_SIDE, _POINTS_SIDE)
    figure.set_dpi(_POINTS_DPI)
    figure.patch.set_alpha(0)
    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    drawn = axes.scatter(_in_range(first), _in_range(second), s=5, linewidths=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    canvas = FigureCanvasAgg(figure)
    found: list[str] = []
    for values, size in colourings:
        drawn.set_facecolor(_colours(size)[values])
        canvas.draw()
        found.append(data_uri("image/png", _png(np.asarray(canvas.buffer_rgba()))))
    return found


def _in_range(codes: NDArray) -> NDArray[np.float64]:
    """Codes (n,) in [0, 1] of their range; a half where they have none."""
    exact = codes.astype(np.float64)
    spread = np.ptp(exact)
    return (exact - exact.min()) / spread if spread > 0 else np.full(len(exact), 0.5)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture (height, width, 4) in 128 colours, which take a third of the bytes."""
    from PIL import Image

    stored = io.BytesIO()
    image = Image.fromarray(pixels).quantize(128, method=Image.Quantize.FASTOCTREE)
    image.save(stored, "PNG")
    return stored.getvalue()


@cache
def _colours(size: int) -> NDArray[np.float64]:
    """A colour (size, 4) for each value of a factor."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba_array

    alpha = 0.8
    if size <= len(LINES):
        return to_rgba_array(list(LINES[:size]), alpha)
    colours = LinearSegmentedColormap.from_list("along", ALONG)(np.linspace(0, 1, size))
    colours[:, 3] = alpha
    return colours


def blank(width: float, height: float, top: float = 0.0, bottom: float = 0.0) -> tuple[Any, Any]:
    """An empty drawing of so many inches, and its axes. No setting of the user's has a say in it.

    The margins are fixed: a layout that measures all texts draws everything twice.
    """
    with suppress(OSError):  # a read-only checkout: matplotlib takes a temporary folder
        folder = environment.SCRATCH / "matplotlib"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("MPLCONFIGDIR", str(folder))
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcdefaults()
    matplotlib.rcParams.update(
        {
            "font.size": 8,
            "svg.fonttype": "none",
            "svg.hashsalt": "page",  # the same drawing has the same bytes
            "text.parse_math": False,  # a name may hold dollars
            "savefig.transparent": True,
            "axes.grid": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.alpha": 0.12,
            "grid.linewidth": 0.6,
            **dict.fromkeys(
                (
                    "text.color",
                    "axes.labelcolor",
                    "axes.edgecolor",
                    "grid.color",
                    "xtick.color",
                    "ytick.color",
                ),
                _INK,
            ),
        }
    )
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(0.62 / width, bottom / height, 1 - 0.1 / width, 1 - top / height)
    return figure, figure.add_subplot()


def shortened(text: str, most: int = 22) -> str:
    shown = visible(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def as_uri(figure: Any) -> str:
    stored = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font lacks: the reader's has them
        figure.savefig(stored, format="svg", metadata={"Date": None})
    content = stored.getvalue().replace(_INK.encode(), b"currentColor")
    start = content.index(b"<svg")
    end = content.index(b">", start) + 1
    return data_uri("image/svg+xml", content[start:end] + _STYLE + content[end:])
