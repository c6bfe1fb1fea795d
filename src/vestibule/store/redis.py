"""Sessions, grants and what lasts minutes in a Redis: one server, a primary with Sentinels, or a Cluster.

`redis_keys` says what stands where, `redis_wire` how it is asked, `redis_net` which server is. What it can't keep
safe, people and revocations, stands in the database: `split` puts both together.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

from vestibule.core.record import Vault
from vestibule.core.redis import Redis
from vestibule.errors import StoreError
from vestibule.store.base import SealedGrant
from vestibule.store.redis_keys import (
    GRANT_TTL_MS,
    SHARDS,
    Keys,
    packed_grant,
    unpacked_grant,
    version_bytes,
)
from vestibule.store.redis_net import Heard, unheard
from vestibule.store.redis_server import Ask, Script, Server
from vestibule.store.redis_sessions import Sessions
from vestibule.store.redis_short import Leases, Marks, Parking, Tries
from vestibule.store.sealing import Sealing, untold

_ANY_VERSION: Final = b""

_PUT: Final = Script("""
if ARGV[3] ~= '' then
  local old = redis.call('HGET', KEYS[1], ARGV[1])
  if not old or string.sub(old, 1, 8) ~= ARGV[3] then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1
""")
_DROP: Final = Script("""
if ARGV[2] ~= '' then
  local old = redis.call('HGET', KEYS[1], ARGV[1])
  if not old or string.sub(old, 1, 8) ~= ARGV[2] then return 0 end
end
return redis.call('HDEL', KEYS[1], ARGV[1])
""")
_LOWER: Final = Script("""
local known = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not known or tonumber(known) > tonumber(ARGV[1]) then redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) end
return 1
""")
# How many went, and when the next one ends.
_REAP: Final = Script("""
local all = redis.call('HGETALL', KEYS[1])
local now, limit, gone, following = tonumber(ARGV[1]), tonumber(ARGV[2]), 0, false
for n = 1, #all, 2 do
  local ends = struct.unpack('>d', string.sub(all[n + 1], 9, 16))
  if ends <= now and gone < limit then
    redis.call('HDEL', KEYS[1], all[n])
    gone = gone + 1
  elseif not following or ends < following then
    following = ends
  end
end
return {gone, following and string.format('%.17g', following)}
""")
# Only if nobody wrote meanwhile.
_LATER: Final = Script("""
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] == '' then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
""")


class Grants:
    """`store.base.Grants`: those of one owner in one hash, beside the owner."""

    def __init__(self, server: Server, keys: Keys) -> None:
        self._server = server
        self._keys = keys

    async def get(self, owner: str, client: str) -> SealedGrant | None:
        """Read it."""
        key = self._keys.grants(owner)
        value = await self._server.read(key, "HGET", key, client)
        return None if value is None else _grant(owner, client, value)

    async def put(self, grant: SealedGrant, expect_version: int | None) -> bool:
        """When to look for its end is noted first: without a grant that is no harm. It stays as long as its session."""
        shard, owner, session = self._shard(grant.owner), grant.owner, self._keys.session(grant.owner)
        lower = Ask(shard, (repr(grant.expires_at), owner), _LOWER, (shard,))
        _, ttl = await self._server.all((lower, Ask(session, ("PTTL", session))))
        value = packed_grant(grant.version, grant.expires_at, grant.sealed)
        expected = _ANY_VERSION if expect_version is None else version_bytes(expect_version)
        arguments = (grant.client, value, expected, ttl if ttl > 0 else GRANT_TTL_MS)
        return bool(await self._server.run(_PUT, (self._keys.grants(owner),), *arguments))

    async def delete(self, owner: str, client: str, expect_version: int | None = None) -> bool:
        """Take it out of the hash."""
        expected = _ANY_VERSION if expect_version is None else version_bytes(expect_version)
        return bool(await self._server.run(_DROP, (self._keys.grants(owner),), client, expected))

    async def of(self, owner: str) -> tuple[SealedGrant, ...]:
        """Read the hash."""
        key = self._keys.grants(owner)
        found = await self._server.read(key, "HGETALL", key)
        pairs = sorted((client.decode(), value) for client, value in _pairs(found))
        return tuple(_grant(owner, client, value) for client, value in pairs)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Look at owners whose first grant may have ended."""
        swept = 0
        for number in range(SHARDS):
            shard = self._keys.shard_at("e", number) + b"g"
            found = await self._server.read(
                shard, "ZRANGEBYSCORE", shard, "-inf", repr(now), "WITHSCORES", "LIMIT", 0, limit
            )
            for owner, score in _pairs(found):
                if swept >= limit:
                    return swept
                key = self._keys.grants(owner.decode())
                gone, following = await self._server.run(_REAP, (key,), repr(now), limit - swept)
                swept += gone
                await self._server.run(_LATER, (shard,), owner, score, following or b"")
        return swept

    def _shard(self, owner: str) -> bytes:
        return self._keys.shard("e", owner.encode()) + b"g"


class Store:
    """All that Redis keeps; `signing_keys` are the database's."""

    def __init__(self, server: Server, keys: Keys, sealing: Sealing) -> None:
        self._server = server
        self.sessions = Sessions(server, keys, sealing)
        self.grants = Grants(server, keys)
        self.marks = Marks(server, keys)
        self.leases = Leases(server, keys)
        self.parking = Parking(server, keys)
        self.tries = Tries(server, keys)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._server.close()


async def open_store(
    place: Redis,
    vault: Vault,
    *,
    unreadable: Callable[[str], None] = untold,
    warn: Callable[[str], None] = untold,
    heard: Heard = unheard,
) -> Store:
    """What Redis keeps at this place, after a try of what will be asked of it.

    `unreadable` is told the ids of sessions whose records can't be opened, `warn` what of its settings makes it forget,
    `heard` which of its servers is away or back. Raises StoreError, with what to do about it.
    """
    server = await Server.open(place, warn=warn, heard=heard)
    return Store(server, Keys(place.prefix), Sealing(vault, unreadable=unreadable))


def _grant(owner: str, client: str, value: bytes) -> SealedGrant:
    try:
        version, expires_at, sealed = unpacked_grant(value)
    except struct.error as exc:
        raise StoreError("The store is broken.", detail=f"grant of {owner}: {exc}") from exc
    return SealedGrant(owner=owner, client=client, version=version, sealed=sealed, expires_at=expires_at)


def _pairs(found: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(found[::2], found[1::2], strict=True)
