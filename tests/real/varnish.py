"""Varnish in front of the gateway, set up by somebody who didn't think of people: it looks at no cookie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.process import Process, needed

#: what the built-in code would pass by for its cookie is looked up and kept like everything else
VCL = """\
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "PORT"; }
sub vcl_recv {
    if (req.method == "GET" || req.method == "HEAD") { return (hash); }
    return (pass);
}
sub vcl_deliver { set resp.http.X-Cache-Hits = obj.hits; }
"""


class Varnish:
    """A running Varnish in front of a port of this machine."""

    def __init__(self, port: int, behind: int, directory: Path, process: Callable[..., Process]) -> None:
        """Returns once it listens; `process` is the fixture."""
        self.port = port
        directory.mkdir(parents=True)
        file = directory / "default.vcl"
        file.write_text(VCL.replace("PORT", str(behind)), "utf-8")
        argv = [
            needed("varnishd", "varnish"),
            "-F",
            "-a",
            f"127.0.0.1:{port}",
            "-f",
            file,
            "-n",
            directory / "run",
        ]
        argv += ["-s", "malloc,16m", "-T", "none", "-j", "none", "-p", "thread_pool_min=10"]
        process("varnish", argv).wait_port(port)
