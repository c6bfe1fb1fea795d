"""How identity providers do, client by client: what was seen of them when they were asked for somebody's sake.

Where nobody has asked yet, and an issuer's metadata says all there is to know without a person, it is asked for here,
in the background, now and then while somebody looks: nobody waits for it, and what it came to stands in the next look.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from vestibule.admin_model import ProviderState
from vestibule.errors import ProviderError, StoreError
from vestibule.observe import clock
from vestibule.providers.kit import Discovery, Flow, Keys
from vestibule.service.flow import Driver
from vestibule.service.inventory import hosts_of
from vestibule.service.keys import KeySets, Standing
from vestibule.service.offer import Listed
from vestibule.service.registry import Registry

ASK_EVERY_S: Final = 60.0
"""How often a provider is asked for pages' sake at most."""
LONGEST_S: Final = 20.0
Found: TypeAlias = Literal["none", "ok", "failed", "unasked"]


class ProviderStates:
    """Belongs to the process that has the pages."""

    def __init__(
        self,
        registry: Registry,
        driver: Driver,
        keys: KeySets,
        places: Mapping[str, str],
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`places`: where each client of the configuration is written, by full name."""
        self._registry = registry
        self._driver = driver
        self._keys = keys
        self._places = places
        self._now = now
        self._asked_at: dict[str, float] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def all(self) -> tuple[ProviderState, ...]:
        """All clients there are, those of the database that are switched off, too, as far as that can be read."""
        try:
            listed = await self._registry.list()
        except StoreError:
            listed = self._registry.fixed()
        return tuple(map(self._state, listed))

    async def close(self) -> None:
        """Ask no more."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _state(self, listed: Listed) -> ProviderState:
        name, offer = listed.id, self._registry.offer
        config = offer.configs.get(name)
        issuer = str(getattr(config, "issuer", ""))
        seen = self._driver.sightings.of(name)
        metadata = self._metadata(name, config)
        found = _found(metadata)
        keys = self._keys.look_at_keys(seen.keys[0], via=seen.keys[1]) if seen.keys else Standing()
        if metadata is not None and (found != "ok" or not seen.keys) and name in offer.providers:
            self._ask(name, config)
        faults = "; ".join(f"{path}: {message}" if path else message for path, message in listed.faults)
        return ProviderState(
            id=name,
            type=listed.provider_type,
            source=self._places.get(name, "configuration") if listed.source != "database" else "database",
            hosts=hosts_of(offer.table, name),
            enabled=listed.enabled and not faults,
            issuer=issuer,
            discovery=found,
            discovery_at=self._ago(metadata),
            keys=len(keys.value or ()),
            keys_at=self._ago(keys),
            last_error=faults or seen.error,
            last_error_at=_moment(seen.error_at),
            last_ok_at=_moment(seen.ok_at),
            redirect_urls=listed.redirect_urls,
        )

    def _metadata(self, name: str, config: object) -> Standing | None:
        """How it stands with the client's metadata; None: it has none to be discovered."""
        asked = self._driver.sightings.of(name).discovery
        if asked is not None:
            return self._keys.look_at_metadata(asked[0], asked[1], via=asked[2])
        return Standing() if _discovers(config) else None

    def _ago(self, standing: Standing | None) -> datetime | None:
        if standing is None or standing.age_s is None:
            return None
        return _moment(self._now() - standing.age_s)

    # -- asking ---------------------------------------------------------------------------------

    def _ask(self, name: str, config: Any) -> None:
        """Have the provider asked, unless it was of late."""
        now = self._now()
        if not _discovers(config) or now - self._asked_at.get(name, 0.0) < ASK_EVERY_S:
            return
        self._asked_at[name] = now
        task = asyncio.get_running_loop().create_task(self._look(name, config), name=f"look at {name}")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _look(self, name: str, config: Any) -> None:
        provider = self._registry.offer.providers.get(name)
        if provider is None:
            return
        asked = _published(config.issuer, config.discovery_url)
        with contextlib.suppress(ProviderError, TimeoutError):
            async with asyncio.timeout(LONGEST_S):
                await self._driver.run(asked, trusted=provider.is_trusted, about=name)


def _published(issuer: str, url: str) -> Flow[None]:
    """Ask for metadata and keys, as a sign-in does."""
    document = yield Discovery(issuer, url)
    if isinstance(place := document.get("jwks_uri"), str):
        yield Keys(place, None, f"{issuer} {url}".strip())


def _discovers(config: object) -> bool:
    """True for who is known by an issuer whose metadata stands where that says."""
    return bool(getattr(config, "issuer", "")) and hasattr(config, "discovery_url")


def _found(standing: Standing | None) -> Found:
    if standing is None:
        return "none"
    if standing.failed_s is not None:
        return "failed"
    return "unasked" if standing.age_s is None else "ok"


def _moment(at: float) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at else None
