"""MkDocs calls these: formulas become MathML, and the page Start shows what its commands print."""

import html
import logging
import re
from typing import Any

from latex2mathml.converter import convert

from docs.made import session

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri == session.PAGE:
        return session.with_outputs(markdown)
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Converts the formulas that arithmatex found; MathML needs no script and no font."""
    return _FORMULA.sub(_as_mathml, content)


def _as_mathml(formula: re.Match[str]) -> str:
    tag, bracket, text = formula.groups()
    display = "inline" if bracket == "(" else "block"
    made = convert(html.unescape(text), display=display)
    if "\\" in re.sub(r"<[^>]*>", "", made):
        logging.getLogger("mkdocs").warning("A command of this formula is not known: %s", text)
    return f'<{tag} class="formula">{made}</{tag}>'
