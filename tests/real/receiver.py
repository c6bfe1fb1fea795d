"""A receiver of webhooks as a process of its own: `python receiver.py PORT FILE [STATUS]`; each request is a line.

It answers STATUS (204), or 302 to itself; `kept` reads the file.
"""

from __future__ import annotations

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any


def kept(file: Path) -> list[dict[str, Any]]:
    """What it was sent: path, headers by lower-case name, body."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return [{**one, "body": base64.b64decode(one["body"])} for one in found]


def main(port: int, file: Path, status: int) -> None:
    """Serve until killed."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            line = {"path": self.path, "headers": headers, "body": base64.b64encode(body).decode()}
            with file.open("a", encoding="utf-8") as output:
                output.write(json.dumps(line) + "\n")
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"http://127.0.0.1:{port}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the name that the server asks for

        def log_message(self, *_: object) -> None:
            pass

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 204)
