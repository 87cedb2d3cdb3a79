"""Drawings of numbers by matplotlib, as SVG that follows the reader's choice of light or dark."""

import io
import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common import environment
from evaluation.common.escaping import visible
from evaluation.report.pictures import data_uri

LINES = ("#e69f00", "#0e8fd6", "#00a878", "#cc79a7", "#d55e00", "#8a8a8a", "#b5a800")
"""Colours that the colour-blind can tell apart, on white and on black."""

_ALONG = ("#0e8fd6", "#9aa7b0", "#e05a1a")
"""From the first to the last of many values, each seen on white and on black."""

CELL = "#2aa89a"

_INK = "#010203"
"""Stands in the drawing for the colour of the page's text."""

_STYLE = b"<style>svg{color:#1b1f24}@media(prefers-color-scheme:dark){svg{color:#e8eaed}}</style>"


def heat_map(
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_title: str = "",
    column_title: str = "",
) -> str:
    """Cells (rows, columns) in [0, 1] with their numbers; NaN is left empty."""
    from matplotlib.colors import to_rgb

    figure = _figure(1.25 + 0.36 * len(columns), 1.1 + 0.2 * len(rows))
    axes = figure.add_subplot()
    strength = np.nan_to_num(values).clip(0, 1)
    colours = np.empty((*values.shape, 4))
    colours[..., :3] = to_rgb(CELL)
    colours[..., 3] = strength
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    axes.spines[:].set_color((*to_rgb("#8a8a8a"), 0.5))
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        text = "-" if np.isnan(value) else f"{value:.2f}".replace("-0.00", "0.00")
        ink = "#06110f" if strength[row, column] > 0.72 else _INK
        axes.text(
            column, row, text.removeprefix("0"), ha="center", va="center", fontsize=7.5, color=ink
        )
    axes.set_yticks(range(len(rows)), [_shortened(row) for row in rows])
    axes.set_xticks(
        range(len(columns)), [_shortened(name) for name in columns], rotation=40, ha="left"
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_ylabel(row_title)
    if column_title:
        axes.set_xlabel(column_title)
    return _finish(figure)


def curves(
    lines: Sequence[tuple[str, NDArray[np.float64], NDArray[np.float64]]],
    ticks: Sequence[str],
) -> str:
    """Means with bands of one standard deviation along a factor's values.

    Args:
        lines: Name, means (size,) and deviations (size,) of each.
        ticks: Names of the values.
    """
    figure = _figure(4.2, 2.1)
    axes = figure.add_subplot()
    places = np.arange(len(ticks))
    marker = "o" if len(ticks) <= 12 else None
    for colour, (name, mean, deviation) in zip(LINES, lines, strict=False):
        axes.fill_between(
            places, mean - deviation, mean + deviation, color=colour, alpha=0.16, lw=0
        )
        axes.plot(places, mean, color=colour, marker=marker, ms=3.5, lw=1.8, label=name)
    shown = np.unique(np.linspace(0, len(ticks) - 1, min(len(ticks), 8)).round().astype(int))
    axes.set_xticks(shown, [_shortened(ticks[place], 11) for place in shown])
    axes.set_ylabel("code")
    _plain_axes(axes)
    figure.legend(frameon=False, loc="outside upper center", ncols=len(LINES))
    return _finish(figure)


def scatter(
    first: NDArray,
    second: NDArray,
    values: NDArray[np.int64],
    names: tuple[str, str],
    value_names: Sequence[str],
) -> str:
    """Pairs of two codes (n,), coloured by a factor's values (n,)."""
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    figure = _figure(3.5, 2.5)
    axes = figure.add_subplot()
    few = len(value_names) <= len(LINES)
    colours = (
        ListedColormap(LINES[: len(value_names)])
        if few
        else LinearSegmentedColormap.from_list("along", _ALONG)
    )
    style = {"s": 6, "alpha": 0.75, "linewidths": 0, "rasterized": True}
    last = len(value_names) - 1
    points = axes.scatter(first, second, c=values, cmap=colours, vmin=0, vmax=last or 1, **style)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    _plain_axes(axes)
    if few:
        for colour, name in zip(LINES, value_names, strict=False):
            axes.scatter([], [], color=colour, s=16, label=_shortened(name, 12))
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.05))
    else:
        bar = figure.colorbar(points, ticks=[0, last])
        bar.ax.set_yticklabels([_shortened(value_names[0], 9), _shortened(value_names[last], 9)])
        bar.solids.set(alpha=1, rasterized=True)
        bar.outline.set_visible(False)
    return _finish(figure)


def histories(
    lines: Sequence[tuple[str, NDArray[np.float64]]], *, logarithmic: bool = False
) -> str:
    """Values (epochs,) by epoch, which is numbered from 0; NaN where there is none."""
    figure = _figure(4.0, 2.9)
    axes = figure.add_subplot()
    for place, (name, values) in enumerate(lines):
        style = ("-", "--", ":")[place // len(LINES) % 3]
        colour = LINES[place % len(LINES)]
        axes.plot(values, style, color=colour, lw=1.6, label=_shortened(name, 26))
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")  # powers would be mathematics, which is off
        axes.yaxis.set_minor_formatter("")
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    _plain_axes(axes)
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    return _finish(figure)


def _figure(width: float, height: float) -> Any:
    """An empty drawing of so many inches. No setting of the user's has a say in it."""
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
            "savefig.dpi": 144,
            **dict.fromkeys(
                (
                    "text.color",
                    "axes.labelcolor",
                    "axes.edgecolor",
                    "xtick.color",
                    "ytick.color",
                ),
                _INK,
            ),
        }
    )
    return Figure(figsize=(width, height), layout="constrained")


def _plain_axes(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color=_INK, alpha=0.12, linewidth=0.6)


def _shortened(text: str, most: int = 22) -> str:
    shown = visible(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _finish(figure: Any) -> str:
    stored = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font lacks: the reader's has them
        figure.savefig(stored, format="svg", metadata={"Date": None})
    content = stored.getvalue().replace(_INK.encode(), b"currentColor")
    start = content.index(b"<svg")
    end = content.index(b">", start) + 1
    return data_uri("image/svg+xml", content[start:end] + _STYLE + content[end:])
