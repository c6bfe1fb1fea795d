"""Secrets of the identity providers of the database: sealed by the key ring, each row's bound to its ID."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from vestibule.core.seal import NONCE_BYTES, KeyRing, key_id_of
from vestibule.errors import Invalid
from vestibule.model import Secret
from vestibule.store import base
from vestibule.store.base import ProviderRow

RESEAL_EVERY_S: Final = 3600.0
_PURPOSE: Final = "identity-provider"


def sealed(row_id: str, found: Mapping[str, Secret], keys: KeyRing, *, nonce: bytes) -> bytes:
    """The secrets, by their paths in the document, as they are stored."""
    plain = msgspec.json.encode({path: secret.reveal() for path, secret in found.items()})
    return keys.seal(_PURPOSE, plain, aad=row_id.encode(), nonce=nonce)


def opened(row: ProviderRow, keys: KeyRing) -> dict[str, Secret]:
    """The secrets of the row by their paths. Raises Invalid when no key of the ring opens them."""
    plain = keys.open(_PURPOSE, row.sealed, aad=row.id.encode())
    if plain is None:
        raise Invalid((("", "its secrets were sealed with another key: write them again"),))
    found: dict[str, str] = msgspec.json.decode(plain, type=dict[str, str])
    return {path: Secret(value) for path, value in found.items()}


async def reseal(
    rows: base.IdentityProviders, keys: KeyRing, *, random: Callable[[int], bytes] = secrets.token_bytes
) -> None:
    """Have the active key seal what an older one did, so that nothing needs that: a job. Raises StoreError.

    What no key opens, and what somebody changes meanwhile, is left for later.
    """
    for row in await rows.all():
        if key_id_of(row.sealed) != keys.active_id:
            with contextlib.suppress(Invalid):
                box = sealed(row.id, opened(row, keys), keys, nonce=random(NONCE_BYTES))
                await rows.update(msgspec.structs.replace(row, sealed=box), row.version)
