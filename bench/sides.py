"""The sides of a comparison without TLS, each running before the same backends: nginx, Caddy, the gateway signed in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from bench import visitor
from bench.process import Process, accepts
from bench.servers import Stage


class Side(NamedTuple):
    """One of them, running."""

    process: Process
    url: str
    """Without a slash at its end."""
    cookie: str
    """Of somebody who is signed in, for the gateway."""

    @property
    def headers(self) -> list[str]:
        """What a request of that person's carries."""
        return [f"Cookie: {self.cookie}"]


@contextmanager
def vestibule(stage: Stage, state: str = "state", more: str = "") -> Iterator[Side]:
    """The gateway running, somebody signed in; `more`: further blocks of its configuration."""
    process = stage.vestibule(state, more)
    try:
        stage.wait_vestibule(process)
        url = f"http://127.0.0.1:{stage.ports.vestibule}"
        cookie = asyncio.run(visitor.sign_in(f"{url}/@/signin?login_hint={visitor.PERSON}&rd=/", at="/"))
        yield Side(process, url, cookie)
    finally:
        process.stop()


@contextmanager
def nginx(stage: Stage, workers: int = 1) -> Iterator[Side]:
    """A running nginx, as a plain reverse proxy."""
    with _running(stage.nginx(workers), stage.ports.nginx) as side:
        yield side


@contextmanager
def caddy(stage: Stage) -> Iterator[Side]:
    """A running Caddy, as a plain reverse proxy."""
    with _running(stage.caddy(), stage.ports.caddy) as side:
        yield side


@contextmanager
def _running(process: Process, port: int) -> Iterator[Side]:
    try:
        process.wait_until(lambda: accepts(port))
        yield Side(process, f"http://127.0.0.1:{port}", "a=b")
    finally:
        process.stop()


SIDES: dict[str, Callable[[Stage], AbstractContextManager[Side]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "vestibule": vestibule,
}
