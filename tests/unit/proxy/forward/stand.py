"""Edges in front of the data plane: a request as a client sends it to one, and what that edge makes the question of it.

stand = Stand(loop)
answer = stand.ask(NGINX, b"/a", cookie=stand.plane.sign_in())     # the answer to the edge
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.helpers.messages import Message
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.conftest import Client, PlainListener
from tests.unit.proxy.plane import HOSTS, PUBLIC, RING, Plane, host, request, route
from tests.unit.web.asgi import PAGES
from vestibule.core.route import Backend, Host
from vestibule.proxy.forward.edges import Edges, OwnListener
from vestibule.proxy.forward.verdict import Verdicts
from vestibule.proxy.teller import Teller
from vestibule.web.notices import Notices

LOCAL = ("127.0.0.1", 40000)
ASKED = host(b"asked.example", route(backend=Backend()), base_url="https://asked.example")
WITH_ASKED = (*HOSTS, ASKED, host(b"open.example", route(b"", PUBLIC, backend=Backend()), sign_in=()))


class Way(NamedTuple):
    """How one edge asks: the question about a request, from its method, target, host and lines."""

    name: str
    question: Callable[[bytes, bytes, bytes, tuple[bytes, ...]], bytes]
    passes_bodies: bool = True


def _nginx(method: bytes, target: bytes, host: bytes, lines: tuple[bytes, ...]) -> bytes:
    said = (b"X-Original-Method: " + method, b"X-Original-URL: https://" + host + target)
    return request(b"/@/validate", *lines, *said, b"X-Forwarded-For: 192.0.2.7", host=b"127.0.0.1:4181")


def _forwarded(method: bytes, target: bytes, host: bytes) -> tuple[bytes, ...]:
    return (
        b"X-Forwarded-Method: " + method,
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: " + host,
        b"X-Forwarded-Uri: " + target,
        b"X-Forwarded-For: 192.0.2.7",
    )


def _haproxy(method: bytes, target: bytes, host: bytes, lines: tuple[bytes, ...]) -> bytes:
    said = tuple(
        name.lower() + colon + value
        for name, colon, value in (line.partition(b":") for line in _forwarded(method, target, host))
    )
    return request(b"/@/validate", *lines, *said, host=b"auth")


def _traefik(method: bytes, target: bytes, host: bytes, lines: tuple[bytes, ...]) -> bytes:
    return request(b"/@/forward", *lines, *_forwarded(method, target, host), host=b"127.0.0.1:4181")


def _caddy(method: bytes, target: bytes, host: bytes, lines: tuple[bytes, ...]) -> bytes:
    return request(b"/@/forward", *lines, *_forwarded(method, target, host), host=host)


def _envoy(method: bytes, target: bytes, host: bytes, lines: tuple[bytes, ...]) -> bytes:
    return request(
        b"/@/ext_authz" + target,
        *lines,
        b"X-Forwarded-For: 192.0.2.7",
        b"Content-Length: 0",
        host=host,
        method=method,
    )


NGINX = Way("nginx", _nginx, passes_bodies=False)
HAPROXY = Way("haproxy", _haproxy, passes_bodies=False)
TRAEFIK = Way("traefik", _traefik)
CADDY = Way("caddy", _caddy)
ENVOY = Way("envoy", _envoy)
WAYS = (NGINX, HAPROXY, TRAEFIK, CADDY, ENVOY)

NAVIGATION = (b"Accept: text/html,*/*;q=0.8", b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document")
XHR = (b"Accept: application/json", b"X-Requested-With: XMLHttpRequest")
SOCKET = (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13")


class Stand:
    """A listener for edges alone, beside the one for people."""

    def __init__(
        self,
        loop: FakeLoop,
        *,
        trusted: Iterable[str] = (),
        hosts: Iterable[Host] = WITH_ASKED,
        is_closed: bool = True,
    ) -> None:
        self.loop = loop
        self.plane = plane = Plane(loop, trusted=trusted, hosts=hosts)
        self.edges = Edges(
            Verdicts(plane.judge, Teller(RING, plane.assertions, now=plane.now)),
            plane.judge.trusted,
            Notices(PAGES),
            plane.traffic,
            plane.log,
            now=plane.now,
        )
        own = OwnListener(self.edges, plane.listener, is_closed=is_closed)
        self.listener = PlainListener(own, loop)
        self.listener.port = 4181

    def send(self, data: bytes, *, peer: tuple[str, int] | str = LOCAL, method: bytes = b"GET") -> Message:
        """The answer to these bytes on the edges' own listener."""
        return Client(self.loop, self.listener, peer).send(data).answer(method)

    def ask(
        self,
        way: Way,
        target: bytes = b"/",
        *lines: bytes,
        method: bytes = b"GET",
        host: bytes = b"app.example",
        cookie: str = "",
        peer: tuple[str, int] | str = LOCAL,
    ) -> Message:
        """The answer to this edge's question about a request."""
        if cookie:
            name = b"__Host-vestibule" if host == b"asked.example" else b"vestibule-80"
            lines = (*lines, b"Cookie: " + name + b"=" + cookie.encode())
        data = way.question(method, target, host, lines)
        return self.send(data, peer=peer, method=data.partition(b" ")[0])


def code_of(answer: Message) -> str:
    """The stable code in an answer for programs."""
    return str(json.loads(answer.body)["code"])
