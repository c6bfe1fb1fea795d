"""The trail looked through: whether it is what was written, and all of it for who wants a copy.

Both go through the rows some at a time, so neither holds up the event loop nor needs memory for all of them; rows may
come and old ones go meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Final

from vestibule.admin_model import Proof
from vestibule.core.chain import End, Entry, Fault, Walk
from vestibule.core.seal import KeyRing
from vestibule.store.base_events import Audit, AuditFilter

BATCH: Final = 200
_TRIES: Final = 3


class Trail:
    """Reads the chain. Every method may raise StoreError."""

    def __init__(self, audit: Audit, ring: KeyRing) -> None:
        self._audit = audit
        self._ring = ring
        # Threat: many who have it looked through at once, again and again.
        self._turn = asyncio.Lock()

    async def verify(self, wanted: Iterable[str] = ()) -> Proof:
        """What looking at all rows has found; `wanted`: hashes that were kept elsewhere, and must be among them."""
        kept, seen = tuple(wanted), self._audit.seen
        async with self._turn:
            for _ in range(_TRIES):
                anchor, _head = await self._audit.ends()
                walk = Walk(anchor, self._ring)
                walk.hashes_wanted.update(kept)
                if seen is not None and seen.seq >= anchor.seq:
                    walk.hashes_wanted.add(seen.hash)
                fault = walk.start(anchor) or await self._walked(walk)
                # What was swept meanwhile is missing at its beginning; then it has another anchor.
                if fault is None or (await self._audit.ends())[0] == anchor:
                    break
            return proof_of(walk, fault)

    async def _walked(self, walk: Walk) -> Fault | None:
        while True:
            for entry in await self._audit.rows(walk.seq, BATCH):
                if (fault := walk.take(entry)) is not None:
                    return fault
            # The head is read before it is certain that nothing stands behind the last row.
            _anchor, head = await self._audit.ends()
            if not await self._audit.rows(walk.seq, 1):
                return walk.end(head)
            await asyncio.sleep(0)

    async def copy(
        self, after: int = 0, wanted: AuditFilter | None = None
    ) -> AsyncIterator[tuple[Entry | End, ...]]:
        """The rows behind this one, some at a time, as far as there are any when it gets there.

        Without a filter the ends come with them, the anchor first (where `after` is 0) and the head last: so a copy
        can be verified by itself (`core.chain_text.check`).
        """
        if not after and wanted is None:
            yield ((await self._audit.ends())[0],)
        last = after
        while True:
            _anchor, head = await self._audit.ends()
            rows = await self._audit.rows(last, BATCH, wanted)
            if rows:
                last = rows[-1].seq
                yield rows
            elif wanted is not None:
                return
            elif head.seq <= last or not await self._audit.rows(last, 1):
                yield (head,)
                return


def proof_of(walk: Walk, fault: Fault | None) -> Proof:
    """What is told of it."""
    detail = "" if fault is None else fault.detail
    if fault is None and walk.unsealed:
        detail = f"{walk.unsealed} rows are from before there was a chain: those behind them vouch for them"
    return Proof(
        ok=fault is None,
        rows=walk.rows,
        first_at=_moment(walk.first_at),
        last_at=_moment(walk.last_at),
        head=walk.hash,
        broken_id="" if fault is None else fault.id,
        detail=detail,
    )


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
