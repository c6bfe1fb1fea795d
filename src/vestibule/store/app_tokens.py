"""App tokens, by SQLAlchemy Core; their hashes never leave the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from vestibule.errors import StoreError
from vestibule.model import AppToken
from vestibule.store.base import Bearer, Page
from vestibule.store.engine import Engine, changed, paged, store_error
from vestibule.store.people import USER_COLUMNS, held, user_of_row
from vestibule.store.tables import APP_TOKENS as TABLE
from vestibule.store.tables import USERS

_LISTS: Final = ("prefixes", "methods", "scopes")
"""Kept as JSON."""
_COLUMNS: Final = tuple(TABLE.c[name] for name in AppToken.__struct_fields__)
_PREFIX: Final = "token_"
"""Of the token's columns where the user's stand beside them."""
_WITH_USER: Final[Select[Any]] = select(
    *(column.label(_PREFIX + column.name) for column in _COLUMNS), *USER_COLUMNS
).join(USERS, USERS.c.id == TABLE.c.user_id)
_decode: Final = msgspec.json.Decoder(tuple[str, ...]).decode


class AppTokens:
    """`store.base.AppTokens`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, token: AppToken, token_hash: bytes, *, at_most: int) -> bool:
        """Hold the user's row, count, insert: of two who make the last one, one fails."""
        try:
            async with self._engine.transaction() as connection:
                await connection.execute(held(token.user_id))
                count = select(func.count()).select_from(TABLE).where(TABLE.c.user_id == token.user_id)
                if (await connection.execute(count)).scalar_one() >= at_most:
                    return False
                await connection.execute(insert(TABLE).values(hash=token_hash, **_values(token)))
        except IntegrityError as exc:  # an id or hash that is taken, or the user is gone
            raise store_error(exc) from exc
        return True

    async def by_hash(self, token_hash: bytes, now: float) -> Bearer | None:
        """Ask by the hash's index, with the user."""
        query = _WITH_USER.where(
            TABLE.c.hash == token_hash,
            TABLE.c.expires_at > now,
            USERS.c.disabled.is_(False),
            USERS.c.valid_from <= TABLE.c.created_at,
        )
        row = await self._engine.row(query)
        return None if row is None else _bearer(row)

    async def of_user(self, user_id: str) -> tuple[AppToken, ...]:
        """Ask by the user's index."""
        query = select(*_COLUMNS).where(TABLE.c.user_id == user_id).order_by(TABLE.c.created_at, TABLE.c.id)
        rows: Sequence[Row[Any]] = await self._engine.rows(query)
        return tuple(_token(row._asdict()) for row in rows)

    async def list(self, page: Page) -> tuple[Bearer, ...]:
        """Read one page by the index of its order, with the users."""
        query = paged(_WITH_USER, page, TABLE.c.created_at, TABLE.c.id, after=page.after)
        return tuple(map(_bearer, await self._engine.rows(query)))

    async def seen(self, seen: Sequence[tuple[str, float]]) -> None:
        """Update each by the primary key, all in one transaction."""
        if not seen:
            return
        async with self._engine.transaction() as connection:
            for token_id, at in sorted(seen):
                is_older = or_(TABLE.c.seen_at.is_(None), TABLE.c.seen_at < at)
                await connection.execute(
                    update(TABLE).where(TABLE.c.id == token_id, is_older).values(seen_at=at)
                )

    async def delete(self, user_id: str, token_id: str) -> bool:
        """Delete by the primary key, if it is the user's."""
        statement = delete(TABLE).where(TABLE.c.id == token_id, TABLE.c.user_id == user_id)
        return await self._engine.change(statement) == 1

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Ask by the index of ends, then delete."""
        old = select(TABLE.c.id).where(TABLE.c.expires_at < before).limit(limit)
        async with self._engine.transaction() as connection:
            return changed(await connection.execute(delete(TABLE).where(TABLE.c.id.in_(old))))


def _values(token: AppToken) -> dict[str, Any]:
    values = msgspec.structs.asdict(token)
    return {**values, **{name: msgspec.json.encode(values[name]).decode() for name in _LISTS}}


def _bearer(row: Row[Any]) -> Bearer:
    values = row._asdict()
    of_token = {name: values.pop(_PREFIX + name) for name in AppToken.__struct_fields__}
    return Bearer(_token(of_token), user_of_row(values))


def _token(values: dict[str, Any]) -> AppToken:
    try:
        return AppToken(**{**values, **{name: _decode(values[name]) for name in _LISTS}})
    except msgspec.DecodeError as exc:
        raise StoreError("The store is broken.", detail=f"app token {values['id']}: {exc}") from exc
