"""App tokens: people make, see and revoke them here; whoever shows one acts as the person who made it.

A token is nobody's session: signing out everywhere leaves it. Blocking or deleting its user ends it for good. It is as
good as what is known of its user without them (`core.vouched`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from vestibule.core import app_token
from vestibule.core.app_token import Wish
from vestibule.core.lifetimes import USUAL
from vestibule.core.limit import Limit
from vestibule.core.lockout import Counter, network_of
from vestibule.core.recent import Recent
from vestibule.core.route import Host
from vestibule.core.session import ID_BYTES, SEEN_EVERY_S, hash_of
from vestibule.errors import Conflict, CredentialRefused, Invalid, NotFound, StoreError, TooManyTries
from vestibule.model import AppToken, Bounds, Caller, Identity, Secret
from vestibule.observe import clock
from vestibule.protocol import base64url
from vestibule.protocol.authorization import bearer_of
from vestibule.service.people import KNOWN, People
from vestibule.service.sessions import USER, Find
from vestibule.service.tries import SharedTries
from vestibule.service.unchanged import Unchanged
from vestibule.store import base
from vestibule.store.base import Bearer, Page

KIND: Final = "app_token"
"""Of a `Caller`."""
CREDENTIAL: Final = "credential"
"""Kind of change: the credential `KIND:ID` of callers was revoked."""
AT_MOST: Final = 100
"""How many one person may have, those that have expired and are still listed among them."""
LISTED_S: Final = 30 * 24 * 3600.0
"""For how long a token is listed after it has expired."""
FAILURES_MAX: Final = 20
"""Wrong tokens an address (of IPv6 its first 64 bits) may send in a window; more, and only tokens that are known
already are good from there."""
WINDOW_S: Final = 60.0
_WRONG_MAX: Final = 1000


class Found(msgspec.Struct, frozen=True):
    """A token that is good, and who its bearer is known to be."""

    token: AppToken
    identities: tuple[Identity, ...]
    """By whatever client; a host believes some."""
    until: float
    """Until when that can be said."""


class AppTokens:
    """Makes, lists, finds and revokes app tokens. Every method may raise StoreError."""

    def __init__(
        self,
        store: base.AppTokens,
        people: People,
        changes: base.Changes,
        *,
        life_max_s: float = USUAL.app_token_s,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._people = people
        self._changes = changes
        self._random = random
        self.life_max_s = life_max_s

    def faults_of(self, wish: Wish) -> dict[str, str]:
        """What is wrong with a wish, as `core.app_token.faults_of` says."""
        return app_token.faults_of(wish, life_max_s=self.life_max_s)

    async def mint(self, user_id: str, wish: Wish, now: float) -> tuple[AppToken, Secret]:
        """A new token as it is listed, and the token itself, which is nowhere else; durable on return.

        Raises Invalid, Conflict `too_many_tokens`. Does NOT check that the person may make one for that host.
        """
        if faults := self.faults_of(wish):
            raise Invalid(tuple(faults.items()))
        token = AppToken(
            id=base64url.encode(self._random(ID_BYTES)),
            user_id=user_id,
            name=wish.name,
            host=wish.host,
            prefixes=wish.prefixes,
            methods=wish.methods,
            created_at=now,
            expires_at=now + wish.life_s,
        )
        text = app_token.written(self._random(app_token.RANDOM_BYTES))
        if not await self._store.create(token, hash_of(text), at_most=AT_MOST):
            raise Conflict(
                f"One person can have {AT_MOST} app tokens: revoke one first.", code="too_many_tokens"
            )
        return token, Secret(text)

    async def of_user(self, user_id: str) -> tuple[AppToken, ...]:
        """A user's tokens, the oldest first, those that have expired lately too."""
        return await self._store.of_user(user_id)

    async def list(self, page: Page) -> tuple[Bearer, ...]:
        """One page of all tokens, the oldest first, each with whose it is."""
        return await self._store.list(page)

    async def revoke(self, user_id: str, token_id: str) -> None:
        """End a user's token at once and everywhere. Raises NotFound."""
        was_there = await self._store.delete(user_id, token_id)
        self._changes.publish(KNOWN, user_id)
        self._changes.publish(CREDENTIAL, f"{KIND}:{token_id}")
        await self._changes.settle()
        if not was_there:
            raise NotFound("There is no such app token.")

    async def find(self, token_hash: bytes, now: float) -> Found | None:
        """The token with this hash if it is good, with who its bearer is; or None."""
        bearer = await self._store.by_hash(token_hash, now)
        if bearer is None:
            return None
        known = await self._people.known(bearer.user, now)
        return Found(bearer.token, known.identities, min(known.until, bearer.token.expires_at))

    async def seen(self, seen: tuple[tuple[str, float], ...]) -> None:
        """Keep when tokens (by id) were last used."""
        await self._store.seen(seen)

    async def sweep(self, now: float, limit: int) -> int:
        """Forget at most `limit` of those that have expired long ago; how many went."""
        return await self._store.sweep(now - LISTED_S, limit)


