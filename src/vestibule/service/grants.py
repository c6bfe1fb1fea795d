"""Grants: the credentials a session holds at a client, sealed in the store, and their refresh, once each.

A grant is sealed bound to (owner, client, version), so that no row can be put in the place of another. One
refresh is done per grant, across tasks, workers and nodes: callers in this process share a flight, processes
a lease that outlasts the request's hard deadline; the intent is written before the request is sent, the
result by compare-and-set, so that a sign-out meanwhile wins (DESIGN.md section 2).

A refresh whose outcome nobody knows (a crash after the intent, a broken connection) may have used up a
refresh token that rotates. The old one is tried again, and a refusal then means what it always means: sign
in again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from vestibule.core import session as rules
from vestibule.core.grant import Standing, is_alive, opened, sealed, standing
from vestibule.core.lifetimes import USUAL
from vestibule.core.seal import NONCE_BYTES, KeyRing
from vestibule.errors import CredentialGone, ProviderError, ProviderRefused, ProviderUnavailable, StoreError
from vestibule.model import Grant, Secret, Session, Tokens
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.meter import Meter
from vestibule.observe.metrics import REFRESHES
from vestibule.protocol import base64url
from vestibule.protocol.oauth2 import blames_grant
from vestibule.providers.base import SAML, Refresh, SignOut
from vestibule.providers.kit import Driver
from vestibule.service.flight import Flights
from vestibule.service.sessions import SESSION, Sessions
from vestibule.service.unchanged import Unchanged
from vestibule.store import base
from vestibule.store.base import SealedGrant

GRANT: Final = "grant"
"""Kind of change: a grant of the owner with this id was changed or dropped."""
REFRESHED: Final = "refreshed"
"""Kind of change: a grant of the owner with this id was refreshed at its provider."""
HARD_S: Final = 20.0
"""The hard deadline of a refresh's requests."""
LEASE_S: Final = 30.0
_WAIT_S: Final = (0.02, 0.05, 0.1, 0.2)
_WRITE_AGAIN_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6)

_NOTHING: Final[Mapping[str, Any]] = {}


class _Held(msgspec.Struct, frozen=True):
    """A grant as it was read."""

    grant: Grant
    expires_at: float
    read_mono: float


