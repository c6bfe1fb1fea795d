"""What `vestibule doctor` sends through an edge, and what the gateway may tell it of what arrived.

The doctor forges headers that only an edge or the gateway may set, each with a value of its own. Whoever gets them
behind the edge says which of these arrived, and whether with that value. A token made with the key ring shows that the
doctor asks: it needs no word with the gateway before, and is good for one request for one path of one host, within half
a minute. That it is used once, `proxy.probing` sees to: it stands in an address, and so in the logs of edges and apps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qs

import msgspec

from vestibule.core.seal import KeyRing
from vestibule.protocol import base64url

OWN_PATH: Final = "/@/probe"
"""The gateway's own: it answers what arrived."""
THROUGH_PATH: Final = "/vestibule-doctor-probe"
"""Of the app's paths: an edge that asks may let it through with a token, so that it is seen what the edge sends on."""
LIFE_S: Final = 30.0
NONCE_BYTES: Final = 16
_PURPOSE: Final = "doctor's probe"
_PROOF: Final = "doctor's probe answered"
_MAC_BYTES: Final = 32
_FRONT: Final = struct.Struct(f">d{NONCE_BYTES}s")

#: RFC 5737: nobody's address
ADDRESS: Final = "192.0.2.66"
EMAIL: Final = "forged@doctor.invalid"
PERSON: Final = "doctor-forged"
NAME: Final = "forged.doctor.invalid"

State: TypeAlias = Literal["whole", "part", "other"]

CLIENT: Final = (
    ("X-Forwarded-For", ADDRESS),
    ("X-Real-IP", ADDRESS),
    ("Forwarded", f"for={ADDRESS};host={NAME};proto=gopher"),
    ("X-Forwarded-Host", NAME),
    ("X-Forwarded-Proto", "gopher"),
)
"""What says who the client is and what was asked for."""
IDENTITY: Final = (
    ("User-Id", PERSON),
    ("User-Email", EMAIL),
    ("User-Groups", PERSON),
    ("Proxy-Provider", PERSON),
    ("Remote-User", PERSON),
    ("Remote-Email", EMAIL),
    ("X-Forwarded-User", PERSON),
    ("X-Forwarded-Email", EMAIL),
    ("X-Auth-Request-User", PERSON),
    ("X-Auth-Request-Email", EMAIL),
    ("X-Vouch-User", EMAIL),
    ("X-Pomerium-Claim-Email", EMAIL),
)
"""What says who is signed in, in the spelling of each product."""
ODD: Final = (
    ("User_Id", PERSON),
    ("User_Email", EMAIL),
    ("USER_GROUPS", PERSON),
    ("REMOTE_USER", PERSON),
    ("X_Forwarded_User", PERSON),
    ("X_Auth_Request_Email", EMAIL),
    ("x-auth_request-user", PERSON),
    ("User.Email", EMAIL),
)
"""The same in spellings that some backends take for it."""
FORGED: Final = (*CLIENT, *IDENTITY, *ODD)
_VALUES: Final = {name.lower(): value for name, value in FORGED}


class Arrival(msgspec.Struct, frozen=True):
    """One header of the list that arrived."""

    name: str
    """As it is spelt in the list."""
    state: State
    """`whole`: as it was sent; `part`: with something of it; `other`: with somebody else's value."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is told to the doctor."""

    proof: str
    """Made with the token and the key ring: no other program can."""
    arrived: tuple[Arrival, ...]
    peer: str = ""
    """Who connected, as the gateway sees it: the edge."""
    client: str = ""
    """Whom it takes for the client."""
    is_trusted: bool = False
    """The peer stands in `trusted_proxies`."""


def token_of(ring: KeyRing, host: str, path: str, expires_at: float, *, nonce: bytes) -> str:
    """A token for one probe of this path of this host; `nonce`: 16 random bytes."""
    front = _FRONT.pack(expires_at, nonce)
    return base64url.encode(front + ring.mac(_PURPOSE, front + _place(host, path)))


def is_good(ring: KeyRing, token: str, host: str, path: str, now: float) -> bool:
    """True for a token that was made for this path of this host with a key of this ring, and still holds.

    Threat: somebody else who would be told how the edge changes headers, or let through a route. It does NOT notice a
    token that was used before.
    """
    raw = base64url.decode(token) or b""
    front, mac = raw[: _FRONT.size], raw[_FRONT.size :]
    if len(front) != _FRONT.size or len(mac) != _MAC_BYTES:
        return False
    if not ring.check_mac(_PURPOSE, front + _place(host, path), mac):
        return False
    expires_at: float = _FRONT.unpack(front)[0]
    return now < expires_at <= now + 2 * LIFE_S


def _place(host: str, path: str) -> bytes:
    return f"{host}\0{path}".encode()


def token_in(query: bytes) -> str:
    """The token in a query; empty where there is none, or are two."""
    found = parse_qs(query.decode("latin-1")).get("token", [])
    return found[0] if len(found) == 1 else ""


def proof_of(ring: KeyRing, token: str) -> str:
    """What shows that a gateway with this ring has answered."""
    return ring.mac(_PROOF, token.encode()).hex()


def is_proof(ring: KeyRing, token: str, proof: str) -> bool:
    """True where a gateway with a key of this ring made the proof."""
    try:
        return ring.check_mac(_PROOF, token.encode(), bytes.fromhex(proof))
    except ValueError:
        return False


def arrived(fields: Iterable[tuple[str, str]]) -> tuple[Arrival, ...]:
    """Which headers of the list are among these, and with whose value; of any other header nothing is said."""
    spelt = {name.lower(): name for name, _ in FORGED}
    found: dict[str, State] = {}
    for name, value in fields:
        sent = _VALUES.get(name.lower())
        if sent is None:
            continue
        state: State = "whole" if value.strip() == sent else "part" if sent in value else "other"
        key = spelt[name.lower()]
        found[key] = min(state, found.get(key, state), key=("whole", "part", "other").index)
    return tuple(Arrival(name, state) for name, state in found.items())
