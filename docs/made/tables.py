"""Tables in Markdown: of scores, and of what the code knows."""

from collections.abc import Iterable, Sequence

from docs.made.behaviour import behaviour
from docs.made.codes import MEANING


def table(header: Sequence[str], rows: Iterable[Sequence[object]], right: bool = False) -> str:
    """A table; all columns but the first are aligned to the right where they hold numbers."""
    rule = ["---"] + ["---:" if right else "---"] * (len(header) - 1)
    lines = [header, rule, *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def scores(columns: dict[str, str]) -> str:
    """The scores of each kind of codes.

    Args:
        columns: Title of each column, by name in `behaviour`.
    """
    of_kinds = behaviour().of_kinds
    rows = [[kind, *(_score(row[name]) for name in columns)] for kind, row in of_kinds.items()]
    return table(["Codes", *columns.values()], rows, right=True)


def kinds() -> str:
    """What the kinds of codes are."""
    return table(["Codes", "What they are"], MEANING.items())


def _score(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00")


def _cell(content: object) -> str:
    return str(content).replace("|", "\\|").replace("\n", " ")
