"""The README's section on models of one's own, run line by line."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.checkouts import REPOSITORY, kit, make_checkout


@pytest.fixture(scope="module")
def section() -> str:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return readme.partition("## Your own model\n")[2].partition("\n## ")[0]


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def test_the_readme_shows_the_example(section: str) -> None:
    (shown,) = blocks(section, "python")
    example = REPOSITORY / "submission/examples/own_model.py"
    assert shown == example.read_text(encoding="utf-8")


def test_the_readmes_lines_export_grade_and_bundle(
    section: str, tmp_path: Path, data_root: Path
) -> None:
    checkout = make_checkout(tmp_path)
    (checkout / ".venv").symlink_to(sys.prefix)
    for block, experiment in zip(
        blocks(section, "bash"), ("own_model", "own_function"), strict=True
    ):
        for line in block.splitlines():
            result = kit(checkout, "bash", "-c", line, DISENTANGLEMENT_LIB_DATA=str(data_root))
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        folder = checkout / "scratch/shared" / experiment
        report = json.loads((folder / "scores.json").read_text())
        assert report["representation"]["dim"] == 12
        bundled = (checkout / "submission/bundle/manifest.json").read_text()
        assert report["representation"]["sha256"] in bundled
