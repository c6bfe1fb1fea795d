"""Sessions in Redis: which keys there are, and why several steps in a row do no harm, says `redis_keys`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import struct
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Final

from vestibule.core.record import Record
from vestibule.errors import StoreError
from vestibule.model import Session
from vestibule.store.base import Held, Page
from vestibule.store.redis_keys import (
    SHARDS,
    Keys,
    packed,
    seen_bytes,
    ttl_ms,
    unpacked,
    version_bytes,
)
from vestibule.store.redis_server import AT_ONCE, Ask, Script, Server
from vestibule.store.rows import renewed, saved
from vestibule.store.sealing import Sealing, host_digest, is_of, sid_digest

_MOST_FOUND: Final = 1000
_MOST_LOOKED_AT: Final = 4
"""So many times as many as may be swept are looked at in one sweep."""

# A way to a session is noted: it lives as long as the longest-lived that was noted there.
_NOTE: Final = Script("""
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
""")
# The version must be the expected one; last-seen never goes backwards.
_SAVE: Final = Script("""
local old = redis.call('GETRANGE', KEYS[1], 0, 31)
if #old < 32 or string.sub(old, 25, 32) ~= ARGV[1] then return 0 end
local seen = string.sub(ARGV[2], 1, 8)
if struct.unpack('>d', old) > struct.unpack('>d', seen) then seen = string.sub(old, 1, 8) end
redis.call('SET', KEYS[1], seen .. string.sub(ARGV[2], 9), 'PX', ARGV[3])
return 1
""")
_TOUCH: Final = Script("""
local old = redis.call('GETRANGE', KEYS[1], 0, 7)
if #old == 8 and struct.unpack('>d', old) < struct.unpack('>d', ARGV[1]) then
  redis.call('SETRANGE', KEYS[1], 0, ARGV[1])
end
return 1
""")
_TAKE: Final = Script("""
local found = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return found
""")
# What it says of its ends is only asked for when to look again; a dead one is dead by its record.
_REAP: Final = Script("""
local head = redis.call('GETRANGE', KEYS[1], 0, 23)
if #head == 24 then
  local seen, expires, idle = struct.unpack('>ddd', head)
  local ends = math.min(expires, seen + idle)
  if ends > tonumber(ARGV[1]) then return string.format('%.17g', ends) end
