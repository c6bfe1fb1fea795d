"""What happened, and the messages about it that webhooks are owed, by SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from vestibule.core.event import Event
from vestibule.errors import StoreError
from vestibule.store.base_events import AuditFilter, Letter
from vestibule.store.engine import Engine, changed, store_error
from vestibule.store.tables import AUDIT, OUTBOX

_EVENT: Final = select(*(AUDIT.c[name] for name in Event.__struct_fields__))
_LETTER: Final = select(*(OUTBOX.c[name] for name in Letter.__struct_fields__))
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Audit:
    """`store.base.Audit`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, events: Sequence[Event], letters: Sequence[Letter] = ()) -> None:
        """Insert all in one transaction; what is there is left as it is."""
        try:
            async with self._engine.transaction() as connection:
                insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
                if events:
                    rows = [_values(event) for event in events]
                    await connection.execute(insert(AUDIT).on_conflict_do_nothing(), rows)
                if letters:
                    rows = [msgspec.structs.asdict(letter) for letter in letters]
                    await connection.execute(insert(OUTBOX).on_conflict_do_nothing(), rows)
        except IntegrityError as exc:
            raise store_error(exc) from exc

    async def list(self, wanted: AuditFilter) -> tuple[Event, ...]:
        """Ask by the index that fits, backwards."""
        query = _EVENT.order_by(AUDIT.c.at.desc(), AUDIT.c.id.desc()).limit(wanted.limit)
        for name in ("action", "actor", "user_id", "session_id", "target", "outcome"):
            if value := getattr(wanted, name):
                query = query.where(AUDIT.c[name] == value)
        if wanted.since is not None:
            query = query.where(AUDIT.c.at >= wanted.since)
        if wanted.until is not None:
            query = query.where(AUDIT.c.at < wanted.until)
        if wanted.after is not None:
            query = query.where(tuple_(AUDIT.c.at, AUDIT.c.id) < wanted.after)
        return tuple(map(_event, await self._engine.rows(query)))

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Ask by the index of times, then delete."""
        old = select(AUDIT.c.id).where(AUDIT.c.at < before).limit(limit)
        return await self._engine.change(delete(AUDIT).where(AUDIT.c.id.in_(old)))


class Outbox:
    """`store.base.Outbox`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def due(self, webhook: str, now: float, limit: int) -> tuple[Letter, ...]:
        """Ask by the index of turns."""
        query = (
            _LETTER.where(OUTBOX.c.webhook == webhook, OUTBOX.c.next_at <= now)
            .order_by(OUTBOX.c.created_at, OUTBOX.c.id)
            .limit(limit)
        )
        return tuple(Letter(**row._asdict()) for row in await self._engine.rows(query))

    async def claim(self, letter: Letter, until: float) -> bool:
        """Update by the primary key, if nobody was faster."""
        statement = (
            update(OUTBOX)
            .where(_is(letter), OUTBOX.c.tries == letter.tries, OUTBOX.c.next_at == letter.next_at)
            .values(tries=letter.tries + 1, next_at=until)
        )
        return await self._engine.change(statement) == 1

    async def put_off(self, letter: Letter, next_at: float) -> None:
        """Update by the primary key."""
        await self._engine.change(update(OUTBOX).where(_is(letter)).values(next_at=next_at))

    async def delete(self, letter: Letter) -> None:
        """Delete by the primary key."""
        await self._engine.change(delete(OUTBOX).where(_is(letter)))

    async def count(self) -> int:
        """Count them."""
        row = await self._engine.row(select(func.count().label("count")).select_from(OUTBOX))
        return 0 if row is None else int(row[0])

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Ask by the index of ages, then delete."""
        place = tuple_(OUTBOX.c.webhook, OUTBOX.c.id)
        old = select(OUTBOX.c.webhook, OUTBOX.c.id).where(OUTBOX.c.created_at < before).limit(limit)
        async with self._engine.transaction() as connection:
            return changed(await connection.execute(delete(OUTBOX).where(place.in_(old))))


def _is(letter: Letter) -> Any:
    return (OUTBOX.c.webhook == letter.webhook) & (OUTBOX.c.id == letter.id)


def _values(event: Event) -> dict[str, Any]:
    return {**msgspec.structs.asdict(event), "detail": msgspec.json.encode(event.detail).decode()}


def _event(row: Row[Any]) -> Event:
    values = row._asdict()
    try:
        return Event(**{**values, "detail": _decode(values["detail"])})
    except msgspec.DecodeError as exc:
        raise StoreError("The store is broken.", detail=f"event {values['id']}: {exc}") from exc
