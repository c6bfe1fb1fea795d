"""Bearer tokens of the admin API, by SQLAlchemy Core; their hashes never leave the database."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from vestibule.model import AdminToken
from vestibule.store.engine import Engine, store_error
from vestibule.store.tables import ADMIN_TOKENS as TABLE

_TOKEN: Final = select(
    TABLE.c.id, TABLE.c.name, TABLE.c.created_at, TABLE.c.expires_at, TABLE.c.seen_at, TABLE.c.scopes
)


class AdminTokens:
    """`store.base.AdminTokens`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, token: AdminToken, token_hash: bytes) -> None:
        """Insert it; an id or hash that is taken is a fault."""
        values = msgspec.structs.asdict(token) | {"scopes": msgspec.json.encode(token.scopes).decode()}
        try:
            await self._engine.change(insert(TABLE).values(hash=token_hash, **values))
        except IntegrityError as exc:
            raise store_error(exc) from exc

    async def by_hash(self, token_hash: bytes, now: float) -> AdminToken | None:
        """Ask by the hash's index."""
        is_good = or_(TABLE.c.expires_at.is_(None), TABLE.c.expires_at > now)
        row = await self._engine.row(_TOKEN.where(TABLE.c.hash == token_hash, is_good))
        return None if row is None else _token(row)

    async def list(self) -> tuple[AdminToken, ...]:
        """Read the table."""
        return tuple(map(_token, await self._engine.rows(_TOKEN.order_by(TABLE.c.created_at, TABLE.c.id))))

    async def seen(self, token_id: str, now: float) -> None:
        """Update by the primary key."""
        await self._engine.change(update(TABLE).where(TABLE.c.id == token_id).values(seen_at=now))

    async def delete(self, token_id: str) -> bool:
        """Delete by the primary key."""
        return await self._engine.change(delete(TABLE).where(TABLE.c.id == token_id)) == 1


def _token(row: Row[Any]) -> AdminToken:
    scopes = msgspec.json.decode(row.scopes, type=tuple[str, ...])
    return AdminToken(**{**row._asdict(), "scopes": scopes})
