"""`/audit`: what has happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from msgspec.structs import replace
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from vestibule.admin_model import Proof
from vestibule.core import event as names
from vestibule.core.chain import End, Entry
from vestibule.core.chain_text import line_of
from vestibule.core.event import Event as Kept
from vestibule.errors import NotFound, StoreError
from vestibule.observe.metrics import AUDIT_INTACT
from vestibule.store.base_events import AuditFilter
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.office import ApiCall, At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Filter, Id, Model, QueryModel, Time, example
from vestibule.web.api.value import answer, answers

SILENCE_S: Final = 3.0
"""After so long who waits for a proof hears that it is being looked for."""
HASH: Final = r"^(?:[0-9a-f]{64})?$"
_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Done.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}

router = APIRouter(prefix="/audit", tags=["audit"])


class Event(Model):
    """One thing that happened."""

    model_config = example(
        {
            "id": "evt_hT2mQy6mYzqTn0aJx4x3QA",
            "at": "2026-11-22T05:14:00.250000Z",
            "action": "session.new_device",
            "outcome": "ok",
            "actor": "user tKSFIaDWlCnO0SeGnMFmQw",
            "target": "",
            "user_id": "tKSFIaDWlCnO0SeGnMFmQw",
            "session_id": "0y3bq8Zyq1zqvYx3m1Zt8A",
            "host": "app.example.com",
            "address": "192.0.2.7",
            "device": "Firefox on Linux",
            "request_id": "k3v6q2m7p4x5n8wt",
            "detail": {"network": "192.0.2.0/24"},
        }
    )

    id: str
    """The same in the log and in messages of webhooks."""
    at: datetime
    action: str
    """`session.created`, `session.ended`, …"""
    outcome: Literal["ok", "refused"]
    actor: str
    """Who did it: `user ID`, `token NAME`, `socket`, `provider NAME`; empty: the gateway itself."""
    target: str
    """What it was done to, where that is neither a user nor a session: `provider NAME`."""
    user_id: str
    """Whom it is about; the user may be gone."""
    session_id: str
    host: str
    address: str
    """Where the request came from."""
    device: str
    request_id: str
    """The `id` in the log, and on the page of an error."""
    detail: dict[str, Any]


class Wanted(QueryModel):
    """Which events are wanted; all that is given must hold."""

    action: Filter = ""
    actor: Filter = ""
    target: Filter = ""
    outcome: Literal["ok", "refused"] | None = None
    user_id: Filter = ""
    session_id: Filter = ""
    since: Time | None = None
    """From then on."""
    until: Time | None = None
    """Before."""


class Asked(Paging, Wanted):
    """Which events are wanted, and which page of them."""


class Copied(Wanted):
    """Which events are wanted, and where to go on."""

    after: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Only rows behind the one of this number: `seq` of the last that came."""


@router.get("", operation_id="listAudit", responses=errors())
async def list_page(at: At, asked: Annotated[Asked, Query()]) -> Listing[Event]:
    """What has happened, the latest first."""
    page = page_of(at.office.ring, "audit", asked)
    found = await at.office.audit.list(replace(_filter(asked), after=page.after, limit=page.limit))
    return listing(at.office.ring, "audit", asked, found, place=lambda kept: (kept.at, kept.id), shown=_shown)


@router.get("/verify", operation_id="verifyAudit", responses=errors() | answers(Proof))
async def verify(at: At, head: Annotated[str, Query(pattern=HASH)] = "") -> Response:
    """Whether the trail is what was written: no row altered, left out, put in or cut off.

    `head`: the hash of a last row that was kept elsewhere, which must still be among them. Until the answer is known,
    empty lines come.
    """
    return StreamingResponse(_proven(at, (head,) if head else ()), media_type="application/json")


async def _proven(at: ApiCall, wanted: tuple[str, ...]) -> AsyncIterator[bytes]:
    """The proof, or why there is none: by then the status is on its way."""
    looking = asyncio.ensure_future(at.office.trail.verify(wanted))
    try:
        while not (await asyncio.wait({looking}, timeout=SILENCE_S))[0]:
            yield b"\n"
        proof = looking.result()
        at.office.metrics.show(AUDIT_INTACT, lambda: {(): float(proof.ok)})
        yield bytes(answer(proof).body)
    except StoreError as error:
        at.office.log.warning("audit_unread", id=at.asker.request_id, detail=error.detail or error.message)
        nothing = Proof(ok=False, rows=0, first_at=None, last_at=None, head="", detail=error.message)
        yield bytes(answer(nothing).body)
    finally:
        looking.cancel()


@router.get("/export", operation_id="exportAudit", responses=errors() | _LINES)
async def export(at: At, asked: Annotated[Copied, Query()]) -> Response:
    """All rows with their hashes, the oldest first: a line of JSON each.

    Without a filter the ends of the chain come with them, so that the copy can be verified by itself; one that has no
    head at its end was broken off: go on with `after`.
    """
    wanted = _filter(asked)
    is_narrowed = wanted != AuditFilter()
    given = asked.model_dump(exclude_defaults=True, mode="json")
    await at.changed(names.AUDIT_EXPORTED, detail=given)
    rows = at.office.trail.copy(asked.after, wanted if is_narrowed else None)
    return StreamingResponse(_lines(at, rows), media_type="application/x-ndjson")


@router.get("/{id}", operation_id="getAuditEvent", responses=errors(404))
async def get(at: At, id: Id) -> Event:  # noqa: A002 - the name in the path
    """One event; old ones are swept."""
    kept = await at.office.audit.get(id)
    if kept is None:
        raise NotFound("There is no such event; old ones are swept.")
    return _shown(kept)


async def _lines(at: ApiCall, rows: AsyncIterator[tuple[Entry | End, ...]]) -> AsyncIterator[bytes]:
    try:
        async for batch in rows:
            if at.office.closing.is_set():
                return
            yield b"".join(map(line_of, batch))
    except StoreError as error:
        # It ends without a head: who reads it sees that.
        at.office.log.warning("audit_unread", id=at.asker.request_id, detail=error.detail or error.message)


def _filter(asked: Wanted) -> AuditFilter:
    return AuditFilter(
        action=asked.action,
        actor=asked.actor,
        target=asked.target,
        outcome=asked.outcome or "",
        user_id=asked.user_id,
        session_id=asked.session_id,
        since=asked.since.timestamp() if asked.since else None,
        until=asked.until.timestamp() if asked.until else None,
    )


def _shown(kept: Kept) -> Event:
    return Event(
        id=kept.id,
        at=datetime.fromtimestamp(kept.at, UTC),
        action=kept.action,
        outcome="refused" if kept.outcome == "refused" else "ok",
        actor=kept.actor,
        target=kept.target,
        user_id=kept.user_id,
        session_id=kept.session_id,
        host=kept.host,
        address=kept.address,
        device=kept.device,
        request_id=kept.request_id,
        detail=kept.detail,
    )
