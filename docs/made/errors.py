"""Every refusal of the kit, read from the places in the code that raise it."""

import ast
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from evaluation.common.environment import REPOSITORY

_CODE = re.compile(r"[A-Z]+(-[A-Z0-9]+)+|USAGE")


class Refusal(NamedTuple):
    """One place that refuses something; what differs from case to case is shown as an ellipsis."""

    code: str
    problem: str
    remedy: str
    source: str


def by_area() -> str:
    """All codes under a heading for each area, the part before the first hyphen."""
    found: dict[str, dict[str, list[Refusal]]] = {}
    for refusal in sorted(set(refusals())):
        area = refusal.code.partition("-")[0]
        found.setdefault(area, {}).setdefault(refusal.code, []).append(refusal)
    lines = []
    for area, codes in sorted(found.items()):
        lines.append(f"## {area}\n")
        for code, places in sorted(codes.items()):
            lines.append(f"### {code} {{ #{code.lower()} }}\n")
            lines.extend(_entry(place) for place in places)
            lines.append("")
    return "\n".join(lines)


def refusals() -> Iterator[Refusal]:
    """Those of the Python code of both houses.

    A call counts whose first argument is a code: `KitError`, or what makes one of it.
    """
    for house in ("evaluation", "submission"):
        for path in sorted((REPOSITORY / house).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and node.args:
                    yield from _refusal(node, path)


def _refusal(call: ast.Call, path: Path) -> Iterator[Refusal]:
    first = call.args[0]
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
        return
    if len(call.args) > 1 and _CODE.fullmatch(first.value):
        texts = [_text(argument) for argument in call.args[1:3]]
        source = str(path.relative_to(REPOSITORY))
        yield Refusal(first.value, texts[0], texts[1] if len(texts) > 1 else "", source)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = (_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
        return "".join(parts)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "…"


def _entry(refusal: Refusal) -> str:
    problem, remedy = _plain(refusal.problem), _plain(refusal.remedy)
    says = " ".join(f"{part}." for part in (problem, remedy) if part.strip(" …"))
    return f"- {says or 'The text depends on the case.'} (`{refusal.source}`)"


def _plain(text: str) -> str:
    """Text of a message as Markdown shows it, letter for letter."""
    return re.sub(r"([*_`\[\]|$\\])", r"\\\1", escape(" ".join(text.split()), quote=False))
