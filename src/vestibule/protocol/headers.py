"""Header lines: what each means to a gateway, in requests and in answers (RFC 9110, RFC 9112).

The facts that shaped this module:

- The data plane works on whole lines (`b"Name: value"`, no line end), because the same lines come again and again:
  a line that was classified once is found in a bounded table, and most lines pass as they are.
- Backends fold `_` and `.` into `-` and don't look at case (CGI, WSGI, PHP), so an identity header is recognised
  by its *class*: lower case, every other character than a letter or digit as `-`.
- The gateway owns every identity header of every product whose users it serves, whether or not that family is
  switched on: a family switched on tomorrow must not have been spoofable today.
"""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache
from urllib.parse import quote

from vestibule.errors import BadRequest
from vestibule.protocol import caching

LINE_LIMIT_BYTES = 32 * 1024
NAME_LIMIT_BYTES = 256

# What a line means. PASS is 0, so that the loop over a head asks one thing: is it special?
PASS = 0
DROP = 1
HOST = 2
CONTENT_LENGTH = 3
TRANSFER_ENCODING = 4
CONNECTION = 5
UPGRADE = 6
EXPECT = 7
COOKIE = 8
FORWARDED = 9
"""Tells of the client; believed from trusted peers only, never passed on."""
AUTHORIZATION = 10
CALLER = 11
"""`Proxy-Session`: dropped at hosts, read at calling interfaces."""
SET_COOKIE = 12
TRAILER = 13
KEEP_ALIVE = 14
"""`Connection: keep-alive` and nothing else: the commonest of all."""
ALIAS = 15
"""Dropped like DROP, but an edge that asks would hand it on: another spelling of a name that the gateway owns or acts
on, a claim under a name that no edge was told of, and names by which some backends take another method, address or
protocol for the one that was decided on."""
CACHING = 16
"""Of an answer: what caches may do with it."""
TRACE = 17
"""Which trace a request is part of: passed on with the gateway's own span in it (`traceparent`)."""
TE = 18
"""Whether trailers can be taken: of this hop, and told to the next where that is HTTP/2."""

