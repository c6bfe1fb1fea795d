"""Who the client is, and what the backend is told of it (X-Forwarded-For, -Proto, -Host; RFC 7239 Forwarded).

Only a peer in the operator's list of trusted proxies is believed, and only about what stands behind it: the
chain is read from the right, each trusted address vouches for the one to its left, and the first that is not
trusted is the client. What is left of it anybody may have written. Where a trusted peer sends both,
X-Forwarded-For is read and Forwarded is not: edges in use add to the former and hand the latter on untouched.

For an untrusted peer nothing is parsed at all, so the result can be kept for the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from vestibule.errors import BadRequest
from vestibule.protocol import address, url
from vestibule.protocol.address import Networks

#: Hops kept of a chain, the nearest ones: nobody has more proxies than this.
MAX_HOPS = 32
UNKNOWN = "unknown"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent the request, as far as trusted peers tell."""

    address: str
    """In its one spelling; empty for a Unix socket, or when nothing better is known."""
    hops: tuple[str, ...]
    """What goes into X-Forwarded-For: the chain as told, the peer at its end; `unknown` for no address."""
    proto: str = ""
    """`http` or `https` as a trusted peer told; empty when none did."""
    host: str = ""
    """The host (with port) that a trusted peer was asked for; empty when none told."""


def client_of(peer: str, lines: Iterable[bytes], trusted: Networks, *, is_believed: bool = False) -> Client:
    """The client behind the connection's `peer`.

    `peer` is the IP address of the other end, empty for a Unix socket. `lines` are the request's
    X-Forwarded-For, -Proto, -Host and Forwarded lines (`b"Name: value"`), others are passed over; they are
    not looked at unless the peer is trusted. `is_believed`: this peer is, though it may stand in no list.

    Raises: ValueError when `peer` is no address. Spec: RFC 7239 sections 5 and 7. Threat: an address, scheme
    or host made up by the client.
    """
    # The kernel adds a zone id to link-local peers: told without it, but in no list, which can't name zones.
    own = address.normalise(peer.partition("%")[0]) if peer else ""
    if not is_believed and (not trusted or peer not in trusted):
        return Client(address=own, hops=(own or UNKNOWN,))
    return _told_by(own, _by_name(lines), trusted)


def _told_by(peer: str, told: dict[bytes, bytes], trusted: Networks) -> Client:
    if b"x-forwarded-for" in told:
        chain = [_node(part) for part in told[b"x-forwarded-for"].split(b",") if part.strip(b" \t")]
        elements: list[dict[bytes, bytes]] = []
    else:
        elements = _elements(told.get(b"forwarded", b""))
        chain = [_node(element.get(b"for", b"")) for element in elements]
    chain = chain[-MAX_HOPS:]
    last = elements[-1] if elements else {}
    return Client(
        address=_rightmost_untrusted(chain, peer, trusted),
        hops=(*(node or UNKNOWN for node in chain), peer or UNKNOWN),
        proto=_proto(told.get(b"x-forwarded-proto") or last.get(b"proto", b"")),
        host=_host(told.get(b"x-forwarded-host") or last.get(b"host", b"")),
    )


def _rightmost_untrusted(chain: list[str], peer: str, trusted: Networks) -> str:
    """The first from the right that isn't trusted; where one can't be read, the address that told of it."""
    client = peer
    for node in reversed(chain):
        if not node:
            break
        client = node
        if node not in trusted:
            break
    return client


def _by_name(lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Values by lower-case name, several lines of one name joined (RFC 9110 section 5.3)."""
    told: dict[bytes, bytes] = {}
    for line in lines:
        raw_name, _, value = line.partition(b":")
        name = raw_name.lower()
        told[name] = told[name] + b"," + value if name in told else value
    return told


_PORT_RE = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


def _node(raw: bytes) -> str:
    """The address in one element of a chain, without port; empty for `unknown`, `_hidden`, anything else."""
    text = raw.strip(b" \t").decode("latin-1")
    if found := _PORT_RE.fullmatch(text):
        text = found[1] or found[2]
    try:
        return address.normalise(text)
    except ValueError:
        return ""


def _proto(raw: bytes) -> str:
    """The scheme in the last element of the list: the one the peer itself wrote."""
    proto = raw.rpartition(b",")[2].strip(b" \t").lower()
    return {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}.get(proto, "")


def _host(raw: bytes) -> str:
    last = raw.rpartition(b",")[2].strip(b" \t")
    try:
        name, port = url.authority(last)
    except BadRequest:
        return ""
    host = name.decode("ascii")
    return host if port is None else f"{host}:{port}"


_PAIR_RE = re.compile(
    rb'[ \t]*+([!#$%&\'*+.^_`|~0-9A-Za-z-]++)=(?:([^\s",;\\]*+)|"((?:[^"\\]|\\.)*+)")[ \t]*+(;|,|\Z)'
)


def _elements(value: bytes) -> list[dict[bytes, bytes]]:
    """The elements of a Forwarded value, names lower-case; none when any part of it is malformed.

    Threat: a quoted string that one reader ends earlier than another. Spec: RFC 7239 section 4.
    """
    elements: list[dict[bytes, bytes]] = [{}]
    at = 0
    while at < len(value):
        found = _PAIR_RE.match(value, at)
        if not found or found[1].lower() in elements[-1]:
            return []
        quoted = found[3]
        elements[-1][found[1].lower()] = found[2] if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted)
        at = found.end()
        if found[4] == b",":
            elements.append({})
    return elements if elements[-1] else []


def build(client: Client, *, proto: str, host: str) -> bytes:
    """The header lines the gateway sets for the backend, each with its line end, as one block.

    `proto` and `host` (with port) are those of this connection and request, canonical; what a trusted peer
    told of its own stands before them.
    """
    proto = client.proto or proto
    host = client.host or host
    hops = ", ".join(client.hops)
    forwarded = ", ".join(f"for={_forwarded_node(hop)}" for hop in client.hops)
    quoted_host = f'"{host}"' if ":" in host else host
    return (
        f"X-Forwarded-For: {hops}\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-Host: {host}\r\n"
        f"Forwarded: {forwarded};host={quoted_host};proto={proto}\r\n"
    ).encode("ascii")


def _forwarded_node(hop: str) -> str:
    return f'"[{hop}]"' if ":" in hop else hop
