"""The questions of edges that were configured for other products: `/oauth2/auth`, Vouch's and Nuon's `/validate`.

Their documented configurations say less than ours: nginx sends Host, for oauth2-proxy X-Forwarded-Uri, for Vouch
nothing more, and hands on whatever else the client wrote. So that a client gains nothing by writing it itself:

- The host asked about is Host's, which every configuration sets; another one that is told stands for a host only
  where Host names one without an app (an auth host, as Traefik and ingress-nginx have it).
- A host with rules of their own for some paths is not asked about without the path: every question is refused, so
  that no such configuration is left in use.
- A method that isn't told is none that a route lists, and none is a preflight.
- Nobody's address is known: X-Real-IP and X-Forwarded-For are the client's own in most of these configurations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from vestibule.core.compat import ASK
from vestibule.core.domain import is_within
from vestibule.core.known import Known, known_of
from vestibule.core.route import Host
from vestibule.model import Bounds, Deny, SignIn
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import value_of
from vestibule.protocol.url import authority
from vestibule.proxy.forward import validate
from vestibule.proxy.forward.question import Asked, bad, parts_of, said_by
from vestibule.proxy.judge import Judged
from vestibule.proxy.refusal import Answer
from vestibule.proxy.teller import Told

UNTOLD: Final = b"UNTOLD"
"""Stands for a method that the edge doesn't tell; no route lists it."""
_URL: Final = (b"x-original-url", b"x-original-method")
_URI: Final = (b"x-forwarded-uri", b"x-forwarded-method")


# -- what is asked about ------------------------------------------------------------------------


def read(host: Host, head: RequestHead) -> Asked:
    """What an edge asks about that was configured for another product; `host` is Host's. Raises BadRequest."""
    said = said_by(head)
    twice = [name for name in (*_URL, *_URI, b"x-forwarded-host") if said.get(name) == b""]
    if twice:
        raise bad(f"{twice[0].decode()} came twice, or is empty")
    # 1. Told in one way, or not at all.
    by_url, by_uri = any(name in said for name in _URL), any(name in said for name in _URI)
    if by_url and by_uri:
        raise bad("X-Original-… and X-Forwarded-… both say what is asked about")
    where, target = b"", b""
    if b"x-original-url" in said:
        where, target = parts_of(said[b"x-original-url"])
        target = target or b"/"
    where = where or said.get(b"x-forwarded-host", b"")
    target = target or said.get(b"x-forwarded-uri", b"")
    method = said.get(b"x-original-method") or said.get(b"x-forwarded-method") or UNTOLD
    # 2. Of which host.
    if where and authority(where).host != head.host:
        if not _has_no_app(host) or not target:
            raise bad("Host names another host than X-Forwarded-Host or X-Original-URL")
        return Asked(_plain(method), target, where)
    # 3. Which path; somebody who opens the asking path itself asks whether they are signed in.
    if not target and not _is_uniform(host):
        raise bad(
            "the host has rules for some of its paths, and neither X-Forwarded-Uri nor X-Original-URL came"
        )
    if not target or _is_asking(host, target):
        target = b"/"
    return Asked(_plain(method), target, value_of(head.host_line))


def _plain(method: bytes) -> bytes:
    """Threat: `X-Forwarded-Method: OPTIONS` of a client's own, where preflights need no sign-in."""
    return UNTOLD if method == b"OPTIONS" else method


def _has_no_app(host: Host) -> bool:
    return host.routes[b""].backend.internal == "account"


def _is_uniform(host: Host) -> bool:
    whole = host.routes[b""]
    return all(
        route.policy == whole.policy and route.needs_caller == whole.needs_caller
        for route in host.routes.values()
    )


def _is_asking(host: Host, target: bytes) -> bool:
    claim = host.claim(target.partition(b"?")[0])
    return claim is not None and claim.what == ASK


def wanted(head: RequestHead) -> tuple[str, ...]:
    """Where somebody wanted to go, as an edge of oauth2-proxy tells with all it hands on: unchecked, best first."""
    said = said_by(head)
    uri, where = said.get(b"x-forwarded-uri", b""), said.get(b"x-forwarded-host", b"")
    found = [said.get(b"x-auth-request-redirect", b"")]
    if where and uri and where != value_of(head.host_line):
        found.append(said.get(b"x-forwarded-proto", b"") + b"://" + where + uri)
    return tuple(value.decode("latin-1") for value in (*found, uri) if value)


# -- oauth2-proxy: what the question itself demands ---------------------------------------------

_DEMANDS: Final = ("allowed_groups", "allowed_emails", "allowed_email_domains")


def demands(query: bytes, judged: Judged) -> Deny | SignIn | None:
    """Why `/oauth2/auth?allowed_groups=…` refuses who would be let in; None: it doesn't.

    One of each list must hold. Nobody meets a demand, on a public path neither. Raises BadRequest.
    Threat: a demand that is misspelt, or names nobody, and so demands nothing (CVE-2021-21411).
    """
    asked = _demanded(query)
    if not asked:
        return None
    known = known_of(judged.caller or judged.session, judged.ask.view.host)
    if not known:
        return SignIn("the edge lets in some people only")
    for name, wanted in asked.items():
        if not _is_met(name, wanted, known):
            return Deny(403, "not_allowed", f"the edge's {name} doesn't name this person")
    return None


