"""A folder of runs as a site, asked by a real client over loopback."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest

from evaluation import __main__ as command
from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from evaluation.report.runs.serving import RunServer, serve
from evaluation.scores import write
from tests.evaluation.report.test_runs import report
from tests.loopback import running

HOSTILE = "<script>alert(1)<"


class Site:
    """The client, and the folder that is served."""

    def __init__(self, folder: Path, server: RunServer) -> None:
        self.folder = folder
        self.server = server

    def ask(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """Sends the path as it is: a library that follows standards would shorten it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        with warnings.catch_warnings():
            connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse()

    def text(self, path: str) -> str:
        answer = self.ask(path)
        assert answer.status == 200
        return answer.read().decode()

    def add(self, name: str, shift: float = 0.0, page: str | None = None) -> Path:
        folder = self.folder / name
        write(folder / "scores.json", report(shift))
        if page is not None:
            (folder / "report.html").write_text(page, encoding="utf-8")
        return folder


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    with running(RunServer(folder, "127.0.0.1", 0)) as server:
        yield Site(folder, server)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "runs"
    folder.mkdir()
    with serving(folder) as started:
        yield started


def links(text: str) -> list[str]:
    """Addresses of the runs that have a page, each once."""
    found = re.findall(r'href="(/run[^"]*)"', text)
    return list(dict.fromkeys(map(unescape, found)))


def test_runs_appear_while_the_folder_grows(site: Site) -> None:
    assert "No run has scores yet" in site.text("/")
    assert site.ask("/compare").status == 404
    site.add("alice/one", page="the first page")
    assert "alice/one" in site.text("/")
    site.add("bob/two", shift=0.1)
    text = site.text("/")
    assert text.index("bob/two") < text.index("alice/one")
    assert "2 runs compared" in site.text("/compare")
    assert [site.text(link) for link in links(text)] == ["the first page"]
    site.add("alice/one", shift=0.2, page="another page")
    assert site.text(links(text)[0]) == "another page"
    assert "0.6000" in site.text("/")


def test_what_did_not_change_is_not_made_again(site: Site) -> None:
    site.add("one")
    runs = site.server.runs
    first = runs.runs(runs.state())
    assert runs.runs(runs.state())[0].report is first[0].report
    made = site.server.page_at("/", "")
    assert site.server.page_at("/", "") is made
    site.add("one", shift=0.1)
    assert site.server.page_at("/", "") != made


def test_a_browser_loads_it_again_only_where_that_is_wanted(site: Site) -> None:
    assert 'http-equiv="refresh"' not in site.text("/")
    assert 'http-equiv="refresh" content="10"' in site.text("/?every=10")
    assert site.ask("/?every=0").status == 404


def test_the_folder_itself_may_be_a_run(site: Site) -> None:
    site.add(".", page="the page")
    (link,) = links(site.text("/"))
    assert site.text(link) == "the page"


def test_names_are_text_and_lead_to_their_runs(site: Site) -> None:
    hostile = (HOSTILE, '"><img src=x onerror=alert(1)>', "a?b#c&d%2e%2e", os.fsdecode(b"\xff\x1b"))
    for name in hostile:
        site.add(name, page=f"page of {name!r}")
    text = site.text("/")
    for page in (text, site.text("/compare")):
        assert "<script" not in page and "<img" not in page and "\x1b" not in page
        assert HOSTILE in unescape(page)
    assert {site.text(link) for link in links(text)} == {f"page of {name!r}" for name in hostile}


@pytest.mark.parametrize(
    "path",
    [
        "/run?../secret",
        "/run?..%2Fsecret",
        "/run?one/../../secret",
        "/run?%2Fetc",
        "/run?one%00",
        "/run?linked",
        "/run?one/linked",
        "/run?unscored",
        "/run",
        "/../secret/report.html",
        "//etc/passwd",
        "/one/report.html",
        "/one/codes.npz",
        "/report.html",
        "/compare?x",
    ],
)
def test_no_other_file_is_served(site: Site, path: str) -> None:
    outside = site.folder.parent / "secret"
    write(outside / "scores.json", report())
    (outside / "report.html").write_text("secret")
    one = site.add("one", page="page")
    (one / "codes.npz").write_text("secret")
    (site.folder / "linked").symlink_to(outside)
    (one / "linked").symlink_to(outside)
    (site.folder / "unscored").mkdir()
    (site.folder / "unscored/report.html").write_text("secret")
    answer = site.ask(path)
    assert answer.status == 404
    assert b"secret" not in answer.read()
    assert "linked" not in site.text("/")


