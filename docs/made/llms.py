"""llms.txt: the pages of the site as a list for programs that read it (llmstxt.org)."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

NAME = "llms.txt"


def listing(site_name: str, about: str, items: Sequence[Any]) -> str:
    """The pages of a navigation, under a heading for each section, each with its first sentence."""
    return f"# {site_name}\n\n> {about}\n" + "".join(_of_sections(items))


def _of_sections(items: Sequence[Any]) -> Iterator[str]:
    alone = [item for item in items if item.is_page]
    yield _section("Pages", alone)
    for item in items:
        if item.is_section:
            yield _section(item.title, _pages_in(item))


def _pages_in(section: Any) -> list[Any]:
    pages = []
    for child in section.children:
        pages += [child] if child.is_page else _pages_in(child)
    return pages


def _section(title: str, pages: Sequence[Any]) -> str:
    if not pages:
        return ""
    lines = [f"- [{page.title}]({page.url or 'index.html'}){_says(page)}" for page in pages]
    return f"\n## {title}\n\n" + "\n".join(lines) + "\n"


def _says(page: Any) -> str:
    """The first sentence of a page's text, after a colon; nothing if it begins otherwise."""
    found = re.search(r"^(?![#`|<!\-:*]|\d+\. )\S.*?(?:\n\n|\Z)", page.markdown or "", re.M | re.S)
    if found is None:
        return ""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", " ".join(found.group().split()))
    return f": {re.split(r'(?<=[.?!:]) ', text)[0].rstrip(':')}"
