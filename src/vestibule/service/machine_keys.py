"""Keys that machines show: made, listed and revoked here, and what of a token ends with one.

A machine has two at most, so that it can go over from one to the next.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from vestibule.core.app_token import MACHINE_PREFIX, NAME_MAX_CHARS, RANDOM_BYTES, is_token, written
from vestibule.core.lifetimes import USUAL
from vestibule.core.machine import Machines, Proven
from vestibule.core.recent import Recent
from vestibule.core.session import ID_BYTES, SEEN_EVERY_S, hash_of
from vestibule.errors import Conflict, Invalid, NotFound, StoreError
from vestibule.model import MachineKey, Secret
from vestibule.protocol import base64url
from vestibule.protocol.authorization_server import OAuthError
from vestibule.service.app_tokens import CREDENTIAL
from vestibule.service.unchanged import Unchanged
from vestibule.store import base
from vestibule.store.base_machine import MachineKeys as Store

KIND: Final = "machine"
"""Of a `Caller`, and of changes to one: `machine:KEY`."""
AT_MOST: Final = 2
_KEPT_MAX: Final = 10_000


class MachineKeys:
    """Makes, lists, finds and revokes keys. Every method may raise StoreError."""

    def __init__(
        self,
        store: Store,
        changes: base.Changes,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._changes = changes
        self._random = random

    async def make(
        self, machines: Machines, machine: str, name: str, life_s: float | None, now: float
    ) -> tuple[MachineKey, Secret]:
        """A new key as it is listed, and the key itself, which is nowhere else; durable on return.

        `life_s` None: until it is revoked. Raises Invalid, NotFound, Conflict `too_many_keys`.
        """
        known = machines.by_name.get(machine)
        if known is None or known.kind != "key":
            raise NotFound(f"There is no machine {machine} of the kind key in the configuration.")
        if len(name) > NAME_MAX_CHARS or not (name.isprintable() or not name):
            raise Invalid((("name", f"is a line of at most {NAME_MAX_CHARS} characters"),))
        key = MachineKey(
            id=base64url.encode(self._random(ID_BYTES)),
            machine=machine,
            name=name,
            created_at=now,
            expires_at=None if life_s is None else now + life_s,
        )
        text = written(self._random(RANDOM_BYTES), prefix=MACHINE_PREFIX)
        if not await self._store.create(key, hash_of(text), at_most=AT_MOST):
            raise Conflict(f"A machine has {AT_MOST} keys at most: revoke one first.", code="too_many_keys")
        return key, Secret(text)

    async def list(self) -> tuple[MachineKey, ...]:
        """All keys, the oldest first, those of machines that are gone, too."""
        return await self._store.list()

    async def revoke(self, key_id: str) -> MachineKey:
        """End it at once and everywhere, and what was given for it; as it was. Raises NotFound."""
        known = next((one for one in await self._store.list() if one.id == key_id), None)
        was_there = await self._store.delete(key_id)
        self._changes.publish(CREDENTIAL, f"{KIND}:{key_id}")
        await self._changes.settle()
        if known is None or not was_there:
            raise NotFound(f"There is no key {key_id}.")
        return known

    async def is_live(self, key_id: str, now: float) -> bool:
        """True while there is such a key."""
        return await self._store.by_id(key_id, now) is not None

    async def prove(self, machine: str, secret: Secret | None, now: float) -> tuple[Proven, str]:
        """Who shows this key, and its id. Raises OAuthError `invalid_client` (401).

        It is looked up by its hash, so how long that takes says nothing of the keys there are.
        """
        text = secret.reveal() if secret is not None else ""
        key = None
        if is_token(text, prefix=MACHINE_PREFIX):
            key = await self._store.by_hash(hash_of(text), now)
        if key is None or key.machine != machine:
            raise OAuthError("invalid_client", "this is no key of that machine", status=401)
        if key.seen_at is None or now - key.seen_at >= SEEN_EVERY_S:
            await self._store.seen(key.id, now)
        ends_at = key.expires_at if key.expires_at is not None else float("inf")
        return Proven(machine=machine, subject=key.name or key.id, expires_at=ends_at), key.id


class _Read(msgspec.Struct, frozen=True):
    is_live: bool
    mono: float


class LiveKeys:
    """Whether a key lives by which somebody comes: a cache, kept true as that of app tokens is."""

    def __init__(
        self,
        is_live: Callable[[str, float], Awaitable[bool]],
        changes: base.Changes,
        *,
        mono: Callable[[], float] = time.monotonic,
        grace_s: float = USUAL.grace_s,
    ) -> None:
        self._is_live = is_live
        self._mono = mono
        self._grace_s = grace_s
        self._read: Recent[str, _Read] = Recent(_KEPT_MAX)
        self._unchanged = Unchanged(changes, mono)
        changes.subscribe(CREDENTIAL, self._forget)

    def peek(self, key_id: str) -> bool | None:
        """Whether it lives; None says nothing but: ask `load`."""
        known = self._read.get(key_id)
        return known.is_live if known is not None and self._unchanged.holds(known.mono) else None

    async def load(self, key_id: str, now: float) -> bool:
        """Whether it lives. Raises StoreError; what was known a moment ago is answered while the store is away."""
        count, mono = self._unchanged.count, self._mono()
        try:
            found = await self._is_live(key_id, now)
        except StoreError:
            known = self._read.get(key_id)
            if known is not None and known.is_live and self._mono() - known.mono < self._grace_s:
                return True
            raise
        if count == self._unchanged.count:
            self._read.put(key_id, _Read(found, mono))
        return found

    def _forget(self, name: str) -> None:
        if name == base.EVERYTHING:
            self._unchanged.doubt()
            return
        kind, _, key_id = name.partition(":")
        if kind == KIND:
            self._unchanged.changed()
            self._read.pop(key_id, None)
