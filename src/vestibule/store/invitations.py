"""Invitations, by SQLAlchemy Core. `store.people` uses them up, in the step that makes the user."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Row, and_, delete, false, insert, or_, select
from sqlalchemy.exc import IntegrityError

from vestibule.model import Invitation
from vestibule.store.base import Page
from vestibule.store.engine import Engine, paged, store_error
from vestibule.store.tables import INVITATIONS

_INVITATION: Final = select(INVITATIONS)


class Invitations:
    """`store.base.Invitations`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, invitation: Invitation) -> None:
        """Insert it; an id that is taken is a fault."""
        try:
            await self._engine.change(insert(INVITATIONS).values(**msgspec.structs.asdict(invitation)))
        except IntegrityError as exc:
            raise store_error(exc) from exc

    async def get(self, invitation_id: str) -> Invitation | None:
        """Ask by the primary key."""
        row = await self._engine.row(_INVITATION.where(INVITATIONS.c.id == invitation_id))
        return None if row is None else _invitation(row)

    async def list(
        self, page: Page, *, email: str = "", used_by: str = "", is_open: bool | None = None, now: float = 0.0
    ) -> tuple[Invitation, ...]:
        """Read one page by the index of its order, filtered."""
        query = _INVITATION
        if email:
            query = query.where(INVITATIONS.c.email == email.lower())
        if used_by:
            query = query.where(INVITATIONS.c.used_by == used_by)
        if is_open is not None:
            query = query.where(_is_open(now) if is_open else ~_is_open(now))
        query = paged(query, page, INVITATIONS.c.created_at, INVITATIONS.c.id, after=page.after)
        return tuple(map(_invitation, await self._engine.rows(query)))

    async def open_for(self, email: str, issuer: str, subject: str, now: float) -> Invitation | None:
        """Ask by the indexes of account and address."""
        theirs = and_(INVITATIONS.c.issuer == issuer, INVITATIONS.c.subject == subject) if issuer else false()
        addressed = INVITATIONS.c.email == email.lower() if email else false()
        query = (
            _INVITATION.where(or_(theirs, addressed), _is_open(now))
            .order_by(INVITATIONS.c.created_at, INVITATIONS.c.id)
            .limit(1)
        )
        row = await self._engine.row(query)
        return None if row is None else _invitation(row)

    async def delete(self, invitation_id: str) -> bool:
        """Delete by the primary key."""
        return await self._engine.change(delete(INVITATIONS).where(INVITATIONS.c.id == invitation_id)) == 1


def _is_open(now: float) -> Any:
    return and_(INVITATIONS.c.used_at.is_(None), INVITATIONS.c.expires_at > now)


def _invitation(row: Row[Any]) -> Invitation:
    return Invitation(**row._asdict())
