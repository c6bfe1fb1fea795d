"""What stands under which key in Redis, below the store's prefix.

::

    {ID}:s      a session: when it was last seen, its ends, its version, its sealed record (`packed`)
    {ID}:g      hash of its grants by client
    {ID}:c      ids of its children, with when they were put there
    h:HASH      the id of the session that has, or had, or was about to have, the handle of this hash
    u:USER      ids of the user's sessions, by when they began
    p:DIGEST    ids of the sessions of one session at a provider
    o:N:DIGEST  ids of the sessions of one host, by when they began (`SHARDS` of them)
    {e:N}:s     ids of all sessions by when they end, as far as is known (`SHARDS`)
    {e:N}:g     ids of all owners of grants by when the first of these ends
    {m:N} {k:N} {t:N} {l}    marks, what is parked, tries, leases

What belongs to one session stands in one slot, and so does each shard. What must be atomic is a script on one key, in
shards on two of one slot (while a slot moves from server to server, Redis refuses those where a key is missing). All
else goes in steps that may break off anywhere. Handles, `u:`, `p:`, `o:`, `{ID}:c` and `{e:N}` are ways to a
session, and what counts is what its record says: a way that leads nowhere, or to a session that is another's by now,
is no harm, and one is taken away only when its session is gone, so that no way is missing to one that lives.

All these have a time to live, by the clock of Redis, which is two days longer than they may be wanted: what dies when
is decided by the clock of the gateway alone. Shards have none: sweeping empties them.
"""

from __future__ import annotations

import binascii
import struct
from typing import Final

from vestibule.model import Session

SHARDS: Final = 16
SLACK_MS: Final = 2 * 86_400_000
"""How much longer than needed a key lives: by as much may the clock of Redis be wrong."""
GRANT_TTL_MS: Final = 32 * 86_400_000
"""How long grants live in Redis whose session doesn't stand there."""
_MOST_MS: Final = 10 * 366 * 86_400_000
_HEAD: Final = struct.Struct(">dddQ")
HEAD_BYTES: Final = _HEAD.size
_GRANT: Final = struct.Struct(">Qd")
GRANT_HEAD_BYTES: Final = _GRANT.size


class Keys:
    """The keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix.encode()

    def session(self, session_id: str) -> bytes:
        """Of the session itself."""
        return self.prefix + b"{" + _bytes(session_id) + b"}:s"

    def grants(self, owner: str) -> bytes:
        """Of the grants of a session."""
        return self.prefix + b"{" + _bytes(owner) + b"}:g"

    def children(self, parent_id: str) -> bytes:
        """Of the children of a session."""
        return self.prefix + b"{" + _bytes(parent_id) + b"}:c"

    def handle(self, handle_hash: bytes) -> bytes:
        """Of the way from a handle."""
        return self.prefix + b"h:" + handle_hash

    def user(self, user_id: str) -> bytes:
        """Of the ways from a user."""
        return self.prefix + b"u:" + _bytes(user_id)

    def sid(self, digest: bytes) -> bytes:
        """Of the ways from a session at a provider."""
        return self.prefix + b"p:" + digest

    def host(self, digest: bytes, session_id: str) -> bytes:
        """Of the ways from a host, as far as this session's is among them."""
        return self.hosts(digest)[binascii.crc32(_bytes(session_id)) % SHARDS]

    def hosts(self, digest: bytes) -> list[bytes]:
        """Of all ways from a host. Threat: one key, on one server, for all who are signed in at a busy one."""
        return [self.prefix + b"o:%x:" % number + digest for number in range(SHARDS)]

    def shard(self, kind: str, member: bytes) -> bytes:
        """Of the shard of this kind that has the member."""
        return self.shard_at(kind, binascii.crc32(member) % SHARDS)

    def shard_at(self, kind: str, number: int) -> bytes:
        """Of one shard, to be ended by what of it is meant."""
        return self.prefix + f"{{{kind}:{number:x}}}:".encode()


def packed(session: Session, sealed: bytes) -> bytes:
    """What stands under a session's key. What of it is not sealed serves scripts alone, but for the last-seen."""
    return head_of(session) + sealed


def head_of(session: Session) -> bytes:
    """Its beginning: last seen, absolute end, idle time, version."""
    return _HEAD.pack(session.seen_at, session.expires_at, session.idle_s, session.version)


def unpacked(value: bytes) -> tuple[float, int, bytes]:
    """Last seen, version and sealed record. Raises struct.error."""
    seen_at, _, _, version = _HEAD.unpack_from(value)
    return seen_at, version, value[HEAD_BYTES:]


def version_bytes(version: int) -> bytes:
    """A version as it stands in `packed` and before a grant."""
    return version.to_bytes(8, "big")


def seen_bytes(seen_at: float) -> bytes:
    """A last-seen as it stands in `packed`."""
    return struct.pack(">d", seen_at)


def packed_grant(version: int, expires_at: float, sealed: bytes) -> bytes:
    """What stands in the hash of grants."""
    return _GRANT.pack(version, expires_at) + sealed


def unpacked_grant(value: bytes) -> tuple[int, float, bytes]:
    """Version, end and sealed box. Raises struct.error."""
    version, expires_at = _GRANT.unpack_from(value)
    return version, expires_at, value[GRANT_HEAD_BYTES:]


def ttl_ms(session: Session) -> int:
    """How long Redis keeps it: longer than it lives, from its last-seen on."""
    left_ms = (session.expires_at - session.seen_at) * 1000
    return SLACK_MS + int(min(max(left_ms, 0.0), _MOST_MS))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
