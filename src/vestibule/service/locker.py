"""What must wait a moment at the server for the same browser to come back: sealed, short-lived, taken once.

The browser holds a random key; the store sees only its hash, and a box that opens for one purpose and one place.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from vestibule.core.seal import NONCE_BYTES, KeyRing
from vestibule.core.session import HANDLE_BYTES, hash_of, is_handle
from vestibule.model import Secret
from vestibule.protocol import base64url
from vestibule.store import base

T = TypeVar("T")

_PURPOSE: Final = "parking"


class Locker:
    """Keeps values under keys of its own making."""

    def __init__(
        self, store: base.Parking, keys: KeyRing, *, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._store = store
        self._keys = keys
        self._random = random

    async def park(self, kind: str, value: msgspec.Struct, *, bound: str, until: float) -> str:
        """The key under which the value waits, 43 characters; it comes out only for the same `bound`. Durable.

        Threat: a key that leaked, guessed or planted elsewhere: `bound` names host, session or flow.
        """
        key = base64url.encode(self._random(HANDLE_BYTES))
        await self.keep(kind, key, value, bound=bound, until=until)
        return key

    async def keep(self, kind: str, key: str, value: msgspec.Struct, *, bound: str, until: float) -> None:
        """Under a key of ours, what stood there is replaced. Durable."""
        plain = msgspec.json.encode(value, enc_hook=_revealed)
        place = _place(kind, hash_of(key), bound)
        sealed = self._keys.seal(_PURPOSE, plain, aad=place, nonce=self._random(NONCE_BYTES))
        await self._store.park(kind, hash_of(key), sealed, until)

    async def look(self, kind: str, key: str, wanted: type[T], *, bound: str, now: float) -> T | None:
        """What waits there, and goes on waiting; None for an unknown key, too late, or another `bound`."""
        if not is_handle(key):
            return None
        return self._opened(kind, key, await self._store.parked(kind, hash_of(key), now), wanted, bound)

    async def take(self, kind: str, key: str, wanted: type[T], *, bound: str, now: float) -> T | None:
        """What waited there, for the first caller only; for another `bound` it goes on waiting."""
        if await self.look(kind, key, wanted, bound=bound, now=now) is None:
            return None
        return self._opened(kind, key, await self._store.take(kind, hash_of(key), now), wanted, bound)

    def _opened(self, kind: str, key: str, sealed: bytes | None, wanted: type[T], bound: str) -> T | None:
        if sealed is None:
            return None
        plain = self._keys.open(_PURPOSE, sealed, aad=_place(kind, hash_of(key), bound))
        if plain is None:
            return None
        try:
            return msgspec.json.decode(plain, type=wanted, dec_hook=_secret)
        except msgspec.MsgspecError:
            return None  # another version of this program parked it


def _place(kind: str, key_hash: bytes, bound: str) -> bytes:
    """What the box is bound to; a kind holds no NUL, and a hash is of one length."""
    return b"\0".join((kind.encode(), key_hash, bound.encode()))


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _secret(_wanted: type, value: Any) -> Secret:
    return Secret(value)
