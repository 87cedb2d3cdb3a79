"""`python -m evaluation serve`: a folder of runs as a site, for the browsers of this machine.

Only pages are served: those that are made here, and each run's `report.html`, which may be a
participant's work. The policy that goes with every answer forbids scripts and requests.
"""

import ipaddress
import os
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from evaluation.common.errors import KitError
from evaluation.common.terminal import console
from evaluation.report.runs.comparison import compare
from evaluation.report.runs.leaderboard import boards_of
from evaluation.report.runs.pages import comparison_page, index_page
from evaluation.report.runs.watching import FolderState, RunFolder

_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_EVERY = {"": None, "every=10": 10}
"""Query of the index -> seconds after which it is loaded again."""


def serve(folder: Path, host: str, port: int) -> None:
    """Serves a folder of runs until Ctrl+C.

    Args:
        folder: Holds runs, or will hold them.
        host: Address or name to listen on.
        port: 0 takes a free one.

    Raises:
        KitError: `RUN-MISSING`, there is no such folder; `SERVE-ADDRESS`, the address is unknown,
            taken or not allowed.
    """
    if not folder.is_dir():
        raise KitError("RUN-MISSING", f"{folder} is not a folder", "Name a folder of runs")
    try:
        server = RunServer(folder, host, port)
    except (OSError, UnicodeError) as error:
        raise KitError(
            "SERVE-ADDRESS",
            f"cannot listen on port {port} of {host}: {getattr(error, 'strerror', None) or error}",
            "Choose another --port (0 takes a free one), or leave out --host",
        ) from None
    with server:
        if not server.is_loopback:
            console.print(
                f"Warning: whoever reaches {host} can read all pages, without a password",
                markup=False,
            )
        console.print(f"Serving {folder} at {server.url} until Ctrl+C", markup=False)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("Stopped")


class RunServer(ThreadingHTTPServer):
    """Serves the runs of a folder. Listening starts at once.

    Attributes:
        is_loopback: Whether only this machine can reach it.
        url: Where it listens.
    """

    daemon_threads = True

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.address_family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        self.host = host
        self.is_loopback = ipaddress.ip_address(address[0]).is_loopback
        self.runs = RunFolder(folder)
        self._made: dict[str, tuple[FolderState, str]] = {}
        super().__init__((str(address[0]), port), _Handler)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # the reader left
            super().handle_error(request, client_address)

    def page_at(self, path: str, query: str) -> str | None:
        """The page of an address; None where there is none."""
        if path == "/run":
            return self.runs.page_of(os.fsdecode(unquote_to_bytes(query)))
        if (path == "/" and query in _EVERY) or (path == "/compare" and not query):
            return self._made_of_all(path, query)
        return None

    def _made_of_all(self, path: str, query: str) -> str | None:
        """A page of all runs, made again if one of them changed."""
        state, address = self.runs.state(), f"{path}?{query}"
        made = self._made.get(address)
        if made is not None and made[0] == state:
            return made[1]
        runs = self.runs.runs(state)
        reports = {run.name: run.report for run in runs if run.report is not None}
        if path == "/":
            name = str(self.runs.folder)
            text = index_page(name, runs, boards_of(reports), again_after=_EVERY[query])
        elif reports:
            text = comparison_page(compare(reports))
        else:
            return None
        self._made[address] = state, text
        return text


class _Handler(BaseHTTPRequestHandler):
    server: RunServer
    server_version, sys_version = "evaluation", ""
    timeout = 30  # seconds that a silent client may take

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        path, _, query = self.path.partition("?")
        text, status = None, HTTPStatus.MISDIRECTED_REQUEST
        if self._is_for_us():
            text = self.server.page_at(path, query)
            status = HTTPStatus.NOT_FOUND if text is None else HTTPStatus.OK
        content = (f"{status.value} {status.phrase}\n" if text is None else text).encode()
        kind = "plain" if text is None else "html"
        self.send_response(status)
        self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        if path == "/run":  # what came with a run may not lead the browser elsewhere by itself
            self.send_header("Content-Security-Policy", "sandbox")
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _is_for_us(self) -> bool:
        """Whether the browser was led here by a name of this server.

        A page from elsewhere whose name was made to lead to loopback (DNS rebinding) has its own.
        """
        if not self.server.is_loopback:
            return True
        try:
            named = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            return False
        return named in (*_LOOPBACK_NAMES, self.server.host)
