"""The README: short, and every file that it names is there."""

import re

from evaluation.common.environment import REPOSITORY

TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_it_is_read_in_three_minutes() -> None:
    assert len(TEXT.splitlines()) < 120


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    missing = [link for link in links if "://" not in link and not (REPOSITORY / link).exists()]
    assert links and missing == []
