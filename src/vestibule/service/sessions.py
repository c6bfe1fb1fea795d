"""Sessions as gateway and control plane use them: a cache (`session_cache`) in front of the store, and every change.

A session that was handed on is given out with what it has from its parent (`core.session`): both are read, and a change
of the parent is one of each child. In the store each holds its own.

A change made here is published through `Changes`, which calls back at once and so empties the cache's entry before the
change returns; a change made elsewhere comes the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

from msgspec.structs import replace

from vestibule.core import session as rules
from vestibule.core.lifetimes import UNBOUNDED, USUAL, Lifetimes, Span, shortest
from vestibule.errors import StoreError
from vestibule.model import Device, Identity, Session
from vestibule.observe import clock
from vestibule.protocol import base64url
from vestibule.service.flight import Flights
from vestibule.service.session_cache import SessionCache
from vestibule.service.unchanged import UNCONFIRMED_S
from vestibule.service.witness import Watch, Witness
from vestibule.store import base
from vestibule.store.base import Page

SESSION = "session"
"""Kind of change: the session of this permanent id was changed or ended."""
Find: TypeAlias = Callable[[str, Sequence[Identity]], Awaitable[Identity | None]]
"""What the gateway itself says of a user who has come with these identities; raises StoreError."""
USER = "user"
"""Kind of change: the user of this id was changed; sessions of theirs may be dead."""


class Sessions:
    """Signed-in browsers, by handle and by permanent id."""

    def __init__(
        self,
        store: base.Sessions,
        changes: base.Changes,
        *,
        now: Callable[[], float] = clock.now,
        mono: Callable[[], float] = time.monotonic,
        random: Callable[[int], bytes] = secrets.token_bytes,
        lifetimes: Lifetimes = USUAL,
        grace_s: float = USUAL.grace_s,
        capacity: int = 20_000,
        last_word: base.Revocations | None = None,
        affiliated: Find | None = None,
    ) -> None:
        """`last_word`: who is asked whether a session may live while the store itself is away, where that can be.

        `affiliated`: what the gateway itself says of a user; raises StoreError.
        """
        self._affiliated = affiliated
        self._store = store
        self._last_word = last_word
        self._changes = changes
        self._now = now
        self._mono = mono
        self._random = random
        self._span = lifetimes.span
        self._sessions_max = lifetimes.sessions_max
        self._cache = SessionCache(changes, now=now, mono=mono, grace_s=grace_s, capacity=capacity)
        self._seen: dict[str, float] = {}
        self._watch = Watch()
        self._looks: Flights[Session | None] = Flights()
        changes.subscribe(SESSION, self._forget)
        changes.subscribe(USER, self._cache.forget_user)
        self.peek = self._cache.peek
        """The session of a handle if the cache may answer for it; the cache's own, since every request asks it."""

    def watched_by(self, witness: Witness) -> None:
        """Tell this one of sessions that begin, and of those that end before their time."""
        self._watch.by(witness)

    def peek_id(self, session_id: str) -> Session | None:
        """Like `peek`, by permanent id: for what refers to a session without its handle."""
        return self._cache.peek_id(session_id)

    async def load(self, handle: str) -> Session | None:
        """The live session of this handle, or None. Raises StoreError when that can't be known.

        While the store is away, a session that was verified less than `grace_s` ago is still answered.
        """
        if not rules.is_handle(handle):
            return None
        return await self._shared(("handle", handle), partial(self._load, handle))

    async def load_id(self, session_id: str) -> Session | None:
        """Like `load`, by permanent id, for who came by something else that stands for the session."""
        return await self._shared(("id", session_id), partial(self.by_id, session_id))

    async def _shared(
        self, name: tuple[str, str], look: Callable[[], Coroutine[Any, Any, Session | None]]
    ) -> Session | None:
        """What comes of looking, once for many requests of one client at once. `name`: by what, and that itself.

        Who comes after a change was told shares none of before it; nor, where changes may go untold, one that is old.
        """
        mono = self._mono()
        age = None if self._changes.is_current(mono) else mono // UNCONFIRMED_S
        return await self._looks.share((name, self._cache.forgotten, age), look, name="look session up")

    async def _load(self, handle: str) -> Session | None:
        forgotten, mono = self._cache.forgotten, self._mono()
        try:
            held = await self._store.by_handle(rules.hash_of(handle), self._now())
            session = await self._whole(held.session) if held is not None else None
        except StoreError:
            if (known := await self._while_away(partial(self._cache.in_grace, handle))) is None:
                raise
            return known
        if held is None or session is None:
            self._cache.drop_handle(handle)
            return None
        if forgotten == self._cache.forgotten:
            self._cache.keep_handle(handle, self._as_seen(session), mono, good_until=held.good_until)
        return session

    async def by_id(self, session_id: str) -> Session | None:
        """The live session of this permanent id, or None.

        Raises StoreError as `load` does, with the same grace.
        """
        forgotten, mono = self._cache.forgotten, self._mono()
        try:
            known = await self._store.by_id(session_id, self._now())
            session = known and await self._whole(known)
        except StoreError:
            if (kept := await self._while_away(partial(self._cache.in_grace_by_id, session_id))) is None:
                raise
            return kept
        if session is None:
            self._forget(session_id)
        elif forgotten == self._cache.forgotten:
            self._cache.keep(self._as_seen(session), mono)
        return session

    async def start(
        self,
        *,
        host: str,
        user_id: str,
        identities: Iterable[Identity],
        clients: Iterable[str],
        device: Device,
        now: float,
        check_at: float = 0.0,
        span: Span = UNBOUNDED,
        is_remembered: bool = False,
    ) -> tuple[Session, str]:
        """A new session and its handle; durable on return.

        `span` bounds it besides what holds for all; `is_remembered`: the person asked to be kept signed in.
        """
        session = rules.begun(
            session_id=base64url.encode(self._random(rules.ID_BYTES)),
            host=host,
            user_id=user_id,
            identities=identities,
            clients=clients,
            device=device,
            span=shortest(self._span, span),
            is_remembered=is_remembered,
            now=now,
            check_at=check_at,
        )
        return session, await self.add(session)

    async def add(self, session: Session) -> str:
        """The handle of a session that is new; durable on return."""
        handle = self._new_handle()
        await self._store.create(session, rules.hash_of(handle))
        await self._watch.began(session)
        return handle

    async def hand_on(
        self, parent: Session, *, host: str, device: Device, now: float, span: Span = UNBOUNDED
    ) -> tuple[Session, str] | None:
        """A child of *parent* for another host, and its handle; durable. None when the parent has ended meanwhile.

        `span`: what that host says of its sessions.
        """
        session_id = base64url.encode(self._random(rules.ID_BYTES))
        child = rules.handed_on(parent, session_id=session_id, host=host, device=device, now=now, span=span)
        handle = self._new_handle()
        await self._store.create(child, rules.hash_of(handle))
        self._note_seen(parent.id, now)
        # Asked after it was stored: a parent that ends later takes it along.
        whole = await self._whole(child)
        if whole is None:
            await self._store.delete(child.id)
            return None
        return whole, handle

    async def renew(
        self, session: Session, change: Callable[[Session], Session] | None = None
    ) -> tuple[Session, str] | None:
        """The session under a new handle, changed in the same step; None when it has ended meanwhile.

        The handle it had is honoured for 30 s, unless `change` brings a person or another person: then not
        at all.
        """
        handle = self._new_handle()
        handle_hash = rules.hash_of(handle)

        async def write(before: Session, after: Session) -> Session | None:
            good_until = rules.old_handle_until(before, after, self._now())
            written = await self._store.renew_handle(
                after, before.version, handle_hash, old_good_until=good_until
            )
            return rules.next_version(after, before) if written else None

        renewed = await self._changed(session.id, change or (lambda unchanged: unchanged), write)
        if renewed is not None and not session.user_id:
            await self._watch.began(renewed)
        return None if renewed is None else (renewed, handle)

    async def update(self, session_id: str, change: Callable[[Session], Session]) -> Session | None:
        """The session after `change`; None when it has ended.

        `change` may be called again, with what someone else wrote; when it returns what it was given, nothing
        is written.
        """

        async def write(before: Session, after: Session) -> Session | None:
            if after == before:
                return before
            written = await self._store.save(after, before.version)
            return rules.next_version(after, before) if written else None

        return await self._changed(session_id, change, write)

    async def end(self, session_id: str, known: Session | None = None) -> bool:
        """End it with its children and grants, everywhere; durable on return. False when it was not there.

        `known`: as it was when it was a person's, for who watches, where it is nobody's now.
        """
        read = partial(self._store.by_id, session_id, self._now())
        known = await self._watch.before_end(known or self.peek_id(session_id), read)
        ended: tuple[str, ...] = ()
        try:
            ended = await self._store.delete(session_id)
        finally:
            self._publish_end(dict.fromkeys((session_id, *ended)))
            await self._changes.settle()
        await self._watch.ended(known if session_id in ended else None)
        return session_id in ended

    async def of_user(self, user_id: str) -> tuple[Session, ...]:
        """The live sessions of a user, the newest first, at most a thousand; as the store has them."""
        found = {one.id: one for one in await self._store.of_user(user_id, self._now())}
        whole = (
            rules.inherited(one, found[one.parent_id]) for one in found.values() if one.parent_id in found
        )
        children = {one.id: one for one in whole if one is not None}
        return tuple(
            children.get(one.id, one) for one in found.values() if not one.parent_id or one.id in children
        )

    async def of_host(self, host: str, page: Page) -> tuple[Session, ...]:
        """One page of the live sessions that are good for this host, the newest first; as the store has them."""
        found: list[Session] = []
        after = page.after
        while len(found) < page.limit:
            some = await self._store.of_host(host, Page(after, page.limit), self._now())
            whole = await asyncio.gather(*map(self._whole, some))
            found += (one for one in whole if one is not None)
            if len(some) < page.limit:
                break
            after = some[-1].created_at, some[-1].id
        return tuple(found[: page.limit])

    async def beyond(self, user_id: str, keep: str) -> tuple[Session, ...]:
        """The sessions that this person has too many, the longest unseen first; never `keep`, which has just begun.

        What was handed on goes with its parent, and isn't counted.
        """
        if not self._sessions_max or not user_id:
            return ()
        found = [one for one in await self._store.of_user(user_id, self._now()) if not one.parent_id]
        found.sort(key=lambda one: (max(one.seen_at, self._seen.get(one.id, 0.0)), one.created_at, one.id))
        surplus = len(found) - self._sessions_max
        return tuple(one for one in found if one.id != keep)[:surplus] if surplus > 0 else ()

    async def by_sid(self, issuer: str, sid: str) -> tuple[Session, ...]:
        """The live sessions that rest on this session of a provider's; as the store has them (`store.base`)."""
        return await self._store.by_sid(issuer, sid, self._now())

    async def end_of(self, user_id: str, known: Iterable[Session] = ()) -> tuple[str, ...]:
        """End all of a user's with their grants, everywhere; durable on return. The ids of those that ended.

        `known`: those that lived a moment ago, for who watches; who was blocked meanwhile has none that live.
        """
        ended: tuple[str, ...] = ()
        try:
            ended = await self._store.delete_of(user_id)
        finally:
            self._changes.publish(USER, user_id)
            self._publish_end(ended)
            await self._changes.settle()
        await self._watch.ended_all(user_id, known, ended)
        return ended

    async def end_by(self, client: str) -> tuple[str, ...]:
        """End all that have an identity or credentials of this client, everywhere; durable on return. Their ids."""
        ended: list[str] = []
        while some := await self._store.delete_by(client):
            self._publish_end(some)
            ended += some
        await self._changes.settle()
        await self._watch.ended_by(client, len(ended))
        return tuple(ended)

    def _publish_end(self, ended: Iterable[str]) -> None:
        for session_id in ended:
            self._seen.pop(session_id, None)
            self._changes.publish(SESSION, session_id)

    def touch(self, session: Session, now: float) -> None:
        """Note that it was seen, if that is due: in the cache at once, in the store with the next `flush`.

        Who uses a child uses its parent.
        """
        if rules.is_touch_due(session, now):
            self._note_seen(session.id, now)
            if session.parent_id:
                self._note_seen(session.parent_id, now)

    def _note_seen(self, session_id: str, now: float) -> None:
        self._seen[session_id] = now
        self._cache.see(session_id, now)

    async def flush(self) -> int:
        """Write what `touch` noted; how many sessions.

        After a StoreError the notes are kept for the next time.
        """
        self._cache.listen()
        seen, self._seen = self._seen, {}
        if not seen:
            return 0
        try:
            await self._store.touch(tuple(seen.items()))
        except StoreError:
            self._seen = seen | self._seen
            raise
        return len(seen)

    async def _changed(
        self,
        session_id: str,
        change: Callable[[Session], Session],
        write: Callable[[Session, Session], Awaitable[Session | None]],
    ) -> Session | None:
        while (before := await self._store.by_id(session_id, self._now())) is not None:
            try:
                after = await write(before, change(before))
            finally:
                self._changes.publish(SESSION, session_id)
            if after is not None:
                if rules.takes_away(before, after):
                    await self._changes.settle()
                return await self._whole(after)
        return None

    async def _whole(self, session: Session) -> Session | None:
        """The session with what it has from its parent, and what its person is affiliated with.

        None where its parent has ended. Raises StoreError.
        """
        whole: Session | None = session
        if session.parent_id:
            parent = await self._store.by_id(session.parent_id, self._now())
            whole = parent and rules.inherited(session, parent)
        if whole is None or self._affiliated is None or not whole.user_id:
            return whole
        found = await self._affiliated(whole.user_id, whole.identities)
        return whole if found is None else replace(whole, affiliated=found)

    def heard_after(self, read_mono: float) -> float:
        """When what was read then, and of which no change was heard since, was good the last time."""
        return self._cache.heard_after(read_mono)

    async def _while_away(self, find: Callable[[], Session | None]) -> Session | None:
        """What the cache may answer in grace, unless the part of the store that has the last word says it has ended.

        Threat: a revocation that stands in the database, missed where Redis and the channel are away.
        """
        known = find()
        if known is None or self._last_word is None:
            return known
        with contextlib.suppress(StoreError):  # nothing of the store can be reached
            if not await self._last_word.living((known,)):
                self._forget(known.id)
        return find()

    def _new_handle(self) -> str:
        return base64url.encode(self._random(rules.HANDLE_BYTES))

    def _as_seen(self, session: Session) -> Session:
        """As the store said, but seen when it was seen here."""
        return rules.seen(session, self._seen.get(session.id, 0.0))

    def _forget(self, session_id: str) -> None:
        for child in self._cache.forget(session_id):
            self._changes.publish(SESSION, child)
