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


class Key(msgspec.Struct, frozen=True):
    """One key of the ring; `secret` is at least 32 random bytes."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key(id={self.id!r}, secret=***)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("id", self.id)]


class KeyRing:
    """Keys in order of preference: the first seals and signs, all of them open and check."""

    __slots__ = ("_active", "_boxes", "_keys", "_macs", "_own_boxes")

    def __init__(self, keys: tuple[Key, ...]) -> None:
        """Raise ValueError for an empty ring, two keys of one id, an id or a secret of unusable length."""
        if not keys:
            raise ValueError("a key ring needs at least one key")
        for key in keys:
            if not key.id.isascii() or not 1 <= len(key.id) <= 32:
                raise ValueError("the id of a key is 1 to 32 ASCII characters")
            if len(key.secret) < SECRET_BYTES:
                raise ValueError(f"the secret of key {key.id} is shorter than {SECRET_BYTES} bytes")
        self._active = keys[0]
        self._keys = {key.id.encode(): key for key in keys}
        if len(self._keys) != len(keys):
            raise ValueError("two keys of the ring have the same id")
        self._own_boxes: dict[str, tuple[bytes, AESGCM]] = {}
        self._boxes: dict[tuple[str, bytes], AESGCM] = {}
        self._macs: dict[tuple[str, bytes], bytes] = {}

    @property
    def active_id(self) -> str:
        """Id of the key that seals and signs now."""
        return self._active.id

    def __contains__(self, key_id: str) -> bool:
        return key_id.encode("ascii", "replace") in self._keys

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(key.id for key in self._keys.values())})"

    def seal(self, purpose: str, plain: bytes, *, aad: bytes, nonce: bytes) -> bytes:
        """The sealed value; opens only with the same purpose and `aad`. `nonce`: 12 fresh random bytes."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        own = self._own_boxes.get(purpose)
        if own is None:
            key_id = self._active.id.encode()
            own = bytes((_VERSION, len(key_id))) + key_id, self._box(purpose, key_id, self._active)
            self._own_boxes[purpose] = own
        head, box = own
        return head + nonce + box.encrypt(nonce, plain, head + aad)

    def open(self, purpose: str, sealed: bytes, *, aad: bytes) -> bytes | None:
        """What was sealed; None for anything no key of this ring sealed for this purpose and `aad`.

        Threat: altered, truncated and moved boxes. A box put back where it once stood is not noticed.
        """
        if len(sealed) < 2 or sealed[0] != _VERSION:
            return None
        start = 2 + sealed[1]
        key_id = sealed[2:start]
        key = self._keys.get(key_id)
        if key is None or len(sealed) < start + NONCE_BYTES + _TAG_BYTES:
            return None
        box = self._boxes.get((purpose, key_id)) or self._box(purpose, key_id, key)
        body = start + NONCE_BYTES
        try:
            return box.decrypt(sealed[start:body], sealed[body:], sealed[:start] + aad)
        except InvalidTag:
            return None

    def mac(self, purpose: str, data: bytes) -> bytes:
        """32 bytes that only this ring's active key makes of `data`."""
        return hmac.digest(self._mac_key(purpose, self._active), data, "sha256")

    def check_mac(self, purpose: str, data: bytes, mac: bytes) -> bool:
        """True when a key of the ring made this mac of `data`; compares in constant time."""
        return any(
            hmac.compare_digest(hmac.digest(self._mac_key(purpose, key), data, "sha256"), mac)
            for key in self._keys.values()
        )

    def derive(self, purpose: str, data: bytes, key_id: str) -> bytes:
        """32 secret bytes that follow from `data` and the key `key_id`. Raises KeyError when it is unknown.

        A key id that came from outside is asked for first: `key_id in ring`.
        """
        key = self._keys[key_id.encode("ascii", "replace")]
        return hmac.digest(self._mac_key(f"derive/{purpose}", key), data, "sha256")

    def _box(self, purpose: str, key_id: bytes, key: Key) -> AESGCM:
        box = self._boxes[purpose, key_id] = AESGCM(_subkey(key, f"seal/{purpose}"))
        return box

    def _mac_key(self, purpose: str, key: Key) -> bytes:
        place = purpose, key.id.encode()
        subkey = self._macs.get(place)
        if subkey is None:
            subkey = self._macs[place] = _subkey(key, f"mac/{purpose}")
        return subkey


def _subkey(key: Key, label: str) -> bytes:
    info = f"vestibule/{_VERSION}/{label}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=SECRET_BYTES, salt=_SALT, info=info).derive(key.secret)
