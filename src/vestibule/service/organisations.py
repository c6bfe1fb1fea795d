"""Organisations as operators, and their own administrators, manage them.

Every change of who belongs to what is told to every process before it returns (`service.affiliated`), so that it holds
at the next request.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from vestibule.core.organisation import (
    NAME_MAX,
    SLUG,
    Affiliation,
    Domain,
    Group,
    Member,
    Organisation,
    counting,
    identity_of,
)
from vestibule.core.session import ID_BYTES
from vestibule.errors import ClientError, Conflict, Invalid, NotFound
from vestibule.model import Identity, User
from vestibule.protocol import base64url
from vestibule.service.affiliated import AFFILIATION, ORGANISATION, all_of
from vestibule.store import base
from vestibule.store.base import EVERYTHING, Page
from vestibule.store.base_organisations import Affiliations
from vestibule.store.base_organisations import Organisations as Store

RECORD: Final = "_vestibule-verification"
"""Below a domain: where its DNS says whose it is."""
TEXT: Final = "vestibule-domain-verification="
ROLES_MAX: Final = 20
DOMAINS_MAX: Final = 100
_MANY: Final = 200
"""More people than these are not told of one by one."""
_TOKEN_BYTES: Final = 24


class Providers(Protocol):
    """The identity providers of organisations (`service.registry`)."""

    async def is_called(self, name: str) -> bool:
        """Whether some provider, or whatever else rules name before a `/`, is called so, in any case."""

    async def delete_of(self, org_id: str) -> None:
        """Delete all of an organisation's; their sessions are over."""

    async def domains_changed(self, org_id: str, *, is_less: bool) -> None:
        """Have them believed within the domains that it has now; `is_less`: their sessions are over."""


class NotProven(ClientError):
    """The DNS doesn't say that the domain is the organisation's."""

    code = "domain_unproven"
    status = 409


