"""A host as one listener sees it, with what was worked out for it before.

Browsers and proxies send the same Cookie line, the same address, the same block of header lines again and again;
what follows from them is kept here, bounded, so that a request costs what is new in it.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from vestibule.core import session_token
from vestibule.core.passage import Passage
from vestibule.core.route import Host, RouteTable, Site, Telling, serving_name, site_of
from vestibule.core.seal import KeyRing
from vestibule.core.session import is_handle
from vestibule.errors import BadRequest
from vestibule.model import Caller, Session
from vestibule.protocol import cookie, forwarded
from vestibule.protocol.address import Networks
from vestibule.protocol.authorization import bearer_of
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import value_of
from vestibule.proxy.accessing import Shown, checked_age, opened
from vestibule.proxy.exchange import Listener

KEPT_LIMIT_BYTES = 48 << 20
"""Of all that is kept of all hosts, together: anybody may send lines that nobody sent before. Enough for some 20,000
browsers."""
ENTRY_BYTES = 512
"""What an entry takes beside its lines, about."""
NO_COOKIE = cookie.Taken(None, is_repeated=False, rest=b"")


class Told(NamedTuple):
    """Who the client is, and the header lines that tell the backend."""

    address: str
    lines: list[bytes]
    is_trusted: bool
    """The peer is a trusted proxy: what it says differs from request to request."""


class Kept(NamedTuple):
    """Header lines made for a backend, and what they were made of."""

    peer: str
    told: Told
    taken: cookie.Taken
    who: Session | Caller | None
    telling: Telling
    good_until: float
    block: bytes
    passage: Passage | None = None
    """Of the route they were made for."""


class Budget:
    """How much all views may keep; when it is spent, all of them forget."""

    __slots__ = ("_left_bytes", "_limit_bytes", "_views")

    def __init__(self, limit_bytes: int = KEPT_LIMIT_BYTES) -> None:
        self._limit_bytes = self._left_bytes = limit_bytes
        self._views: list[View] = []

    def join(self, view: View) -> None:
        """One more that spends of it."""
        self._views.append(view)

    def spend(self, lines_bytes: int) -> None:
        """Something of this size is about to be kept."""
        self._left_bytes -= lines_bytes + ENTRY_BYTES
        if self._left_bytes < 0:
            for view in self._views:
                view.forget()
            self._left_bytes = self._limit_bytes - lines_bytes - ENTRY_BYTES


class View:
    """One host by one listener."""

    __slots__ = (
        "_budget",
        "_clients",
        "_cookies",
        "_fields",
        "_keys",
        "_ring",
        "_scheme",
        "_shown",
        "_trusted",
        "host",
        "name",
        "realm",
        "site",
    )

    def __init__(
        self, host: Host, listener: Listener, trusted: Networks, budget: Budget, ring: KeyRing
    ) -> None:
        budget.join(self)
        self._budget = budget
        self._ring = ring
        self.host = host
        self.name = host.name.decode("ascii")
        self.realm = host.realm or self.name
        """What sessions must be good for."""
        self.site: Site = site_of(host, listener.scheme, listener.port)
        self._scheme = "https" if self.site.secure else listener.scheme
        """As people reach it: by `public_url` where an edge in front speaks TLS."""
        self._trusted = trusted
        self._cookies: dict[bytes, cookie.Taken] = {}
        self._clients: dict[tuple[str, bytes], Told] = {}
        self._fields: dict[bytes, Kept] = {}
        self._shown: dict[bytes, Shown] = {}
        self._keys = ring.keys

    def forget(self) -> None:
        """Keep nothing of what came before."""
        self._cookies.clear()
        self._clients.clear()
        self._fields.clear()
        self._shown.clear()

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
            self._budget.spend(len(block))
            self._clients[key] = told
        return told

    def taken(self, head: RequestHead) -> cookie.Taken:
        """The session's handle from our cookie, and the rest of the Cookie header for the backend."""
        if not head.cookies:
            return NO_COOKIE
        line = head.cookies[0] if len(head.cookies) == 1 else b":" + b"; ".join(map(value_of, head.cookies))
        taken = self._cookies.get(line)
        if taken is None:
            name, others = self.site.cookie.encode("ascii"), self.host.shared_cookies
            taken = self._read(cookie.take(value_of(line), name, others))
            self._budget.spend(2 * len(line))
            self._cookies[line] = taken
        return taken

    def _read(self, taken: cookie.Taken) -> cookie.Taken:
        """With the handle that stands in a token, where the domain's cookie holds one."""
        domain = self.host.domain
        if taken.value is None or domain is None or not domain.is_token:
            return taken
        handle = session_token.read(self._ring, taken.value, domain=domain.name)
        return taken._replace(value=handle.encode("ascii") if handle else None)

    def is_bearer(self, authorization: bytes) -> bool:
        """True for what could be a session's handle, or says it is a token with one, as Bearer."""
        found = bearer_of(authorization)
        return is_handle(found) or session_token.is_one(found.encode("ascii"))

    def borne(self, authorization: bytes) -> bytes | None:
        """The handle in such a credential; None for a token that wasn't made here, for this host or its domain."""
        found = bearer_of(authorization)
        if is_handle(found):
            return found.encode("ascii")
        audience = session_token.audience_of(self.realm)
        handle = session_token.read(self._ring, found.encode("ascii"), domain=audience)
        return handle.encode("ascii") if handle else None

    def shown(self, token: bytes, now: float) -> Shown:
        """What an access token says here. Raises CredentialRefused."""
        if self._ring.keys is not self._keys:
            # Threat: tokens under a key that was taken off the ring because somebody got hold of it.
            self._shown.clear()
            self._keys = self._ring.keys
        known = self._shown.get(token)
        if known is not None:
            return checked_age(known, now)
        shown = opened(self._ring, self.host, token, now)
        self._budget.spend(2 * len(token))
        self._shown[token] = shown
        return shown

    def kept(self, head: RequestHead, peer: str) -> Kept | None:
        """What was made when these header lines came from this peer before; None when it must be made.

        What a trusted peer tells of its client stands in these lines, so it is the same client.
        """
        kept = self._fields.get(head.fields) if head.is_familiar else None
        return kept if kept is not None and kept.peer == peer else None

    def keep(self, head: RequestHead, made: Kept) -> None:
        """Keep what was made for the lines of this head."""
        if head.is_familiar and not head.upgrade:
            self._budget.spend(len(head.fields) + len(made.block))
            self._fields[head.fields] = made


