"""The Protocol of the records of machines (`store.base` has the others)."""

from __future__ import annotations

from typing import Protocol

from vestibule.model import MachineKey


class MachineKeys(Protocol):
    """Keys that machines show: records, in SQL."""

    async def create(self, key: MachineKey, key_hash: bytes, *, at_most: int) -> bool:
        """Insert it, forgetting the machine's that have ended; False when it has that many others. Durable on return.

        Of two who make the last one at once, one fails: StoreError.
        """

    async def by_hash(self, key_hash: bytes, now: float) -> MachineKey | None:
        """The key with this hash if it is good at `now`, or None."""

    async def by_id(self, key_id: str, now: float) -> MachineKey | None:
        """The key of this id, likewise."""

    async def list(self) -> tuple[MachineKey, ...]:
        """All of them, the oldest first, those that have ended, too."""

    async def seen(self, key_id: str, now: float) -> None:
        """Keep when it was last used."""

    async def delete(self, key_id: str) -> bool:
        """Revoke it; False when there is no such key. Durable on return."""
