"""The page on models of one's own, its commands run line by line."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.checkouts import REPOSITORY, kit, make_checkout


@pytest.fixture(scope="module")
def page() -> str:
    text = (REPOSITORY / "docs/tasks/own-model.md").read_text(encoding="utf-8")
    return text.partition("\n## TensorFlow\n")[0]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_page_shows_the_example(page: str) -> None:
    (shown,) = blocks(page, "python")
    example = REPOSITORY / "submission/examples/own_model.py"
    assert shown == example.read_text(encoding="utf-8")


def test_the_pages_lines_export_grade_and_bundle(
    page: str, tmp_path: Path, data_root: Path
) -> None:
    checkout = make_checkout(tmp_path)
    (checkout / ".venv").symlink_to(sys.prefix)
    for block, experiment in zip(
        blocks(page, "bash"), ("own_model", "own_function"), strict=True
    ):
        for line in block.splitlines():
            result = kit(checkout, "bash", "-c", line, DISENTANGLEMENT_LIB_DATA=str(data_root))
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        folder = checkout / "scratch/shared" / experiment
        report = json.loads((folder / "scores.json").read_text())
        assert report["representation"]["dim"] == 12
        bundled = (checkout / "submission/bundle/manifest.json").read_text()
        assert report["representation"]["sha256"] in bundled
