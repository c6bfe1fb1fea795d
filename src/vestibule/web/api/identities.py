"""`/identities`: the accounts at providers by which people are known."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from vestibule.model import Account
from vestibule.protocol import base64url
from vestibule.web.api.cursor import Listing, Paging, listing, page_of
from vestibule.web.api.office import At
from vestibule.web.api.problem import errors
from vestibule.web.api.shape import Filter, Model, example, moment, moment_or_none

router = APIRouter(prefix="/identities", tags=["identities"])


class Identity(Model):
    """An account at a provider, and whose it is. Its key is issuer and subject."""

    model_config = example(
        {
            "id": "p3V9m2Jk0rUuT6sJHq1yNw",
            "user_id": "9nUtJjTbUu5pxGhRkhwUSw",
            "issuer": "https://accounts.google.com",
            "subject": "110169484474386276334",
            "client": "google",
            "kind": "google",
            "login": "",
            "name": "Alice Example",
            "email": "alice@example.com",
            "created_at": "2026-11-22T05:14:00Z",
            "seen_at": "2026-11-22T05:14:00Z",
        }
    )

    id: str
    """Made of issuer and subject."""
    user_id: str
    issuer: str
    subject: str
    client: str
    """Full name of the provider that vouched first."""
    kind: str
    """Its type."""
    login: str
    name: str
    email: str
    """The verified address as last told; empty: none."""
    created_at: datetime
    seen_at: datetime | None


class Asked(Paging):
    """Which identities are wanted."""

    user: Filter = ""
    """Of this user."""
    issuer: Filter = ""
    """Of this issuer."""
    client: Filter = ""
    """That this provider vouched for first."""


@router.get("", operation_id="listIdentities", responses=errors())
async def list_page(at: At, asked: Annotated[Asked, Query()]) -> Listing[Identity]:
    """The identities, the oldest first."""
    page = page_of(at.office.ring, "identities", asked)
    found = await at.office.people.accounts(
        page, user_id=asked.user, issuer=asked.issuer, client=asked.client
    )
    return listing(at.office.ring, "identities", asked, found, place=_place, shown=shown)


def id_of(account: Account) -> str:
    """The account's id in the API: made of its key, which may hold anything."""
    digest = hashlib.sha256(f"{account.issuer}\0{account.subject}".encode())
    return base64url.encode(digest.digest()[:16])


def shown(account: Account) -> Identity:
    """The account as the API shows it."""
    return Identity(
        id=id_of(account),
        user_id=account.user_id,
        issuer=account.issuer,
        subject=account.subject,
        client=account.client,
        kind=account.kind,
        login=account.login,
        name=account.name,
        email=account.email,
        created_at=moment(account.created_at),
        seen_at=moment_or_none(account.seen_at),
    )


def _place(account: Account) -> tuple[float, str]:
    return account.created_at, f"{account.issuer}\0{account.subject}"
