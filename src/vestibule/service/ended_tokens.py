"""Access tokens of machines that were revoked before their time: remembered until that, known to every process.

Nothing is stored of a token that is good. Whether one was revoked is asked of the store when it first comes, and kept
true as whether a key lives is (`service.machine_keys.LiveKeys`, which asks here under the same names).
"""

from __future__ import annotations

import hashlib
from typing import Final

from vestibule.core.access import Access, token_name
from vestibule.service.app_tokens import CREDENTIAL
from vestibule.service.machine_keys import KIND
from vestibule.store import base

_REVOKED: Final = "revoked token"


class EndedTokens:
    """Those of this gateway. Every method may raise StoreError."""

    def __init__(self, parking: base.Parking, changes: base.Changes) -> None:
        self._parking = parking
        self._changes = changes

    async def end(self, access: Access) -> None:
        """From now on this token is good nowhere; durable, and known everywhere on return. Spec: RFC 7009 section 2."""
        if not access.id:
            return
        name = token_name(access.id)
        await self._parking.park(_REVOKED, _key(name), b"", access.expires_at)
        self._changes.publish(CREDENTIAL, f"{KIND}:{name}")
        await self._changes.settle()

    async def is_ended(self, name: str, now: float) -> bool:
        """True where the token of this name (`core.access.token_name`) was revoked."""
        return await self._parking.parked(_REVOKED, _key(name), now) is not None


def _key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
