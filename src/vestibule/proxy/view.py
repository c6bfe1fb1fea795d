"""A host as one listener sees it, with what was worked out for it before.

Browsers and proxies send the same Cookie line, the same address, the same block of header lines again and again;
what follows from them is kept here, bounded, so that a request costs what is new in it.
"""

from __future__ import annotations

from typing import NamedTuple

from vestibule.core.route import Host, RouteTable, Site, site_of
from vestibule.errors import BadRequest
from vestibule.model import Session
from vestibule.protocol import cookie, forwarded
from vestibule.protocol.address import Networks
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import value_of
from vestibule.proxy.exchange import Listener

COOKIES_MAX = 10_000
COOKIES_LIMIT_BYTES = 4 * 1024 * 1024
"""Of the Cookie lines kept, together: anybody may send lines that nobody sent before."""
CLIENTS_MAX = 10_000
FIELDS_MAX = 1024
FIELDS_LIMIT_BYTES = 4096
_NO_COOKIE = cookie.Taken(None, is_repeated=False, rest=b"")


class Told(NamedTuple):
    """Who the client is, and the header lines that tell the backend."""

    address: str
    lines: list[bytes]
    is_trusted: bool
    """The peer is a trusted proxy: what it says differs from request to request."""


class Kept(NamedTuple):
    """Header lines made for a backend, and what they were made of."""

    session: Session | None
    told: Told
    good_until: float
    block: bytes


class View:
    """One host by one listener."""

    __slots__ = (
        "_clients",
        "_cookies",
        "_cookies_bytes",
        "_fields",
        "_scheme",
        "_trusted",
        "host",
        "name",
        "site",
    )

    def __init__(self, host: Host, listener: Listener, trusted: Networks) -> None:
        self.host = host
        self.name = host.name.decode("ascii")
        self.site: Site = site_of(host, listener.scheme, listener.port)
        self._scheme = "https" if self.site.secure else listener.scheme
        """As people reach it: by `public_url` where an edge in front speaks TLS."""
        self._trusted = trusted
        self._cookies: dict[bytes, cookie.Taken] = {}
        self._cookies_bytes = 0
        self._clients: dict[tuple[str, bytes], Told] = {}
        self._fields: dict[bytes, Kept] = {}

    def told(self, peer: str, head: RequestHead) -> Told:
        """Who the client is, and what the backend is told of it."""
        key = (peer, head.host_line)
        told = self._clients.get(key)
        if told is not None and not (told.is_trusted and head.forwarded):
            return told
        client = forwarded.client_of(peer, head.forwarded, self._trusted)
        host = value_of(head.host_line).decode("ascii")
        block = forwarded.build(client, proto=self._scheme, host=host)
        told = Told(client.address, block.split(b"\r\n")[:-1], peer in self._trusted)
        if not (told.is_trusted and head.forwarded):
            if len(self._clients) >= CLIENTS_MAX:
                self._clients.clear()
            self._clients[key] = told
        return told

    def taken(self, head: RequestHead) -> cookie.Taken:
        """Our cookie, and the rest of the Cookie header for the backend."""
        if not head.cookies:
            return _NO_COOKIE
        line = head.cookies[0] if len(head.cookies) == 1 else b":" + b"; ".join(map(value_of, head.cookies))
        taken = self._cookies.get(line)
        if taken is None:
            taken = cookie.take(value_of(line), self.site.cookie.encode("ascii"))
            self._cookies_bytes += len(line)
            if len(self._cookies) >= COOKIES_MAX or self._cookies_bytes > COOKIES_LIMIT_BYTES:
                self._cookies.clear()
                self._cookies_bytes = len(line)
            self._cookies[line] = taken
        return taken

    def kept(self, head: RequestHead, session: Session | None, told: Told, now: float) -> bytes | None:
        """The header lines that were made for the same lines, session and client; None when they must be made."""
        kept = self._fields.get(head.fields)
        if kept is not None and kept.session is session and kept.told is told and now < kept.good_until:
            return kept.block
        return None

    def keep(self, head: RequestHead, made: Kept) -> None:
        """Keep what was made for the lines of this head."""
        if head.minor and not head.upgrade and len(head.fields) <= FIELDS_LIMIT_BYTES:
            if len(self._fields) >= FIELDS_MAX:
                self._fields.clear()
            self._fields[head.fields] = made


class Views:
    """All hosts by all listeners."""

    def __init__(self, table: RouteTable, trusted: Networks) -> None:
        self._table = table
        self._trusted = trusted
        self._views: dict[tuple[bytes, Listener], View] = {}

    def of(self, name: bytes, listener: Listener) -> View:
        """The view of this host. Raises BadRequest 421 for a host of no one's: there is no default."""
        view = self._views.get((name, listener))
        if view is None:
            host = self._table.host(name)
            if host is None:
                raise BadRequest("no such host here", code="unknown_host", status=421)
            view = self._views[name, listener] = View(host, listener, self._trusted)
        return view
