"""Who is who: when two identities are one person, which address is believed, what a newcomer's record holds.

A person is (issuer, subject). An e-mail address never identifies anybody (attacks.md O1): it is only shown,
and tested by rules once it is verified.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vestibule.model import Identity, Session, User
from vestibule.protocol.oidc import parse_email


def is_same_person(identity: Identity, other: Identity) -> bool:
    """True when both are the same subject of the same issuer."""
    return (identity.issuer, identity.subject) == (other.issuer, other.subject)


def is_another_account(session: Session, identity: Identity) -> bool:
    """True when the session already holds a different subject of the same issuer: surely somebody else."""
    return any(
        known.issuer == identity.issuer and known.subject != identity.subject for known in session.identities
    )


def newcomer(identity: Identity, user_id: str, now: float) -> User:
    """The record a person gets at the first sign-in."""
    return User(id=user_id, created_at=now, name=identity.name or identity.login, email=identity.email)


def told_anew(user: User, identity: Identity) -> User:
    """The user with name and address as the provider says now; what it no longer says stays."""
    return msgspec.structs.replace(
        user, name=identity.name or identity.login or user.name, email=identity.email or user.email
    )


def verified_email(raw: object, verified: object, *, email_domains: tuple[str, ...] = ()) -> str:
    """The address with its domain in lower case, or "" when it can't be believed.

    `verified` counts only when it is the JSON value true: absent, "true", "false" and 1 don't.
    `email_domains`: when there are any, an address outside them is not believed.

    Threat: `a@evil.com@corp.com` and friends passing a domain rule (CVE-2026-40574); unverified addresses.
    Does NOT check that the domain exists or that a rule allows it.
    """
    if verified is not True:
        return ""
    address = parse_email(raw)
    if email_domains and address.rpartition("@")[2] not in email_domains:
        return ""
    return address


def text_of(value: Any) -> str:
    """The claim when it is a string without control characters, else ""; what is shown must be showable."""
    return value if isinstance(value, str) and value.isprintable() else ""


def texts_of(value: Any) -> tuple[str, ...]:
    """The strings of a claim that is a list of strings; () for any other shape, a bare string too.

    Threat: a group claim of the wrong type read as a list of characters or as one group (attacks.md O3).
    """
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return ()
    return tuple(dict.fromkeys(item for item in value if item and item.isprintable()))
