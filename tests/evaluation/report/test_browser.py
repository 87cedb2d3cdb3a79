"""Pages as a reader's browser shows them: Debian's chromium, on a phone and on a desk."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evaluation.report import page
from tests import real_parts
from tests.evaluation.report.graded import material_of
from tests.evaluation.report.test_page import HOSTILE

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
    """A page of a run whose names are hostile, and its scores."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "stats.csv").write_text(f"epochs;{HOSTILE};beta\n0;1;2\n1;2;3\n", encoding="utf-8")
    material = material_of(lambda x: x[:, [0, 2, 3]], folder)
    about = msgspec.structs.replace(material.report.representation, path=HOSTILE)
    report = msgspec.structs.replace(material.report, representation=about)
    page.write_page(folder / "report.html", replace(material, report=report))
    return folder / "report.html", report.scores


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
    found = Axe().run(opened)
    assert found.violations_count == 0, found.generate_report()
    context.close()


def coloured_by(opened: Any) -> set[str]:
    """The factors by which those pairs of codes are coloured that are seen."""
    seen = "all => all.filter(one => one.checkVisibility()).map(one => one.alt)"
    texts = opened.eval_on_selector_all(".plane img", seen)
    assert len(texts) == opened.locator(".plane").count() > 1
    return {text.split("coloured by ")[1].rstrip(".") for text in texts}