def test_links_in_a_run_lead_nowhere(site: Site) -> None:
    secret = site.folder.parent / "secret.html"
    secret.write_text("secret")
    (site.add("one") / "report.html").symlink_to(secret)
    assert links(site.text("/")) == []
    assert site.ask("/run?one").status == 404
    elsewhere = site.folder.parent / "scores.json"
    write(elsewhere, report(shift=0.077))
    (site.folder / "two").mkdir()
    (site.folder / "two/scores.json").symlink_to(elsewhere)
    text = site.text("/")
    assert "0.0770" not in text and "it is a link" in text


@pytest.mark.parametrize("content", ["", "[" * 100_000, "{}", '{"<script>": 1}', "\xff\x00"])
def test_a_broken_run_is_listed_with_its_error(site: Site, content: str) -> None:
    site.add("one")
    (site.folder / "broken").mkdir()
    (site.folder / "broken/scores.json").write_text(content, encoding="latin-1")
    text = site.text("/")
    assert "Runs that cannot be read" in text
    assert "broken/scores.json does not hold scores as this kit writes them" in text
    assert "Traceback" not in text and "<script" not in text
    assert "1 runs compared" in site.text("/compare")


def test_a_pipe_in_place_of_a_file_makes_nobody_wait(site: Site) -> None:
    os.mkfifo(site.add("one") / "report.html")
    (site.folder / "two").mkdir()
    os.mkfifo(site.folder / "two/scores.json")
    assert "Runs that cannot be read" in site.text("/")
    assert site.ask("/run?one").status == 404


@pytest.mark.parametrize("path", ["/", "/run?one", "/nothing"])
def test_every_answer_forbids_scripts_and_requests(site: Site, path: str) -> None:
    site.add("one", page="<script>alert(1)</script>")
    answer = site.ask(path)
    policies = answer.headers.get_all("Content-Security-Policy")
    assert any("default-src 'none'" in policy for policy in policies)
    assert ("sandbox" in policies) == path.startswith("/run")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_only_reading_is_possible(site: Site) -> None:
    head = site.ask("/", method="HEAD")
    assert head.status == 200 and head.read() == b"" and int(head.headers["Content-Length"]) > 1000
    for method in ("POST", "PUT", "DELETE"):
        assert site.ask("/", method=method).status == 501


@pytest.mark.parametrize("host", ["elsewhere.example", "[", ""])
def test_a_name_that_was_made_to_lead_here_is_refused(site: Site, host: str) -> None:
    assert site.ask("/", Host=host).status == 421
    assert site.ask("/", Host=f"localhost:{site.server.server_port}").status == 200


def test_the_command_ends_by_control_c(tmp_path: Path) -> None:
    # Tests that run in the background of a shell ignore Ctrl+C, and so would what they start.
    heard = ["env", "--default-signal=INT"]
    process = subprocess.Popen(
        [*heard, sys.executable, "-m", "evaluation", "serve", str(tmp_path), "--port", "0"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1])  # type: ignore[index]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/")
    assert b"No run has scores yet" in connection.getresponse().read()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and rest == "Stopped\n" and errors == ""


def test_other_addresses_are_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: RunServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunServer, "serve_forever", interrupted)
    serve(tmp_path, "127.0.0.1", 0)
    assert "Warning" not in capsys.readouterr().out
    serve(tmp_path, "0.0.0.0", 0)
    assert "Warning: whoever reaches 0.0.0.0 can read all pages" in capsys.readouterr().out


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    def code(*words: str) -> str:
        with pytest.raises(KitError) as refused:
            command.main(["serve", *words])
        return refused.value.code

    assert code(str(tmp_path / "absent")) == "RUN-MISSING"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert code(str(tmp_path), "--port", str(taken.getsockname()[1])) == "SERVE-ADDRESS"
    assert code(str(tmp_path), "--host", "a..b") == "SERVE-ADDRESS"
    with pytest.raises(SystemExit):
        command.main(["serve", str(tmp_path), "--port", "65536"])
