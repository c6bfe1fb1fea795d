"""Certificates by ACME in memory, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec.structs import replace

from vestibule.store.base_acme import AccountRow, CertificateRow, Fenced, OrderRow, ProofRow

R = TypeVar("R", bound=Fenced)


class _Fenced(Generic[R]):
    """Rows by their key."""

    def __init__(self, key_of: Callable[[R], str]) -> None:
        self._key_of = key_of
        self._kept: dict[str, R] = {}

    async def all(self) -> tuple[R, ...]:
        """Sort them."""
        return tuple(sorted(self._kept.values(), key=self._key_of))

    async def put(self, row: R) -> bool:
        """Replace it, unless its fence is higher."""
        known = self._kept.get(self._key_of(row))
        if known is not None and known.fence > row.fence:
            return False
        self._kept[self._key_of(row)] = row
        return True

    async def delete(self, key: str, fence: int) -> bool:
        """Forget it, unless its fence is higher."""
        known = self._kept.get(key)
        if known is None or known.fence > fence:
            return False
        del self._kept[key]
        return True


class Accounts(_Fenced[AccountRow]):
    """`store.base_acme.Accounts`."""

    def __init__(self) -> None:
        super().__init__(lambda row: row.directory)


class Orders(_Fenced[OrderRow]):
    """`store.base_acme.Orders`."""

    def __init__(self) -> None:
        super().__init__(lambda row: row.name)

    async def hurry(self, name: str) -> bool:
        """Replace its time."""
        if name not in self._kept:
            return False
        self._kept[name] = replace(self._kept[name], next_at=0.0)
        return True


class Certificates(_Fenced[CertificateRow]):
    """`store.base_acme.Certificates`."""

    def __init__(self) -> None:
        super().__init__(lambda row: row.name)

    async def hurry(self, name: str) -> bool:
        """Replace its time."""
        if name not in self._kept:
            return False
        self._kept[name] = replace(self._kept[name], renew_at=0.0)
        return True


class Proofs:
    """`store.base_acme.Proofs`."""

    def __init__(self) -> None:
        self._kept: dict[str, ProofRow] = {}

    async def pending(self, now: float) -> tuple[ProofRow, ...]:
        """Look at each."""
        found = (row for row in self._kept.values() if row.expires_at > now)
        return tuple(sorted(found, key=lambda row: row.token))

    async def put(self, row: ProofRow) -> None:
        """Keep it."""
        self._kept[row.token] = row

    async def clear(self, name: str) -> tuple[ProofRow, ...]:
        """Forget those of the name."""
        gone = sorted((row for row in self._kept.values() if row.name == name), key=lambda row: row.token)
        for row in gone:
            del self._kept[row.token]
        return tuple(gone)

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Forget what has expired."""
        dead = [row.token for row in self._kept.values() if row.expires_at <= now][:limit]
        for token in dead:
            del self._kept[token]
        return len(dead)
