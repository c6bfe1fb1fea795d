"""What is known here of who asks: from those alone whose word counts at the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vestibule.core.organisation import told_subject
from vestibule.core.route import Host
from vestibule.core.template import Person
from vestibule.model import Caller, Identity, Session


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as far as it may be told; of nobody all is empty."""

    user_id: str = ""
    """The person here; empty for a caller who is nobody's account."""
    issuer: str = ""
    subject: str = ""
    """The account at `issuer` that was come with first, as apps are told of it (`told_subject`)."""
    kind: str = ""
    """Of the provider that vouches for it: `github`, `oidc`."""
    login: str = ""
    name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()
    orgs: tuple[str, ...] = ()
    claims: Mapping[str, Any] = {}
    """Further claims, by the names they are kept under."""
    providers: tuple[str, ...] = ()
    """IDs of the clients with live credentials."""
    scopes: tuple[str, ...] = ()
    """Of the token that was shown."""
    signed_in_at: float = 0.0
    machine: str = ""
    """The machine that it is, which is nobody's account; and which one of that name."""
    machine_subject: str = ""

    def __bool__(self) -> bool:
        """True where somebody is vouched for."""
        return bool(self.user_id or self.subject)


NOBODY = Known()


def known_of(who: Session | Caller | None, host: Host) -> Known:
    """What the backend of *host* may know of who asks.

    Only identities of those the host believes count, and only clients it knows. The first identity that knows
    something says it; lists are merged.
    """
    if who is None:
        return NOBODY
    providers: tuple[str, ...] = ()
    if isinstance(who, Caller) and who.machine:
        return Known(machine=who.machine, machine_subject=who.subject, scopes=tuple(sorted(who.scopes)))
    if isinstance(who, Session):
        named = {full: client for client, full in host.clients.items()}
        providers = tuple(named[full] for full in who.clients if full in named)
    believed = host.believed
    identities = [identity for identity in who.identities if identity.client in believed]
    if not identities:
        return Known(providers=providers)
    first = identities[0]
    if who.affiliated is not None:
        identities.append(who.affiliated)
    return Known(
        user_id=who.user_id,
        issuer=first.issuer,
        subject=told_subject(first),
        kind=host.kinds.get(first.client, ""),
        login=_first(identities, "login"),
        name=_first(identities, "name"),
        email=_first(identities, "email"),
        groups=_merged(identities, "groups"),
        orgs=_merged(identities, "orgs"),
        claims=_claims(identities),
        providers=providers,
        scopes=tuple(sorted(who.scopes)) if isinstance(who, Caller) else (),
        signed_in_at=who.signed_in_at if isinstance(who, Session) else 0.0,
    )


def _first(identities: list[Identity], field: str) -> str:
    return next((value for identity in identities if (value := getattr(identity, field))), "")


def _merged(identities: list[Identity], field: str) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(value for identity in identities for value in getattr(identity, field) if value)
    )


def _claims(identities: list[Identity]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for identity in identities:
        for name, value in identity.claims.items():
            found.setdefault(name, value)
    return found


def person_of(who: Session | Caller | None, host: Host) -> Person:
    """What texts with places may say of who asks: by those whose word counts at the host, and no id without them."""
    if who is None:
        return Person()
    known = tuple(identity for identity in who.identities if identity.client in host.believed)
    if not known:
        return Person()
    if who.affiliated is not None:
        known = (*known, who.affiliated)
    return Person(who.user_id, known, who.attributes if isinstance(who, Session) else {})
