"""llms.txt: each page of the menu, and what it says first."""

from types import SimpleNamespace
from typing import Any

from docs.made import llms


def page(title: str, url: str, markdown: str) -> Any:
    return SimpleNamespace(is_page=True, is_section=False, title=title, url=url, markdown=markdown)


def test_it_has_each_page_and_what_it_says_first() -> None:
    text = "# MIG\n\n| A | B |\n\nIt is a [gap](x.md)\nof bits. More.\n"
    inner = page("MIG", "metrics/mig.html", text)
    section = SimpleNamespace(is_page=False, is_section=True, title="Metrics", children=[inner])
    home = page("Home", "index.html", "# Kit\n\nA short list. More.\n")
    assert llms.listing("Kit", "What it is", [home, section]) == (
        "# Kit\n\n> What it is\n"
        "\n## Pages\n\n- [Home](index.html): A short list.\n"
        "\n## Metrics\n\n- [MIG](metrics/mig.html): It is a gap of bits.\n"
    )
