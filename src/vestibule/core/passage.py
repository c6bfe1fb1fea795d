"""How requests of a route go on to its backend, and answers back, where that is not simply as they came."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from vestibule.core.policy import Policy, policy_of
from vestibule.core.rule import Rule
from vestibule.core.template import NOBODY, Person, Template
from vestibule.errors import ClientError
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import class_of
from vestibule.protocol.url import Target

NOTHING: Final = Template(())


class Rewrite(msgspec.Struct, frozen=True, kw_only=True):
    """Another path for the backend: what is taken off in front, and what is put there."""

    cut: bytes = b""
    """A prefix of whole segments, without its last slash, that every path of the route begins with."""
    put: Template = NOTHING
    """Without its last slash."""

    def target(self, target: Target, person: Person = NOBODY) -> Target:
        """The target as the backend gets it: what was decided on, less the prefix, behind what is put there.

        It is canonical as the one that came is: `cut` ends where a segment does, and `put` is canonical by itself.
        Raises ClientError 403 where `put` needs a value of the person's that is not known or is no segment of a path.
        """
        front = self.put.path(person)
        if not front and self.put.parts:
            raise ClientError(
                "your account lacks what this address goes by",
                code="claim_missing",
                status=403,
                detail=f"rewrite: no usable value of {', '.join(map(str, self.put.slots))}",
            )
        if target.path == b"*":
            return target  # OPTIONS of the server itself
        path = front + target.path[len(self.cut) :] or b"/"
        plain = front + target.plain[len(self.cut) :] or b"/"
        return Target(path, target.query, path + target.full[len(target.path) :], plain, target.authority)


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one header: set, or with no value removed."""

    name: str
    value: Template | None = None


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """What a route does to requests and answers; a route that does nothing of the kind has none."""

    rewrite: Rewrite | None = None
    headers: tuple[Heading, ...] = ()
    """Towards the backend, by class each once; they come last and stand instead of whatever was there."""
    answer_headers: tuple[Heading, ...] = ()
    """Towards the client."""
    host_line: bytes = b""
    """`Host: …` for the backend; empty: the client's."""
    answer_s: float | None = None
    """How long the backend may take until its answer begins; None: as ever."""
    connect_s: float | None = None
    origins: frozenset[str] = frozenset()
    """Origins, besides the host's own, whose pages may open WebSockets."""

    @property
    def is_of_request(self) -> bool:
        """True where header lines for the backend differ from request to request of one person."""
        return any(heading.value is not None and heading.value.is_of_request for heading in self.headers)


# -- what may be set and removed ----------------------------------------------------------------

_ABSOLUTE_RE: Final = re.compile(rb"(?i:https?)://([^/?#\\@]+)((?:[/?#].*)?)", re.DOTALL)

