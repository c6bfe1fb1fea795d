"""What arrives of the headers that `vestibule doctor` forges, told to nobody but it (`core.probe`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from vestibule.core import probe
from vestibule.core.policy import policy_of
from vestibule.core.route import Host
from vestibule.core.rule import Rule
from vestibule.core.seal import KeyRing
from vestibule.protocol.caching import NOT_KEPT
from vestibule.protocol.h1 import RequestHead
from vestibule.proxy.exchange import Exchange

OWN: Final = probe.OWN_PATH.encode()
THROUGH: Final = probe.THROUGH_PATH.encode()
OPEN: Final = policy_of(
    allow=(Rule(kind="public", text="vestibule doctor"),), sign_in=frozenset(), methods=frozenset({b"GET"})
)
"""Of the one path that is open to it, once."""
_USED_MAX: Final = 1000
"""Tokens that are known to be used; who has made more of them within a minute is no doctor."""
_LINES: Final = (b"Content-Type: application/json", *NOT_KEPT, b"X-Content-Type-Options: nosniff")


class Probing:
    """Knows the doctor by the key ring."""

    def __init__(self, ring: KeyRing, now: Callable[[], float]) -> None:
        self._ring = ring
        self._now = now
        self._used: dict[str, float] = {}

    def is_asked(self, head: RequestHead, host: Host) -> bool:
        """True where the doctor asks, with nothing but its token: each is good once. Nobody is signed in by it.

        Threat: who reads the log of an edge or an app, where the address stands, and sends the same again. With
        workers each notes what it has seen itself, so there one may be used at each of them, within half a minute.
        """
        token, now = probe.token_in(head.target.query), self._now()
        if head.method != b"GET" or head.target.query != b"token=" + token.encode("latin-1"):
            return False
        if head.has_body or head.upgrade:
            return False
        name, path = host.name.decode("ascii"), head.target.path.decode("latin-1")
        if not token or not probe.is_good(self._ring, token, name, path, now):
            return False
        self._used = {one: until for one, until in self._used.items() if until > now}
        if token in self._used or len(self._used) >= _USED_MAX:
            return False
        self._used[token] = now + 2 * probe.LIFE_S
        return True

    def tell(self, exchange: Exchange, *, is_trusted: bool) -> bool:
        """Answer which of the list's headers arrived, and from whom; False where it isn't the doctor."""
        head, host = exchange.head, exchange.host
        if host is None or not self.is_asked(head, host):
            return False
        fields = (line.partition(b":") for line in head.fields.split(b"\r\n"))
        found = probe.Answer(
            proof=probe.proof_of(self._ring, probe.token_in(head.target.query)),
            arrived=probe.arrived(
                (name.decode("latin-1"), value.decode("latin-1")) for name, _, value in fields
            ),
            peer=exchange.peer,
            client=exchange.address,
            is_trusted=is_trusted,
        )
        exchange.decision = "own"
        exchange.answer(b"HTTP/1.1 200 OK", list(_LINES), msgspec.json.encode(found))
        return True
