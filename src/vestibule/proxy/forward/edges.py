"""Edges that ask by HTTP: who may, by which contract, and the one way from a question to its answer.

What an edge says of a request is believed for where it stands: at a listener that was made for it, or in
`trusted_proxies`. Anybody else could say anything, and is told nothing but which setting decides that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from vestibule.core.compat import ASK
from vestibule.core.recent import Recent
from vestibule.core.route import HEALTH_PATH, Host, RouteTable
from vestibule.errors import BadRequest, NotFound
from vestibule.model import Deny, SignIn
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.traffic import Traffic
from vestibule.protocol.address import Networks
from vestibule.protocol.forwarded import UNKNOWN, client_of
from vestibule.protocol.h1 import RequestHead, head_about
from vestibule.protocol.url import Target
from vestibule.proxy.exchange import Exchange, Listener
from vestibule.proxy.forward import compat, ext_authz, forward, validate
from vestibule.proxy.forward.question import Asked, Question, passed_on
from vestibule.proxy.forward.verdict import Verdicts
from vestibule.proxy.judge import Judged
from vestibule.proxy.refusal import Answer, Answers, Refusals
from vestibule.proxy.teller import Told

KNOWN_MAX = 1024
KNOWN_LINES_BYTES = 512
"""Longer chains of addresses are read each time."""
GRANTED_MAX = 4096
_OK = b"HTTP/1.1 200 OK"
_FORBIDDEN = b"HTTP/1.1 403 Forbidden"
_PLAIN = [b"Content-Type: text/plain; charset=utf-8", b"Cache-Control: no-store"]
_HEALTH = HEALTH_PATH.encode()


class Edge(NamedTuple):
    """One contract."""

    name: str
    read: Callable[[RequestHead], Asked]
    """What is asked about. Raises BadRequest."""
    written: Callable[[bytes, list[bytes], bytes], Answer]
    """A refusal in this edge's own statuses."""
    refusals: Refusals
    allowed: bytes = _OK
    """The status line that lets pass."""
    more: Callable[[Told], list[bytes]] = compat.nothing_more
    """Lines of an answer that lets pass, beside those of all edges."""
    demands: Callable[[bytes, Judged], Deny | SignIn | None] | None = None
    """What the question's own query demands of who would be let in. Raises BadRequest."""
    is_ours: bool = True
    """It was configured for this gateway: nobody else gets to the address, and all that it says is its own word."""


class Remembered:
    """What header lines that came before were found to ask about."""

    __slots__ = ("address", "again", "head")

    def __init__(self, head: RequestHead, address: str) -> None:
        self.head = head
        self.address = address
        self.again: Again | None = None
        """The last answer, where it let the request pass."""


class Again(NamedTuple):
    """An answer that let a request pass, for as long as all it rests on is the same."""

    judged: Judged
    told: Told
    site: Listener
    status_line: bytes
    lines: list[bytes]
    raw: bytes
    asking: Asking


