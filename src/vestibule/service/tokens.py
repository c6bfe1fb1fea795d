"""Access tokens of the app's own (client credentials, service accounts): fetched when needed, kept while they live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from vestibule.core.grant import is_due
from vestibule.model import Secret, Tokens
from vestibule.observe import clock
from vestibule.providers.base import TokenSource
from vestibule.providers.kit import Driver

REJECTED_S = 10.0
"""For so long after a rejection another one has no new token fetched."""


class _Kept(NamedTuple):
    tokens: Tokens
    obtained_at: float
    rejected_at: float
    """When one was last fetched because the API rejected the one before."""


class OwnTokens:
    """The current token of each source; memory only, since a new one can always be had."""

    def __init__(
        self, sources: Mapping[str, TokenSource], driver: Driver, *, now: Callable[[], float] = clock.now
    ) -> None:
        self._sources = sources
        self._driver = driver
        self._now = now
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def token(self, source: str, *, rejected: Secret | None = None) -> Tokens:
        """A live token; a new one when the kept one is old or equal to `rejected`. Raises ProviderError.

        However many ask at once, one fetch is made; and an API that rejects whatever it is given has a token fetched
        for it every `REJECTED_S` at most: meanwhile the kept one comes back, and its 401 stands.
        """
        async with self._locks.setdefault(source, asyncio.Lock()):
            kept = self._kept.get(source)
            now = self._now()
            rejected_at = kept.rejected_at if kept is not None else -REJECTED_S
            if kept is not None and not is_due(kept.tokens, kept.obtained_at, now):
                if kept.tokens.access_token != rejected or now - rejected_at < REJECTED_S:
                    return kept.tokens
                rejected_at = now
            tokens = await self._driver.run(self._sources[source].token(now))
            self._kept[source] = _Kept(tokens, now, rejected_at)
            return tokens
