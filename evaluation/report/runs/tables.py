"""One table in the formats that people paste it into."""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from evaluation.common.escaping import visible

FORMATS = ("table", "md", "csv", "json", "tex")

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


class Cell(NamedTuple):
    """A number or a text, None where there is nothing, and how a person is to see it.

    Args:
        value: What every format holds.
        stands_out: Whether it is bold.
        below: What a terminal shows below it, where the other formats have columns of their own.
    """

    value: str | float | int | None
    stands_out: bool = False
    below: str = ""


class Table(NamedTuple):
    """Columns' names, and rows of as many cells; the first column names the row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def as_text(table: Table, style: str) -> str:
    """The table as "md", "csv", "json" or "tex"."""
    return {"md": _markdown, "csv": _csv, "json": _json, "tex": _latex}[style](table)


def shown(cell: Cell) -> str:
    """A cell as people read it: four digits after the point."""
    if cell.value is None:
        return ""
    return visible(cell.value) if isinstance(cell.value, str) else _number(cell.value)


def _number(value: float | int) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _markdown(table: Table) -> str:
    def text(cell: Cell) -> str:
        plain = re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", shown(cell))
        return f"**{plain}**" if cell.stands_out and plain else plain

    lines = [[text(Cell(column)) for column in table.columns]]
    lines.append(["---"] + ["---:"] * (len(table.columns) - 1))
    lines += [[text(cell) for cell in row] for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _csv(table: Table) -> str:
    """Texts that a spreadsheet would run as formulas begin with an apostrophe."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(map(_harmless, table.columns))
    for row in table.rows:
        lines.writerow([_harmless(cell.value) for cell in row])
    return text.getvalue()


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if value[:1] in ("=", "+", "-", "@") else visible(value)


def _json(table: Table) -> str:
    rows = [
        {column: cell.value for column, cell in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]
    return json.dumps(rows, indent=2, allow_nan=False) + "\n"


def _latex(table: Table) -> str:
    def text(cell: Cell) -> str:
        plain = "".join(_TEX.get(character, character) for character in shown(cell))
        return rf"\textbf{{{plain}}}" if cell.stands_out and plain else plain

    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\hline",
        " & ".join(text(Cell(column)) for column in table.columns) + r" \\",
        r"\hline",
        *(" & ".join(text(cell) for cell in row) + r" \\" for row in table.rows),
        r"\hline",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"
