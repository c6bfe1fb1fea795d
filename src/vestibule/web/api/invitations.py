"""`/invitations`: leave for one person to become a user."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from vestibule.core import event as names
from vestibule.errors import Invalid
from vestibule.model import Invitation as Kept
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import (
    Address,
    Filter,
    Id,
    Line,
    Model,
    Time,
    Whole,
    example,
    moment,
    moment_or_none,
)

YEAR_S = 366 * 86400

router = APIRouter(prefix="/invitations", tags=["invitations"])


class NewInvitation(Model):
    """Who is invited: whoever has this verified address, or the account (issuer, subject)."""

    model_config = example(
        {"email": "bob@example.com", "expires_in": 604800, "note": "new colleague"},
        {"issuer": "https://accounts.google.com", "subject": "110169484474386276334"},
    )

    email: Address | None = None
    issuer: Annotated[Line, Field(min_length=1)] | None = None
    """Stands with `subject`."""
    subject: Annotated[Line, Field(min_length=1)] | None = None
    note: Line = ""
    """For people."""
    expires_in: Annotated[int, Field(ge=1, le=YEAR_S, strict=True), Whole] | None = None
    """Seconds it is good for; without it and `expires_at`: what the configuration says (7 days)."""
    expires_at: Time | None = None
    """Until when it is good."""


State = Literal["open", "used", "expired"]


class Invitation(Model):
    """An invitation."""

    model_config = example(
        {
            "id": "hT2mQy6mYzqTn0aJx4x3QA",
            "email": "bob@example.com",
            "issuer": "",
            "subject": "",
            "note": "new colleague",
            "state": "open",
            "created_at": "2026-11-22T05:14:00Z",
            "created_by": "socket",
            "expires_at": "2026-11-29T05:14:00Z",
            "used_at": None,
            "used_by": "",
        }
    )

    id: str
    email: str
    issuer: str
    subject: str
    note: str
    state: State
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None
    used_by: str
    """Id of the user it made."""


class Asked(Paging):
    """Which invitations are wanted."""

    email: Filter = ""
    """For this address."""
    state: State | None = None
    """Neither used nor expired (`open`), or one of those."""


@router.post("", operation_id="createInvitation", status_code=201, responses=errors(400, 413, 415))
async def create(at: At, new: NewInvitation) -> Invitation:
    """Invite somebody. Nothing is sent: tell them to sign in."""
    kept = await at.office.people.invite(
        email=new.email or "",
        issuer=new.issuer or "",
        subject=new.subject or "",
        note=new.note,
        created_by=at.actor.name,
        life_s=_life_s(new, at.now),
        now=at.now,
    )
    await at.changed(names.INVITATION_CREATED, target=f"invitation {kept.id}", after=_told(kept))
    return _shown(kept, at.now)


@router.get("", operation_id="listInvitations", responses=errors())
async def list_page(at: At, asked: Annotated[Asked, Query()]) -> Listing[Invitation]:
    """The invitations, the oldest first; a page of used or expired ones may be short, and still have a next."""
    page = page_of(at.office.ring, "invitations", asked)
    is_open = None if asked.state is None else asked.state == "open"
    found = await at.office.people.invitations(page, email=asked.email, is_open=is_open, now=at.now)
    listed = listing(
        at.office.ring,
        "invitations",
        asked,
        found,
        place=lambda kept: (kept.created_at, kept.id),
        shown=lambda kept: _shown(kept, at.now),
    )
    wanted = [one for one in listed.items if asked.state is None or one.state == asked.state]
    return Listing(items=wanted, next=listed.next)


@router.get("/{id}", operation_id="getInvitation", responses=errors(404))
async def get(at: At, id: Id) -> Invitation:  # noqa: A002 - the name in the path
    """An invitation, also a used or expired one."""
    return _shown(await at.office.people.invitation(id), at.now)


@router.delete("/{id}", operation_id="deleteInvitation", status_code=204, responses=errors(404))
async def delete(at: At, id: Id) -> Response:  # noqa: A002 - the name in the path
    """Withdraw an invitation; who has used it already stays."""
    kept = await at.office.people.invitation(id)
    await at.office.people.withdraw(id)
    await at.changed(names.INVITATION_WITHDRAWN, target=f"invitation {id}", before=_told(kept))
    return Response(status_code=204)


def _told(kept: Kept) -> dict[str, str]:
    """What the trail says of an invitation."""
    return {name: getattr(kept, name) for name in ("email", "issuer", "subject", "note")}


def _life_s(new: NewInvitation, now: float) -> float | None:
    """How long it is good for. Raises Invalid."""
    if new.expires_at is None:
        return None if new.expires_in is None else float(new.expires_in)
    if new.expires_in is not None:
        raise Invalid((("expires_at", "stands in place of expires_in, not beside it"),))
    life_s = new.expires_at.timestamp() - now
    if not 0 < life_s <= YEAR_S:
        raise Invalid((("expires_at", "is in the future, and at most a year away"),))
    return life_s


def _shown(kept: Kept, now: float) -> Invitation:
    state: State = "used" if kept.used_at is not None else "open" if kept.expires_at > now else "expired"
    return Invitation(
        id=kept.id,
        email=kept.email,
        issuer=kept.issuer,
        subject=kept.subject,
        note=kept.note,
        state=state,
        created_at=moment(kept.created_at),
        created_by=kept.created_by,
        expires_at=moment(kept.expires_at),
        used_at=moment_or_none(kept.used_at),
        used_by=kept.used_by,
    )
