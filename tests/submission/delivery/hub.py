"""A server on loopback that takes commits as the Hugging Face Hub does, of files in Git itself."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.loopback import running


class Hub(ThreadingHTTPServer):
    """Keeps what is pushed.

    Attributes:
        token: Who has another one is refused.
        repositories: Name -> files of its only branch, by path.
        requests: Method and path of all that came.
    """

    daemon_threads = True

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(content)

    def _answer(self, content: bytes) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._send(401, {"error": "Invalid credentials"})
            return
        path, url = self.path.strip("/").split("/"), self.server.url
        if path[:3] == ["api", "repos", "create"]:
            asked = json.loads(content)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.repositories.setdefault(name, {})
            self._send(200, {"url": f"{url}/{name}", "name": name, "id": name})
        elif path[:2] == ["api", "validate-yaml"]:
            self._send(200, {"errors": [], "warnings": []})
        elif path[:2] == ["api", "models"] and path[4:5] == ["preupload"]:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(content)["files"]
            ]
            self._send(200, {"files": files})
        elif path[:2] == ["api", "models"] and path[4:5] == ["commit"]:
            name = "/".join(path[2:4])
            for line in map(json.loads, content.splitlines()):
                if line["key"] == "file":
                    file = line["value"]
                    assert file["encoding"] == "base64"
                    self.server.repositories[name][file["path"]] = base64.b64decode(file["content"])
            oid = "c0ffee" * 6 + "cafe"
            self._send(200, {"commitUrl": f"{url}/{name}/commit/{oid}", "commitOid": oid})
        else:
            self._send(404, {"error": "Not found"})

    def _send(self, status: int, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def hub(token: str) -> Iterator[Hub]:
    with running(Hub(token)) as server:
        yield server
