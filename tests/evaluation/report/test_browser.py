"""Pages as a reader's browser shows them: Debian's chromium, on a phone and on a desk."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from evaluation.codes import ledger
from evaluation.codes.frames.content import FramesReport
from evaluation.codes.frames.walking import walked_set
from evaluation.report import page
from evaluation.report.runs.comparison import compare
from evaluation.report.runs.leaderboard import boards_of
from evaluation.report.runs.pages import comparison_page, index_page
from evaluation.report.runs.watching import RunFolder
from evaluation.scores import Graded, Isolation, Used, write
from tests import real_parts
from tests.evaluation.report.graded import material_of
from tests.evaluation.report.test_page import HOSTILE
from tests.evaluation.report.test_runs import report

if not real_parts.is_there("chromium"):
    pytest.skip(real_parts.why_skipped("chromium"), allow_module_level=True)

_LIST = "playwright is missing: .venv/bin/pip install -r tests/requirements.txt"
sync_playwright = pytest.importorskip("playwright.sync_api", reason=_LIST).sync_playwright
Axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=_LIST).Axe


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        # As root, which containers are, chromium runs without its own sandbox only.
        launched = playwright.chromium.launch(
            executable_path=real_parts.path_of("chromium"), args=["--no-sandbox"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float | None]]:
    """A page with all its parts, of a run whose names are hostile, and its scores."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "stats.csv").write_text(f"epochs;{HOSTILE};beta\n0;1;2\n1;2;3\n", encoding="utf-8")
    material = material_of(lambda x: x[:, [0, 2, 3]], folder)
    about = msgspec.structs.replace(material.report.representation, path=HOSTILE)
    told_of = msgspec.structs.replace(material.report, representation=about)
    told = {"representation": "0", "dataset": "0", "images": [5, 9], "nearest": [5, 8]}
    (folder / "reconstructions.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "frames.json").write_bytes(msgspec.json.encode(frames_of(about)))
    ledger.enter(folder / "frames.json")
    page.write_page(folder / "report.html", replace(material, report=told_of))
    return folder / "report.html", told_of.scores


@pytest.fixture(scope="module")
def of_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of many runs, on two datasets."""
    folder = tmp_path_factory.mktemp("runs")
    for number in range(40):
        dataset = "shades" if number % 2 else HOSTILE
        write(folder / f"run{number}" / "scores.json", report(number / 100, 2, dataset))
    write(folder / "<b>" / "scores.json", report())
    runs = RunFolder(folder)
    seen = runs.runs(runs.state())
    reports = {run.name: run.report for run in seen if run.report is not None}
    texts = {
        "side by side": comparison_page(compare(reports)),
        "boards": index_page(HOSTILE, seen, boards_of(reports), again_after=None),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_opens_for_everybody(
    browser: Any, written: tuple[Path, dict[str, float | None]], width: int, scheme: str
) -> None:
    path, scores = written
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: said.append(dialog.message))
    opened.on("request", lambda request: said.append(request.url))
    opened.goto(path.as_uri())

    assert [text for text in said if not text.startswith("data:")] == [path.as_uri()]
    assert opened.title().startswith("</title><script>")
    shown = opened.eval_on_selector_all(
        "[data-metric]", "all => all.map(one => [one.dataset.metric, one.textContent])"
    )
    assert shown == [[name, f"{score:.4f}"] for name, score in scores.items()]
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
    assert opened.evaluate(broken) == 0
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.getAttribute('href')") == "#scores"
    opened.focus("#by-0")
    for name in ("shape", "height"):
        assert coloured_by(opened) != {name}
        opened.keyboard.press("ArrowRight")
        assert coloured_by(opened) == {name}
    assert opened.locator("section").count() == 11
    assert_accessible(opened)
    context.close()


@pytest.mark.parametrize("name", ["side by side", "boards"])
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_pages_of_many_runs_open_for_everybody(
    browser: Any, of_runs: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    opened = context.new_page()
    opened.goto(of_runs[name].as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    assert opened.locator("tbody tr").count() >= 41
    assert_accessible(opened)
    # The headings of a long table stay in view.
    table = opened.locator(".tall").first
    table.evaluate("one => one.scrollTo(0, 400)")
    below = table.locator("thead th").first.bounding_box()["y"] - table.bounding_box()["y"]
    assert 0 <= below < 5
    context.close()


def assert_accessible(opened: Any) -> None:
    found = Axe().run(opened)
    assert found.violations_count == 0, found.generate_report()


def frames_of(about: Graded) -> FramesReport:
    """What a walk of noise along hostile factors gave."""
    factors = ["height", HOSTILE, "angle"]
    codes = np.random.default_rng(0).normal(size=(18, about.dim))
    return FramesReport(
        sets={HOSTILE: walked_set(codes, np.arange(18).reshape(3, 6), factors)},
        factor_names=factors,
        frames=HOSTILE,
        frames_sha256="0",
        representation=about,
        isolation=Isolation(complete=True, missing=[]),
        used=Used(memory_bytes=0, wall_seconds=0, cpu_seconds=0, processes=1, threads=1),
        violations=[],
        versions={},
    )


def coloured_by(opened: Any) -> set[str]:
    """The factors by which those pairs of codes are coloured that are seen."""
    seen = "all => all.filter(one => one.checkVisibility()).map(one => one.alt)"
    texts = opened.eval_on_selector_all(".plane img", seen)
    assert len(texts) == opened.locator(".plane").count() > 1
    return {text.split("coloured by ")[1].rstrip(".") for text in texts}
