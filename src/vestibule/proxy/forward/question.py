"""A request that an edge holds and asks about: judged as if it had come here, answered to the edge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import msgspec

from vestibule.core.known import person_of
from vestibule.core.passage import set_pairs
from vestibule.core.route import Host, Site
from vestibule.core.tls import Handshake
from vestibule.errors import BadRequest
from vestibule.model import Caller, Session
from vestibule.observe.traffic import Kind, Record
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import class_of, value_of
from vestibule.proxy.exchange import Exchange, Listener, Responder, record_of
from vestibule.proxy.judge import Judged
from vestibule.proxy.refusal import Answer, Refusals
from vestibule.proxy.teller import Told


class Asked(msgspec.Struct, frozen=True):
    """What a question is about, in the edge's own words."""

    method: bytes
    target: bytes
    authority: bytes


class Question(ABC):
    """One question. To the judge it is a case, to the refusals something that can be refused."""

    host: Host | None = None
    site: Site | None = None
    tls: Handshake | None = None
    """An edge tells nothing of it."""
    session_id = ""
    asker: Session | Caller | None = None
    route = b""
    backend_s = 0.0
    span = parent_id = ""
    on_last: Callable[[Exchange], None] | None = None
    decision = ""
    request_id = ""
    status = 0
    rpc = b""
    responder: Responder | None = None

    def __init__(self, head: RequestHead, listener: Listener, address: str, refusals: Refusals) -> None:
        self.head = head
        """Of the request asked about; until that is known, of the question itself."""
        self.listener = listener
        """Where people reach the gateway itself: the edge sends them there with all below `/@/`."""
        self.peer = self.address = address
        """The client's, as the edge tells; empty when it doesn't."""
        self.refusals = refusals

    @abstractmethod
    def allow(self, judged: Judged, told: Told) -> None:
        """Let the request go on, and tell the edge who asks."""

    @abstractmethod
    def answer(self, status_line: bytes, lines: Sequence[bytes], body: bytes = b"") -> None:
        """What the client is to get in the backend's place."""

    @abstractmethod
    def abort(self) -> None:
        """Break off in a way that no edge takes for leave."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """True when nobody waits for the answer any more."""

    def record(self, at: float, took_s: float, edge: str, *, status: int, bytes_out: int) -> Record:
        """The one record of it, once it is answered; `edge`: who asked."""
        name = self.host.name if self.host is not None else b""
        return record_of(self, Kind.EDGE, name, at, status, took_s, bytes_out, edge)


def passed_on(head: RequestHead, judged: Judged) -> tuple[bytes, bytes]:
    """Cookie and Authorization for the backend: without the gateway's own cookies, and without what it accepted.

    With a preflight nobody's go on, and a route may set or remove them.
    """
    authorization, cookie = b"", judged.ask.taken.rest
    is_ours = judged.caller is not None or judged.is_preflight or judged.ask.bears
    if head.authorization and not is_ours:
        authorization = value_of(head.authorization)
    passage = judged.ask.route.passage
    for heading in passage.headers if passage is not None else ():
        if class_of(heading.name) == "cookie":
            cookie = b""
        elif class_of(heading.name) == "authorization":
            person = person_of(judged.caller or judged.session, judged.ask.view.host)
            authorization = "".join(value for _, value in set_pairs((heading,), person)).encode()
    return cookie, authorization


def as_it_is(status_line: bytes, lines: list[bytes], body: bytes) -> Answer:
    """The refusal as the client is to get it, for an edge that hands on whatever isn't leave."""
    return status_line, lines, body


# -- what an edge says of the request -----------------------------------------------------------

_SCHEMES = frozenset((b"http", b"https", b"ws", b"wss"))


def said_by(head: RequestHead) -> dict[bytes, bytes]:
    """What the headers that tell of requests say, by lower-case name; empty for one that came twice."""
    found: dict[bytes, bytes] = {}
    for line in head.forwarded:
        raw_name, _, value = line.partition(b":")
        name = raw_name.lower()
        found[name] = b"" if name in found else value.strip(b" \t")
    return found


def all_of(said: Mapping[bytes, bytes], *names: bytes) -> list[bytes]:
    """The values of these headers, all there and each once.

    Raises BadRequest. Threat: an edge that sets one of two and hands the client's other on.
    """
    values = [said.get(name, b"") for name in names]
    if not all(values):
        absent = names[values.index(b"")].decode()
        raise bad(f"{absent} came twice" if absent.encode() in said else f"{absent} is missing")
    return values


def check_scheme(scheme: bytes) -> None:
    """Nothing, for a scheme that requests come by: what is decided is the same by each. Raises BadRequest."""
    if scheme.lower() not in _SCHEMES:
        raise bad("the scheme is no scheme of requests")


def parts_of(url: bytes) -> tuple[bytes, bytes]:
    """Authority and target of a URL asked about; an empty target where it ends with its host. Raises BadRequest."""
    scheme, _, rest = url.partition(b"://")
    authority, slash, path = rest.partition(b"/")
    check_scheme(scheme)
    return authority, slash + path


def by_forwarded(head: RequestHead) -> Asked:
    """What X-Forwarded-Method, -Proto, -Host and -Uri say, all four of them. Raises BadRequest."""
    names = b"x-forwarded-method", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-uri"
    method, scheme, authority, target = all_of(said_by(head), *names)
    check_scheme(scheme)
    return Asked(method, target, authority)


def bad(why: str) -> BadRequest:
    """The refusal of a question that says too little, or two things at once; the log alone gets `why`."""
    return BadRequest("the edge doesn't say what it asks about", code="bad_question", detail=why)
