"""A store that lives as long as the process: for tests and for trying things out.

It behaves as the others do, as the contract suite shows; it is not durable, whatever the Protocols promise.
"""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from vestibule.core.record import Record, Vault
from vestibule.core.seal import SECRET_BYTES, Key, KeyRing
from vestibule.errors import StoreError
from vestibule.model import Session
from vestibule.store import memory_acme, memory_directory, memory_organisations, presence
from vestibule.store.base import Held, Page, SealedGrant, SigningKeyRow
from vestibule.store.memory_events import Audit, DeadLetters, Devices, Outbox
from vestibule.store.memory_records import (
    AdminTokens,
    AppTokens,
    IdentityProviders,
    Invitations,
    MachineKeys,
    People,
)
from vestibule.store.revocations import InMemory
from vestibule.store.rows import all_live_of, held_of, live_of, record_of, renewed, saved, values_of
from vestibule.store.sealing import Sealing, client_digest, digests_of, host_digest, is_of, sid_digest, untold

K = TypeVar("K")
V = TypeVar("V")

_COLUMNS: Final = (
    "id",
    "version",
    "seen_at",
    "sealed",
    "user_id",
    "parent_id",
    "created_at",
    "expires_at",
    "idle_s",
    "handle",
    "old_handle",
    "old_until",
    "host_digest",
    "ends_at",
)


class _Kept(msgspec.Struct):
    """A row as databases have it: what is sealed, and what is searched by."""

    id: str
    version: int
    seen_at: float
    sealed: bytes
    user_id: str
    parent_id: str
    created_at: float
    expires_at: float
    idle_s: float
    handle: bytes
    old_handle: bytes | None
    old_until: float
    host_digest: bytes
    ends_at: float
    digests: frozenset[bytes]


