"""Organisations: whose people are whose, and what everybody is affiliated with, each with who says so.

Names of an organisation's own begin with its slug (`acme/admins`), wherever they are told: an organisation that calls a
group like another's, or like one that rules of the operator name, has named nothing but a group of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from vestibule.model import Identity

SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
"""What an organisation may be called in addresses and rules: as a label of DNS, at most 40 characters."""
NAME_MAX: Final = 100
"""Characters of the names of organisations, groups and roles."""
OWN: Final = "@"
"""The client that the gateway itself is, in rules (`org:@/acme`) and identities; nobody else's may be called so."""
_ISSUER: Final = "org"
ADMIN: Final = "admin"
"""The role whose holders run their organisation."""
ORGS_PATH: Final = "/api/v1/orgs"
"""Below it they do, by its slug."""

_WITHIN: Final = frozenset({"groups", "roles"})
"""The lists by which an organisation's own provider may say anything."""

Source: TypeAlias = Literal["gateway", "provider", "scim"]
"""Who says so: an operator or administrator here, the organisation's identity provider, or its directory."""
Kind: TypeAlias = Literal["org", "group", "role"]


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """One company, or part of one, whose people come by identity providers of its own."""

    id: str
    slug: str
    name: str
    created_at: float
    updated_at: float
    version: int = 0


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """A domain of e-mail addresses that an organisation says is its own."""

    org_id: str
    domain: str
    """In its one spelling: lower case, A-labels."""
    token: str
    """What its DNS must say."""
    created_at: float
    verified_at: float | None = None
    """None: nobody knows yet whether it is theirs."""
    verified_by: str = ""
    """`dns` or `operator`."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A person of an organisation."""

    org_id: str
    user_id: str
    roles: tuple[str, ...] = ()
    source: Source = "gateway"
    """Who made them a member first."""
    created_at: float


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group that an organisation keeps here; those of its directory and its provider are kept there."""

    id: str
    org_id: str
    name: str
    created_at: float
    version: int = 0


class Affiliation(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One thing that somebody is in, and who says so."""

    kind: Kind
    org: str
    """The organisation's slug."""
    name: str = ""
    """Of the group or role, within the organisation; empty for the organisation itself."""
    source: Source = "gateway"

    @property
    def told(self) -> str:
        """How rules, headers and assertions name it."""
        return f"{self.org}/{self.name}" if self.name else self.org


def identity_of(affiliations: Iterable[Affiliation]) -> Identity | None:
    """What the gateway itself says of somebody, as one more identity beside those of their providers; None: nothing.

    It is nobody's account and proves nothing: it counts only where another identity of theirs does.
    """
    told: dict[str, dict[str, None]] = {"org": {}, "group": {}, "role": {}}
    for one in sorted(affiliations):
        told[one.kind][one.told] = None
    if not any(told.values()):
        return None
    return Identity(
        client=OWN,
        issuer="",
        subject="",
        orgs=tuple(told["org"]),
        groups=tuple(told["group"]),
        roles=tuple(told["role"]),
    )


def is_run_by(slug: str, own: Identity) -> bool:
    """Whether somebody of whom the gateway itself says this (`identity_of`) runs the organisation."""
    return own.client == OWN and slug in own.orgs and f"{slug}/{ADMIN}" in own.roles


def confined(identity: Identity, org: Organisation, domains: Iterable[str]) -> Identity:
    """What an organisation's own provider says of somebody, as far as it may: of that organisation alone.

    Accounts are of the organisation (`issuer` begins with its id), groups and roles begin with its slug, the address
    counts only within `domains`, which are the organisation's verified ones, and the login is that address, or begins
    with the slug as well. What has the form `OWNER/NAME` at code hosts, and claims by other names, don't count. Whether
    somebody is a member is the gateway's own to say, so that it holds no longer than they are.
    Threat: an organisation whose provider vouches for another's people, by its issuer, addresses, logins, groups or
    claims; a team `core` of `acme` that would be the team `acme/core` at GitHub.
    """
    _, sign, at = identity.email.rpartition("@")
    email = identity.email if sign and at.lower() in frozenset(domains) else ""
    return msgspec.structs.replace(
        identity,
        issuer=issuer_in(org.id, identity.issuer),
        login=email or "".join(_within(org, filter(None, (identity.login,)))),
        email=email,
        orgs=(),
        groups=_within(org, identity.groups),
        teams=(),
        projects=(),
        repos=(),
        roles=_within(org, identity.roles),
        unknown=tuple(name for name in identity.unknown if name in _WITHIN),
        claims={},
    )


def issuer_in(org_id: str, issuer: str) -> str:
    """The issuer of accounts of an organisation's provider: another organisation's of the same name is another."""
    return f"{_ISSUER}:{org_id}:{issuer}"


def org_of(issuer: str) -> str:
    """Id of the organisation by whose provider accounts of this issuer come; empty: by the operator's."""
    head, _, rest = issuer.partition(":")
    return rest.partition(":")[0] if head == _ISSUER else ""


def slug_of(identity: Identity) -> str:
    """Slug of the organisation by whose provider they have come; empty: by the operator's.

    The IDs of an organisation's providers begin with it (`is_providers_id`).
    """
    return identity.client.partition(".")[0] if org_of(identity.issuer) else ""


def is_providers_id(slug: str, name: str) -> bool:
    """Whether a provider of this organisation may be called so: `SLUG.` and more.

    Threat: a provider called as the organisation itself, by which `group:acme/ops` would mean its group `ops`.
    """
    head, dot, rest = name.partition(".")
    return bool(head == slug and dot and rest)


def told_subject(identity: Identity) -> str:
    """How apps are told of the account's subject: of an organisation's provider, with the slug in front.

    Threat: subjects, too, are whatever a provider says: also those of another's people.
    """
    slug = slug_of(identity)
    return f"{slug}/{identity.subject}" if slug else identity.subject


def may_be_one(issuers: Iterable[str]) -> bool:
    """Whether accounts at these may be one person's: of one organisation's provider all, or of none's.

    Threat: an organisation's provider that signs in somebody who is more than a person of that organisation.
    """
    return len({org_of(issuer) for issuer in issuers}) <= 1


def counting(affiliations: Iterable[Affiliation], identities: Iterable[Identity]) -> tuple[Affiliation, ...]:
    """What counts of it for somebody who has come with these identities.

    Who comes by an organisation's provider is of that organisation alone, whatever else they are a member of.
    """
    slugs = {slug_of(one) for one in identities if org_of(one.issuer)}
    return tuple(one for one in affiliations if not slugs or slugs == {one.org})


def _within(org: Organisation, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{org.slug}/{name}" for name in names)