class Edges:
    """Takes the questions of all edges that ask by HTTP."""

    def __init__(
        self,
        verdicts: Verdicts,
        trusted: Networks,
        answers: Answers,
        traffic: Traffic,
        log: Log,
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._verdicts = verdicts
        self._trusted = trusted
        self._traffic = traffic
        self._log = log = log.of("edges").bind(listener="forward_auth")
        self._now = now
        # Nobody reads what nginx is answered: whoever has to sign in is told where, a person or not.
        curt = self._curt = Refusals(_Curt(answers), traffic, log, as_json=True, now=now)
        full = Refusals(answers, traffic, log, now=now)
        self._edges = {
            validate.PATH: Edge("validate", validate.read, validate.written, curt),
            forward.PATH: Edge("forward", forward.read, forward.written, full),
            ext_authz.PATH: Edge("ext_authz", ext_authz.read, ext_authz.written, full),
        }
        self._products: dict[bytes, tuple[Host, dict[str, Edge]]] = {}
        self.names: frozenset[bytes] = frozenset()
        """Hosts where edges ask at other products' addresses, too."""
        self._peers: dict[str, bool] = {}
        self._clients: dict[tuple[str, tuple[bytes, ...]], str] = {}
        self._known: dict[tuple[str, bytes, bytes, bytes], Remembered] = {}
        self._granted: Recent[int, tuple[Told, list[bytes]]] = Recent(GRANTED_MAX)

    def use(self, table: RouteTable) -> None:
        """Answer at the addresses of other products as these hosts have it."""
        self._products = {
            name: (host, {product: self._edge_of(product, host) for product in host.compat})
            for name, host in table.hosts.items()
            if host.compat
        }
        self.names = frozenset(self._products)
        self._known.clear()

    def _edge_of(self, product: str, host: Host) -> Edge:
        written, allowed, more, demands = compat.CONTRACTS[product]
        read = partial(compat.read, host)
        return Edge("compat", read, written, self._curt, allowed, more, demands, is_ours=False)

    def takes(self, head: RequestHead) -> bool:
        """True for the addresses of edges, and for what only looked like one of them as it came."""
        target = head.target
        if _edge_path(target) in self._edges or ext_authz.PREFIX in target.came:
            return True
        return self._products_edge(head) is not None

    def _products_edge(self, head: RequestHead) -> Edge | None:
        """Another product's, where its address on this host is asked at."""
        found = self._products.get(head.host)
        claim = found[0].claim(head.target.path) if found is not None else None
        return (
            found[1][claim.product] if found is not None and claim is not None and claim.what == ASK else None
        )

    def handle(self, exchange: Exchange, site: Listener, *, is_believed: bool = False) -> None:
        """Answer a question.

        `site`: the listener by which people reach hosts without a `public_url`. `is_believed`: who reaches the one it
        came by is an edge.
        """
        if not (is_believed or self._trusts(exchange.peer)):
            self._refuse_stranger(exchange)
            return
        head = exchange.head
        key = exchange.peer, head.fields, head.method, head.target.full
        known = None if head.target.came else self._known.get(key)  # another spelling is refused (`_edge_at`)
        again = known.again if known is not None else None
        if (
            again is not None
            and again.site is site
            and (now := self._now()) < again.told.good_until
            and self._verdicts.hold(again.judged, now)
        ):
            exchange.on_end = again.asking.end
            exchange.answer(again.status_line, again.lines, b"", again.raw)
            return
        asking = Asking(exchange, site, self._curt, self)
        exchange.on_end = asking.end
        try:
            edge = asking.edge = self._edge_at(head)
            asking.refusals = edge.refusals
            asking.is_about(known or self._read(edge, exchange, is_believed=is_believed))
        except Exception as error:  # noqa: BLE001 - the boundary: an unforeseen fault must not let anyone through
            self._verdicts.refuse(asking, error)
            return
        self._verdicts.on(asking)

    def refuse(self, exchange: Exchange | None, error: BadRequest, peer: str) -> Answer:
        """The answer to a question that is no good request."""
        return self._curt.unread(exchange, error, peer)

    def _trusts(self, peer: str) -> bool:
        found = self._peers.get(peer)
        if found is None:
            if len(self._peers) >= KNOWN_MAX:
                self._peers.clear()
            found = self._peers[peer] = peer in self._trusted
        return found

    def _edge_at(self, head: RequestHead) -> Edge:
        target = head.target
        edge = self._edges.get(_edge_path(target)) or self._products_edge(head)
        if target.came:
            # Threat: an edge that keeps people from these addresses, but not from every spelling of them.
            raise BadRequest("the address of the question is not in its canonical form", code="bad_target")
        if edge is None:
            raise NotFound("there is nothing at this address but what edges ask")
        return edge

    def _read(self, edge: Edge, exchange: Exchange, *, is_believed: bool) -> Remembered:
        """What is asked about, and for whom. Raises BadRequest."""
        head, peer = exchange.head, exchange.peer
        asked = edge.read(head)
        if head.has_alias:
            # Threat: what the edge hands on and a backend acts on, though it was not decided on: `User_Id`, which it
            # reads as `User-Id` (attacks.md H2), X-HTTP-Method-Override (P2), `Upgrade: h2c` (P5).
            raise BadRequest(
                "a header is one that only the gateway sets, oddly spelt, or says another method, address or protocol",
                code="bad_header",
            )
        about = head_about(head, method=asked.method, target=asked.target, authority=asked.authority)
        if not about.upgrade and about.value(b"sec-websocket-key"):
            about.upgrade = b"websocket"  # edges keep Upgrade to themselves
        address = self._client_of(exchange, is_believed=is_believed) if edge.is_ours else ""
        known = Remembered(about, address)
        if head.is_familiar:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[peer, head.fields, head.method, head.target.full] = known
        return known

    def _client_of(self, exchange: Exchange, *, is_believed: bool) -> str:
        """The address of the client, as the edge tells; empty where it doesn't."""
        told = tuple(line for line in exchange.head.forwarded if _tells_of_client(line))
        key = exchange.peer, told
        address = self._clients.get(key)
        if address is None:
            client = client_of(exchange.peer, told, self._trusted, is_believed=is_believed)
            # The edge's own address is nobody's: a rule on networks is not to take the one for the other.
            is_told = len(client.hops) > 1 and client.hops[-2] != UNKNOWN
            address = client.address if is_told else ""
            if sum(map(len, told)) <= KNOWN_LINES_BYTES:
                if len(self._clients) >= KNOWN_MAX:
                    self._clients.clear()
                self._clients[key] = address
        return address

    def granted(self, told: Told) -> list[bytes]:
        """The lines that say who asks: every header there may be, so that the edge overwrites them all."""
        kept = self._granted.get(id(told))
        if kept is None:
            lines = [f"{name}: {value}".encode() for name, value in told.pairs]
            kept = told, [*lines, b"Cache-Control: no-store"]
            self._granted.put(id(told), kept)  # `told` is kept, too, so that no other has its id
        return kept[1]

    def record(self, asking: Asking, exchange: Exchange) -> None:
        """Note an answered question."""
        took_s = time.monotonic() - exchange.began_at_mono
        contract = asking.edge.name if asking.edge is not None else ""
        edge = f"{contract} {exchange.peer or 'unix'}".strip()
        record = asking.record(
            self._now(), took_s, edge, status=exchange.status, bytes_out=exchange.bytes_out
        )
        self._traffic.add(record)

    def _refuse_stranger(self, exchange: Exchange) -> None:
        asking = Asking(exchange, exchange.listener, self._curt, self)
        asking.decision = "untrusted_edge"
        exchange.on_end = asking.end
        self._log.info("refused", status=403, code="untrusted_edge", peer=exchange.peer)
        who = exchange.peer or "unix"
        said = (
            f"edges ask on gateway.forward_auth, or stand in gateway.trusted_proxies, where {who} does not\n"
        )
        exchange.answer(_FORBIDDEN, _PLAIN, said.encode())


class Asking(Question):
    """A question that came as an exchange."""

    def __init__(self, exchange: Exchange, site: Listener, refusals: Refusals, edges: Edges) -> None:
        super().__init__(exchange.head, site, exchange.peer, refusals)
        self.edge: Edge | None = None
        self._exchange: Exchange | None = exchange
        self._known: Remembered | None = None
        self._edges = edges

    def is_about(self, known: Remembered) -> None:
        """It is known what is asked about, and for whom."""
        self._known = known
        self.head = known.head
        self.peer = self.address = known.address

    def allow(self, judged: Judged, told: Told) -> None:
        exchange, known, edge = self._exchange, self._known, self.edge
        if exchange is None or known is None or edge is None:
            return
        refused = edge.demands and edge.demands(exchange.head.target.query, judged)
        if not edge.is_ours:
            refused = compat.beyond(judged) or refused
        if refused:
            self.refusals.by_judgement(self, replace(judged, decision=refused))
            return
        granted = self._edges.granted(told)
        if edge.is_ours:
            cookie, authorization = passed_on(self.head, judged)
            lines = [*granted, b"Cookie: " + cookie, b"Authorization: " + authorization]
        else:
            lines = [*compat.without_proofs(granted), *edge.more(told)]
        raw = b"\r\n".join((edge.allowed, *lines, b"Content-Length: 0", b"", b""))
        # Whose a credential is may be known otherwise the next time, and a sign-in is too old some time.
        if not (self.head.authorization or judged.ask.route.policy.max_age_s):
            known.again = Again(judged, told, self.listener, edge.allowed, lines, raw, self)
        exchange.answer(edge.allowed, lines, b"", raw)

    def answer(self, status_line: bytes, lines: Sequence[bytes], body: bytes = b"") -> None:
        if self.edge is not None:
            status_line, lines, body = self.edge.written(status_line, list(lines), body)
        if self._exchange is not None:
            self._exchange.answer(status_line, lines, body)

    def abort(self) -> None:
        if self._exchange is not None:
            self._exchange.abort()

    @property
    def is_over(self) -> bool:
        return self._exchange is None or self._exchange.is_over

    def end(self, exchange: Exchange) -> None:
        """The answer is out, or can't be any more. Called again for each time that the answer is given again."""
        self._exchange = None
        self._edges.record(self, exchange)


class OwnListener:
    """The handler of a listener that is for edges alone."""

    def __init__(self, edges: Edges, site: Listener, *, is_closed: bool) -> None:
        """`is_closed`: only this machine reaches it, so whoever asks is an edge; else the list decides."""
        self._edges = edges
        self._site = site
        self._is_closed = is_closed
        self.refuse = edges.refuse

    def handle(self, exchange: Exchange) -> None:
        """Answer it; nothing here is for people."""
        target = exchange.head.target
        if target.path == _HEALTH and not target.came:
            exchange.answer(_OK, _PLAIN, b"ok\n")
        else:
            self._edges.handle(exchange, self._site, is_believed=self._is_closed)


class _Curt:
    """Answers for whoever hands on no more than a status: the way in is told to all, and to no one in a page."""

    def __init__(self, answers: Answers) -> None:
        self.make = answers.make

    def is_navigation(self, head: RequestHead) -> bool:
        """True: the way in is a `Location`."""
        return True


def _edge_path(target: Target) -> bytes:
    path = target.path
    return ext_authz.PATH if path.startswith(ext_authz.PATH) else path


def _tells_of_client(line: bytes) -> bool:
    return line[:16].lower() == b"x-forwarded-for:" or line[:10].lower() == b"forwarded:"