class _Cached:
    """Who the bearer of a token is at one host."""

    __slots__ = ("caller", "read_mono", "seen_at", "until", "user_id")

    def __init__(
        self, caller: Caller, user_id: str, *, until: float, read_mono: float, seen_at: float
    ) -> None:
        self.caller = caller
        self.user_id = user_id
        self.until = until
        self.read_mono = read_mono
        self.seen_at = seen_at


_Key = tuple[bytes, bytes]
"""A token's hash, and the name of the host."""


class Bearers:
    """Judges app tokens that requests show: a cache in front of `AppTokens.find`.

    It is kept true as that of sessions is (`service.sessions`): a change made here empties it before the change
    returns, and while no heartbeat says that none was made elsewhere, an entry older than a second is read again.
    Threat: somebody who tries tokens. Each has 256 random bits and is looked up by its hash, so it is the store that is
    spared here: by the checksum, by what was wrong a moment ago, and by a limit on each address.
    """

    def __init__(
        self,
        find: Callable[[bytes, float], Awaitable[Found | None]],
        changes: base.Changes,
        *,
        now: Callable[[], float] = clock.now,
        mono: Callable[[], float] = time.monotonic,
        grace_s: float = USUAL.grace_s,
        capacity: int = 10_000,
        shared: SharedTries | None = None,
        affiliated: Find | None = None,
    ) -> None:
        """`shared`: what other processes count; None: there is none but this one.

        `affiliated`: what the gateway itself says of a user; raises StoreError.
        """
        self._affiliated = affiliated
        self._shared = shared
        self._find = find
        self._now = now
        self._mono = mono
        self._grace_s = grace_s
        self._capacity = capacity
        self._cached: dict[_Key, _Cached] = {}
        self._of_user: dict[str, set[_Key]] = {}
        self._wrong: Recent[bytes, float] = Recent(_WRONG_MAX)
        self._failures = Limit(FAILURES_MAX, WINDOW_S)
        self._seen: dict[str, float] = {}
        self._unchanged = Unchanged(changes, mono)
        changes.subscribe(KNOWN, self._forget_user)
        changes.subscribe(USER, self._forget_user)

    def takes(self, _host: Host, authorization: bytes) -> bool:
        """True for what looks like an app token, whether or not this host takes any: no backend is to see one."""
        return bool(_token_in(authorization))

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        """The bearer if the cache may answer for it; None says nothing but: ask `load`."""
        cached = self._cached.get((hash_of(_token_in(authorization)), host.name))
        if cached is None or self._now() >= cached.until or not self._unchanged.holds(cached.read_mono):
            return None
        self._touch(cached)
        return cached.caller

    async def load(self, host: Host, authorization: bytes, address: str, now: float) -> Caller:
        """The bearer. Raises CredentialRefused, TooManyTries, StoreError.

        While the store is away, one that was known less than `grace_s` ago is still answered.
        """
        text = _token_in(authorization)
        token_hash = hash_of(text)
        key = token_hash, host.name
        if not host.app_tokens or self._wrong.get(token_hash, now) > now:
            raise _invalid()
        if not app_token.is_token(text):
            raise self._refusal(token_hash, address, now)
        if key not in self._cached and (wait_s := self._wait_s(address, now)):
            raise TooManyTries("too many wrong tokens came from this address", wait_s=wait_s)
        count, mono = self._unchanged.count, self._mono()
        try:
            found = await self._find(token_hash, now)
            own = await self._own(found) if found is not None else None
        except StoreError:
            cached = self._cached.get(key)
            if cached is not None and now < cached.until and self._mono() - cached.read_mono < self._grace_s:
                return cached.caller
            raise
        if found is None:
            self._drop(key)
            if self._shared is not None:
                await self._shared.failed(_counters(address), now)
            raise self._refusal(token_hash, address, now)
        cached = self._made(host, found, own, self._cached.get(key), mono)
        if count == self._unchanged.count:
            self._keep(key, cached)
        self._touch(cached)
        return cached.caller

    def forget(self) -> None:
        """Other providers or hosts are in force: whatever was cached may be another now."""
        self._unchanged.changed()
        self._cached.clear()
        self._of_user.clear()

    async def flush(self, write: Callable[[tuple[tuple[str, float], ...]], Awaitable[None]]) -> None:
        """Have it written when tokens were last used; after a StoreError the notes are kept for the next time."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            await write(tuple(seen.items()))
        except StoreError:
            self._seen = seen | self._seen
            raise

    async def _own(self, found: Found) -> Identity | None:
        """What the gateway itself says of the bearer."""
        if self._affiliated is None:
            return None
        return await self._affiliated(found.token.user_id, found.identities)

    def _made(
        self, host: Host, found: Found, own: Identity | None, before: _Cached | None, read_mono: float
    ) -> _Cached:
        token = found.token
        identities = tuple(one for one in found.identities if one.client in host.believed)
        caller = Caller(
            id=token.id,
            kind=KIND,
            identities=identities,
            # Nobody is told of, or let in as, a person for whom none vouches any more whom this host believes.
            user_id=token.user_id if identities else "",
            scopes=frozenset(token.scopes),
            expires_at=token.expires_at,
            bounds=Bounds(
                host=token.host,
                prefixes=tuple(prefix.encode() for prefix in token.prefixes),
                methods=frozenset(method.encode() for method in token.methods),
            ),
            affiliated=own if identities else None,
        )
        if before is not None and before.caller == caller:
            caller = before.caller  # what was made for this very one is good for longer
        seen_at = max(token.seen_at or 0.0, self._seen.get(token.id, 0.0))
        return _Cached(caller, token.user_id, until=found.until, read_mono=read_mono, seen_at=seen_at)

    def _touch(self, cached: _Cached) -> None:
        now = self._now()
        if now - cached.seen_at >= SEEN_EVERY_S:
            cached.seen_at = now
            self._seen[cached.caller.id] = now

    def _keep(self, key: _Key, cached: _Cached) -> None:
        """Put it at the young end; the oldest goes when there are too many."""
        self._drop(key)
        self._cached[key] = cached
        self._of_user.setdefault(cached.user_id, set()).add(key)
        if len(self._cached) > self._capacity:
            self._drop(next(iter(self._cached)))

    def _drop(self, key: _Key) -> None:
        cached = self._cached.pop(key, None)
        if cached is not None:
            keys = self._of_user[cached.user_id]
            keys.discard(key)
            if not keys:
                del self._of_user[cached.user_id]

    def _forget_user(self, user_id: str) -> None:
        if user_id == base.EVERYTHING:
            self._unchanged.doubt()
            return
        self._unchanged.changed()
        for key in tuple(self._of_user.get(user_id, ())):
            self._drop(key)

    def _wait_s(self, address: str, now: float) -> float:
        """For how long no unknown token is looked up from there; what all processes have counted, too."""
        here_s = self._failures.wait_s(network_of(address), now)
        if here_s or self._shared is None:
            return here_s
        return self._shared.known_wait_s(_counters(address), now)

    def _refusal(self, token_hash: bytes, address: str, now: float) -> CredentialRefused:
        """The refusal of a wrong token; one that a forgotten script shows again and again is counted once a window."""
        self._failures.add(network_of(address), now)
        self._wrong.put(token_hash, now + WINDOW_S)
        return _invalid()


def _counters(address: str) -> tuple[Counter]:
    return (Counter("app token from", network_of(address), FAILURES_MAX, WINDOW_S),)


def _invalid() -> CredentialRefused:
    return CredentialRefused("this app token does not exist, has expired or was revoked")


def _token_in(authorization: bytes) -> str:
    """What looks like an app token in this value of Authorization; empty where nothing does.

    One that came by Basic is shown here as Bearer (`service.caller`).
    """
    text = bearer_of(authorization)
    return text if text.startswith(app_token.PREFIX) else ""


def told_of(token: AppToken) -> dict[str, Any]:
    """What the trail says of a token."""
    return {"name": token.name, "host": token.host, "paths": token.prefixes}