class Sessions:
    """`store.base.Sessions`."""

    def __init__(self, grants: Grants, people: People, sealing: Sealing) -> None:
        self._grants = grants
        self._people = people
        self._sealing = sealing
        self._kept: dict[str, _Kept] = {}

    async def create(self, session: Session, handle_hash: bytes) -> None:
        """Keep it, unless its id or handle is taken."""
        if session.id in self._kept or any(handle_hash == kept.handle for kept in self._kept.values()):
            raise StoreError("The store can't keep this session.", detail="id or handle is taken")
        self._keep(Record(session, handle_hash))

    async def by_handle(self, handle_hash: bytes, now: float) -> Held | None:
        """Look at each."""
        for kept in self._kept.values():
            if handle_hash in (kept.handle, kept.old_handle) and self._is_live(kept, now):
                return held_of(_row(kept), self._sealing, handle_hash, now)
        return None

    async def by_id(self, session_id: str, now: float) -> Session | None:
        """Look it up."""
        kept = self._kept.get(session_id)
        if kept is None or not self._is_live(kept, now):
            return None
        return live_of(_row(kept), self._sealing, now)

    async def save(self, session: Session, expect_version: int) -> bool:
        """Replace it where the version is the expected one."""
        return self._replace(session.id, expect_version, lambda kept: saved(session, expect_version, kept))

    async def renew_handle(
        self, session: Session, expect_version: int, handle_hash: bytes, *, old_good_until: float
    ) -> bool:
        """Replace it and its handles."""
        return self._replace(
            session.id,
            expect_version,
            lambda kept: renewed(session, expect_version, kept, handle_hash, old_good_until),
        )

    async def delete(self, session_id: str) -> tuple[str, ...]:
        """Forget it, its children and what they own."""
        children = [name for name, kept in self._kept.items() if session_id and kept.parent_id == session_id]
        return self._forget([session_id, *children])

    async def of_user(self, user_id: str, now: float) -> tuple[Session, ...]:
        """Look at each."""
        theirs = [_row(kept) for kept in self._live(now) if user_id and kept.user_id == user_id]
        live = all_live_of(theirs, self._sealing, now)
        return tuple(sorted(live, key=lambda session: (-session.created_at, session.id))[:1000])

    async def delete_of(self, user_id: str) -> tuple[str, ...]:
        """Forget all of theirs."""
        ended = [name for name, kept in self._kept.items() if user_id and kept.user_id == user_id]
        return await self._delete(ended)

    async def delete_by(self, client: str) -> tuple[str, ...]:
        """Forget all that have to do with it."""
        digest = client_digest(client)
        return await self._delete([name for name, kept in self._kept.items() if digest in kept.digests])

    async def by_sid(self, issuer: str, sid: str, now: float) -> tuple[Session, ...]:
        """Look at each."""
        digest = sid_digest(issuer, sid)
        found = [_row(kept) for kept in self._live(now) if digest in kept.digests]
        return tuple(one for one in all_live_of(found, self._sealing, now)[:1000] if is_of(one, issuer, sid))

    async def of_host(self, host: str, page: Page, now: float) -> tuple[Session, ...]:
        """Look at each."""
        digest = host_digest(host)
        found = [_row(kept) for kept in self._live(now) if kept.host_digest == digest]
        live = sorted(all_live_of(found, self._sealing, now), key=_place, reverse=True)
        left = [one for one in live if page.after is None or _place(one) < page.after]
        return tuple(left[: page.limit])

    async def touch(self, seen: Sequence[tuple[str, float]]) -> None:
        """Set last-seen of each, never backwards."""
        for session_id, seen_at in seen:
            kept = self._kept.get(session_id)
            if kept is not None and kept.seen_at < seen_at:
                kept.seen_at, kept.ends_at = seen_at, min(kept.expires_at, seen_at + kept.idle_s)

    async def tally(self, now: float) -> int:
        """Look at each."""
        return sum(kept.ends_at > now for kept in self._kept.values())

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget the dead."""
        dead = [name for name, kept in self._kept.items() if kept.ends_at <= now][:limit]
        return len(self._forget(dead))

    def _replace(self, session_id: str, version: int, change: Callable[[Record], Record]) -> bool:
        kept = self._kept.get(session_id)
        if kept is None or kept.version != version:
            return False
        record = record_of(_row(kept), self._sealing, math.inf)
        if record is None:
            return False
        self._keep(change(record))
        return True

    def _keep(self, record: Record) -> None:
        values = dict(zip(_COLUMNS, values_of(record, self._sealing), strict=True))
        kept = _Kept(**values, digests=digests_of(record.session))
        if (before := self._kept.get(kept.id)) is not None and before.seen_at > kept.seen_at:
            kept.seen_at, kept.ends_at = before.seen_at, min(kept.expires_at, before.seen_at + kept.idle_s)
        self._kept[kept.id] = kept

    async def _delete(self, ids: Sequence[str]) -> tuple[str, ...]:
        return tuple([ended for session_id in ids for ended in await self.delete(session_id)])

    def _forget(self, ids: Sequence[str]) -> tuple[str, ...]:
        """Forget these and what they own; those that were there."""
        for session_id in ids:
            self._grants.drop_owner(session_id)
        return tuple(session_id for session_id in ids if self._kept.pop(session_id, None) is not None)

    def _live(self, now: float) -> list[_Kept]:
        return [kept for kept in self._kept.values() if self._is_live(kept, now)]

    def _is_live(self, kept: _Kept, now: float) -> bool:
        if kept.ends_at <= now:
            return False
        if not kept.user_id:
            return True
        user = self._people.kept.get(kept.user_id)
        return user is not None and user.lets_live(kept.created_at)


def _place(session: Session) -> tuple[float, str]:
    return session.created_at, session.id


def _row(kept: _Kept) -> tuple[Any, ...]:
    return msgspec.structs.astuple(kept)


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


class Tries:
    """`store.base.Tries`."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, bytes], tuple[int, float]] = {}

    async def add(self, kind: str, key: bytes, now: float, window_s: float) -> int:
        """Count up."""
        number, ends_at = self._windows.get((kind, key), (0, now))
        if ends_at <= now:
            number, ends_at = 0, now + window_s
        self._windows[kind, key] = number + 1, min(ends_at, now + window_s)
        return number + 1

    async def count(self, kind: str, key: bytes, now: float) -> tuple[int, float]:
        """Look it up."""
        number, ends_at = self._windows.get((kind, key), (0, now))
        return (number, ends_at) if ends_at > now else (0, 0.0)

    async def clear(self, kind: str, key: bytes) -> None:
        """Forget it."""
        self._windows.pop((kind, key), None)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget windows that ran out."""
        return _swept(self._windows, lambda window: window[1] <= now, limit)


class Store:
    """All of it, as `store.sqlite.Store` and `store.records.Records` have it."""

    def __init__(
        self,
        vault: Vault | None = None,
        *,
        ring: KeyRing | None = None,
        unreadable: Callable[[str], None] = untold,
    ) -> None:
        """Without a vault, or a ring for the trail, it has one of its own."""
        ring = ring or KeyRing((Key("memory", secrets.token_bytes(SECRET_BYTES)),))
        vault = vault or Vault(ring)
        self.invitations = Invitations()
        self.people = People(self.invitations)
        self.app_tokens = AppTokens(self.people)
        self.identity_providers = IdentityProviders()
        self.admin_tokens = AdminTokens()
        self.machine_keys = MachineKeys()
        self.organisations = memory_organisations.Organisations(self.people)
        self.directory = memory_directory.Directory(self.people, self.organisations)
        self.grants = Grants()
        self.sessions = Sessions(self.grants, self.people, Sealing(vault, unreadable=unreadable))
        self.marks = Marks()
        self.leases = Leases()
        self.parking = Parking()
        self.signing_keys = SigningKeys()
        self.tries = Tries()
        self.outbox = Outbox()
        self.audit = Audit(self.outbox, ring)
        self.dead_letters = DeadLetters(self.outbox)
        self.devices = Devices(self.people)
        self.acme_accounts = memory_acme.Accounts()
        self.acme_orders = memory_acme.Orders()
        self.acme_proofs = memory_acme.Proofs()
        self.certificates = memory_acme.Certificates()
        self.revocations = InMemory(self.people)
        self.presence = presence.InMemory(self.organisations)

    async def close(self) -> None:
        """Nothing is open."""


def _swept(kept: dict[K, V], is_dead: Callable[[V], bool], limit: int) -> int:
    dead = [place for place, value in kept.items() if is_dead(value)][:limit]
    for place in dead:
        del kept[place]
    return len(dead)
