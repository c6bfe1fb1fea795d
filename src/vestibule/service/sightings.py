"""How it went when providers were asked, of late, client by client: for pages that show how they do.

A note costs next to nothing and is made in every process; what stands here is what this process saw. That a person
was refused (a code that was used, a token that is dead) says nothing of the provider, and is no fault of its.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from vestibule.core.recent import Recent
from vestibule.errors import ProviderError, ProviderRefused
from vestibule.observe import clock
from vestibule.providers.kit import Ask, Discovery, Keys

CLIENTS_MAX: Final = 2000
TEXT_MAX_CHARS: Final = 300
_OURS: Final = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"})
"""What a provider says of the client, not of a person (RFC 6749 sections 4.1.2.1, 5.2)."""


class Sighting(msgspec.Struct):
    """What is known of one client."""

    discovery: tuple[str, str, str] | None = None
    """Issuer, URL and way by which its metadata was asked for last."""
    keys: tuple[str, str] | None = None
    """URL and way of its keys."""
    ok_at: float = 0.0
    error: str = ""
    error_at: float = 0.0


class Sightings:
    """One process' own."""

    def __init__(self, now: Callable[[], float] = clock.now) -> None:
        self._now = now
        self._seen: Recent[str, Sighting] = Recent(CLIENTS_MAX)

    def of(self, client: str) -> Sighting:
        """What is known of it; nothing, where nobody asked."""
        return self._seen.get(client, Sighting())

    def asks(self, client: str, ask: Ask, via: str) -> None:
        """Its provider is being asked for this."""
        if not client:
            return
        if isinstance(ask, Discovery):
            self._one(client).discovery = (ask.issuer, ask.url, via)
        elif isinstance(ask, Keys):
            self._one(client).keys = (ask.url, via)

    def well(self, client: str) -> None:
        """All that was asked was answered as it should be."""
        if client:
            self._one(client).ok_at = self._now()

    def wrong(self, client: str, error: ProviderError) -> None:
        """The provider failed, or doesn't know the client."""
        if not client:
            return
        if isinstance(error, ProviderRefused) and error.error not in _OURS:
            return
        one = self._one(client)
        one.error_at = self._now()
        words = f"{error.message}: {error.detail}" if error.detail else error.message
        one.error = words[:TEXT_MAX_CHARS]

    def _one(self, client: str) -> Sighting:
        one = self._seen.get(client, None)
        if one is None:
            one = Sighting()
            self._seen.put(client, one)
        return one
