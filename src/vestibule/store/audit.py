"""What happened, and the messages about it that webhooks are owed, by SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, Table, delete, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from vestibule.core import chain
from vestibule.core.chain import End, Entry
from vestibule.core.event import Event
from vestibule.core.seal import KeyRing
from vestibule.errors import StoreError
from vestibule.store.base_events import AuditFilter, DeadLetter, Letter
from vestibule.store.engine import Engine, changed, store_error
from vestibule.store.tables import AUDIT, AUDIT_ENDS, DEAD_LETTERS, OUTBOX

_EVENT: Final = select(*(AUDIT.c[name] for name in Event.__struct_fields__))
_ENTRY: Final = select(*(AUDIT.c[name] for name in Entry.__struct_fields__))
_END: Final = select(*(AUDIT_ENDS.c[name] for name in End.__struct_fields__))
_LETTER: Final = select(*(OUTBOX.c[name] for name in Letter.__struct_fields__))
_DEAD: Final = select(*(DEAD_LETTERS.c[name] for name in DeadLetter.__struct_fields__))
_PLACE: Final = tuple_(DEAD_LETTERS.c.webhook, DEAD_LETTERS.c.id)
_FILTERS: Final = ("action", "actor", "user_id", "session_id", "target", "outcome")
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Audit:
    """`store.base.Audit`.

    Who adds or sweeps holds the head's row locked until the end of the transaction (in SQLite, the file): so of many
    processes one goes on where the other has ended.
    """

    def __init__(self, engine: Engine, ring: KeyRing | None) -> None:
        """`ring` seals the chain; None: it can be read."""
        self._engine = engine
        self._ring = ring
        self._seen: End | None = None

    @property
    def seen(self) -> End | None:
        """As this process added last."""
        return self._seen

    async def add(self, events: Sequence[Event], letters: Sequence[Letter] = ()) -> None:
        """Lock the head, leave out what is there, insert the rest in one transaction."""
        try:
            async with self._engine.transaction() as connection:
                known: set[str] = set()
                end = None
                if events:
                    known, end = await self._append(connection, {event.id: event for event in events})
                owed = [msgspec.structs.asdict(letter) for letter in letters if letter.id not in known]
                if owed:
                    await connection.execute(_insert(connection, OUTBOX).on_conflict_do_nothing(), owed)
        except IntegrityError as exc:
            raise store_error(exc) from exc
        self._seen = end or self._seen

    async def _append(
        self, connection: AsyncConnection, events: Mapping[str, Event]
    ) -> tuple[set[str], End | None]:
        """Add rows for those that are not there; the ids of those that are, and the head, where any was added."""
        ring = self._sealing()
        head = await _head(connection)
        there = await connection.execute(select(AUDIT.c.id).where(AUDIT.c.id.in_(events)))
        known = {str(row[0]) for row in there}
        fresh = [event for event in events.values() if event.id not in known]
        end = None
        if fresh:
            query = select(AUDIT.c.seq, AUDIT.c.hash).order_by(AUDIT.c.seq.desc()).limit(1)
            last = (await connection.execute(query)).first()
            head, fault = chain.head_of(head, None if last is None else (last[0], last[1]), ring, self._seen)
            entries, end = chain.extended(head, fresh, ring, fault=fault)
            await connection.execute(insert(AUDIT), [msgspec.structs.asdict(entry) for entry in entries])
            await _keep_end(connection, end)
        return known, end

    async def list(self, wanted: AuditFilter) -> tuple[Event, ...]:
        """Ask by the index that fits, backwards."""
        query = _narrowed(_EVENT, wanted).order_by(AUDIT.c.at.desc(), AUDIT.c.id.desc()).limit(wanted.limit)
        if wanted.after is not None:
            query = query.where(tuple_(AUDIT.c.at, AUDIT.c.id) < wanted.after)
        return tuple(map(_event, await self._engine.rows(query)))

    async def get(self, event_id: str) -> Event | None:
        """Ask by the primary key."""
        row = await self._engine.row(_EVENT.where(AUDIT.c.id == event_id))
        return None if row is None else _event(row)

    async def rows(self, after: int, limit: int, wanted: AuditFilter | None = None) -> tuple[Entry, ...]:
        """Ask by the index of places."""
        query = _ENTRY.where(AUDIT.c.seq > after).order_by(AUDIT.c.seq).limit(limit)
        if wanted is not None:
            query = _narrowed(query, wanted)
        return tuple(Entry(**row._asdict()) for row in await self._engine.rows(query))

    async def ends(self) -> tuple[End, End]:
        """Ask for both."""
        found = {row.name: End(**row._asdict()) for row in await self._engine.rows(_END)}
        anchor, head = (found.get(name) or End(name=name) for name in (chain.ANCHOR, chain.HEAD))
        return anchor, head

    async def reseal(self) -> None:
        """Lock the head, then look at each end."""
        ring = self._sealing()
        async with self._engine.transaction() as connection:
            for name in (chain.HEAD, chain.ANCHOR):
                end = await _end(connection, name, lock=True)
                if end is not None and end.key_id != ring.active_id and chain.is_sealed(end, ring):
                    await _keep_end(connection, chain.sealed_end(name, end.seq, end.hash, ring))

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Lock the head, look at the first rows, delete them and move the anchor."""
        if not await self._has_before(before):
            return 0
        ring = self._sealing()
        async with self._engine.transaction() as connection:
            await _head(connection)
            anchor = await _end(connection, chain.ANCHOR, lock=True) or End(name=chain.ANCHOR)
            found = await connection.execute(_ENTRY.order_by(AUDIT.c.seq).limit(limit))
            oldest = [Entry(**row._asdict()) for row in found]
            moved = chain.swept(anchor, oldest, before, ring)
            if moved is None:
                return 0
            gone = changed(await connection.execute(delete(AUDIT).where(AUDIT.c.seq <= moved.seq)))
            await _keep_end(connection, moved)
            return gone

    async def _has_before(self, before: float) -> bool:
        """Whether there is anything old, so that nobody is kept waiting where there is not."""
        return await self._engine.row(select(AUDIT.c.id).where(AUDIT.c.at < before).limit(1)) is not None

    def _sealing(self) -> KeyRing:
        if self._ring is None:
            raise StoreError("There is no key at hand to seal the trail with.")
        return self._ring


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


