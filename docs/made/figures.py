"""Plots as SVG that stands in the page, in the page's own colours, light or dark."""

import io
import re
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure

from docs.made.behaviour import ANGLES, DEVIATIONS, behaviour

INK = "#123456"
"""Stands for the colour of the page's text, and is no other colour of a figure."""

_COLOURS = ("#00897b", "#e65100", "#5e35b1")

mpl.rcParams.update(
    {
        "font.size": 9,
        "font.family": "sans-serif",
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "site",  # the same figure gives the same bytes
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
)


def kinds_and_changes(scores: dict[str, str]) -> str:
    """Two figures: the scores of each kind of codes, and along a turn and a growing noise.

    Args:
        scores: Label in the legend, by name in `behaviour`.
    """
    return f'<div class="figures">{_kinds(scores)}{_changes(scores)}</div>'


def _kinds(scores: dict[str, str]) -> str:
    of_kinds = behaviour().of_kinds
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(scores)
    for place, (name, label) in enumerate(scores.items()):
        rows = [row + (place - (len(scores) - 1) / 2) * height for row in range(len(of_kinds))]
        widths = [max(row[name], 0.0) for row in of_kinds.values()]
        axes.barh(rows, widths, height * 0.9, color=_COLOURS[place], label=label)
    axes.set(yticks=range(len(of_kinds)), yticklabels=list(of_kinds), xlim=(0, 1.02))
    axes.set_xlabel("score")
    axes.invert_yaxis()
    if len(scores) > 1:
        figure.legend(loc="outside upper center", ncols=len(scores), frameon=False)
    return as_svg(figure, "Scores of codes of each kind; the table beside it has the numbers.")


def _changes(scores: dict[str, str]) -> str:
    seen = behaviour()
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    panels: list[tuple[mpl.axes.Axes, Sequence[float], list[dict[str, float]], str]] = [
        (left, ANGLES, seen.turned, "turned by degrees"),
        (right, DEVIATIONS, seen.noisy, "noise, deviation"),
    ]
    for axes, places, rows, what in panels:
        for colour, (name, label) in zip(_COLOURS, scores.items(), strict=False):
            axes.plot(places, [row[name] for row in rows], "o-", color=colour, label=label, ms=3.5)
        axes.set(ylim=(-0.02, 1.05), xlabel=what)
    left.set_ylabel("score")
    return as_svg(figure, "Scores as pairs of dims are turned, and as noise is added to the dims.")


def as_svg(figure: Figure, says: str) -> str:
    """The figure as an SVG element; `says` is read to those who cannot see it."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Names within a figure must not be those of another figure on the page.
    own = f"f{abs(hash_of(text)):x}-"
    text = re.sub(r'\bid="', f'id="{own}', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{own}", text)
    text = re.sub(r"font: ([^;\"]*?)px [^;\"]*", r"font-size: \1px; font-family: inherit", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(says)}" ', 1)


def hash_of(text: str) -> int:
    return sum(place * ord(letter) for place, letter in enumerate(text))
