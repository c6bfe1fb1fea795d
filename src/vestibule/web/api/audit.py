"""`/audit`: what has happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from vestibule.core.event import Event as Kept
from vestibule.store.base_events import AuditFilter
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Filter, Model, Time, example

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


class Asked(Paging):
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


@router.get("", operation_id="listAudit", responses=errors())
async def list_page(at: At, asked: Annotated[Asked, Query()]) -> Listing[Event]:
    """What has happened, the latest first."""
    page = page_of(at.office.ring, "audit", asked)
    wanted = AuditFilter(
        action=asked.action,
        actor=asked.actor,
        target=asked.target,
        outcome=asked.outcome or "",
        user_id=asked.user_id,
        session_id=asked.session_id,
        since=asked.since.timestamp() if asked.since else None,
        until=asked.until.timestamp() if asked.until else None,
        after=page.after,
        limit=page.limit,
    )
    found = await at.office.audit.list(wanted)
    return listing(at.office.ring, "audit", asked, found, place=lambda kept: (kept.at, kept.id), shown=_shown)


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
