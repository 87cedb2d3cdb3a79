"""A participant's file of reconstructions: what is shown of it, and what is not believed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.report import page
from evaluation.report.material import Material
from evaluation.report.reconstructions import read_reconstructions, show
from tests.evaluation.report.graded import material_of


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material_of(lambda x: x[:, [0, 2, 3]], tmp_path_factory.mktemp("graded"))


def told(**other: Any) -> dict[str, Any]:
    return {"representation": "0", "dataset": "0", "images": [5, 9], "nearest": [5, 8], **other}


def test_a_page_shows_them(material: Material, tmp_path: Path) -> None:
    (tmp_path / "stats.csv").write_text("epochs;beta\n0;1\n1;1\n", encoding="utf-8")
    material = replace(material, output=tmp_path)
    page.write_page(tmp_path / "report.html", material)
    assert "not pixels" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.is_current(tmp_path / "report.html", material.report, None)

    (tmp_path / "reconstructions.json").write_text(json.dumps(told()), encoding="utf-8")
    assert not page.is_current(tmp_path / "report.html", material.report, None)
    page.write_page(tmp_path / "report.html", material)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "1 of 2 are the image itself" in text
    assert text.count("nearest to their reconstructions") == 1


def test_it_counts_which_factors_are_kept(material: Material) -> None:
    data = material.data
    found = read_reconstructions(json.dumps(told()), material.report, data)
    assert found is not None
    # Images 9 and 8 differ in the angle, which changes fastest.
    kept = dict(show(found, data).kept)
    assert kept == {"color": 1.0, "shape": 1.0, "height": 1.0, "angle": 0.5}


BAD = {
    "absent": None,
    "no JSON": "x",
    "nested": "[" * 15_000,
    "a list": "[]",
    "of another representation": told(representation="1"),
    "of another dataset": told(dataset="1"),
    "no images": told(images=[], nearest=[]),
    "too many": told(images=[1] * 49, nearest=[1] * 49),
    "of two lengths": told(nearest=[5]),
    "beyond the dataset": told(nearest=[5, 144]),
    "negative": told(images=[-1, 5]),
    "huge": told(images=[10**30, 5]),
    "fractions": told(images=[0.5, 5]),
    "words": told(images=["5", "6"]),
}


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_fit_is_not_shown(material: Material, what: str) -> None:
    content = BAD[what]
    text = content if content is None or isinstance(content, str) else json.dumps(content)
    assert material.data.rows == 144
    assert read_reconstructions(text, material.report, material.data) is None
