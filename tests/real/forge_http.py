"""A host of Git repositories behind the gateway: `git http-backend`, by CGI, as Apache or nginx would run it.

Anything else that it is asked for is answered with the header fields it got, as JSON; `/held` is answered when it is
let go.
"""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.process import needed

HELD_MAX_S = 60.0


class Forge:
    """One server with the bare repository `notes.git`."""

    def __init__(self, port: int, directory: Path) -> None:
        self.port = port
        self.seen: list[dict[str, str]] = []
        """Header fields of each request, by lower-case name."""
        self.came, self.let_go = threading.Event(), threading.Event()
        self.repository = directory / "notes.git"
        git = needed("git")
        subprocess.run([git, "init", "-q", "--bare", "-b", "main", self.repository], check=True)
        subprocess.run([git, "-C", self.repository, "config", "http.receivepack", "true"], check=True)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _handler(self, git))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(forge: Forge, git: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = {name.lower(): value for name, value in self.headers.items()}
            forge.seen.append(told)
            body = self._body()
            path, _, query = self.path.partition("?")
            if path.startswith("/notes.git/"):
                self._by_git(unquote(path), query, told, body)
                return
            if path == "/held":
                forge.came.set()
                forge.let_go.wait(HELD_MAX_S)
            self._answer(200, [("Content-Type", "application/json")], json.dumps(told).encode())

        def do_POST(self) -> None:
            self.do_GET()

        def _by_git(self, path: str, query: str, told: dict[str, str], body: bytes) -> None:
            env = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(forge.repository.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": told.get("content-type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": told.get("content-encoding", ""),
                "GIT_PROTOCOL": told.get("git-protocol", ""),
                "REMOTE_USER": told.get("user-email", ""),
                "REMOTE_ADDR": "127.0.0.1",
            }
            argv = [git, "http-backend"]
            done = subprocess.run(argv, input=body, env=env, capture_output=True, check=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
            status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
            self._answer(status, [(name, value) for name, value in fields if name != "Status"], content)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, status: int, fields: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in fields:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: Any) -> None:
            """Nothing."""

    return Handler
