"""The built site: links, what it fetches, and how it opens in a browser.

`.ci/run` builds the site and runs these tests on it. Where no site was built they are skipped.
"""

import functools
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from evaluation.common import environment
from evaluation.data import DATASETS
from tests import real_parts

SITE = environment.SCRATCH / "site"
LOOKED_AT = (
    "index.html",
    "start.html",
    "inside.html",
    "metrics/mig.html",
    "tasks/report.html",
    "notebooks/factor-vae-and-mig.html",
    "data/sets/mpi3d_sim_real_mini.html",
    "reference/configs.html",
)
"""One page of each kind."""

if not (SITE / "llms.txt").exists():  # the build writes it last
    pytest.skip("there is no built site: ./local_eval.sh docs --build", allow_module_level=True)


class _Links(HTMLParser):
    """The ids of a page, and what it points to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: list[str] = []
        self.fetched: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.update(value for name in ("id", "name") if (value := given.get(name)))
        if tag == "a" and (target := given.get("href")):
            self.targets.append(target)
        loads = {"script": "src", "img": "src", "link": "href", "iframe": "src"}
        if tag in loads and given.get("rel") != "canonical" and (source := given.get(loads[tag])):
            self.fetched.append(source)


@functools.cache
def links_of(page: Path) -> _Links:
    return _Links(page)


PAGES = sorted(SITE.rglob("*.html"))


def test_every_internal_link_and_anchor_leads_somewhere() -> None:
    dead = []
    for page in PAGES:
        for target in links_of(page).targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or page.name == "404.html":
                continue
            path = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
            path = path / "index.html" if path.is_dir() else path
            anchor = unquote(parts.fragment)
            there = path.is_relative_to(SITE) and path.exists()
            if there and anchor and path.suffix == ".html":
                there = anchor in links_of(path).ids
            if not there:
                dead.append((page.name, target))
    assert dead == []


def test_no_page_names_another_host_for_what_it_loads() -> None:
    loaded = {source for page in PAGES for source in links_of(page).fetched}
    assert [source for source in loaded if urlsplit(source).netloc] == []


def test_each_dataset_has_a_page_and_llms_txt_names_each_page_of_the_menu() -> None:
    assert {path.stem for path in (SITE / "data/sets").glob("*.html")} == DATASETS.keys()
    listed = (SITE / "llms.txt").read_text(encoding="utf-8")
    for page in LOOKED_AT:
        assert f"({page})" in listed or page.startswith("data/sets/")
    assert listed.startswith("# Disentanglement submission kit\n\n> ")


def test_all_pages_but_the_reference_are_on_the_one_to_print() -> None:
    text = (SITE / "print_page.html").read_text(encoding="utf-8")
    for said in ("Which metric for what", "Bring your own model", "Threat model of the grader"):
        assert said in text
    assert 'class="arithmatex"' not in text and "<math" in text


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not real_parts.is_there("chromium"):
        pytest.skip(real_parts.why_skipped("chromium"))
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        # As root, which containers are, chromium runs without its own sandbox only.
        launched = started.chromium.launch(
            executable_path=real_parts.path_of("chromium"), args=["--no-sandbox"]
        )
        yield launched
        launched.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_pages_open_for_everybody_and_fetch_nothing_from_elsewhere(
    browser: Any, address: str, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    fetched: list[str] = []
    failed: list[str] = []
    opened.on("request", lambda request: fetched.append(request.url))
    opened.on("pageerror", lambda error: failed.append(str(error)))
    for page in LOOKED_AT:
        opened.goto(f"{address}/{page}")
        assert opened.evaluate("document.documentElement.scrollWidth") == width, page
        broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
        assert opened.evaluate(broken) == 0, page
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
        found = axe.run(opened, options={"runOnly": {"type": "tag", "values": tags}})
        assert found.violations_count == 0, f"{page}: {found.generate_report()}"
    assert failed == []
    elsewhere = [url for url in fetched if not url.startswith((address, "data:", "blob:"))]
    assert elsewhere == []
    context.close()


def test_the_search_finds_a_page(browser: Any, address: str) -> None:
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    opened.goto(f"{address}/index.html")
    opened.keyboard.press("/")
    opened.keyboard.type("explicitness")
    opened.wait_for_selector(".md-search-result__link")
    first = opened.get_attribute(".md-search-result__link", "href")
    assert "modularity" in first or "infomec" in first or "metrics" in first
    opened.close()