class Grants:
    """Credentials by (session, client). What was handed on holds its own clients' only, the others' its parent."""

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
        now: Callable[[], float] = clock.now,
        mono: Callable[[], float] = time.monotonic,
        random: Callable[[int], bytes] = secrets.token_bytes,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        grace_s: float = USUAL.grace_s,
        capacity: int = 20_000,
        meter: Meter | None = None,
        log: Log | None = None,
    ) -> None:
        self._store = store
        self._leases = leases
        self._sessions = sessions
        self._changes = changes
        self._keys = keys
        self._driver = driver
        self._now = now
        self._mono = mono
        self._random = random
        self._sleep = sleep
        self._grace_s = grace_s
        self._capacity = capacity
        self._meter = meter or Meter()
        self._log = (log or Log()).of("credentials")
        self._cache: dict[str, dict[str, _Held]] = {}
        self._unchanged = Unchanged(changes, mono)
        self._flights: Flights[Tokens] = Flights()
        self._returns: set[asyncio.Task[None]] = set()
        self.use(refreshers)
        changes.subscribe(GRANT, self._forget)
        changes.subscribe(SESSION, self._forget)

    def use(self, refreshers: Mapping[str, Refresh]) -> None:
        """Refresh at these clients, by full name; what others gave is good until it expires, and not a moment more."""
        self._refreshers = refreshers
        self._unchanged.changed()
        self._cache.clear()

    async def close(self) -> None:
        """Wait for refreshes under way: a rotated refresh token must reach the store."""
        await self._flights.close()
        await asyncio.gather(*self._returns, return_exceptions=True)

    async def keep(self, session: Session, client: str, tokens: Tokens, now: float) -> None:
        """Keep what a sign-in brought, in place of what was there; durable on return.

        Nothing is kept when the session has ended meanwhile. The session's `clients` are the caller's to
        change.
        """
        version = int.from_bytes(self._random(6), "big")  # never one that a refresh under way expects
        owner = rules.owner_of(session, client)
        grant = Grant(
            owner=owner,
            client=client,
            tokens=tokens,
            obtained_at=now,
            version=version,
            place=self._place_of(client),
        )
        await self._put(_Held(grant, session.expires_at, 0.0), None)
        if await self._sessions.by_id(session.id) is None:
            await self.drop(owner, client)

    async def drop(self, session_id: str, client: str) -> bool:
        """Forget the credentials at this client, everywhere; durable on return. False when there were none."""
        try:
            return await self._store.delete(session_id, client)
        finally:
            self._changes.publish(GRANT, session_id)
            await self._changes.settle()

    async def tokens_of(self, session_id: str, client: str) -> Tokens | None:
        """The tokens as they are kept, expired or not; None when there are none. Raises StoreError."""
        held = await self._read(session_id, client)
        return None if held is None else held.grant.tokens

    async def held_by(self, session: Session) -> tuple[Grant, ...]:
        """All that a session can use, expired or not: its own, and what its parent holds for it. Raises StoreError.

        What this key ring can't open is left out, as is what another provider of that name gave.
        """
        found = []
        for owner in dict.fromkeys((session.id, session.parent_id)):
            for row in await self._store.of(owner) if owner else ():
                grant = opened(row.sealed, self._keys, owner=owner, client=row.client, version=row.version)
                is_theirs = rules.owner_of(session, row.client) == owner
                if grant is not None and is_theirs and not self._is_of_another(grant):
                    found.append(grant)
        return tuple(found)

    def can_refresh(self, grant: Grant) -> bool:
        """True where it can be had anew without the person."""
        return grant.tokens.refresh_token is not None and grant.client in self._refreshers

    def peek(self, session_id: str, client: str) -> Tokens | None:
        """Live tokens from the cache, without waiting; None says nothing but: ask `access_token`."""
        held = self._cached(session_id, client)
        if held is None or not _is_token(held) or self._standing(held, None) is not Standing.USE:
            return None
        return held.grant.tokens

    async def access_token(self, session: Session, client: str, *, rejected: Secret | None = None) -> Tokens:
        """Tokens with a live access token, refreshed when it expired or is `rejected` (the API said 401).

        What comes back may be `rejected` itself, where nothing better is to be had: no refresh token, or a
        fresh one was rejected just before; then the API's 401 stands. While the store is away, live tokens that
        were read less than `grace_s` ago are still answered.
        Raises CredentialGone (`no_credential` where there never was one, `credential_gone` when it is dead:
        then the session's `clients` no longer name it), ProviderError (nothing has changed), StoreError.
        """
        owner = rules.owner_of(session, client)
        held = self._cached(owner, client) or await self._read_or_known(owner, client, rejected)
        if held is not None and not _is_token(held):
            raise CredentialGone(f"{client} gives no credentials.", code="no_credential")
        if held is not None and self._standing(held, rejected) is Standing.USE:
            return held.grant.tokens
        if held is None:
            if client in session.clients:
                await self._sessions.update(owner, partial(rules.without_client, client=client))
            raise CredentialGone(f"No one has signed in to {client} in this session.", code="no_credential")
        return await self._share_flight(owner, client, rejected)

    async def fresh_tokens(self, session: Session, client: str, *, max_age_s: float) -> Tokens:
        """Tokens at most this old, where they can be refreshed; else those there are, while they live.

        Raises as `access_token` does.
        """
        held = await self._read(rules.owner_of(session, client), client)
        if held is None or self._now() - held.grant.obtained_at < max_age_s:
            return await self.access_token(session, client)
        can_refresh = held.grant.tokens.refresh_token is not None and client in self._refreshers
        old = held.grant.tokens.access_token if can_refresh else None
        return await self.access_token(session, client, rejected=old)

    async def _share_flight(self, owner: str, client: str, rejected: Secret | None) -> Tokens:
        """What this process's one refresh of the grant ends in; whoever stops waiting does not stop it."""
        renewed = partial(self._renewed, owner, client, rejected)
        return await self._flights.share((owner, client), renewed, name=f"refresh {client}")

    async def _renewed(self, owner: str, client: str, rejected: Secret | None) -> Tokens:
        """Live tokens, by this process's own refresh or another's; only one at a time gets past the lease."""
        name, me = f"refresh:{owner}:{client}", base64url.encode(self._random(rules.ID_BYTES))
        give_up_mono = self._mono() + 2 * LEASE_S
        waits = itertools.chain(_WAIT_S, itertools.repeat(_WAIT_S[-1]))
        while await self._leases.acquire(name, me, self._now(), LEASE_S) is None:
            if self._mono() >= give_up_mono:
                raise ProviderUnavailable(
                    "The credentials are being refreshed elsewhere; that takes too long."
                )
            await self._sleep(next(waits))
            held, good_for = await self._look(owner, client, rejected)
            if good_for is Standing.USE:
                return held.grant.tokens
        try:
            held, good_for = await self._look(owner, client, rejected)
            if good_for is Standing.USE:
                return held.grant.tokens
            return await self._refreshed(
                held, rejected, lambda: self._leases.acquire(name, me, self._now(), LEASE_S)
            )
        finally:
            with contextlib.suppress(StoreError):  # then it runs out by itself
                await self._leases.release(name, me)

    async def _look(self, owner: str, client: str, rejected: Secret | None) -> tuple[_Held, Standing]:
        """What the store holds now, to use or to refresh. Raises CredentialGone."""
        held = await self._read(owner, client)
        if held is None:
            raise _gone(client)
        good_for = self._standing(held, rejected)
        if good_for is Standing.GONE:
            await self._lose(held)
            raise _gone(client)
        return held, good_for

    async def _refreshed(
        self, held: _Held, rejected: Secret | None, hold: Callable[[], Awaitable[object]]
    ) -> Tokens:
        """Tokens fresh from the provider, stored before anybody gets them; under the lease, which `hold` prolongs."""
        intent = await self._change(held, refreshing_since=self._now())
        if intent is None:
            return await self._what_stands(held.grant)
        client = intent.grant.client
        try:
            fresh = await self._ask(intent.grant)
            self._meter.add(REFRESHES, (client, "ok"))
            self._log.info("credential_refreshed", client=client, session=held.grant.owner)
        except ProviderRefused as exc:
            self._meter.add(REFRESHES, (client, "refused"))
            self._log.info("credential_refused", client=client, session=held.grant.owner, code=exc.error)
            if await self._lose(intent):
                raise _gone(intent.grant.client) from exc
            return await self._what_stands(held.grant)
        except ProviderError as exc:
            self._meter.add(REFRESHES, (client, "failed"))
            self._log.warning(
                "credential_not_refreshed",
                client=client,
                session=held.grant.owner,
                code=exc.code,
                detail=exc.detail or exc.message,
            )
            with contextlib.suppress(StoreError):
                if await self._change(intent, refreshing_since=None) is None:
                    return await self._what_stands(held.grant)
            if rejected is None and is_alive(held.grant.tokens, self._now()):
                return held.grant.tokens
            raise
        now = self._now()
        rejected_at = held.grant.rejected_at if rejected is None else now
        kept = await self._change_for_sure(
            intent, hold, tokens=fresh, obtained_at=now, refreshing_since=None, rejected_at=rejected_at
        )
        if kept is not None:
            self._changes.publish(REFRESHED, held.grant.owner)
            return fresh
        try:
            return await self._what_stands(held.grant)
        except CredentialGone:
            self._give_back(held.grant.client, fresh)
            raise

    def _give_back(self, client: str, fresh: Tokens) -> None:
        """Have the provider revoke, in the background, what a refresh brought that a sign-out overtook.

        Threat: tokens that nobody holds and that stay good for as long as the provider likes.
        """
        provider: object = self._refreshers.get(client)
        if isinstance(provider, SignOut):
            task = asyncio.create_task(self._revoked(provider, fresh), name=f"revoke {client}")
            self._returns.add(task)
            task.add_done_callback(self._returns.discard)

    async def _revoked(self, provider: SignOut, fresh: Tokens) -> None:
        with contextlib.suppress(ProviderError, TimeoutError):
            async with asyncio.timeout(HARD_S):
                await self._driver.run(provider.revoke(fresh, self._now()), trusted=provider.is_trusted)

    async def _ask(self, grant: Grant) -> Tokens:
        """What the provider answers. Raises ProviderRefused only where it is this grant that was refused.

        Raises CredentialGone where the client has been taken away meanwhile.
        """
        provider = self._refreshers.get(grant.client)
        if provider is None or self._is_of_another(grant):
            raise _gone(grant.client)
        flow = provider.refresh(grant.tokens, self._now())
        try:
            async with asyncio.timeout(HARD_S):
                fresh = await self._driver.run(flow, trusted=provider.is_trusted, about=grant.client)
        except TimeoutError as exc:
            raise ProviderUnavailable("The provider did not answer in time.") from exc
        except ProviderRefused as exc:
            if blames_grant(exc.error):
                raise
            raise ProviderUnavailable("The provider can't refresh credentials.", detail=exc.error) from exc
        return replace(
            fresh,
            refresh_token=fresh.refresh_token or grant.tokens.refresh_token,
            id_token=fresh.id_token or grant.tokens.id_token,
            scopes=fresh.scopes or grant.tokens.scopes,
        )

    async def _what_stands(self, grant: Grant) -> Tokens:
        """What somebody else put in the grant's place: a new sign-in's tokens.

        Raises CredentialGone: nothing.
        """
        held = await self._read(grant.owner, grant.client)
        if held is None:
            raise _gone(grant.client)
        return held.grant.tokens

    async def _lose(self, held: _Held) -> bool:
        """Drop a dead grant, and its client from the session; False when it was not there as it was read."""
        grant = held.grant
        try:
            if not await self._store.delete(grant.owner, grant.client, grant.version):
                return False
        finally:
            self._changes.publish(GRANT, grant.owner)
        await self._sessions.update(grant.owner, partial(rules.without_client, client=grant.client))
        return True

    async def _change_for_sure(
        self, held: _Held, hold: Callable[[], Awaitable[object]], **fields: Any
    ) -> _Held | None:
        """Like `_change`, tried again for some seconds: a rotated refresh token that is not kept is lost.

        Threat: a lease that runs out meanwhile, and somebody else who spends the old one again.
        """
        for wait_s in _WRITE_AGAIN_S:
            try:
                return await self._change(held, **fields)
            except StoreError:
                await self._sleep(wait_s)
            with contextlib.suppress(StoreError):
                await hold()
        return await self._change(held, **fields)

    async def _change(self, held: _Held, **fields: Any) -> _Held | None:
        """The grant with these fields, stored under the next version; None when someone else was faster."""
        grant: Grant = replace(held.grant, version=held.grant.version + 1, **fields)
        changed = _Held(grant, held.expires_at, self._mono())
        return changed if await self._put(changed, held.grant.version) else None

    async def _put(self, held: _Held, expect_version: int | None) -> bool:
        grant = held.grant
        row = SealedGrant(
            owner=grant.owner,
            client=grant.client,
            version=grant.version,
            sealed=sealed(grant, self._keys, nonce=self._random(NONCE_BYTES)),
            expires_at=held.expires_at,
        )
        try:
            return await self._store.put(row, expect_version)
        finally:
            self._changes.publish(GRANT, grant.owner)

    async def _read(self, owner: str, client: str) -> _Held | None:
        """The grant from the store; None when there is none that this key ring sealed for this place.

        Nor is there one where the client of this name is another provider now than the one that gave it.
        """
        count, mono = self._unchanged.count, self._mono()
        row = await self._store.get(owner, client)
        if row is None:
            return None
        grant = opened(row.sealed, self._keys, owner=owner, client=client, version=row.version)
        if grant is None or self._is_of_another(grant):
            return None
        held = _Held(grant, row.expires_at, mono)
        if count == self._unchanged.count:
            self._cache.setdefault(owner, {})[client] = held
            if len(self._cache) > self._capacity:
                del self._cache[next(iter(self._cache))]
        return held

    async def _read_or_known(self, owner: str, client: str, rejected: Secret | None) -> _Held | None:
        """The grant from the store; while that is away, what it said of late, where that is good as it is."""
        try:
            return await self._read(owner, client)
        except StoreError:
            known = self._cache.get(owner, _NOTHING).get(client)
            if (
                known is None
                or self._mono() - self._sessions.heard_after(known.read_mono) >= self._grace_s
                or self._standing(known, rejected) is not Standing.USE
            ):
                raise
            return known

    def _place_of(self, client: str) -> str:
        return getattr(self._refreshers.get(client), "place", "")

    def _is_of_another(self, grant: Grant) -> bool:
        """Threat: who may write providers has one lead to a server of theirs, which is then sent people's tokens."""
        return grant.client in self._refreshers and grant.place != self._place_of(grant.client)

    def _cached(self, owner: str, client: str) -> _Held | None:
        held = self._cache.get(owner, _NOTHING).get(client)
        return held if held is not None and self._unchanged.holds(held.read_mono) else None

    def _standing(self, held: _Held, rejected: Secret | None) -> Standing:
        can_refresh = held.grant.client in self._refreshers
        return standing(held.grant, can_refresh=can_refresh, rejected=rejected, now=self._now())

    def _forget(self, owner: str) -> None:
        if owner == base.EVERYTHING:
            self._unchanged.doubt()
        else:
            self._unchanged.changed()
            self._cache.pop(owner, None)


def _is_token(held: _Held) -> bool:
    """False for what only ends a session at a provider. Threat: an API that is told by it who somebody is there."""
    return held.grant.tokens.token_type != SAML


def _gone(client: str) -> CredentialGone:
    return CredentialGone(f"The credentials for {client} are gone: sign in there again.")