class Organisations:
    """All of them. Every method may raise StoreError."""

    def __init__(
        self,
        store: Store,
        changes: base.Changes,
        *,
        sources: Sequence[Affiliations],
        texts: Callable[[str], Awaitable[tuple[str, ...]]],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`sources`: who says what people are affiliated with; `texts`: TXT records of a name."""
        self._store = store
        self._changes = changes
        self._sources = sources
        self._texts = texts
        self._random = random
        self._providers: Providers | None = None

    def tell(self, providers: Providers) -> None:
        """Have these follow what happens to organisations."""
        self._providers = providers

    async def create(self, slug: str, name: str, now: float) -> Organisation:
        """A new organisation. Raises Invalid, Conflict `taken`.

        Threat: one called as a provider is, so that `group:acme/ops` means what that provider calls `ops`.
        """
        faults = [("name", message) for message in _name_faults(name)]
        if not SLUG.fullmatch(slug):
            faults.append(("slug", "is made of a-z, 0-9 and - inside, at most 40 characters"))
        if faults:
            raise Invalid(tuple(faults))
        if self._providers is not None and await self._providers.is_called(slug):
            raise Conflict(f"{slug} is what rules call a provider here.", code="taken")
        org = Organisation(id=self._id(), slug=slug, name=name, created_at=now, updated_at=now)
        if not await self._store.create(org):
            raise Conflict(f"There is an organisation {slug} already.", code="taken")
        self._changes.publish(ORGANISATION, org.id)
        await self._changes.settle()
        return org

    async def get(self, slug: str) -> Organisation:
        """The organisation of this slug. Raises NotFound."""
        org = await self._store.by_slug(slug)
        if org is None:
            raise NotFound(f"There is no organisation {slug}.")
        return org

    async def list(self, page: Page) -> tuple[Organisation, ...]:
        """One page of them."""
        return await self._store.list(page)

    async def of_user(self, user_id: str) -> tuple[Organisation, ...]:
        """Those the user is a member of."""
        return await self._store.of_user(user_id)

    async def rename(self, slug: str, name: str, now: float, *, version: int | None = None) -> Organisation:
        """Give it another name. Raises NotFound, Invalid, Conflict `changed`."""
        if faults := _name_faults(name):
            raise Invalid(tuple(("name", message) for message in faults))
        org = await self.get(slug)
        if version is not None and version != org.version:
            raise _changed()
        if not await self._store.save(replace(org, name=name, updated_at=now), org.version):
            raise _changed()
        return await self.get(slug)

    async def delete(self, slug: str, *, version: int | None = None) -> Organisation:
        """Delete it with domains, members and groups, as it was; its people stay. Raises NotFound, Conflict."""
        org = await self.get(slug)
        if version is not None and version != org.version:
            raise _changed()
        if self._providers is not None:
            await self._providers.delete_of(org.id)
        await self._store.delete(org.id)
        self._changes.publish(ORGANISATION, org.id)
        await self._told((EVERYTHING,))
        return org

    async def affiliations_of(self, user_id: str) -> tuple[Affiliation, ...]:
        """All that a user is affiliated with, and who says so."""
        return tuple(sorted(await all_of(self._sources, user_id)))

    async def identity_of(self, user_id: str, identities: Sequence[Identity] = ()) -> Identity | None:
        """The same as one more identity, as rules see it of who has come with these; None: they are in nothing."""
        return identity_of(counting(await self.affiliations_of(user_id), identities))

    # -- domains ------------------------------------------------------------------------------

    async def add_domain(self, org: Organisation, domain: str, now: float) -> Domain:
        """A domain that it says is its own. Raises Conflict `taken`, `too_many`."""
        if len(await self._store.domains(org.id)) >= DOMAINS_MAX:
            raise Conflict(f"An organisation has {DOMAINS_MAX} domains at most.", code="too_many")
        token = base64url.encode(self._random(_TOKEN_BYTES))
        made = Domain(org_id=org.id, domain=domain, token=token, created_at=now)
        if not await self._store.add_domain(made):
            raise Conflict(f"{domain} can't be added: an organisation has it already.", code="taken")
        return made

    async def domains(self, org: Organisation) -> tuple[Domain, ...]:
        """All of an organisation's."""
        return await self._store.domains(org.id)

    async def domain(self, org: Organisation, domain: str) -> Domain:
        """One of an organisation's. Raises NotFound."""
        found = next((one for one in await self._store.domains(org.id) if one.domain == domain), None)
        if found is None:
            raise NotFound(f"{org.slug} has no domain {domain}.")
        return found

    async def prove_domain(self, org: Organisation, domain: str, now: float) -> Domain:
        """The domain, which its DNS says is the organisation's. Raises NotFound, NotProven, Conflict `taken`.

        ProviderUnavailable where the DNS doesn't answer.
        """
        known = await self.domain(org, domain)
        wanted = text_of(known).encode()
        texts = await self._texts(f"{RECORD}.{domain}")
        if not any(hmac.compare_digest(text.strip().encode(), wanted) for text in texts):
            raise NotProven(f"the DNS has no TXT record at {RECORD}.{domain} with the text that was given")
        return await self._verified(org, domain, "dns", now)

    async def vouch_for_domain(self, org: Organisation, domain: str, now: float) -> Domain:
        """The domain, which an operator says is the organisation's. Raises NotFound, Conflict `taken`."""
        await self.domain(org, domain)
        return await self._verified(org, domain, "operator", now)

    async def _verified(self, org: Organisation, domain: str, by: str, now: float) -> Domain:
        if not await self._store.verify(org.id, domain, by, now):
            raise Conflict(f"{domain} is another organisation's.", code="taken")
        if self._providers is not None:
            await self._providers.domains_changed(org.id, is_less=False)
        return await self.domain(org, domain)

    async def drop_domain(self, org: Organisation, domain: str) -> None:
        """It is the organisation's no more. Raises NotFound."""
        if not await self._store.drop_domain(org.id, domain):
            raise NotFound(f"{org.slug} has no domain {domain}.")
        if self._providers is not None:
            await self._providers.domains_changed(org.id, is_less=True)

    async def owner_of(self, domain: str) -> Organisation | None:
        """The organisation that has proven this domain its own."""
        return await self._store.owner_of(domain)

    # -- members ------------------------------------------------------------------------------

    async def put_member(
        self, org: Organisation, user_id: str, roles: Sequence[str] | None, now: float
    ) -> Member:
        """Make somebody who is known here a member, with these roles; None: as they are. Raises Invalid."""
        wanted = None if roles is None else _roles(roles)
        known = await self._store.member(org.id, user_id)
        if known is None:
            made = Member(org_id=org.id, user_id=user_id, roles=wanted or (), created_at=now)
            await self._store.join(made)
        if known is not None and wanted is not None:
            await self._store.set_roles(org.id, user_id, wanted)
        await self._told((user_id,))
        return await self.member(org, user_id)

    async def member(self, org: Organisation, user_id: str) -> Member:
        """The member. Raises NotFound."""
        found = await self._store.member(org.id, user_id)
        if found is None:
            raise NotFound(f"{org.slug} has no such member.")
        return found

    async def members(self, org: Organisation, page: Page) -> tuple[Member, ...]:
        """One page of them."""
        return await self._store.members(org.id, page)

    async def drop_member(self, org: Organisation, user_id: str) -> None:
        """They are a member no more, nor in a group of it. Raises NotFound."""
        was_there = await self._store.leave(org.id, user_id)
        await self._told((user_id,))
        if not was_there:
            raise NotFound(f"{org.slug} has no such member.")

    async def arrived(self, org_id: str, user: User, _identity: Identity, now: float) -> None:
        """They have come by the organisation's provider: so they are a member."""
        if await self._store.member(org_id, user.id) is None:
            await self._store.join(Member(org_id=org_id, user_id=user.id, source="provider", created_at=now))
            await self._told((user.id,))

    # -- groups -------------------------------------------------------------------------------

    async def create_group(self, org: Organisation, name: str, now: float) -> Group:
        """A new group. Raises Invalid, Conflict `taken`."""
        if faults := _name_faults(name):
            raise Invalid(tuple(("name", message) for message in faults))
        group = Group(id=self._id(), org_id=org.id, name=name, created_at=now)
        if not await self._store.create_group(group):
            raise Conflict(f"{org.slug} has a group of this name already.", code="taken")
        return group

    async def group(self, org: Organisation, group_id: str) -> Group:
        """One of the organisation's groups. Raises NotFound."""
        found = await self._store.group(org.id, group_id)
        if found is None:
            raise NotFound(f"{org.slug} has no such group.")
        return found

    async def groups(self, org: Organisation, page: Page) -> tuple[Group, ...]:
        """One page of them."""
        return await self._store.groups(org.id, page)

    async def delete_group(self, org: Organisation, group_id: str) -> None:
        """Nobody is in it any more. Raises NotFound."""
        were = await self._store.delete_group(org.id, group_id)
        await self._told(were or ())
        if were is None:
            raise NotFound(f"{org.slug} has no such group.")

    async def in_group(self, org: Organisation, group_id: str, page: Page) -> tuple[Member, ...]:
        """One page of those who are in it. Raises NotFound."""
        await self.group(org, group_id)
        return await self._store.in_group(group_id, page)

    async def add_to_group(self, org: Organisation, group_id: str, user_id: str) -> bool:
        """Put a member in; False where they are in it. Raises NotFound."""
        await self.group(org, group_id)
        await self.member(org, user_id)
        is_new = await self._store.add_to_group(org.id, group_id, user_id)
        await self._told((user_id,))
        return is_new

    async def drop_from_group(self, org: Organisation, group_id: str, user_id: str) -> None:
        """Take somebody out. Raises NotFound."""
        was_there = await self._store.drop_from_group(org.id, group_id, user_id)
        await self._told((user_id,))
        if not was_there:
            raise NotFound("There is nobody of this id in this group.")

    async def _told(self, user_ids: Iterable[str]) -> None:
        """Tell every process that these are affiliated with something else now."""
        ids = tuple(user_ids)
        for user_id in ids if len(ids) <= _MANY else (EVERYTHING,):
            self._changes.publish(AFFILIATION, user_id)
        await self._changes.settle()

    def _id(self) -> str:
        return base64url.encode(self._random(ID_BYTES))


def text_of(domain: Domain) -> str:
    """What the DNS must say at `RECORD` below the domain."""
    return f"{TEXT}{domain.token}"


def _name_faults(name: str) -> list[str]:
    faults = []
    if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
        faults.append(f"is a line of at most {NAME_MAX} characters")
    return faults


def _roles(roles: Sequence[str]) -> tuple[str, ...]:
    """The roles, each once. Raises Invalid."""
    found = tuple(dict.fromkeys(roles))
    if len(found) > ROLES_MAX:
        raise Invalid((("roles", f"are {ROLES_MAX} at most"),))
    for number, role in enumerate(found):
        if faults := _name_faults(role):
            raise Invalid(((f"roles[{number}]", faults[0]),))
    return found


def _changed() -> Conflict:
    return Conflict("It was changed meanwhile: look at it again.", code="changed")
