"""How long ago people may have signed in where they are going, and whether they did.

A route may ask for it (`core.policy`), or a program that leads people to sign in (`max_age`, OpenID Connect Core
section 3.1.2.1). What a client says of it can only shorten it. What counts is when the person signed in at the
provider, as that one proved it: hosts that ask for it ask their providers at each sign-in, so that who leaves the
question out of an address gains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from vestibule.core.policy import newest
from vestibule.core.route import Host, is_own
from vestibule.errors import BadRequest
from vestibule.model import Session
from vestibule.protocol import url

MAX_AGE: Final = "max_age"
"""The hint: so many seconds ago at most."""
ANY_AGE_S: Final = 10 * 365 * 86400
"""Has a provider say when somebody signed in, whenever that was."""
_DIGITS_MAX: Final = 9


def wanting(host: Host, rd: str, hints: Mapping[str, str]) -> dict[str, str]:
    """The hints with what `rd`, a checked address of this host, asks for."""
    kept = {name: value for name, value in hints.items() if name != MAX_AGE}
    age_s = min(asked_s(hints), _of_route(host, rd) or math.inf)
    return {**kept, MAX_AGE: str(int(age_s))} if age_s < math.inf else kept


def is_fresh(session: Session | None, host: Host, hints: Mapping[str, str], now: float) -> bool:
    """True where they signed in within what the hints ask, by what counts on this host; nobody is not fresh."""
    max_age_s = asked_s(hints)
    if max_age_s == math.inf or session is None:
        return max_age_s == math.inf
    believed = host.believed
    return now - newest(known for known in session.identities if known.client in believed) < max_age_s


def asked_s(hints: Mapping[str, str]) -> float:
    """How long ago somebody may have signed in, as the hints say; infinite: they don't."""
    said = hints.get(MAX_AGE, "")
    return float(said) if said.isdecimal() and said.isascii() and len(said) <= _DIGITS_MAX else math.inf


def _of_route(host: Host, rd: str) -> float:
    """What the route that the address leads to asks for; 0: nothing, as for the gateway's own paths."""
    if not host.asks_when:
        return 0.0
    try:
        path = url.canonical((urlsplit(rd).path or "/").encode("ascii")).path
    except (BadRequest, ValueError):
        return 0.0
    return 0.0 if is_own(path, host) else host.route(path).policy.max_age_s
