"""A provider of an organisation: the same as it was opened, but it speaks of that organisation alone.

Whatever it says of somebody goes through `core.organisation.confined`, so nothing behind it (sign-in, recheck, logout)
has to know whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from vestibule.core.organisation import Organisation, confined, issuer_in
from vestibule.model import Identity, Tokens
from vestibule.providers.base import Ending, Native, Provider, ProviderConfig, SignedIn
from vestibule.providers.kit import Flow
from vestibule.store.base import ProviderRow
from vestibule.store.base_organisations import Organisations

T = TypeVar("T")
_ORG: Final = "organisation_id"
_REALM: Final = "organisation_realm"
Facts: TypeAlias = tuple[Organisation, tuple[str, ...]]
"""An organisation, and its verified domains."""
NOWHERE: Final = "none.invalid"
"""In place of no domains at all, which would mean every one: no address is of it (RFC 6761 section 6.4)."""


def confine(provider: Provider, org: Organisation, domains: tuple[str, ...]) -> None:
    """Have the provider, which was opened a moment ago, speak of this organisation alone.

    `domains`: those that are verified as the organisation's.
    """

    def of(identity: Identity) -> Identity:
        return confined(identity, org, domains)

    def signed_in(found: SignedIn) -> SignedIn:
        return found if found.identity is None else replace(found, identity=of(found.identity))

    def native(found: Native) -> Native:
        return replace(found, identity=of(found.identity))

    def ended(token: Any) -> Any:
        return replace(token, issuer=issuer_in(org.id, token.issuer))

    def ending(found: Ending) -> Ending:
        return replace(found, ended=tuple(map(ended, found.ended)))

    said: dict[str, Callable[[Any], Any]] = {
        "finish": signed_in,
        "native": native,
        "ended": ended,
        "logout": ending,
    }
    own = vars(provider)
    for name, change in said.items():
        if hasattr(provider, name):
            own[name] = _changed(getattr(provider, name), change)
    if hasattr(provider, "recheck"):
        own["recheck"] = _rechecked(provider.recheck, org, of)
    own[_ORG] = org.id
    own[_REALM] = Realm(org.slug, frozenset(domains))


async def facts_of(store: Organisations | None, rows: Iterable[ProviderRow]) -> dict[str, Facts]:
    """What is to be known of the organisations whose rows these are, by their ids. Raises StoreError."""
    found: dict[str, Facts] = {}
    for org_id in {row.org_id for row in rows} - {""}:
        if store is None:
            break
        org = await store.get(org_id)
        if org is not None:
            domains = await store.domains(org_id)
            found[org_id] = org, tuple(one.domain for one in domains if one.verified_at is not None)
    return found


def believed_within(config: ProviderConfig, domains: tuple[str, ...]) -> ProviderConfig:
    """The configuration, believed about addresses of those alone of its domains that are the organisation's."""
    if not isinstance(config, msgspec.Struct) or "email_domains" not in config.__struct_fields__:
        return config
    written: tuple[str, ...] = getattr(config, "email_domains", ())
    left = tuple(domain for domain in written if domain in domains)
    narrowed: ProviderConfig = replace(config, email_domains=left or (NOWHERE,))
    return narrowed


def org_of(provider: object) -> str:
    """Id of the organisation whose provider it is; empty: the operator's."""
    return str(getattr(provider, _ORG, ""))


class Realm(msgspec.Struct, frozen=True):
    """Whom a provider of an organisation is for."""

    slug: str
    domains: frozenset[str]
    """The organisation's verified ones."""


def realm_of(provider: object) -> Realm | None:
    """Whom it is for; None: for everybody."""
    found: Realm | None = getattr(provider, _REALM, None)
    return found


def meant(realms: Mapping[str, Realm | None], hints: Mapping[str, str]) -> list[str]:
    """Which of these providers are offered, by name: those for everybody, or those of the organisation that is meant.

    Meant is that of the slug `org`, else that of the address `login_hint`. Threat: a list of customers, which whoever
    asks for the page would have.
    """
    domain = hints.get("login_hint", "").rpartition("@")[2].strip().lower()
    org = hints.get("org", "")
    theirs = [
        name
        for name, realm in realms.items()
        if realm is not None and (realm.slug == org if org else domain in realm.domains)
    ]
    return theirs or [name for name, realm in realms.items() if realm is None]


def issuer_here(provider: object, issuer: str) -> str:
    """What accounts at this issuer are kept under here, when this provider names it."""
    org_id = org_of(provider)
    return issuer_in(org_id, issuer) if org_id else issuer


def _changed(flow: Callable[..., Flow[T]], change: Callable[[T], T]) -> Callable[..., Flow[T]]:
    def run(*arguments: Any) -> Flow[T]:
        return change((yield from flow(*arguments)))

    return run


def _rechecked(
    flow: Callable[..., Flow[Identity]], org: Organisation, of: Callable[[Identity], Identity]
) -> Callable[..., Flow[Identity]]:
    """It is asked about the account as it knows it, and what it says is kept as everything is."""

    def run(identity: Identity, tokens: Tokens, now: float) -> Flow[Identity]:
        asked = replace(identity, issuer=identity.issuer.removeprefix(issuer_in(org.id, "")))
        return of((yield from flow(asked, tokens, now)))

    return run
