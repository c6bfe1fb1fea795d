"""The header lines that tell a backend who asks: made once for a session and host, kept while nothing changes."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from vestibule.core.handle import LIFE_S, seal_handle
from vestibule.core.inject import identity_lines
from vestibule.core.route import Host
from vestibule.core.seal import KeyRing
from vestibule.model import Caller, Session

BLOCKS_MAX = 10_000


class Told(msgspec.Struct, frozen=True):
    """Lines for the backend, and until when they may be sent."""

    lines: list[bytes]
    good_until: float


class Teller:
    """Knows what each backend is told of whom."""

    def __init__(
        self, ring: KeyRing, *, handle_s: float = LIFE_S, now: Callable[[], float] = time.time
    ) -> None:
        self._ring = ring
        self._now = now
        self._handle_s = handle_s
        """Life of a `Proxy-Session` handle; one is given out for half of it, so that it always lives as long again."""
        self._kept: OrderedDict[tuple[str, bytes], tuple[Session | Caller, Told]] = OrderedDict()

    def forget(self) -> None:
        """The hosts have changed."""
        self._kept.clear()

    def told(self, session: Session | None, caller: Caller | None, host: Host) -> Told:
        """What the backend of this host is told of who asks; nothing of nobody."""
        who = caller or session
        now = self._now()
        if who is None:
            return Told([], now + self._handle_s / 2)
        key = (who.id, host.name)
        kept = self._kept.get(key)
        if kept is not None and kept[0] is who and now < kept[1].good_until:
            return kept[1]
        told = Told(self._lines(who, host, now), now + self._handle_s / 2)
        self._kept[key] = (who, told)
        self._kept.move_to_end(key)
        if len(self._kept) > BLOCKS_MAX:
            self._kept.popitem(last=False)
        return told

    def _lines(self, who: Session | Caller, host: Host, now: float) -> list[bytes]:
        if isinstance(who, Caller):
            return identity_lines(who, host)
        nonce = secrets.token_bytes(12)
        handle = seal_handle(self._ring, who.id, host.name.decode("ascii"), now + self._handle_s, nonce=nonce)
        return identity_lines(who, host, handle)
