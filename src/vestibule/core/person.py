"""Who is who: when two identities are one person, which address is believed, what a newcomer's record holds.

A person is (issuer, subject). An e-mail address never identifies anybody (attacks.md O1): it is only shown,
and tested by rules once it is verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from vestibule.model import Account, Identity, Session, User
from vestibule.protocol.oidc import parse_email


def is_same_person(identity: Identity, other: Identity) -> bool:
    """True when both are the same subject of the same issuer."""
    return (identity.issuer, identity.subject) == (other.issuer, other.subject)


def is_another_account(session: Session, identity: Identity) -> bool:
    """True when the session already holds a different subject of the same issuer: surely somebody else."""
    return any(
        known.issuer == identity.issuer and known.subject != identity.subject for known in session.identities
    )


class Named(Protocol):
    """Somebody of whom a few things may be known."""

    @property
    def email(self) -> str:
        """Address, or empty."""

    @property
    def login(self) -> str:
        """Preferred username, or empty."""

    @property
    def name(self) -> str:
        """Display name, or empty."""


def called(one: Named) -> str:
    """What operators know somebody by: address, login or name, the first there is; empty: there is none."""
    return one.email or one.login or one.name


def newcomer(identity: Identity, user_id: str, now: float) -> User:
    """The record a person gets at the first sign-in."""
    return User(
        id=user_id,
        created_at=now,
        seen_at=now,
        name=identity.name or identity.login,
        login=identity.login,
        email=identity.email,
    )


def told_anew(user: User, identity: Identity, now: float) -> User:
    """The user with name, login and address as the provider says now; what it no longer says stays.

    So does what the person chose at registration, which stands in the profile.
    """
    return msgspec.structs.replace(
        user,
        name=user.profile.get("name") or identity.name or identity.login or user.name,
        login=user.profile.get("login") or identity.login or user.login,
        email=identity.email or user.email,
        seen_at=now,
    )


def shown(identity: Identity, user: User) -> Identity:
    """The identity under the display name that the person chose here; where its provider says none, the known one.

    Login and address stay the provider's word: rules look at them.
    """
    return msgspec.structs.replace(identity, name=user.profile.get("name") or identity.name or user.name)


def account_of(identity: Identity, user_id: str, kind: str, now: float) -> Account:
    """The record of the account by which a user is found."""
    return Account(
        issuer=identity.issuer,
        subject=identity.subject,
        user_id=user_id,
        client=identity.client,
        kind=kind,
        login=identity.login,
        name=identity.name,
        email=identity.email,
        created_at=now,
        seen_at=now,
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


def primary_verified_email(
    addresses: Iterable[Mapping[str, Any]],
    *,
    primary: str = "primary",
    verified: str = "verified",
    email_domains: tuple[str, ...] = (),
) -> str:
    """Of an account's addresses the one it calls its primary one, when that can be believed; else "".

    `primary` and `verified`: the members that say so. No other address takes its place.
    """
    entry = next((entry for entry in addresses if entry.get(primary) is True), {})
    return verified_email(entry.get("email"), entry.get(verified), email_domains=email_domains)
