"""The page on models of one's own, its commands run line by line."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluation.representation.finding import find
from evaluation.representation.running import RunningRepresentation
from tests.checkouts import REPOSITORY, kit, make_checkout

TEXT = (REPOSITORY / "docs/tasks/own-model.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page() -> str:
    """The page without what needs TensorFlow."""
    return TEXT.partition("\n## TensorFlow\n")[0]


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
    for block, experiment in zip(blocks(page, "bash"), ("own_model", "own_function"), strict=True):
        for line in block.splitlines():
            result = kit(checkout, "bash", "-c", line, DISENTANGLEMENT_LIB_DATA=str(data_root))
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        folder = checkout / "scratch/shared" / experiment
        report = json.loads((folder / "scores.json").read_text())
        assert report["representation"]["dim"] == 12
        bundled = (checkout / "submission/bundle/manifest.json").read_text()
        assert report["representation"]["sha256"] in bundled


def test_the_pages_saved_model_gives_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = blocks(TEXT.partition("\n## TensorFlow\n")[2], "python")
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    (found,) = find(tmp_path / "own_tf")
    assert found.kind == "savedmodel"
    images = np.full((3, 64, 64, 3), 255, np.uint8)
    with RunningRepresentation(found) as representation:
        codes = representation.encode(images)
    np.testing.assert_allclose(codes, np.ones((3, 12)), rtol=1e-6)
