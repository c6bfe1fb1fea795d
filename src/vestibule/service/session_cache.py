"""Sessions that this process has read: one copy of each for all its handles, and whether it may be used unasked.

An entry is good while every change is heard of, and goes with the first change. While no heartbeat says that changes
are heard of, one that is older than a second is read again (DESIGN.md section 2); while the store is away, one that was
good less than the grace ago is still answered.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from vestibule.core import session as rules
from vestibule.model import Session
from vestibule.service.unchanged import UNCONFIRMED_S
from vestibule.store import base


class _Cached:
    """One session in the cache, shared by its handles."""

    __slots__ = ("handles", "read_mono", "session")

    def __init__(self, session: Session, read_mono: float) -> None:
        self.session = session
        self.read_mono = read_mono
        self.handles: dict[str, float] = {}
        """Handle to the end of its being honoured."""


class SessionCache:
    """Sessions by handle and by permanent id."""

    def __init__(
        self,
        changes: base.Changes,
        *,
        now: Callable[[], float],
        mono: Callable[[], float],
        grace_s: float,
        capacity: int,
    ) -> None:
        self._is_current = changes.is_current
        self._now = now
        self._mono = mono
        self._grace_s = grace_s
        self._capacity = capacity
        self._by_handle: dict[str, _Cached] = {}
        self._by_id: dict[str, _Cached] = {}
        self._children: dict[str, set[str]] = {}
        """Of those that are here, by parent."""
        self.forgotten = 0
        """How many changes were heard of: what was read while it rose is not kept."""
        self._doubted_mono = -math.inf
        """Nothing whose read was begun before is good unseen."""
        self._heard_mono = -math.inf
        """Until then every change was heard of: what is here, and isn't doubted, was good then."""

    # What is here

    def peek(self, handle: str, now: float = 0.0) -> Session | None:
        """The session of this handle if it may be used unasked; None says nothing but: ask `Sessions.load`.

        `now`: the time, where it has just been looked at.
        """
        cached = self._by_handle.get(handle)
        if cached is None:
            return None
        # As `_is_good`, written out: this runs for every request.
        now, session = now or self._now(), cached.session
        if (
            now >= cached.handles[handle]
            or now >= session.expires_at
            or now >= session.seen_at + session.idle_s
        ):
            return None
        mono, read_mono = self._mono(), cached.read_mono
        if self._is_current(mono):
            self._heard_mono = mono
        elif mono - read_mono >= UNCONFIRMED_S:
            return None
        return session if read_mono > self._doubted_mono else None

    def peek_id(self, session_id: str) -> Session | None:
        """Like `peek`, by permanent id."""
        cached = self._by_id.get(session_id)
        return cached.session if cached is not None and self._is_good(cached) else None

    def in_grace(self, handle: str) -> Session | None:
        """The session of this handle if it may be used while the store can't be asked."""
        cached = self._by_handle.get(handle)
        if cached is None or self._now() >= cached.handles[handle]:
            return None
        return cached.session if self._is_in_grace(cached) else None

    def in_grace_by_id(self, session_id: str) -> Session | None:
        """Like `in_grace`, by permanent id."""
        cached = self._by_id.get(session_id)
        return cached.session if cached is not None and self._is_in_grace(cached) else None

    def heard_after(self, read_mono: float) -> float:
        """When what was read then, and of which no change was heard since, was good the last time."""
        return max(read_mono, self._heard_mono) if read_mono > self._doubted_mono else read_mono

    def listen(self) -> bool:
        """Whether every change is heard of just now."""
        mono = self._mono()
        if self._is_current(mono):
            self._heard_mono = mono
            return True
        return False

    def _is_good(self, cached: _Cached) -> bool:
        if not cached.session.is_live(self._now()):
            return False
        is_good = self.listen() or self._mono() - cached.read_mono < UNCONFIRMED_S
        return is_good and cached.read_mono > self._doubted_mono

    def _is_in_grace(self, cached: _Cached) -> bool:
        age_s = self._mono() - self.heard_after(cached.read_mono)
        return age_s < self._grace_s and cached.session.is_live(self._now())

    # What comes

    def keep(self, session: Session, read_mono: float) -> None:
        """Have what the store said, at the young end; the oldest goes when there are too many.

        It is as old as the read is, which was begun at *read_mono*: what was changed since may have been told before.
        Threat: a session that was renewed elsewhere, found here by the handle it had before.
        """
        self._keep(session, read_mono)

    def keep_handle(self, handle: str, session: Session, read_mono: float, *, good_until: float) -> None:
        """The same, for this handle too, which is honoured until then."""
        cached = self._keep(session, read_mono)
        cached.handles[handle] = good_until
        self._by_handle[handle] = cached

    def see(self, session_id: str, now: float) -> None:
        """It was seen just now, which is as good as young."""
        cached = self._by_id.pop(session_id, None)
        if cached is not None:
            cached.session = rules.seen(cached.session, now)
            self._by_id[session_id] = cached

    def _keep(self, session: Session, read_mono: float) -> _Cached:
        known = self._by_id.get(session.id)
        if known is not None and known.session.version != session.version:
            self._drop(session.id)
        cached = self._by_id.pop(session.id, None)
        if cached is None:
            cached = _Cached(session, read_mono)
        cached.session = session
        cached.read_mono = max(cached.read_mono, read_mono)
        self._by_id[session.id] = cached
        if session.parent_id:
            self._children.setdefault(session.parent_id, set()).add(session.id)
        if len(self._by_id) > self._capacity:
            self._drop(next(iter(self._by_id)))
        return cached

    # What goes

    def drop_handle(self, handle: str) -> None:
        """This handle is nobody's (any more)."""
        cached = self._by_handle.pop(handle, None)
        if cached is not None:
            del cached.handles[handle]

    def forget(self, session_id: str) -> tuple[str, ...]:
        """It was changed, or with `EVERYTHING` any may have been. Its children that are here, which changed with it."""
        self.forgotten += 1
        if session_id == base.EVERYTHING:
            self._doubt()
            return ()
        self._drop(session_id)
        return tuple(self._children.get(session_id, ()))

    def forget_user(self, user_id: str) -> None:
        """This user was changed, or with `EVERYTHING` any may have been."""
        self.forgotten += 1
        if user_id == base.EVERYTHING:
            self._doubt()
            return
        for cached in tuple(self._by_id.values()):
            if cached.session.user_id == user_id:
                self._drop(cached.session.id)

    def _doubt(self) -> None:
        """Have all read anew before it is used; kept for while the store is away, as old as it is."""
        for cached in self._by_id.values():
            cached.read_mono = self.heard_after(cached.read_mono)
        self._doubted_mono = self._mono()

    def _drop(self, session_id: str) -> None:
        cached = self._by_id.pop(session_id, None)
        if cached is None:
            return
        for handle in cached.handles:
            del self._by_handle[handle]
        parent_id = cached.session.parent_id
        siblings = self._children.get(parent_id, set())
        siblings.discard(session_id)
        if not siblings:
            self._children.pop(parent_id, None)
