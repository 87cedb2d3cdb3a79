"""An HTTP server on loopback that serves files, and does to them what real servers do."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.loopback import running

COMMIT = "c0ffee" * 6 + "cafe"


class Server(ThreadingHTTPServer):
    """Serves `files` by path.

    Attributes:
        cuts: How many more answers break off in the middle.
        busy: Answers still to be given in place of files: status and Retry-After.
        ranges: Whether it knows ranges.
        tags: Whether it says by an ETag which version it has.
        declared: Content-Length in place of the true one.
        kind: Content-Type.
        requests: Method, path and Range of all that came.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.cuts = 0
        self.busy: list[tuple[int, str | None]] = []
        self.ranges = self.tags = True
        self.declared: int | None = None
        self.kind = "application/octet-stream"
        self.requests: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.requests.append((self.command, self.path, asked))
        if with_body and server.busy:
            status, wait = server.busy.pop(0)
            self.send_response(status)
            if wait is not None:
                self.send_header("Retry-After", wait)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = server.files.get(self.path.partition("?")[0])
        if content is None:
            self.send_error(404)
            return
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        start, end = 0, len(content)
        same = self.headers.get("If-Range") in (None, tag)
        if asked and server.ranges and same:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) + 1 if last else len(content)
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.tags:
            self.send_header("ETag", tag)
        if server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Type", server.kind)
        length = end - start if server.declared is None else server.declared
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if with_body:
            if server.cuts:
                server.cuts -= 1
                end = start + (end - start) // 2
            self.wfile.write(content[start:end])
            self.close_connection = True


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    with running(Server(files)) as server:
        yield server
