"""`/app-tokens`: which tokens people hold for their programs. One is revoked at its user."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from vestibule.core.person import called
from vestibule.store.base import Bearer
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import example
from vestibule.web.api.users import AppToken, token_of

router = APIRouter(prefix="/app-tokens", tags=["users"])


class HeldToken(AppToken):
    """A token, and whose it is: `DELETE /users/{user_id}/tokens/{id}` ends it."""

    model_config = example(
        {
            "id": "9nUtJjTbUu5pxGhRkhwUSw",
            "name": "laptop",
            "host": "git.example.com",
            "paths": ["/alice/repo"],
            "methods": [],
            "created_at": "2026-11-22T05:14:00Z",
            "expires_at": "2027-02-20T05:14:00Z",
            "seen_at": None,
            "user_id": "tKSFIaDWlCnO0SeGnMFmQw",
            "person": "alice@example.com",
            "disabled": False,
        }
    )

    user_id: str
    person: str
    """E-mail address, login or name, the first there is."""
    disabled: bool
    """Its user is blocked, and it is good for nothing."""


class Asked(Paging):
    """Which page of them."""


@router.get("", operation_id="listAppTokens", responses=errors())
async def list_page(at: At, asked: Annotated[Asked, Query()]) -> Listing[HeldToken]:
    """All app tokens of all users, the oldest first, those that have expired in the last 30 days too."""
    found = await at.office.app_tokens.list(page_of(at.office.ring, "app-tokens", asked))
    return listing(
        at.office.ring,
        "app-tokens",
        asked,
        found,
        place=lambda held: (held.token.created_at, held.token.id),
        shown=_shown,
    )


def _shown(held: Bearer) -> HeldToken:
    return HeldToken(
        **token_of(held.token).model_dump(),
        user_id=held.user.id,
        person=called(held.user),
        disabled=held.user.disabled,
    )