#: made by the gateway for every request, or framing it: a second one would contradict the first
_MADE: Final = frozenset(
    (
        *("host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"),
        *("keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "http2-settings"),
        *("proxy", "x-http-method", "x-http-method-override", "x-method-override"),
    )
)
#: what the gateway itself says of the person and the client: it may be kept from a backend, never made up
_SAID: Final = frozenset(
    (
        *("proxy-session", "proxy-provider", "proxy-assertion", "forwarded", "cookie"),
        *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"),
        *("user-id", "user-login", "user-name", "user-email", "user-groups", "user-orgs", "user-did"),
        "user-handle",
    )
)
#: of an answer: where its body ends and how it is read
_ANSWER_MADE: Final = frozenset(
    (
        *("content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive"),
        *("content-encoding", "content-range", "proxy-connection", "proxy-authenticate"),
        *("proxy-authorization", "proxy-session", "proxy-assertion"),
    )
)


def fault_of(name: str, *, is_removed: bool, is_answer: bool) -> str:
    """Why a route may not set or remove this header; empty where it may.

    Threat: a header that says where a body ends, which host or method is meant, or who asks, in another voice than
    the gateway's own.
    """
    key = class_of(name)
    if key.startswith("sec-websocket-"):
        return "belongs to the opening of a WebSocket"
    if is_answer:
        if key in _ANSWER_MADE:
            return "says how the answer is read; it is not to be changed on the way"
        return "can only be removed: cookies are the app's" if key == "set-cookie" and not is_removed else ""
    if key == "host":
        return 'is what host_header is for: host_header = "name.internal"'
    if key in _MADE:
        return "belongs to the connection or to the decision; only the gateway sets it"
    if key in _SAID and not is_removed:
        return "is set by the gateway; it can only be removed"
    return ""


# -- header lines ---------------------------------------------------------------------------------


def without(lines: Sequence[bytes], classes: frozenset[str]) -> list[bytes]:
    """The header lines less those of these classes, in whatever spelling a backend could take for them."""
    return [line for line in lines if _class_of(line.partition(b":")[0]) not in classes]


@lru_cache(1024)
def _class_of(name: bytes) -> str:
    return class_of(name.decode("latin-1"))


def classes_of(headings: tuple[Heading, ...]) -> frozenset[str]:
    """The classes of headers these set or remove."""
    return frozenset(class_of(heading.name) for heading in headings)


def set_lines(headings: tuple[Heading, ...], person: Person, request: Mapping[str, str]) -> list[bytes]:
    """The lines to set; a header one of whose values is not known is left out, and stays removed."""
    lines = []
    for heading in headings:
        value = heading.value.header(person, request) if heading.value is not None else ""
        if value:
            lines.append(f"{heading.name}: {value}".encode("ascii"))
    return lines


def set_pairs(headings: tuple[Heading, ...], person: Person) -> list[tuple[str, str]]:
    """Name and value of each that is the same for every request of a person; empty where it is removed or not known."""
    return [
        (heading.name, heading.value.header(person, {}) if heading.value is not None else "")
        for heading in headings
        if heading.value is None or not heading.value.is_of_request
    ]


def names_set(headings: Iterable[Heading]) -> tuple[str, ...]:
    """Names of the headers that are set to what is the same for every request of a person, by class each once."""
    found = {
        class_of(heading.name): heading.name
        for heading in headings
        if heading.value is not None and not heading.value.is_of_request
    }
    found.pop("authorization", None)  # edges are told it in any case
    return tuple(found.values())


def led_home(lines: list[bytes], host_line: bytes, base_url: bytes) -> list[bytes]:
    """The answer's header lines with a Location at the host the backend was asked for leading to the site instead.

    A backend that was given another name than people use knows no better. Its path stays, and every other Location.
    """
    authority = host_line.partition(b":")[2].strip().lower()
    return [
        _led_home(line, authority, base_url) if line[:9].lower() == b"location:" else line for line in lines
    ]


def _led_home(line: bytes, authority: bytes, base_url: bytes) -> bytes:
    found = _ABSOLUTE_RE.fullmatch(line[9:].strip(b" \t"))
    if found is None or found[1].lower() != authority:
        return line
    return b"Location: " + base_url + found[2]


def is_preflight(head: RequestHead) -> bool:
    """True for what a browser asks before a request of another site's page, and nothing else is.

    Spec: Fetch Standard section 4.8 (CORS-preflight fetch): OPTIONS, an Origin, the method to come, no body.
    """
    return (
        head.method == b"OPTIONS"
        and not head.has_body
        and not head.upgrade
        and bool(head.value(b"origin"))
        and bool(head.value(b"access-control-request-method"))
    )


def preflight_policy(policy: Policy) -> Policy:
    """The policy for preflights where they pass unasked: nobody needs to be known; networks narrow as ever.

    A browser sends them without any credential, and the request that follows is decided on by itself.
    """
    return policy_of(
        allow=(Rule(kind="public", text="preflight"), *_networks(policy.allow or ())),
        all=_networks(policy.all),
        deny=_networks(policy.deny),
    )


def _networks(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.kind == "network")
