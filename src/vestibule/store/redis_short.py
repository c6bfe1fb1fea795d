"""What lasts minutes, in Redis: marks, leases, what is parked, tries.

Each kind stands in shards: a sorted set of ends and, where there is more to keep, a hash; one script on one slot does
what must be atomic, and what was not swept yet is dead by the `now` that is given.
"""

from __future__ import annotations

from typing import Final

from vestibule.store.redis_keys import SHARDS, Keys
from vestibule.store.redis_server import Script, Server

_CONSUME: Final = Script("""
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ends and tonumber(ends) > tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
""")
# A number is greater than the last one, than any this process was given, and than the time in microseconds: a Redis
# that lost its latest writes goes on beyond those that were in them.
_ACQUIRE: Final = Script("""
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
local owner = redis.call('HGET', KEYS[2], ARGV[1])
if ends and owner ~= ARGV[2] and tonumber(ends) > tonumber(ARGV[3]) then return false end
local fence = math.max(tonumber(redis.call('GET', KEYS[3]) or '0') + 1, tonumber(ARGV[5]))
local said = string.format('%.0f', fence)
redis.call('SET', KEYS[3], said)
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return said
""")
_RELEASE: Final = Script("""
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
""")
_PARK: Final = Script("""
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
""")
_PARKED: Final = Script("""
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= tonumber(ARGV[2]) then return false end
return redis.call('HGET', KEYS[2], ARGV[1])
""")
_TAKE: Final = Script("""
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
local found = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
if not ends or tonumber(ends) <= tonumber(ARGV[2]) then return false end
return found
""")
# A window never ends later than one that begins now: the clock may have been ahead when it began.
_TRY: Final = Script("""
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
local number = 1
if ends and tonumber(ends) > tonumber(ARGV[2]) then
  number = redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
  if tonumber(ends) > tonumber(ARGV[3]) then redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
else
  redis.call('HSET', KEYS[2], ARGV[1], 1)
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
end
return number
""")
_TRIES: Final = Script("""
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= tonumber(ARGV[2]) then return {} end
return {tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0'), ends}
""")
_CLEAR: Final = Script("""
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
""")
_SWEEP: Final = Script("""
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(dead) do
  redis.call('ZREM', KEYS[1], member)
  redis.call('HDEL', KEYS[2], member)
end
return #dead
""")


class _Shards:
    """One kind of things in shards."""

    _KIND = ""

    def __init__(self, server: Server, keys: Keys) -> None:
        self._server = server
        self._keys = keys

    async def sweep(self, now: float, limit: int = 200) -> int:
        """One shard after the other, as long as the limit lets."""
        swept = 0
        for number in range(SHARDS):
            if swept >= limit:
                break
            keys = _two(self._keys.shard_at(self._KIND, number))
            swept += await self._server.run(_SWEEP, keys, repr(now), limit - swept)
        return swept

    def _at(self, kind: str, key: bytes) -> tuple[tuple[bytes, bytes], bytes]:
        """The keys of its shard, and what it is called there."""
        member = kind.encode() + b"\0" + key
        return _two(self._keys.shard(self._KIND, member)), member


class Marks(_Shards):
    """`store.base.Marks`."""

    _KIND = "m"

    async def consume(self, kind: str, key: bytes, now: float, expires_at: float) -> bool:
        """Put it in, unless it is there and not expired."""
        (ends, _), member = self._at(kind, key)
        return bool(await self._server.run(_CONSUME, (ends,), member, repr(now), repr(expires_at)))


class Parking(_Shards):
    """`store.base.Parking`."""

    _KIND = "k"

    async def park(self, kind: str, key: bytes, sealed: bytes, expires_at: float) -> None:
        """Put it in, whatever was there."""
        keys, member = self._at(kind, key)
        await self._server.run(_PARK, keys, member, sealed, repr(expires_at))

    async def parked(self, kind: str, key: bytes, now: float) -> bytes | None:
        """Look."""
        keys, member = self._at(kind, key)
        found: bytes | None = await self._server.run(_PARKED, keys, member, repr(now))
        return found

    async def take(self, kind: str, key: bytes, now: float) -> bytes | None:
        """Take it out: of two, one gets it."""
        keys, member = self._at(kind, key)
        found: bytes | None = await self._server.run(_TAKE, keys, member, repr(now))
        return found


class Tries(_Shards):
    """`store.base.Tries`."""

    _KIND = "t"

    async def add(self, kind: str, key: bytes, now: float, window_s: float) -> int:
        """Count up, or begin."""
        keys, member = self._at(kind, key)
        return int(await self._server.run(_TRY, keys, member, repr(now), repr(now + window_s)))

    async def count(self, kind: str, key: bytes, now: float) -> tuple[int, float]:
        """Look."""
        keys, member = self._at(kind, key)
        found = await self._server.run(_TRIES, keys, member, repr(now))
        return (int(found[0]), float(found[1])) if found else (0, 0.0)

    async def clear(self, kind: str, key: bytes) -> None:
        """Forget."""
        keys, member = self._at(kind, key)
        await self._server.run(_CLEAR, keys, member)


class Leases:
    """`store.base.Leases`: all in one slot, since their numbers grow over all.

    A Redis that lost its latest writes may give a lease to a second owner. His number is greater than the first one's
    as long as the clocks of two gateways differ by less than the time in which Redis was away.
    """

    def __init__(self, server: Server, keys: Keys) -> None:
        start = keys.prefix + b"{l}:"
        self._server = server
        self._held = (start + b"s", start + b"h", start + b"n")
        self._last = 0

    async def acquire(self, name: str, owner: str, now: float, ttl_s: float) -> int | None:
        """Take it, unless another's is still good."""
        floor = max(self._last + 1, int(now * 1e6))
        arguments = (name, owner, repr(now), repr(now + ttl_s), floor)
        fence = await self._server.run(_ACQUIRE, self._held, *arguments)
        if fence is None:
            return None
        self._last = max(self._last, int(fence))
        return int(fence)

    async def release(self, name: str, owner: str) -> None:
        """Give it up."""
        await self._server.run(_RELEASE, self._held, name, owner)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget those that ran out; the last number stays."""
        return int(await self._server.run(_SWEEP, self._held, repr(now), limit))


def _two(start: bytes) -> tuple[bytes, bytes]:
    return start + b"s", start + b"h"
