"""nginx as a backend: in the foreground, with a prefix directory of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.process import Process

CONFIGURATION = """\
{user}
pid {prefix}/nginx.pid;
error_log stderr warn;
worker_processes {workers};
events {{ worker_connections 4096; }}
http {{
    access_log {prefix}/access.log combined;
    types {{ text/html html; text/plain txt; application/octet-stream bin; }}
    default_type application/octet-stream;
    sendfile on;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    keepalive_requests 1000000;
{http}
    server {{
        listen 127.0.0.1:{port};
        root {prefix}/www;
{server}
    }}
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
        user = (
            "user root;" if os.geteuid() == 0 else ""
        )  # else workers become nobody, who can't read the prefix
        configuration = CONFIGURATION.format(
            port=port,
            prefix=prefix,
            server=server,
            workers=workers,
            user=user,
            http=http.replace("{prefix}", str(prefix)),
        )
        (prefix / "nginx.conf").write_text(configuration, "utf-8")
        argv = [
            nginx_binary(),
            "-e",
            "stderr",
            "-p",
            prefix,
            "-c",
            prefix / "nginx.conf",
            "-g",
            "daemon off;",
        ]
        self.process = Process("nginx", argv)

    def wait(self) -> None:
        """Returns once it listens."""
        self.process.wait_port(self.port)

    @property
    def access_log(self) -> str:
        """One line a request that has ended."""
        return (self.prefix / "access.log").read_text("utf-8")


def nginx_binary() -> str:
    """Where nginx is, or a failed test that says how to get it."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return found or pytest.fail("nginx is missing: apt-get install nginx (make test does it when it may)")
