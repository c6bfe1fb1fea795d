"""Answers that outlive the decision they were let through by: tunnels and streams end with their session.

A request is decided on once, when it comes. An open WebSocket or event stream goes on for hours, so when its session
is signed out, revoked or expires, it is broken off: at once where this process hears of it, else by the sweep.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Awaitable, Callable

from vestibule.core.lifetimes import USUAL
from vestibule.errors import ProviderError, StoreError
from vestibule.model import Session
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.task import Tasks
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.store.base import EVERYTHING

SWEEP_EVERY_S = 5.0


class Lasting:
    """The exchanges under way that last, by session."""

    def __init__(
        self,
        sessions: Sessions,
        rechecks: Rechecks,
        *,
        grace_s: float = USUAL.grace_s,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        """`grace_s`: how long something may last of which nothing can be known."""
        self._sessions = sessions
        self._rechecks = rechecks
        self._grace_s = grace_s
        self._mono = mono
        self._unknown_since: dict[str, float] = {}
        """By session, while the store can't be asked about it."""
        self._by_session: dict[str, set[Exchange]] = {}
        self._tasks = Tasks()
        self._swept_mono = 0.0
        self.allows: Callable[[Exchange, Session], bool] = lambda _exchange, _session: True
        """Whether the exchange would be let through again, were it to come now."""
        self._by_credential: set[Exchange] = set()
        self.allows_credential: Callable[[Exchange], Awaitable[bool]] = _always
        """The same for one that came with a credential of its own, which may have been revoked."""

    def add(self, exchange: Exchange) -> None:
        """It has begun to last."""
        self._by_session.setdefault(exchange.session_id, set()).add(exchange)

    def add_by_credential(self, exchange: Exchange) -> None:
        """It has begun to last, without a session: its credential is looked at again by every sweep."""
        self._by_credential.add(exchange)

    def discard(self, exchange: Exchange) -> None:
        """It is over."""
        self._by_credential.discard(exchange)
        exchanges = self._by_session.get(exchange.session_id)
        if exchanges is not None:
            exchanges.discard(exchange)
            if not exchanges:
                del self._by_session[exchange.session_id]
                self._unknown_since.pop(exchange.session_id, None)

    def session_changed(self, session_id: str) -> None:
        """Look whether this session still lives, and end what lasts if it doesn't; with `EVERYTHING`, all, soon."""
        if session_id == EVERYTHING:
            self._swept_mono = -math.inf
        if session_id not in self._by_session:
            return
        session = self._sessions.peek_id(session_id)
        if session is None or self._rechecks.is_due(session):
            self._tasks.spawn(self._check(session_id), "lasting")
        else:
            self._cut(session_id, session)

    def credential_changed(self, name: str) -> None:
        """Look again at what lasts by the credential of this name (`KIND:ID`); with `EVERYTHING`, at all, soon."""
        if name == EVERYTHING:
            self._swept_mono = -math.inf
        for exchange in [one for one in self._by_credential if one.session_id == name]:
            self._tasks.spawn(self._check_credential(exchange), "lasting")

    def look(self) -> None:
        """Look at all sessions that something lasts of."""
        for session_id in list(self._by_session):
            self.session_changed(session_id)
        for exchange in list(self._by_credential):
            self._tasks.spawn(self._check_credential(exchange), "lasting")

    def sweep(self, now_mono: float) -> None:
        """Look at all sessions that something lasts of, every few seconds: expiry is nobody's change."""
        if now_mono - self._swept_mono >= SWEEP_EVERY_S:
            self._swept_mono = now_mono
            self.look()

    async def _check(self, session_id: str) -> None:
        """What can't be known for longer than the grace may not go on; until then it is asked again by each sweep."""
        try:
            session = await self._as_it_is(session_id)
        except StoreError:
            now_mono = self._mono()
            if now_mono - self._unknown_since.setdefault(session_id, now_mono) >= self._grace_s:
                self._cut(session_id, None)
            return
        self._unknown_since.pop(session_id, None)
        self._cut(session_id, session)

    async def _check_credential(self, exchange: Exchange) -> None:
        with contextlib.suppress(StoreError, ProviderError):  # as above
            if not await self.allows_credential(exchange):
                exchange.cut()

    def _cut(self, session_id: str, session: Session | None) -> None:
        """End what may not go on: all of it where there is no session any more."""
        for exchange in list(self._by_session.get(session_id, ())):
            if session is None or not self.allows(exchange, session):
                exchange.cut()

    async def _as_it_is(self, session_id: str) -> Session | None:
        """The session now; None when it has ended, or its provider couldn't say for too long that it may go on."""
        session = await self._sessions.by_id(session_id)
        try:
            return session and await self._rechecks.checked(session)
        except ProviderError:
            return None


async def _always(_exchange: Exchange) -> bool:
    return True
