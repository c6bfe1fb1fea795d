"""Keys that machines show, by SQLAlchemy Core; their hashes never leave the database."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from vestibule.model import MachineKey
from vestibule.store.engine import Engine, store_error
from vestibule.store.tables import MACHINE_KEYS as TABLE

_KEY: Final = select(*(TABLE.c[name] for name in MachineKey.__struct_fields__))


class MachineKeys:
    """`store.base.MachineKeys`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, key: MachineKey, key_hash: bytes, *, at_most: int) -> bool:
        """Forget what has ended, look for a free slot, insert."""
        is_theirs = TABLE.c.machine == key.machine
        try:
            async with self._engine.transaction() as connection:
                await connection.execute(delete(TABLE).where(is_theirs, TABLE.c.expires_at <= key.created_at))
                taken = set((await connection.execute(select(TABLE.c.slot).where(is_theirs))).scalars())
                slot = next((one for one in range(at_most) if one not in taken), None)
                if slot is None:
                    return False
                values = msgspec.structs.asdict(key)
                await connection.execute(insert(TABLE).values(hash=key_hash, slot=slot, **values))
        except IntegrityError as exc:  # an id, hash or slot that is taken
            raise store_error(exc) from exc
        return True

    async def by_hash(self, key_hash: bytes, now: float) -> MachineKey | None:
        """Ask by the hash's index."""
        row = await self._engine.row(_KEY.where(TABLE.c.hash == key_hash, _is_good(now)))
        return None if row is None else _key(row)

    async def by_id(self, key_id: str, now: float) -> MachineKey | None:
        """Ask by the primary key."""
        row = await self._engine.row(_KEY.where(TABLE.c.id == key_id, _is_good(now)))
        return None if row is None else _key(row)

    async def list(self) -> tuple[MachineKey, ...]:
        """Read the table."""
        return tuple(map(_key, await self._engine.rows(_KEY.order_by(TABLE.c.created_at, TABLE.c.id))))

    async def seen(self, key_id: str, now: float) -> None:
        """Update by the primary key."""
        await self._engine.change(update(TABLE).where(TABLE.c.id == key_id).values(seen_at=now))

    async def delete(self, key_id: str) -> bool:
        """Delete by the primary key."""
        return await self._engine.change(delete(TABLE).where(TABLE.c.id == key_id)) == 1


def _is_good(now: float) -> Any:
    return or_(TABLE.c.expires_at.is_(None), TABLE.c.expires_at > now)


def _key(row: Row[Any]) -> MachineKey:
    return MachineKey(**row._asdict())
