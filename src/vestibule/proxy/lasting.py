"""Answers that outlive the decision they were let through by: tunnels and streams end with their session.

A request is decided on once, when it comes. An open WebSocket or event stream goes on for hours, so when its session
is signed out, revoked or expires, it is broken off: at once where this process hears of it, else by the sweep. So it is
when the client certificate ends that its connection was made with.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Awaitable, Callable

from vestibule.core.lifetimes import USUAL
from vestibule.core.tls import has_ended
from vestibule.errors import ProviderError, StoreError
from vestibule.model import Session
from vestibule.observe import clock
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.task import Tasks
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.store.base import EVERYTHING

SWEEP_EVERY_S = 5.0


class Book:
    """What lasts in one process, whoever let it begin: the rules in force are those of one `Lasting` at a time."""

    def __init__(self) -> None:
        self.by_session: dict[str, set[Exchange]] = {}
        self.by_credential: set[Exchange] = set()
        self.by_nobody: set[Exchange] = set()
        self.unknown_since: dict[str, float] = {}
        """By session, while the store can't be asked about it."""
        self.in_force: Lasting | None = None


class Lasting:
    """The exchanges under way that last, by session, looked at by the rules of one generation."""

    def __init__(
        self,
        sessions: Sessions,
        rechecks: Rechecks,
        *,
        grace_s: float = USUAL.grace_s,
        mono: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = clock.now,
        book: Book | None = None,
    ) -> None:
        """`grace_s`: how long something may last of which nothing can be known.

        `book`: what lasts already; until `begin` it is looked at by whose rules are in force before.
        """
        self._sessions = sessions
        self._rechecks = rechecks
        self._grace_s = grace_s
        self._mono = mono
        self._now = now
        self.book = Book() if book is None else book
        self._by_session = self.book.by_session
        self._by_credential = self.book.by_credential
        self._by_nobody = self.book.by_nobody
        self._unknown_since = self.book.unknown_since
        self._tasks = Tasks()
        self._swept_mono = 0.0
        self.allows: Callable[[Exchange, Session | None], bool] = lambda _exchange, _session: True
        """Whether the exchange would be let through again, were it to come now."""
        self.allows_credential: Callable[[Exchange], Awaitable[bool]] = _always
        """The same for one that came with a credential of its own, which may have been revoked."""
        if book is None:
            self.begin()

    def begin(self) -> None:
        """From now on these are the rules; all that lasts is looked at by them at once."""
        self.book.in_force = self
        self.look()
        for exchange in [one for one in self._by_nobody if not self.allows(one, None)]:
            exchange.cut()

    @property
    def _ruling(self) -> Lasting:
        """Whose rules are in force; before the first begins, nobody else's."""
        return self.book.in_force or self

    @property
    def _is_in_force(self) -> bool:
        return self._ruling is self

    def add(self, exchange: Exchange) -> None:
        """It has begun to last."""
        self._by_session.setdefault(exchange.session_id, set()).add(exchange)
        if not self._is_in_force:  # it was let in by rules that are gone
            self._ruling.session_changed(exchange.session_id)

    def add_by_credential(self, exchange: Exchange) -> None:
        """It has begun to last, without a session: its credential is looked at again by every sweep."""
        self._by_credential.add(exchange)
        if not self._is_in_force:
            self._ruling.credential_changed(exchange.session_id)

    def add_by_nobody(self, exchange: Exchange) -> None:
        """It has begun to last where everybody may: looked at again when the rules are others."""
        self._by_nobody.add(exchange)
        if not self._is_in_force and not self._ruling.allows(exchange, None):
            exchange.cut()

    def discard(self, exchange: Exchange) -> None:
        """It is over."""
        self._by_nobody.discard(exchange)
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
        if session_id not in self._by_session or not self._is_in_force:
            return
        session = self._sessions.peek_id(session_id)
        if session is None or self._rechecks.is_due(session):
            self._tasks.spawn(self._check(session_id), "lasting")
        else:
            self._cut(session_id, session)

    def user_changed(self, _user_id: str) -> None:
        """Look at all that lasts, soon: somebody may be in a group no more by which they were let in."""
        self._swept_mono = -math.inf

    def credential_changed(self, name: str) -> None:
        """Look again at what lasts by the credential of this name (`KIND:ID`); with `EVERYTHING`, at all, soon."""
        if name == EVERYTHING:
            self._swept_mono = -math.inf
        for exchange in [one for one in self._by_credential if one.session_id == name]:
            if not self._is_in_force:
                return
            self._tasks.spawn(self._check_credential(exchange), "lasting")

    def look(self) -> None:
        """Look at all that lasts."""
        if not self._is_in_force:
            return
        self._end_by_certificate()
        for session_id in list(self._by_session):
            self.session_changed(session_id)
        for exchange in list(self._by_credential):
            self._tasks.spawn(self._check_credential(exchange), "lasting")

    def sweep(self, now_mono: float) -> None:
        """Look at all sessions that something lasts of, every few seconds: expiry is nobody's change."""
        if now_mono - self._swept_mono >= SWEEP_EVERY_S:
            self._swept_mono = now_mono
            self.look()

    def _end_by_certificate(self) -> None:
        """Whatever else is known of who asked: over such a connection no request would be taken any more."""
        now = self._now()
        for exchanges in (*self._by_session.values(), self._by_credential, self._by_nobody):
            for exchange in [one for one in exchanges if has_ended(one.tls, now)]:
                exchange.cut()

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