end
local found = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return {found}
""")


class Sessions:
    """`store.base.Sessions`, but for what the database says of their users (`store.split`)."""

    def __init__(self, server: Server, keys: Keys, sealing: Sealing) -> None:
        self._server = server
        self._keys = keys
        self._sealing = sealing

    async def create(self, session: Session, handle_hash: bytes) -> None:
        """The handle first, then the session, then the ways to it; who is told nothing of the end has no handle."""
        sealed = self._sealing.sealed(Record(session, handle_hash))
        key, handle, ttl = self._keys.session(session.id), self._keys.handle(handle_hash), ttl_ms(session)
        if await self._server.ask(handle, "SET", handle, session.id, "PX", ttl, "NX") is None:
            raise StoreError("The store can't keep this session.", detail="the handle is taken")
        if await self._server.ask(key, "SET", key, packed(session, sealed), "PX", ttl, "NX") is None:
            await self._server.ask(handle, "DEL", handle)
            raise StoreError("The store can't keep this session.", detail="the id is taken")
        ends_at = min(session.expires_at, session.seen_at + session.idle_s)
        shard = self._shard(session.id)
        asks = [Ask(shard, ("ZADD", shard, repr(ends_at), session.id)), *self._notes(session)]
        await self._server.all(asks)

    async def by_handle(self, handle_hash: bytes, now: float) -> Held | None:
        """From the handle to the id to the record, which says whether the handle is its own."""
        handle = self._keys.handle(handle_hash)
        session_id = await self._server.read(handle, "GET", handle)
        if session_id is None:
            return None
        record = await self._record(_text(session_id), now)
        if record is None or not record.session.is_live(now):
            return None
        good_until = record.good_until(handle_hash, now)
        return None if good_until is None else Held(record.session, good_until)

    async def by_id(self, session_id: str, now: float) -> Session | None:
        """Read its record."""
        record = await self._record(session_id, now)
        return record.session if record is not None and record.session.is_live(now) else None

    async def save(self, session: Session, expect_version: int) -> bool:
        """First the ways, which do no harm where the version is another by now, then the record."""
        kept = await self._record(session.id, math.inf)
        if kept is None or kept.session.version != expect_version:
            return False
        return await self._replaced(kept, saved(session, expect_version, kept))

    async def renew_handle(
        self, session: Session, expect_version: int, handle_hash: bytes, *, old_good_until: float
    ) -> bool:
        """First the way from the new handle, then the record, then the old handles' ways are taken away."""
        kept = await self._record(session.id, math.inf)
        if kept is None or kept.session.version != expect_version:
            return False
        handle = self._keys.handle(handle_hash)
        if await self._server.ask(handle, "SET", handle, session.id, "PX", ttl_ms(session), "NX") is None:
            raise StoreError("The store can't keep this session.", detail="the handle is taken")
        record = renewed(session, expect_version, kept, handle_hash, old_good_until)
        if not await self._replaced(kept, record):
            await self._server.ask(handle, "DEL", handle)
            return False
        gone = [kept.old_handle, *([] if old_good_until > session.seen_at else [kept.handle])]
        with contextlib.suppress(StoreError):  # they lead to a record that no longer knows them
            await self._server.all(self._deletes(map(self._keys.handle, filter(None, gone))))
        return True

    async def delete(self, session_id: str) -> tuple[str, ...]:
        """The session, then its grants, then each child, then the ways to these: who comes after a crash finds them."""
        if not session_id:
            return ()
        ended, children = await self._end(session_id)
        if children:
            records = await self._records(children, math.inf)
            for record in records:
                if record.session.parent_id == session_id and (await self._end(record.session.id))[0]:
                    ended.append(record.session.id)
        key = self._keys.children(session_id)
        await self._server.ask(key, "DEL", key)
        return tuple(ended)

    async def delete_all(self, ids: Iterable[str]) -> tuple[str, ...]:
        """End each of them, as `delete` does."""
        return tuple([ended for session_id in ids for ended in await self.delete(session_id)])

    async def of_user(self, user_id: str, now: float) -> tuple[Session, ...]:
        """By the ways from the user, as far as records say the same."""
        found = [one for one in await self.kept_of(user_id, now) if one.is_live(now)]
        return tuple(sorted(found, key=lambda one: (-one.created_at, one.id))[:_MOST_FOUND])

    async def delete_of(self, user_id: str) -> tuple[str, ...]:
        """One after the other."""
        return await self.delete_all([one.id for one in await self.kept_of(user_id)])

    async def delete_by(self, client: str) -> tuple[str, ...]:
        """All records are opened; those that have to do with the client are ended one after the other."""
        return tuple(
            [ended async for some in self.kept_by(client) for ended in await self.delete_all(_ids(some))]
        )

    async def by_sid(self, issuer: str, sid: str, now: float) -> tuple[Session, ...]:
        """By the ways from the digest, as far as records say the same."""
        found = await self._along(self._keys.sid(sid_digest(issuer, sid)), now)
        live = (one for one in found if is_of(one, issuer, sid) and one.is_live(now))
        return tuple(live)[:_MOST_FOUND]

    async def of_host(self, host: str, page: Page, now: float) -> tuple[Session, ...]:
        """The newest of each part of the ways from the host, in order, as far as records say the same."""
        ways = self._keys.hosts(host_digest(host))
        found: list[Session] = []
        before = page.after or (math.inf, "")
        while len(found) < page.limit:
            places = await asyncio.gather(*(self._before(way, before, page.limit) for way in ways))
            newest = sorted(itertools.chain.from_iterable(places), reverse=True)[: page.limit]
            records = await self._records([session_id for _, session_id in newest], now)
            theirs = (one.session for one in records if one.session.host == host)
            found += (one for one in theirs if one.is_live(now))
            if len(newest) < page.limit:
                break
            before = newest[-1]
        return tuple(sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)[: page.limit])

    async def _before(self, way: bytes, before: tuple[float, str], limit: int) -> list[tuple[float, str]]:
        """The latest of these ways that are before that place: of those of its very moment, too."""
        found: list[tuple[float, str]] = []
        skipped = 0
        while len(found) < limit:
            some = await self._server.read(
                way, "ZREVRANGEBYSCORE", way, repr(before[0]), "-inf", "WITHSCORES", "LIMIT", skipped, limit
            )
            places = [(float(at), _text(one)) for one, at in zip(some[::2], some[1::2], strict=True)]
            found += (place for place in places if place < before)
            if len(places) < limit:
                break
            skipped += limit
        return found[:limit]

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        """Each by itself; when they end is looked at again by who sweeps."""
        keys = ((self._keys.session(session_id), seen_at) for session_id, seen_at in seen)
        await self._server.all(Ask(key, (seen_bytes(at),), _TOUCH, (key,)) for key, at in keys)

    async def tally(self, now: float) -> int:
        """Ask each shard; one that was used of late may stand there with the end it had before."""
        shards = [self._keys.shard_at("e", number) + b"s" for number in range(SHARDS)]
        return sum(
            await self._server.all(Ask(shard, ("ZCOUNT", shard, f"({now!r}", "+inf")) for shard in shards)
        )

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Look at those that may have ended, the longest-dead of each shard first."""
        swept, left = 0, limit * _MOST_LOOKED_AT
        for number in range(SHARDS):
            shard = self._keys.shard_at("e", number) + b"s"
            while swept < limit and left > 0:
                at_most = min(limit - swept, AT_ONCE, left)
                found = await self._server.read(
                    shard, "ZRANGEBYSCORE", shard, "-inf", repr(now), "LIMIT", 0, at_most
                )
                swept += await self._reaped([_text(one) for one in found], shard, now)
                left -= len(found)
                if len(found) < at_most:
                    break
        return swept

    # -- for `store.split` ----------------------------------------------------------------------

    async def kept(self, session_id: str) -> Session | None:
        """The session, dead or alive; None where none is kept."""
        record = await self._record(session_id, math.inf)
        return None if record is None else record.session

    async def kept_of(self, user_id: str, now: float = math.inf) -> tuple[Session, ...]:
        """The sessions of a user, dead or alive."""
        if not user_id:
            return ()
        found = await self._along(self._keys.user(user_id), now)
        return tuple(one for one in found if one.user_id == user_id)

    async def kept_by(self, client: str) -> AsyncIterator[list[Session]]:
        """A few at a time, those that have an identity or credentials of the client, dead or alive."""
        for number in range(SHARDS):
            shard = self._keys.shard_at("e", number) + b"s"
            cursor = b"0"
            while True:
                cursor, found = await self._server.read(shard, "ZSCAN", shard, cursor, "COUNT", AT_ONCE)
                records = await self._records([_text(one) for one in found[::2]], math.inf)
                yield [record.session for record in records if _involves(record.session, client)]
                if cursor == b"0":
                    break

    # -- records --------------------------------------------------------------------------------

    async def _record(self, session_id: str, now: float) -> Record | None:
        key = self._keys.session(session_id)
        return self._opened(session_id, await self._server.read(key, "GET", key), now)

    async def _records(self, ids: Sequence[str], now: float) -> list[Record]:
        """Those of them that are there and can be opened."""
        keys = [self._keys.session(session_id) for session_id in ids]
        values = await self._server.all(Ask(key, ("GET", key)) for key in keys)
        found = (self._opened(session_id, value, now) for session_id, value in zip(ids, values, strict=True))
        return [record for record in found if record is not None]

    def _opened(self, session_id: str, value: bytes | None, now: float) -> Record | None:
        if value is None or not session_id:
            return None
        try:
            seen_at, version, sealed = unpacked(value)
        except struct.error:
            self._sealing.tell(session_id)
            return None
        seen_at = min(seen_at, now)
        return self._sealing.opened(sealed, session_id=session_id, version=version, seen_at=seen_at)

    async def _along(self, way: bytes, now: float) -> list[Session]:
        """The sessions that ways from there lead to; those that lead nowhere are taken away."""
        ids = [_text(one) for one in await self._server.read(way, "ZREVRANGE", way, 0, -1)]
        keys = [self._keys.session(session_id) for session_id in ids]
        values = await self._server.all(Ask(key, ("GET", key)) for key in keys)
        gone = [session_id for session_id, value in zip(ids, values, strict=True) if value is None]
        if gone:
            with contextlib.suppress(StoreError):
                await self._server.ask(way, "ZREM", way, *gone)
        found = (self._opened(session_id, value, now) for session_id, value in zip(ids, values, strict=True))
        return [record.session for record in found if record is not None]

    async def _replaced(self, kept: Record, record: Record) -> bool:
        """Write the record over the one that is kept, if nobody was faster; the ways to it first."""
        before, after, ttl = kept.session, record.session, ttl_ms(record.session)
        asks = list(self._notes(after, before))
        if after.expires_at > before.expires_at:
            handle = self._keys.handle(record.handle)
            keys = (handle, self._keys.grants(after.id), self._keys.children(after.id))
            asks += [Ask(key, ("PEXPIRE", key, ttl)) for key in keys]
            asks += [self._note(way, after, ttl) for way in self._ways(after)]
        await self._server.all(asks)
        value = packed(after, self._sealing.sealed(record))
        arguments = (version_bytes(before.version), value, ttl)
        return bool(await self._server.run(_SAVE, (self._keys.session(after.id),), *arguments))

    # -- ways -----------------------------------------------------------------------------------

    def _ways(self, session: Session) -> list[bytes]:
        """Keys of what it is found by, beside handle and shard."""
        found = [self._keys.user(session.user_id)] if session.user_id else []
        if session.parent_id:
            found.append(self._keys.children(session.parent_id))
        sids = {(one.issuer, one.sid) for one in session.identities if one.sid}
        found.append(self._keys.host(host_digest(session.host), session.id))
        return [*found, *(self._keys.sid(sid_digest(*sid)) for sid in sids)]

    def _notes(self, session: Session, before: Session | None = None) -> Iterator[Ask]:
        """The ways to it that were not there before."""
        known = [] if before is None else self._ways(before)
        ttl = ttl_ms(session)
        return (self._note(way, session, ttl) for way in self._ways(session) if way not in known)

    def _note(self, way: bytes, session: Session, ttl: int) -> Ask:
        return Ask(way, (repr(session.created_at), session.id, ttl), _NOTE, (way,))

    def _shard(self, session_id: str) -> bytes:
        return self._keys.shard("e", session_id.encode("utf-8", "surrogatepass")) + b"s"

    @staticmethod
    def _deletes(keys: Iterable[bytes]) -> Iterator[Ask]:
        return (Ask(key, ("DEL", key)) for key in keys)

    # -- ends -----------------------------------------------------------------------------------

    async def _end(self, session_id: str) -> tuple[list[str], list[str]]:
        """Delete it with its grants: its id, if it was there, and the ids of what may be its children."""
        value = await self._server.run(_TAKE, (self._keys.session(session_id),))
        grants, way = self._keys.grants(session_id), self._keys.children(session_id)
        asks = Ask(way, ("ZRANGE", way, 0, -1)), Ask(grants, ("DEL", grants))
        children, _ = await self._server.all(asks)
        if value is not None:
            await self._forget(session_id, value)
        return [session_id] if value is not None else [], [_text(one) for one in children]

    async def _reaped(self, ids: Sequence[str], shard: bytes, now: float) -> int:
        """Delete those that are dead; when to look at the others again is noted."""
        keys = map(self._keys.session, ids)
        answers = await self._server.all(Ask(key, (repr(now),), _REAP, (key,)) for key in keys)
        dead = 0
        asks: list[Ask] = []
        for session_id, answer in zip(ids, answers, strict=True):
            if not isinstance(answer, list):
                asks.append(Ask(shard, ("ZADD", shard, answer, session_id)))
                continue
            asks.append(Ask(shard, ("ZREM", shard, session_id)))
            if answer[0] is not None:
                dead += 1
                asks += self._deletes((self._keys.grants(session_id), self._keys.children(session_id)))
                asks += self._traces(session_id, answer[0])
        await self._server.all(asks)
        return dead

    async def _forget(self, session_id: str, value: bytes) -> None:
        """Take away the ways to a session that is gone; those that stay lead nowhere, and not for ever."""
        shard = self._shard(session_id)
        with contextlib.suppress(StoreError):
            await self._server.all(
                [Ask(shard, ("ZREM", shard, session_id)), *self._traces(session_id, value)]
            )

    def _traces(self, session_id: str, value: bytes) -> list[Ask]:
        """What takes away the ways to a session, but for the one by its end."""
        asks: list[Ask] = []
        record = self._opened(session_id, value, math.inf)
        if record is not None:
            ways = self._ways(record.session)
            asks += [Ask(way, ("ZREM", way, session_id)) for way in ways]
            handles = filter(None, (record.handle, record.old_handle))
            asks += self._deletes(map(self._keys.handle, handles))
        return asks


def _involves(session: Session, client: str) -> bool:
    return client in session.clients or any(one.client == client for one in session.identities)


def _ids(sessions: Iterable[Session]) -> list[str]:
    return [one.id for one in sessions]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")
