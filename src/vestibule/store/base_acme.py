"""What the program asks of a store about certificates by ACME: the rest of `store.base`, with the same rules.

Whoever orders has a lease, and each write carries its fence: what an overtaken one writes changes nothing. What is
sealed is bound to the key of its row.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Fenced(msgspec.Struct, frozen=True, kw_only=True):
    """A row that whoever has the lease writes."""

    fence: int = 0


class AccountRow(Fenced, frozen=True, kw_only=True):
    """The account at one authority."""

    directory: str
    """Its URL."""
    sealed: bytes
    created_at: float
    rests_until: float = 0.0
    """The authority isn't asked before."""


class OrderRow(Fenced, frozen=True, kw_only=True):
    """A name whose certificate is being ordered, or couldn't be."""

    name: str
    sealed: bytes = b""
    """The order under way; empty: there is none."""
    next_at: float = 0.0
    """When it is looked at again."""
    failures: int = 0
    """In a row."""
    error: str = ""
    """What was wrong the last time: JSON, `service.acme_states` has its members; empty: nothing was."""
    failed_at: float = 0.0


class ProofRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown to an authority while it looks."""

    token: str
    name: str
    kind: str
    """`http-01`, `tls-alpn-01`, `dns-01`."""
    sealed: bytes
    expires_at: float


class CertificateRow(Fenced, frozen=True, kw_only=True):
    """What was issued."""

    name: str
    sealed: bytes
    not_after_at: float
    renew_at: float
    """When it is to be renewed."""
    ask_at: float = 0.0
    """When the authority is asked again about that."""


class Accounts(Protocol):
    """Accounts by authority."""

    async def all(self) -> tuple[AccountRow, ...]:
        """All of them, by their directory."""

    async def put(self, row: AccountRow) -> bool:
        """Keep it in the place of the one there is; False, and nothing, where that has a higher fence."""

    async def delete(self, key: str, fence: int) -> bool:
        """Forget the account there; False where there is none, or one with a higher fence."""


class Orders(Protocol):
    """Orders by name."""

    async def all(self) -> tuple[OrderRow, ...]:
        """All of them, by their name."""

    async def put(self, row: OrderRow) -> bool:
        """As with accounts."""

    async def delete(self, key: str, fence: int) -> bool:
        """As with accounts."""

    async def hurry(self, name: str) -> bool:
        """Have it looked at at the next turn, whoever has the lease; False where there is none."""


class Certificates(Protocol):
    """Certificates by name."""

    async def all(self) -> tuple[CertificateRow, ...]:
        """All of them, by their name."""

    async def put(self, row: CertificateRow) -> bool:
        """As with accounts."""

    async def delete(self, key: str, fence: int) -> bool:
        """As with accounts."""

    async def hurry(self, name: str) -> bool:
        """Have it renewed at the next turn, whoever has the lease; False where there is none."""


class Proofs(Protocol):
    """What is pending, by token."""

    async def pending(self, now: float) -> tuple[ProofRow, ...]:
        """All that haven't expired, by their token."""

    async def put(self, row: ProofRow) -> None:
        """Show it, in the place of one with the same token."""

    async def clear(self, name: str) -> tuple[ProofRow, ...]:
        """Show nothing any more for this name; what was shown."""

    async def sweep(self, now: float, limit: int = 200) -> int:
        """Delete at most `limit` that have expired; how many went."""
