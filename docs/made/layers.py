"""The layers of the code, found from its imports: a drawing, and a table of who uses whom."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from docs.made.figures import INK, as_svg
from docs.made.tables import table
from evaluation.common.environment import REPOSITORY

HOUSES = ("submission", "evaluation")
_FILL = {"submission": "#5e35b133", "evaluation": "#00897b33"}


@cache
def uses() -> dict[str, frozenset[str]]:
    """Part -> the other parts that it imports, anywhere in its files.

    A part is a folder of a house, `evaluation/codes`, or a file beside the folders,
    `evaluation/grading`.
    """
    found: dict[str, set[str]] = {}
    for house in HOUSES:
        for path in sorted((REPOSITORY / house).rglob("*.py")):
            part = _part(path.relative_to(REPOSITORY).with_suffix("").parts)
            if "__main__" not in path.stem and part is not None:
                found.setdefault(part, set()).update(_imported(path))
    return {part: frozenset(used & found.keys() - {part}) for part, used in found.items()}


@cache
def layers() -> list[list[tuple[str, ...]]]:
    """Groups of parts from the lowest layer up: each uses the layers below it only.

    Parts that use each other are one group.
    """
    of = uses()
    reached = {part: _reached(part) for part in of}
    group = {
        part: tuple(sorted({part} | {one for one in reached[part] if part in reached[one]}))
        for part in of
    }
    sorter = TopologicalSorter(
        {
            one: {group[used] for part in one for used in of[part]} - {one}
            for one in set(group.values())
        }
    )
    sorter.prepare()
    made = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        made.append(ready)
        sorter.done(*ready)
    return made


def _reached(part: str) -> set[str]:
    """All parts that a part uses, or that what it uses does."""
    found: set[str] = set()
    waiting = [part]
    while waiting:
        new = uses()[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def drawing() -> str:
    """The layers as boxes, the lowest at the bottom."""
    rows = [layer[start : start + 4] for layer in layers() for start in range(0, len(layer), 4)]
    figure = Figure(figsize=(7.2, 0.42 * len(rows)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 4), ylim=(0, len(rows)))
    axes.axis("off")
    for height, row in enumerate(rows):
        for place, parts in enumerate(row):
            left = place + (4 - len(row)) / 2
            axes.add_patch(
                FancyBboxPatch(
                    (left + 0.06, height + 0.22),
                    0.88,
                    0.56,
                    boxstyle="round,pad=0.03",
                    facecolor=_FILL[parts[0].partition("/")[0]],
                    edgecolor=INK,
                    linewidth=0.6,
                )
            )
            axes.text(
                left + 0.5, height + 0.5, "\n".join(parts), ha="center", va="center", fontsize=7
            )
    return as_svg(figure, "The parts of the code in layers; the table below says who uses whom.")


def table_of_uses() -> str:
    """Each part, from the highest layer down, and what it uses."""
    of = uses()
    rows = [
        [f"`{part}`", _first_line(part), ", ".join(f"`{used}`" for used in sorted(of[part]))]
        for layer in reversed(layers())
        for parts in layer
        for part in parts
    ]
    return table(["Part", "What it is", "Uses"], rows)


def _part(names: tuple[str, ...]) -> str | None:
    """The part that a module belongs to; None for the house itself."""
    names = tuple(name for name in names if name != "__init__")
    return "/".join(names[:2]) if len(names) > 1 else None


def _imported(path: Path) -> set[str]:
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return {
        part
        for module in modules
        if module.partition(".")[0] in HOUSES
        and (part := _part(tuple(module.split(".")))) is not None
    }


def _first_line(part: str) -> str:
    """What the docstring of a part says first."""
    path = REPOSITORY / part
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) if file.exists() else None
    return (said or "").partition("\n\n")[0].replace("\n", " ")
