"""MkDocs calls these: what a build makes beside its pages' own text.

Formulas become MathML, the page Start shows what its commands print, each dataset of the registry
has a page, and llms.txt lists all pages.
"""

import html
import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from latex2mathml.converter import convert
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

from docs.made import datasets, llms, session
from evaluation.data import DATASETS

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    for name in DATASETS:
        page = datasets.page_of(name)
        files.append(File.generated(config, f"data/sets/{name}.md", content=page))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri == session.PAGE:
        return session.with_outputs(markdown)
    return markdown


@event_priority(50)  # before the plugin that collects all pages for printing
def on_page_content(content: str, **_: Any) -> str:
    """Converts the formulas that arithmatex found; MathML needs no script and no font."""
    return _FORMULA.sub(_as_mathml, content)


def on_nav(nav: Any, config: Any, **_: Any) -> None:
    config["extra"]["pages"] = nav.items


@event_priority(-100)  # after the plugin that writes the page to print
def on_post_build(config: Any) -> None:
    site = Path(config["site_dir"])
    text = llms.listing(config["site_name"], config["site_description"], config["extra"]["pages"])
    (site / llms.NAME).write_text(text, encoding="utf-8")
    printed = site / "print_page.html"
    if printed.exists():
        content = without_dead_anchors(printed.read_text(encoding="utf-8"))
        printed.write_text(content, encoding="utf-8")


def without_dead_anchors(content: str) -> str:
    """A page whose links to anchors that it lacks are plain text.

    The page to print leaves out the reference and the generated pages of datasets, which others
    link to.
    """
    there = set(re.findall(r'\s(?:id|name)="([^"]+)"', content))

    def kept(link: re.Match[str]) -> str:
        return link.group() if html.unescape(unquote(link.group(1))) in there else ""

    return re.sub(r'\shref="#([^"]+)"', kept, content)


def _as_mathml(formula: re.Match[str]) -> str:
    tag, bracket, text = formula.groups()
    display = "inline" if bracket == "(" else "block"
    made = convert(html.unescape(text), display=display)
    if "\\" in re.sub(r"<[^>]*>", "", made):
        logging.getLogger("mkdocs").warning("A command of this formula is not known: %s", text)
    # A wide formula scrolls on a phone; who uses a keyboard must be able to reach it.
    reach = ' tabindex="0"' if tag == "div" else ""
    return f'<{tag} class="formula"{reach}>{made}</{tag}>'