OWNED = frozenset(
    (
        # this gateway's and IO's
        *("proxy-session", "proxy-provider", "proxy-assertion", "proxy-version", "proxy-api", "proxy-host"),
        *("proxy-mode", "proxy-service", "proxy-upstream", "proxy-machine", "proxy-machine-subject"),
        *("x-io-session", "x-io-did", "did"),
        *(
            "user-id",
            "user-login",
            "user-name",
            "user-email",
            "user-groups",
            "user-orgs",
            "user-did",
            "user-handle",
        ),
        # oauth2-proxy's (more by prefix), Authelia's
        *("gap-auth", "gap-signature", "remote-user", "remote-groups", "remote-name", "remote-email"),
        # what proxies say of the client, and of its certificate (RFC 9440)
        *("x-real-ip", "forwarded", "x-forwarded", "client-cert", "client-cert-chain"),
    )
)
"""Names only the gateway may set, lower case; beside them those that begin with one of `_OWNED_PREFIXES`."""
_OWNED_PREFIXES = (
    "x-forwarded-",
    "x-original-",
    "x-rewrite-",
    "x-auth-request-",
    "x-vouch-",
    "x-pomerium-",
    "x-nuon-auth-",
)
_ADDRESSES = "x-rewrite-"
"""Another address than that of the request; no edge says so of one that it asks about."""
_CLAIMS = ("x-vouch-idp-claims-", "x-pomerium-claim-")
"""Names without end, of which an edge overwrites only those that it was told of: `_TOLD_CLAIMS`, and a host's own."""
_TOLD_CLAIMS = frozenset(
    (
        *("x-vouch-idp-claims-sub", "x-vouch-idp-claims-preferred-username", "x-vouch-idp-claims-name"),
        *("x-vouch-idp-claims-email", "x-vouch-idp-claims-groups", "x-pomerium-claim-user"),
        *("x-pomerium-claim-name", "x-pomerium-claim-email", "x-pomerium-claim-groups"),
    )
)
_FRAMING = frozenset(
    (
        *("host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"),
        *("cookie", "authorization"),
    )
)
_NEVER_NAMED = (_FRAMING | {"origin"}) - {"te", "trailer", "upgrade", "transfer-encoding"}
"""What a Connection header may not remove, besides what is owned."""
_REQUEST_KINDS = {
    "host": HOST,
    "content-length": CONTENT_LENGTH,
    "transfer-encoding": TRANSFER_ENCODING,
    "connection": CONNECTION,
    "upgrade": UPGRADE,
    "expect": EXPECT,
    "cookie": COOKIE,
    "authorization": AUTHORIZATION,
    "proxy-session": CALLER,
    "forwarded": FORWARDED,
    "x-forwarded-for": FORWARDED,
    "x-forwarded-proto": FORWARDED,
    "x-forwarded-host": FORWARDED,
    # what an edge asks about (proxy.forward)
    "x-forwarded-method": FORWARDED,
    "x-forwarded-uri": FORWARDED,
    "x-original-method": FORWARDED,
    "x-original-url": FORWARDED,
    # where somebody wanted to go, as edges of oauth2-proxy tell
    "x-auth-request-redirect": FORWARDED,
    "traceparent": TRACE,
    "tracestate": TRACE,
    "trailer": TRAILER,
    # hop by hop (RFC 9110 section 7.6.1), and what could speak past the decision
    "keep-alive": DROP,
    "proxy-connection": DROP,
    "proxy-authorization": DROP,
    "proxy-authenticate": DROP,
    "te": TE,
    "http2-settings": ALIAS,
    "x-http-method": ALIAS,
    "x-http-method-override": ALIAS,
    "x-method-override": ALIAS,
    "proxy": DROP,  # a CGI backend would take it for HTTP_PROXY (httpoxy)
}
_ANSWER_KINDS = {
    "content-length": CONTENT_LENGTH,
    "transfer-encoding": TRANSFER_ENCODING,
    "connection": CONNECTION,
    "upgrade": UPGRADE,
    "set-cookie": SET_COOKIE,
    "keep-alive": DROP,
    "proxy-connection": DROP,
    "proxy-authenticate": DROP,
    "proxy-authorization": DROP,
    "proxy-session": DROP,
    "proxy-assertion": DROP,
    "te": DROP,
    # said to the proxy right in front of the backend, which is this one: an edge behind it would act on them
    "x-accel-redirect": DROP,
    "x-sendfile": DROP,
    "x-lighttpd-send-file": DROP,
    "x-reproxy-url": DROP,
    **dict.fromkeys((caching.SAYS, *caching.OVERRULES), CACHING),
}

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_BAD_VALUE = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_NOT_ALNUM = re.compile(r"[^0-9a-z]")

_CACHE_LINES = 4096
_CACHE_NAMES = 1024
_CACHED_LINE_BYTES = 512
_requests: dict[bytes, int] = {}
_answers: dict[bytes, int] = {}
#: what a line was found to be the last time; the loops over heads look here first
known_request_kind = _requests.get
known_answer_kind = _answers.get


def class_of(name: str) -> str:
    """The class of a header name: what a backend may take it for."""
    return _NOT_ALNUM.sub("-", name.lower())


def is_owned(name: str) -> bool:
    """True for every spelling of every name that only the gateway may set."""
    key = class_of(name)
    return key in OWNED or key.startswith(_OWNED_PREFIXES)


def request_kind(line: bytes) -> int:
    """What a request's header line means. Raises BadRequest for a line that is not a header field.

    Spec: RFC 9112 section 5. Threat: obs-fold, space before the colon, controls in values, and every spelling of an
    owned or framing name that a backend could take for the real one.
    """
    kind = _requests.get(line)
    if kind is None:
        kind = _request_kind(name_of(line))
        if kind == CONNECTION and value_of(line).lower() == b"keep-alive":
            kind = KEEP_ALIVE
        _remember(_requests, line, kind)
    return kind


def answer_kind(line: bytes) -> int:
    """What an answer's header line means. Raises BadRequest for a line that is not a header field."""
    kind = _answers.get(line)
    if kind is None:
        kind = _ANSWER_KINDS.get(_lower(name_of(line)), PASS)
        if kind == CONNECTION and value_of(line).lower() == b"keep-alive":
            kind = KEEP_ALIVE
        _remember(_answers, line, kind)
    return kind


