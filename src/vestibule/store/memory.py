"""A store that lives as long as the process: for tests and for trying things out.

It behaves as the others do, as the contract suite shows; it is not durable, whatever the Protocols promise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from vestibule.errors import StoreError
from vestibule.model import Session
from vestibule.store.base import Held, SealedGrant, SigningKeyRow
from vestibule.store.memory_records import AdminTokens, AppTokens, IdentityProviders, Invitations, People

K = TypeVar("K")
V = TypeVar("V")

_NO_HASH: Final = b""


class _Kept(msgspec.Struct, frozen=True):
    """A session with the hashes of its handles."""

    session: Session
    handle: bytes
    old_handle: bytes = _NO_HASH
    old_until: float = 0.0


class Sessions:
    """`store.base.Sessions`."""

    def __init__(self, grants: Grants, people: People) -> None:
        self._grants = grants
        self._people = people
        self._kept: dict[str, _Kept] = {}

    async def create(self, session: Session, handle_hash: bytes) -> None:
        """Keep it, unless its id or handle is taken."""
        if session.id in self._kept or any(handle_hash == kept.handle for kept in self._kept.values()):
            raise StoreError("The store can't keep this session.", detail="id or handle is taken")
        self._kept[session.id] = _Kept(session, handle_hash)

    async def by_handle(self, handle_hash: bytes, now: float) -> Held | None:
        """Look at each."""
        for kept in self._kept.values():
            if self._is_live(kept.session, now):
                if kept.handle == handle_hash:
                    return Held(kept.session, kept.session.expires_at)
                if kept.old_handle == handle_hash and now < kept.old_until:
                    return Held(kept.session, kept.old_until)
        return None

    async def by_id(self, session_id: str, now: float) -> Session | None:
        """Look it up."""
        kept = self._kept.get(session_id)
        return kept.session if kept is not None and self._is_live(kept.session, now) else None

    async def save(self, session: Session, expect_version: int) -> bool:
        """Replace it where the version is the expected one."""
        kept = self._kept.get(session.id)
        if kept is None or kept.session.version != expect_version:
            return False
        seen_at = max(session.seen_at, kept.session.seen_at)
        saved = replace(session, version=expect_version + 1, seen_at=seen_at)
        self._kept[session.id] = replace(kept, session=saved)
        return True

    async def renew_handle(
        self, session: Session, expect_version: int, handle_hash: bytes, *, old_good_until: float
    ) -> bool:
        """Replace it and its handles."""
        if not await self.save(session, expect_version):
            return False
        kept = self._kept[session.id]
        self._kept[session.id] = replace(
            kept, handle=handle_hash, old_handle=kept.handle, old_until=old_good_until
        )
        return True

    async def delete(self, session_id: str) -> tuple[str, ...]:
        """Forget it, its children and what they own."""
        children = [
            name for name, kept in self._kept.items() if session_id and kept.session.parent_id == session_id
        ]
        return self._forget([session_id, *children])

    async def of_user(self, user_id: str, now: float) -> tuple[Session, ...]:
        """Look at each."""
        theirs = [kept.session for kept in self._kept.values() if user_id and kept.session.user_id == user_id]
        live = [session for session in theirs if self._is_live(session, now)]
        return tuple(sorted(live, key=lambda session: (-session.created_at, session.id))[:1000])

    async def delete_of(self, user_id: str) -> tuple[str, ...]:
        """Forget all of theirs."""
        ended = [name for name, kept in self._kept.items() if user_id and kept.session.user_id == user_id]
        return await self._delete(ended)

    async def delete_by(self, client: str) -> tuple[str, ...]:
        """Forget all that have to do with it."""
        ended = [
            name
            for name, kept in self._kept.items()
            if client in kept.session.clients
            or any(known.client == client for known in kept.session.identities)
        ]
        return await self._delete(ended)

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        """Set last-seen of each, never backwards."""
        for session_id, seen_at in seen:
            kept = self._kept.get(session_id)
            if kept is not None and kept.session.seen_at < seen_at:
                self._kept[session_id] = replace(kept, session=replace(kept.session, seen_at=seen_at))

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget the dead."""
        dead = [name for name, kept in self._kept.items() if not kept.session.is_live(now)][:limit]
        return len(self._forget(dead))

    async def _delete(self, ids: Sequence[str]) -> tuple[str, ...]:
        return tuple([ended for session_id in ids for ended in await self.delete(session_id)])

    def _forget(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Forget these and what they own; those that were there."""
        for session_id in ids:
            self._grants.drop_owner(session_id)
        return tuple(session_id for session_id in ids if self._kept.pop(session_id, None) is not None)

    def _is_live(self, session: Session, now: float) -> bool:
        if not session.is_live(now):
            return False
        if not session.user_id:
            return True
        user = self._people.kept.get(session.user_id)
        return user is not None and not user.disabled and user.valid_from <= session.created_at


class Grants:
    """`store.base.Grants`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], SealedGrant] = {}

    async def get(self, owner: str, client: str) -> SealedGrant | None:
        """Look it up."""
        return self._kept.get((owner, client))

    async def put(self, grant: SealedGrant, expect_version: int | None) -> bool:
        """Keep it, if the version is the expected one."""
        place = grant.owner, grant.client
        if expect_version is not None and not self._has(place, expect_version):
            return False
        self._kept[place] = grant
        return True

    async def delete(self, owner: str, client: str, expect_version: int | None = None) -> bool:
        """Forget it, if the version is the expected one."""
        place = owner, client
        if expect_version is not None and not self._has(place, expect_version):
            return False
        return self._kept.pop(place, None) is not None

    async def of(self, owner: str) -> tuple[SealedGrant, ...]:
        """Look at each."""
        return tuple(grant for place, grant in sorted(self._kept.items()) if place[0] == owner)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget those that outlived their owner."""
        return _swept(self._kept, lambda grant: grant.expires_at <= now, limit)

    def drop_owner(self, owner: str) -> None:
        """Forget all grants of an owner."""
        _swept(self._kept, lambda grant: grant.owner == owner, len(self._kept))

    def _has(self, place: tuple[str, str], version: int) -> bool:
        kept = self._kept.get(place)
        return kept is not None and kept.version == version


class Marks:
    """`store.base.Marks`."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, bytes], float] = {}

    async def consume(self, kind: str, key: bytes, now: float, expires_at: float) -> bool:
        """Mark it, unless it is marked."""
        if self._ends.get((kind, key), now) > now:
            return False
        self._ends[kind, key] = expires_at
        return True

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget expired marks."""
        return _swept(self._ends, lambda ends_at: ends_at <= now, limit)


class Leases:
    """`store.base.Leases`."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, float]] = {}
        self._fences = itertools.count(1)

    async def acquire(self, name: str, owner: str, now: float, ttl_s: float) -> int | None:
        """Take it, unless another's is still good."""
        holder, ends_at = self._held.get(name, (owner, now))
        if holder != owner and ends_at > now:
            return None
        self._held[name] = owner, now + ttl_s
        return next(self._fences)

    async def release(self, name: str, owner: str) -> None:
        """Forget the owner's."""
        if self._held.get(name, ("", 0.0))[0] == owner:
            del self._held[name]

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget those that ran out."""
        return _swept(self._held, lambda held: held[1] <= now, limit)


class Parking:
    """`store.base.Parking`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], tuple[bytes, float]] = {}

    async def park(self, kind: str, key: bytes, sealed: bytes, expires_at: float) -> None:
        """Keep it."""
        self._kept[kind, key] = sealed, expires_at

    async def parked(self, kind: str, key: bytes, now: float) -> bytes | None:
        """Look it up."""
        sealed, expires_at = self._kept.get((kind, key), (b"", now))
        return sealed if expires_at > now else None

    async def take(self, kind: str, key: bytes, now: float) -> bytes | None:
        """Take it away."""
        sealed, expires_at = self._kept.pop((kind, key), (b"", now))
        return sealed if expires_at > now else None

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget what nobody came for."""
        return _swept(self._kept, lambda kept: kept[1] <= now, limit)


class SigningKeys:
    """`store.base.SigningKeys`."""

    def __init__(self) -> None:
        self._kept: dict[int, SigningKeyRow] = {}

    async def all(self) -> tuple[SigningKeyRow, ...]:
        """All in order."""
        return tuple(self._kept[number] for number in sorted(self._kept))

    async def add(self, row: SigningKeyRow) -> bool:
        """Keep it, unless it is there."""
        if row.number in self._kept or any(kept.id == row.id for kept in self._kept.values()):
            return False
        self._kept[row.number] = row
        return True

    async def delete(self, number: int) -> None:
        """Forget it."""
        self._kept.pop(number, None)


class Store:
    """All of it, as `store.sqlite.Store` and `store.records.Records` have it."""

    def __init__(self) -> None:
        self.invitations = Invitations()
        self.people = People(self.invitations)
        self.app_tokens = AppTokens(self.people)
        self.identity_providers = IdentityProviders()
        self.admin_tokens = AdminTokens()
        self.grants = Grants()
        self.sessions = Sessions(self.grants, self.people)
        self.marks = Marks()
        self.leases = Leases()
        self.parking = Parking()
        self.signing_keys = SigningKeys()

    async def close(self) -> None:
        """Nothing is open."""


def _swept(kept: dict[K, V], is_dead: Callable[[V], bool], limit: int) -> int:
    dead = [place for place, value in kept.items() if is_dead(value)][:limit]
    for place in dead:
        del kept[place]
    return len(dead)
