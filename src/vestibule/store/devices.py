"""By which devices people have signed in, by SQLAlchemy Core."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from vestibule.core.device import Family, KnownDevice
from vestibule.errors import StoreError
from vestibule.store.engine import Engine, store_error
from vestibule.store.tables import DEVICES as TABLE

_LATEST: Final = (TABLE.c.seen_at.desc(), TABLE.c.digest)
_decode: Final = msgspec.json.Decoder(tuple[str, ...]).decode


class Devices:
    """`store.base.Devices`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def of_user(self, user_id: str) -> tuple[KnownDevice, ...]:
        """Ask by the primary key's first half."""
        query = select(TABLE).where(TABLE.c.user_id == user_id).order_by(*_LATEST)
        return tuple(map(_device, await self._engine.rows(query)))

    async def keep(self, device: KnownDevice, *, at_most: int) -> bool:
        """Insert or replace it, then delete what is too much."""
        values = {
            "user_id": device.user_id,
            "digest": device.digest,
            "browser": device.family.browser,
            "system": device.family.system,
            "networks": msgspec.json.encode(device.networks).decode(),
            "first_at": device.first_at,
            "seen_at": device.seen_at,
        }
        latest = select(TABLE.c.digest).where(TABLE.c.user_id == device.user_id)
        kept = latest.order_by(*_LATEST).limit(at_most).scalar_subquery()
        surplus = delete(TABLE).where(TABLE.c.user_id == device.user_id, TABLE.c.digest.not_in(kept))
        try:
            async with self._engine.transaction() as connection:
                insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
                place = [TABLE.c.user_id, TABLE.c.digest]
                await connection.execute(
                    insert(TABLE).values(values).on_conflict_do_update(index_elements=place, set_=values)
                )
                await connection.execute(surplus)
        except IntegrityError as exc:
            if "foreign key" in str(exc.orig).lower():
                return False
            raise store_error(exc) from exc
        return True

    async def sweep(self, before: float, limit: int = 200) -> int:
        """Ask by the index of times, then delete."""
        old = select(TABLE.c.user_id, TABLE.c.digest).where(TABLE.c.seen_at < before).limit(limit)
        return await self._engine.change(
            delete(TABLE).where(tuple_(TABLE.c.user_id, TABLE.c.digest).in_(old))
        )


def _device(row: Row[Any]) -> KnownDevice:
    try:
        networks = _decode(row.networks)
    except msgspec.DecodeError as exc:
        raise StoreError("The store is broken.", detail=f"a device of {row.user_id}: {exc}") from exc
    return KnownDevice(
        user_id=row.user_id,
        digest=row.digest,
        family=Family(row.browser, row.system),
        networks=networks,
        first_at=row.first_at,
        seen_at=row.seen_at,
    )