@lru_cache(_CACHE_NAMES)
def _request_kind(raw_name: bytes) -> int:
    name = _lower(raw_name)
    kind = _REQUEST_KINDS.get(name)
    if kind is not None:
        return kind
    key = class_of(name)
    if key in OWNED or key.startswith(_OWNED_PREFIXES):
        is_handed_on = key.startswith(_ADDRESSES) or (key.startswith(_CLAIMS) and key not in _TOLD_CLAIMS)
        return DROP if key == name and not is_handed_on else ALIAS
    # `Content_Length` reaches a CGI backend as CONTENT_LENGTH: an odd spelling of a framing name goes too.
    return ALIAS if key != name and (key in _FRAMING or key in _REQUEST_KINDS) else PASS


@lru_cache(_CACHE_NAMES)
def _lower(raw_name: bytes) -> str:
    """The name in lower case. Raises BadRequest when it is no token."""
    if not _NAME.match(raw_name):
        raise BadRequest("a header line is malformed", code="bad_header")
    return raw_name.lower().decode("ascii")


def name_of(line: bytes) -> bytes:
    """The name of a header line, as sent. Raises BadRequest when the line is not `token ":" value`."""
    name, colon, value = line.partition(b":")
    if len(line) > LINE_LIMIT_BYTES or len(name) > NAME_LIMIT_BYTES:
        raise BadRequest("a header line is too long", code="header_too_large", status=431)
    if not colon or _BAD_VALUE.search(value) or not _lower(name):
        raise BadRequest("a header line is malformed", code="bad_header")
    return name


def value_of(line: bytes) -> bytes:
    """The value of a header line, without optional white space."""
    return line[line.find(b":") + 1 :].strip(b" \t")


_MARKS_MAX = 1 << 16
_marks: set[int] = set()


def came_before(data: bytes) -> bool:
    """True from the second time on, about: what comes once only is not worth remembering.

    Threat: a flood of what is never sent again, which would push out what is.
    """
    mark = hash(data)
    if mark in _marks:
        return True
    if len(_marks) >= _MARKS_MAX:
        _marks.clear()
    _marks.add(mark)
    return False


def _remember(table: dict[bytes, int], line: bytes, kind: int) -> None:
    if len(line) > _CACHED_LINE_BYTES or not came_before(line):
        return
    if len(table) >= _CACHE_LINES:
        table.clear()
    table[line] = kind


VALUE_LIMIT_BYTES = 8 * 1024
"""A longer value of the gateway's making is left out whole: a shortened list of groups would be a wrong one."""
# RFC 3986 calls fewer characters safe; these are all of visible ASCII but `%` and `,`.
_VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%,")


def encoded(value: str, *, kept: str = ",") -> str:
    """The text for a header's value: UTF-8, percent-encoded where a byte is not visible ASCII, and `%` too.

    `kept`: empty for an item of a comma list, where a comma of its own is encoded as well.
    Threat: control characters in a claim that would become header lines of their own.
    """
    return quote(value, safe=_VISIBLE + kept, errors="replace")


def tokens_of(value: bytes) -> list[bytes]:
    """The lower-case tokens of a comma list such as Connection's."""
    return [token for part in value.split(b",") if (token := part.strip(b" \t").lower())]


def without_named(lines: list[bytes], tokens: list[bytes]) -> list[bytes]:
    """The lines less those a Connection header names (RFC 9110 section 7.6.1).

    Raises BadRequest when a token names what the gateway sets or needs.
    Threat: `Connection: User-Id` that makes a next hop drop the identity; `Connection: Origin` that hides from the
    gateway's own checks which page asks.
    """
    named = {token.decode("latin-1") for token in tokens} - {"close", "keep-alive", "upgrade"}
    for name in named:
        if is_owned(name) or name in _NEVER_NAMED or name.startswith("sec-fetch-"):
            raise BadRequest("Connection names a header it may not remove", code="bad_connection")
    if not named:
        return lines
    return less(lines, {name.encode("latin-1") for name in named})


def less(lines: list[bytes], names: Container[bytes]) -> list[bytes]:
    """The header lines but those of these names, which are lower case."""
    return [line for line in lines if line.partition(b":")[0].lower() not in names]
