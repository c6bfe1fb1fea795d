"""Access tokens of the app's own (client credentials, service accounts): fetched when needed, kept while they live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from vestibule.model import Secret, Tokens
from vestibule.providers.base import TokenSource
from vestibule.providers.kit import Driver

EARLY_S = 30.0
"""A token this close to its end is not given out any more."""


class AppTokens:
    """The current token of each source; memory only, since a new one can always be had."""

    def __init__(
        self, sources: Mapping[str, TokenSource], driver: Driver, *, now: Callable[[], float] = time.time
    ) -> None:
        self._sources = sources
        self._driver = driver
        self._now = now
        self._kept: dict[str, Tokens] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def token(self, source: str, *, rejected: Secret | None = None) -> Tokens:
        """A live token; a new one when the kept one is old or equal to `rejected`. Raises ProviderError.

        However many ask at once, one fetch is made.
        """
        async with self._locks.setdefault(source, asyncio.Lock()):
            kept = self._kept.get(source)
            now = self._now()
            if kept is not None and kept.access_token != rejected and not _is_old(kept, now):
                return kept
            tokens = await self._driver.run(self._sources[source].token(now))
            self._kept[source] = tokens
            return tokens


def _is_old(tokens: Tokens, now: float) -> bool:
    return tokens.expires_at is not None and now >= tokens.expires_at - EARLY_S
