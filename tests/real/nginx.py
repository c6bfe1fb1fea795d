"""nginx in the foreground, with a prefix directory of its own: as a backend, and bare."""

from __future__ import annotations

import os
from pathlib import Path

from tests.process import Process, needed

CONFIGURATION = """\
{user}
pid {prefix}/nginx.pid;
error_log stderr warn;
worker_processes {workers};
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
{http}
}}
"""
BACKEND = """\
    access_log {prefix}/access.log combined;
    types {{ text/html html; text/plain txt; application/octet-stream bin; }}
    default_type application/octet-stream;
    sendfile on;
    keepalive_requests 1000000;
{http}
    server {{
        listen 127.0.0.1:{port};
        root {prefix}/www;
{server}
    }}
"""


class Nginx:
    """A running nginx; files of its `root` directory are served unless the `server` lines given say otherwise.

    `http`: lines that stand outside of the `server` block, with `{prefix}` for the directory.
    """

    def __init__(
        self, port: int, prefix: Path, server: str = "", *, workers: int = 1, http: str = ""
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.prefix = prefix
        self.root = prefix / "www"
        self.root.mkdir(parents=True)
        http = http.replace("{prefix}", str(prefix))
        lines = BACKEND.format(port=port, prefix=prefix, server=server, http=http)
        self.process = started(prefix, lines, workers=workers)

    def wait(self) -> None:
        """Returns once it listens."""
        self.process.wait_port(self.port)

    @property
    def access_log(self) -> str:
        """One line a request that has ended."""
        return (self.prefix / "access.log").read_text("utf-8")


def started(prefix: Path, http: str, *, workers: int = 1) -> Process:
    """nginx, starting, with these lines in its `http` block and all that it writes under `prefix`."""
    # else workers become nobody, who can't read the prefix
    user = "user root;" if os.geteuid() == 0 else ""
    file = prefix / "whole.conf"
    file.write_text(CONFIGURATION.format(user=user, prefix=prefix, workers=workers, http=http), "utf-8")
    argv = [needed("nginx"), "-e", "stderr", "-p", prefix, "-c", file, "-g", "daemon off;"]
    return Process("nginx", argv)
