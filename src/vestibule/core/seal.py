"""Sealing and signing with a key ring: AES-256-GCM boxes, HMAC-SHA-256 marks, derived secrets.

A sealed value is `version (1) | length of key id (1) | key id | nonce (12) | ciphertext and tag`. Each
purpose has subkeys of its own (HKDF, RFC 5869), so a box for one purpose never opens as another; the part
in front of the ciphertext, and whatever the caller binds it to (`aad`), is authenticated with it.

Nonces are random and given by the caller: with 96 random bits, a subkey is good for 2^32 boxes (NIST SP
800-38D section 8.3); what is sealed on the hot path is therefore cached, and keys rotate.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES: Final = 12
SECRET_BYTES: Final = 32
_VERSION: Final = 1
_TAG_BYTES: Final = 16
_SALT: Final = hashlib.sha256(b"vestibule key ring").digest()


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key of the ring; `secret` is at least 32 random bytes."""

    id: str
    secret: bytes
    active_at: float = 0.0
    """From when on it seals; it opens at once."""

    def __repr__(self) -> str:
        return f"Key(id={self.id!r}, secret=***)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("id", self.id)]


def in_order(keys: tuple[Key, ...], now: float) -> tuple[Key, ...]:
    """The keys as a ring has them at this time: first the one that began to seal last, then the others as they stand.

    Of two that began together, the one that stands first; where none has begun, the one that will be first.
    """
    if not keys:
        return keys
    begun = [key for key in keys if key.active_at <= now]
    active = max(begun, key=lambda key: key.active_at) if begun else min(keys, key=lambda key: key.active_at)
    return (active, *(key for key in keys if key is not active))


class _Cut(msgspec.Struct, frozen=True):
    """Keys with what was derived of them so far."""

    keys: tuple[Key, ...]
    by_id: dict[bytes, Key]
    own_boxes: dict[str, tuple[bytes, AESGCM]] = {}
    boxes: dict[tuple[str, bytes], AESGCM] = {}
    macs: dict[tuple[str, bytes], bytes] = {}


class KeyRing:
    """Keys in order of preference: the first seals and signs, all of them open and check.

    All who seal hold the same ring, so that other keys can be put on it while they use it, in any thread.
    """

    __slots__ = ("_cut",)

    def __init__(self, keys: tuple[Key, ...]) -> None:
        """Raise ValueError for an empty ring, two keys of one id, an id or a secret of unusable length."""
        self._cut = _cut(keys)

    def use(self, keys: tuple[Key, ...]) -> None:
        """Go on with these keys, at once. Raises ValueError as a new ring does; then it goes on with those it has."""
        self._cut = _cut(keys)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys, in order of preference."""
        return self._cut.keys

    @property
    def active_id(self) -> str:
        """Id of the key that seals and signs now."""
        return self._cut.keys[0].id

    def __contains__(self, key_id: str) -> bool:
        return key_id.encode("ascii", "replace") in self._cut.by_id

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(key.id for key in self._cut.keys)})"

    def seal(self, purpose: str, plain: bytes, *, aad: bytes, nonce: bytes) -> bytes:
        """The sealed value; opens only with the same purpose and `aad`. `nonce`: 12 fresh random bytes."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        cut = self._cut
        own = cut.own_boxes.get(purpose)
        if own is None:
            key_id = cut.keys[0].id.encode()
            own = bytes((_VERSION, len(key_id))) + key_id, _box(cut, purpose, key_id)
            cut.own_boxes[purpose] = own
        head, box = own
        return head + nonce + box.encrypt(nonce, plain, head + aad)

    def open(self, purpose: str, sealed: bytes, *, aad: bytes) -> bytes | None:
        """What was sealed; None for anything no key of this ring sealed for this purpose and `aad`.

        Threat: altered, truncated and moved boxes. A box put back where it once stood is not noticed.
        """
        if len(sealed) < 2 or sealed[0] != _VERSION:
            return None
        start = 2 + sealed[1]
        cut, key_id = self._cut, sealed[2:start]
        if key_id not in cut.by_id or len(sealed) < start + NONCE_BYTES + _TAG_BYTES:
            return None
        box = cut.boxes.get((purpose, key_id)) or _box(cut, purpose, key_id)
        body = start + NONCE_BYTES
        try:
            return box.decrypt(sealed[start:body], sealed[body:], sealed[:start] + aad)
        except InvalidTag:
            return None

    def mac(self, purpose: str, data: bytes) -> bytes:
        """32 bytes that only this ring's active key makes of `data`."""
        cut = self._cut
        return hmac.digest(_mac_key(cut, purpose, cut.keys[0]), data, "sha256")

    def check_mac(self, purpose: str, data: bytes, mac: bytes) -> bool:
        """True when a key of the ring made this mac of `data`; compares in constant time."""
        cut = self._cut
        return any(
            hmac.compare_digest(hmac.digest(_mac_key(cut, purpose, key), data, "sha256"), mac)
            for key in cut.keys
        )

    def derive(self, purpose: str, data: bytes, key_id: str) -> bytes:
        """32 secret bytes that follow from `data` and the key `key_id`. Raises KeyError when it is unknown.

        A key id that came from outside is asked for first: `key_id in ring`.
        """
        cut = self._cut
        key = cut.by_id[key_id.encode("ascii", "replace")]
        return hmac.digest(_mac_key(cut, f"derive/{purpose}", key), data, "sha256")


def key_id_of(sealed: bytes) -> str:
    """Id of the key that sealed this, as it says itself; empty for what is no box."""
    if len(sealed) < 2 or sealed[0] != _VERSION:
        return ""
    return sealed[2 : 2 + sealed[1]].decode("ascii", "replace")


def _cut(keys: tuple[Key, ...]) -> _Cut:
    """Nothing is derived of them yet. Raises ValueError."""
    if not keys:
        raise ValueError("a key ring needs at least one key")
    for key in keys:
        if not key.id.isascii() or not 1 <= len(key.id) <= 32:
            raise ValueError("the id of a key is 1 to 32 ASCII characters")
        if len(key.secret) < SECRET_BYTES:
            raise ValueError(f"the secret of key {key.id} is shorter than {SECRET_BYTES} bytes")
    by_id = {key.id.encode(): key for key in keys}
    if len(by_id) != len(keys):
        raise ValueError("two keys of the ring have the same id")
    return _Cut(keys, by_id)


def _box(cut: _Cut, purpose: str, key_id: bytes) -> AESGCM:
    box = cut.boxes[purpose, key_id] = AESGCM(_subkey(cut.by_id[key_id], f"seal/{purpose}"))
    return box


def _mac_key(cut: _Cut, purpose: str, key: Key) -> bytes:
    place = purpose, key.id.encode()
    subkey = cut.macs.get(place)
    if subkey is None:
        subkey = cut.macs[place] = _subkey(key, f"mac/{purpose}")
    return subkey


def _subkey(key: Key, label: str) -> bytes:
    info = f"vestibule/{_VERSION}/{label}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=SECRET_BYTES, salt=_SALT, info=info).derive(key.secret)