class DeadLetters:
    """`store.base.DeadLetters`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def bury(self, letter: Letter, dead: DeadLetter, *, at_most: int) -> None:
        """Move it, and delete what is too much, in one transaction."""
        async with self._engine.transaction() as connection:
            await connection.execute(delete(OUTBOX).where(_is(letter)))
            put = _insert(connection, DEAD_LETTERS).values(msgspec.structs.asdict(dead))
            await connection.execute(put.on_conflict_do_nothing())
            newest = (DEAD_LETTERS.c.died_at.desc(), DEAD_LETTERS.c.id.desc())
            surplus = select(DEAD_LETTERS.c.webhook, DEAD_LETTERS.c.id).order_by(*newest).offset(at_most)
            await connection.execute(delete(DEAD_LETTERS).where(_PLACE.in_(surplus.limit(200))))

    async def list(self, limit: int = 1000) -> tuple[DeadLetter, ...]:
        """Ask by the index of times, backwards."""
        query = _DEAD.order_by(DEAD_LETTERS.c.died_at.desc(), DEAD_LETTERS.c.id.desc()).limit(limit)
        return tuple(DeadLetter(**row._asdict()) for row in await self._engine.rows(query))

    async def retry(self, webhook: str, letter_id: str, now: float) -> bool:
        """Move it back, in one transaction."""
        async with self._engine.transaction() as connection:
            row = (await connection.execute(_DEAD.where(_is_dead(webhook, letter_id)))).first()
            if row is None:
                return False
            letter = Letter(webhook=webhook, id=letter_id, body=row.body, created_at=now, next_at=now)
            owed = _insert(connection, OUTBOX).values(msgspec.structs.asdict(letter))
            await connection.execute(owed.on_conflict_do_nothing())
            await connection.execute(delete(DEAD_LETTERS).where(_is_dead(webhook, letter_id)))
            return True

    async def discard(self, webhook: str, letter_id: str) -> bool:
        """Delete by the primary key."""
        return await self._engine.change(delete(DEAD_LETTERS).where(_is_dead(webhook, letter_id))) == 1

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Ask by the index of times, then delete."""
        old = select(DEAD_LETTERS.c.webhook, DEAD_LETTERS.c.id).where(DEAD_LETTERS.c.died_at < before)
        return await self._engine.change(delete(DEAD_LETTERS).where(_PLACE.in_(old.limit(limit))))


def _is_dead(webhook: str, letter_id: str) -> Any:
    return (DEAD_LETTERS.c.webhook == webhook) & (DEAD_LETTERS.c.id == letter_id)


def _is(letter: Letter) -> Any:
    return (OUTBOX.c.webhook == letter.webhook) & (OUTBOX.c.id == letter.id)


def _narrowed(query: Select[Any], wanted: AuditFilter) -> Select[Any]:
    for name in _FILTERS:
        if value := getattr(wanted, name):
            query = query.where(AUDIT.c[name] == value)
    if wanted.since is not None:
        query = query.where(AUDIT.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AUDIT.c.at < wanted.until)
    return query


async def _end(connection: AsyncConnection, name: str, *, lock: bool = False) -> End | None:
    query = _END.where(AUDIT_ENDS.c.name == name)
    row = (await connection.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else End(**row._asdict())


async def _head(connection: AsyncConnection) -> End:
    """The head, locked; made where it is gone, so that there is something to lock."""
    head = await _end(connection, chain.HEAD, lock=True)
    if head is None:
        new = msgspec.structs.asdict(End(name=chain.HEAD))
        await connection.execute(_insert(connection, AUDIT_ENDS).values(new).on_conflict_do_nothing())
        head = await _end(connection, chain.HEAD, lock=True)
    return head or End(name=chain.HEAD)


async def _keep_end(connection: AsyncConnection, end: End) -> None:
    values = msgspec.structs.asdict(end)
    statement = _insert(connection, AUDIT_ENDS).values(values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def _insert(connection: AsyncConnection, table: Table) -> Any:
    """An insertion that can say what happens to rows that are there: in the words of the database."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _event(row: Row[Any]) -> Event:
    values = row._asdict()
    try:
        return Event(**{**values, "detail": _decode(values["detail"])})
    except msgspec.DecodeError as exc:
        raise StoreError("The store is broken.", detail=f"event {values['id']}: {exc}") from exc
