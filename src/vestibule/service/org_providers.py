"""The identity providers of organisations: each has its own, which follow what happens to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from vestibule.core.organisation import Organisation, is_providers_id
from vestibule.errors import Conflict, Invalid, NotFound
from vestibule.observe import clock
from vestibule.service.offer import Listed
from vestibule.service.registry import Registry
from vestibule.store import base

AT_MOST: Final = 10


class OrgProviders:
    """Providers of organisations, in the registry of all. Every method may raise StoreError."""

    def __init__(
        self,
        rows: base.IdentityProviders,
        registry: Registry,
        end_sessions: Callable[[str], Awaitable[object]],
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._rows = rows
        self._registry = registry
        self._end_sessions = end_sessions
        self._now = now

    async def of(self, org: Organisation) -> tuple[Listed, ...]:
        """An organisation's, the oldest first."""
        return tuple([await self._registry.get(row.id) for row in await self._kept(org.id)])

    async def get(self, org: Organisation, provider_id: str) -> Listed:
        """One of an organisation's. Raises NotFound, also for another's."""
        await self._check(org, provider_id)
        return await self._registry.get(provider_id)

    async def create(self, org: Organisation, document: Mapping[str, Any]) -> Listed:
        """A new one, in force on return. Raises Invalid, Conflict (`taken`, `duplicate`, `too_many`)."""
        if not is_providers_id(org.slug, str(document.get("id"))):
            raise Invalid((("id", f'begins with "{org.slug}."'),))
        if len(await self._kept(org.id)) >= AT_MOST:
            raise Conflict(f"An organisation has {AT_MOST} identity providers at most.", code="too_many")
        return await self._registry.create(document, org.id)

    async def patch(
        self, org: Organisation, provider_id: str, patch: Mapping[str, Any], *, version: int | None
    ) -> Listed:
        """It after the change (RFC 7396). Raises as `Registry.patch` does."""
        await self._check(org, provider_id)
        return await self._registry.patch(provider_id, patch, version=version)

    async def delete(self, org: Organisation, provider_id: str, *, version: int | None) -> None:
        """Delete it; its sessions are over. Raises NotFound, Conflict `changed`."""
        await self._check(org, provider_id)
        await self._registry.delete(provider_id, version=version)

    async def is_called(self, name: str) -> bool:
        """Whether some provider, or whatever else rules name before a `/`, is called so, in any case."""
        known = (*self._registry.names(), *(row.id for row in await self._rows.all()))
        return name.casefold() in {one.casefold() for one in known}

    async def delete_of(self, org_id: str) -> None:
        """Delete all of an organisation's; their sessions are over."""
        for row in await self._kept(org_id):
            await self._registry.delete(row.id)

    async def domains_changed(self, org_id: str, *, is_less: bool) -> None:
        """Have them believed within the domains that it has now; `is_less`: their sessions are over."""
        for row in await self._kept(org_id):
            # So that other processes see that there is something to read.
            await self._rows.update(msgspec.structs.replace(row, updated_at=self._now()), row.version)
        await self._registry.reload()
        for row in await self._kept(org_id) if is_less else ():
            await self._end_sessions(row.id)

    async def _kept(self, org_id: str) -> tuple[base.ProviderRow, ...]:
        return tuple(row for row in await self._rows.all() if row.org_id == org_id)

    async def _check(self, org: Organisation, provider_id: str) -> None:
        row = await self._rows.get(provider_id)
        if row is None or row.org_id != org.id:
            raise NotFound(f"There is no identity provider {provider_id}.")