def _demanded(query: bytes) -> dict[str, set[str]]:
    if b"allowed" not in query.lower():
        return {}
    asked: dict[str, set[str]] = {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise bad("the query can't be read") from None
    for name, value in pairs:
        if name in _DEMANDS:
            asked.setdefault(name, set()).update(item for item in value.split(",") if item)
        elif name.lower().startswith("allowed"):
            raise bad(f"there is no {name[:40]!r}; there is {', '.join(_DEMANDS)}")
    return asked


def _is_met(name: str, wanted: set[str], known: Known) -> bool:
    if name == "allowed_groups":
        return not wanted.isdisjoint(known.groups)
    address = known.email.lower()
    lower = {item.lower() for item in wanted}
    if name == "allowed_emails":
        return bool(address) and address in lower
    domain = address.partition("@")[2]
    return bool(domain) and any(_is_domain(domain, one) for one in lower)


def _is_domain(domain: str, pattern: str) -> bool:
    """`example.com` itself; `.example.com` and `*.example.com` with all below."""
    if pattern.startswith((".", "*.")):
        return is_within(domain, pattern.removeprefix("*").removeprefix("."))
    return domain == pattern


# -- what holds for all of them -----------------------------------------------------------------


def beyond(judged: Judged) -> Deny | None:
    """Why a caller's credential is refused that is good for some paths or methods only; None: it isn't.

    Threat: a token for reading `/api`, used on everything: which path and method are meant the client may have written.
    """
    bounds = judged.caller.bounds if judged.caller is not None else Bounds()
    if not bounds.prefixes and not bounds.methods:
        return None
    return Deny(403, "out_of_bounds", "whoever asks doesn't say for sure which path and method are meant")


def without_proofs(lines: list[bytes]) -> list[bytes]:
    """The lines without what only a backend is to have: handles, assertions.

    Threat: the address stands open in the documented configurations, and a page could ask there. Cookies and
    Authorization as they go on aren't told at all: a page can't read those either.
    """
    return [next((name for name in _PROOFS if line.startswith(name)), line) for line in lines]


_PROOFS: Final = (b"Proxy-Session: ", b"Proxy-Assertion: ", b"X-Pomerium-Jwt-Assertion: ")


# -- how each writes its answers ----------------------------------------------------------------


def gap_auth(told: Told) -> list[bytes]:
    """oauth2-proxy's name for who asks: the address, or else the account."""
    pairs = dict(told.pairs)
    value = pairs.get("X-Auth-Request-Email") or pairs.get("X-Auth-Request-User") or ""
    return [f"GAP-Auth: {value}".encode()]


def nothing_more(_told: Told) -> list[bytes]:
    """No lines but those of all edges."""
    return []


def oauth2_proxy(status_line: bytes, lines: list[bytes], body: bytes) -> Answer:
    """The refusal as oauth2-proxy writes it."""
    status_line, lines, body = validate.written(status_line, lines, body)
    plain = {401: b"Unauthorized\n", 403: b"Forbidden\n"}.get(int(status_line[9:12]))
    return (status_line, lines, body) if plain is None else (status_line, _plain_lines(lines), plain)


def vouch(status_line: bytes, lines: list[bytes], body: bytes) -> Answer:
    """The refusal as Vouch writes it, with why in `X-Vouch-Error`."""
    code = _code_in(body)
    status_line, lines, body = validate.written(status_line, lines, body)
    return status_line, [*_plain_lines(lines), b"X-Vouch-Error: " + code], code + b"\n"


def nuon(status_line: bytes, lines: list[bytes], body: bytes) -> Answer:
    """The refusal as Nuon's service writes it."""
    status_line, lines, _ = validate.written(status_line, lines, body)
    return status_line, [*_plain_lines(lines), b"X-Nuon-Auth-Success: false"], b""


class Contract(NamedTuple):
    """How one product's edges are answered."""

    written: Callable[[bytes, list[bytes], bytes], Answer]
    """A refusal in its own statuses."""
    allowed: bytes = b"HTTP/1.1 200 OK"
    """The status line that lets pass."""
    more: Callable[[Told], list[bytes]] = nothing_more
    """Lines of an answer that lets pass, beside those of all edges."""
    demands: Callable[[bytes, Judged], Deny | SignIn | None] | None = None
    """What the question's own query demands of who would be let in. Raises BadRequest."""


CONTRACTS: Final[Mapping[str, Contract]] = {
    "oauth2-proxy": Contract(oauth2_proxy, b"HTTP/1.1 202 Accepted", gap_auth, demands),
    "vouch": Contract(vouch),
    "nuon": Contract(nuon),
}
_LEFT_OUT: Final = (b"location:", b"content-type:", b"content-language:", b"content-security-policy:")


def _plain_lines(lines: list[bytes]) -> list[bytes]:
    """For an edge that reads no more than the status, and leads people on its own."""
    kept = [line for line in lines if not line.lower().startswith(_LEFT_OUT)]
    return [*kept, b"Content-Type: text/plain; charset=utf-8"]


def _code_in(body: bytes) -> bytes:
    try:
        found: Mapping[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return b"sign_in_required"
    return str(found.get("code", "sign_in_required")).encode("ascii", "replace")
