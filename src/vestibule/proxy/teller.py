"""What each backend is told of who asks: made once for a session and a way of telling, kept while nothing changes.

The gateway sends it on as header lines (`Told.lines`); forward auth gives it to the edge that asked, with every
name there is, so that the edge overwrites them all (`Told.pairs`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

import msgspec

from vestibule.core.handle import LIFE_S, seal_handle
from vestibule.core.inject import Pairs, Proofs, lines_of, told
from vestibule.core.passage import Heading
from vestibule.core.recent import Recent
from vestibule.core.route import Host, Route, Telling
from vestibule.core.seal import KeyRing
from vestibule.model import Caller, Session
from vestibule.observe import clock
from vestibule.proxy.judge import Judged

BLOCKS_MAX = 20_000


class Told(msgspec.Struct, frozen=True):
    """What a backend is told, and until when it may be."""

    pairs: Pairs
    """Every name that the host's backends may be told anything by; empty values where there is nothing to tell."""
    lines: list[bytes]
    """Header lines of what there is to tell."""
    good_until: float


class Assertions(Protocol):
    """Signs who asks (`service.assertion`)."""

    @property
    def key_set(self) -> bytes:
        """The public keys, as JSON (RFC 7517)."""

    def own(
        self,
        who: Session | Caller,
        host: Host,
        issuer: str,
        now: float,
        *,
        scopes: frozenset[str] | None = None,
    ) -> tuple[str, float]:
        """A `Proxy-Assertion`, and until when it may be sent. Raises StoreError while there is no key."""

    def pomerium(self, who: Session | Caller, host: Host, now: float) -> tuple[str, float]:
        """An `X-Pomerium-Jwt-Assertion`, likewise."""


class Teller:
    """Knows what each backend is told of whom."""

    def __init__(
        self,
        ring: KeyRing,
        assertions: Assertions,
        *,
        handle_s: float = LIFE_S,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._ring = ring
        self._assertions = assertions
        self._now = now
        self._handle_s = handle_s
        """Life of a `Proxy-Session` handle; one is given out for half of it, so that it always lives as long again."""
        self._kept: Recent[_Key, tuple[Session | Caller | None, Told]] = Recent(BLOCKS_MAX)

    @property
    def key_set(self) -> bytes:
        """What backends check what is signed with."""
        return self._assertions.key_set

    def forget(self) -> None:
        """The hosts have changed."""
        self._kept.clear()

    def told(self, judged: Judged) -> Told:
        """What the backend of the route is told of who asks, or of nobody.

        Raises StoreError where it is to be signed and there is no key: a backend that counts on it must not be
        asked without.
        """
        view, route = judged.ask.view, judged.ask.route
        who = judged.caller or judged.session
        issuer = (view.site.auth_url or view.site.base_url) if route.telling.assertion else ""
        scopes = judged.scopes if route.telling.assertion else None
        headings = route.passage.headers if route.passage is not None else ()
        key = (_name_of(who), view.name, route.telling, headings, issuer, scopes)
        now = self._now()
        kept = self._kept.get(key)
        if kept is not None and kept[0] is who and now < kept[1].good_until:
            return kept[1]
        made = self._made(who, view.host, route, issuer, now, scopes)
        self._kept.put(key, (who, made))
        return made

    def _made(  # noqa: PLR0917 - all of them are what is told, and to whom
        self,
        who: Session | Caller | None,
        host: Host,
        route: Route,
        issuer: str,
        now: float,
        scopes: frozenset[str] | None,
    ) -> Told:
        good_until = now + self._handle_s / 2
        handle = assertion = pomerium = ""
        if isinstance(who, Session):
            nonce = secrets.token_bytes(12)
            name = host.name.decode("ascii")
            handle = seal_handle(self._ring, who.id, name, now + self._handle_s, nonce=nonce)
        if who is not None and route.telling.assertion:
            assertion, until = self._assertions.own(who, host, issuer, now, scopes=scopes)
            good_until = min(good_until, until)
        if who is not None and "pomerium" in route.telling.families:
            pomerium, until = self._assertions.pomerium(who, host, now)
            good_until = min(good_until, until)
        pairs = told(who, host, route, Proofs(handle, assertion, pomerium))
        return Told(pairs, lines_of(pairs), good_until)


_Key = tuple[tuple[str, str], str, Telling, tuple[Heading, ...], str, frozenset[str] | None]


def _name_of(who: Session | Caller | None) -> tuple[str, str]:
    if who is None:
        return "", ""
    return ("session" if isinstance(who, Session) else who.kind), who.id