class NotYetKnown(Exception):
    """This host takes the providers of the database, which haven't been read yet."""


class Views:
    """All hosts by all listeners, by one route table."""

    def __init__(self, table: RouteTable, trusted: Networks, ring: KeyRing) -> None:
        self._table = table
        self._trusted = trusted
        self._ring = ring
        self._views: dict[tuple[bytes, Listener], View] = {}
        self._budget = Budget()

    def of(self, name: bytes, listener: Listener) -> View:
        """The view of this host.

        Raises BadRequest 421 for a host of no one's: there is no default. Raises NotYetKnown.
        """
        view = self._views.get((name, listener))
        if view is None:
            host = self._table.host(name)
            if host is None:
                raise BadRequest("no such host here", code="unknown_host", status=421)
            if host.takes_more and not self._table.is_whole:
                raise NotYetKnown
            view = self._views[name, listener] = View(host, listener, self._trusted, self._budget, self._ring)
        return view

    def within(self, outer: View, serving: str, listener: Listener) -> View:
        """The view of a serving, as people reach it by the host that leads to it."""
        name = serving_name(serving)
        key = (outer.host.name + b" " + name, listener)
        view = self._views.get(key)
        if view is None:
            host, site = self._table.hosts[name], outer.site
            inside = replace(
                host, base_url=site.base_url, title=outer.host.title, branding=outer.host.branding
            )
            view = self._views[key] = View(inside, listener, self._trusted, self._budget, self._ring)
        return view
