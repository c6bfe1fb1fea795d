"""Grants: the credentials a session holds at a client, sealed in the store, and their refresh, once each.

A grant is sealed bound to (owner, client, version), so that no row can be put in the place of another. One
refresh is done per grant, across tasks, workers and nodes: callers in this process share a flight, processes
a lease that outlasts the request's hard deadline; the intent is written before the request is sent, the
result by compare-and-set, so that a sign-out meanwhile wins (DESIGN.md section 2).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from vestibule.core.seal import KeyRing
from vestibule.model import Secret, Session, Tokens
from vestibule.providers.base import Refresh
from vestibule.providers.kit import Flow
from vestibule.service.sessions import Sessions
from vestibule.store import base

T = TypeVar("T")


class Driver(Protocol):
    """Runs a provider's flow: fetches what it asks for (`service.flow`)."""

    async def run(self, flow: Flow[T]) -> T:
        """What the flow returns. Raises ProviderError."""


class Grants:
    """Credentials by (session, client)."""

    def __init__(
        self,
        store: base.Grants,
        leases: base.Leases,
        sessions: Sessions,
        changes: base.Changes,
        keys: KeyRing,
        *,
        refreshers: Mapping[str, Refresh],
        driver: Driver,
        now: Callable[[], float] = time.time,
        mono: Callable[[], float] = time.monotonic,
        random: Callable[[int], bytes] = secrets.token_bytes,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        raise NotImplementedError

    async def keep(self, session: Session, client: str, tokens: Tokens, now: float) -> None:
        """Keep what a sign-in brought, in place of what was there; durable on return.

        Nothing is kept when the session has ended meanwhile. The session's `clients` are the caller's to
        change.
        """
        raise NotImplementedError

    async def drop(self, session_id: str, client: str) -> bool:
        """Forget the credentials at this client. False when there were none."""
        raise NotImplementedError

    async def tokens_of(self, session_id: str, client: str) -> Tokens | None:
        """The tokens as they are kept, expired or not; None when there are none."""
        raise NotImplementedError

    def peek(self, session_id: str, client: str) -> Tokens | None:
        """Live tokens from the cache, without waiting; None says nothing but: ask `access_token`."""
        raise NotImplementedError

    async def access_token(self, session: Session, client: str, *, rejected: Secret | None = None) -> Tokens:
        """Tokens with a live access token, refreshed when it expired or is `rejected` (the API said 401).

        What comes back may be `rejected` itself, where nothing better is to be had: no refresh token, or a
        fresh one was rejected just before; then the API's 401 stands.
        Raises CredentialGone (`no_credential` where there never was one, `credential_gone` when the provider
        refused to refresh it: then the session's `clients` no longer name it), ProviderUnavailable (nothing
        has changed), StoreError.
        """
        raise NotImplementedError
