"""Who may use the admin API: whoever can open its Unix socket, and whoever has an admin token."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from vestibule.core import scope as scope_rules
from vestibule.core.limit import Limit
from vestibule.core.lockout import Counter, network_of
from vestibule.core.recent import Recent
from vestibule.core.session import HANDLE_BYTES, ID_BYTES, hash_of, is_handle
from vestibule.errors import ClientError, Invalid
from vestibule.model import AdminToken, Secret
from vestibule.protocol import base64url
from vestibule.service.tries import SharedTries
from vestibule.store import base

TOKEN_PREFIX: Final = "vst_admin_"  # noqa: S105 - how a token begins, so that scanners of leaked secrets know it
SEEN_EVERY_S: Final = 60.0
GOOD_MAX: Final = 1000
FAILURES_MAX: Final = 20
"""Wrong tokens an address (of IPv6 its first 64 bits) may send in a window; more, and it is not listened to for the
rest of it."""
WINDOW_S: Final = 60.0
GOOD_S: Final = 600.0
"""How long a token that was good is looked up whatever else comes from its address."""


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the admin listener, as the listener saw it: what the API is given."""

    is_owner: bool
    """True when it came by the Unix socket, which the gateway's own user alone can open."""
    address: str
    """Of the TCP peer; empty for the socket."""
    request_id: str
    now: float


class AdminTokens:
    """Makes, lists, revokes and checks admin tokens.

    Threat: somebody who tries tokens, and each try asks the database. A token has 256 random bits, so it is the
    database that is kept from work here.
    """

    def __init__(
        self,
        store: base.AdminTokens,
        *,
        shared: SharedTries | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`shared`: what other processes count; None: there is none but this one."""
        self._shared = shared
        self._store = store
        self._random = random
        self._failures = Limit(FAILURES_MAX, WINDOW_S)
        self._good: Recent[bytes, float] = Recent(GOOD_MAX)

    async def create(
        self,
        name: str,
        life_s: float | None,
        now: float,
        *,
        scopes: Iterable[str] = (),
        maker: AdminToken | None = None,
    ) -> tuple[AdminToken, Secret]:
        """A new token as it is listed, and the token itself, which is nowhere else. Raises StoreError, Invalid.

        `life_s` None: until it is revoked. `maker`: the token that asks for it. One with scopes makes none that may do
        more, or lasts longer, than itself. Raises ScopeMissing.
        """
        try:
            ordered = scope_rules.in_order(scopes)
        except ValueError as exc:
            raise Invalid((("scopes", str(exc)),)) from None
        expires_at = None if life_s is None else now + life_s
        if maker is not None and maker.scopes:
            scope_rules.check_within(maker.scopes, ordered)
            ends = [at for at in (expires_at, maker.expires_at) if at is not None]
            expires_at = min(ends, default=None)
        token = AdminToken(
            id=base64url.encode(self._random(ID_BYTES)),
            name=name,
            created_at=now,
            expires_at=expires_at,
            scopes=ordered,
        )
        bearer = TOKEN_PREFIX + base64url.encode(self._random(HANDLE_BYTES))
        await self._store.create(token, hash_of(bearer))
        return token, Secret(bearer)

    async def list(self) -> tuple[AdminToken, ...]:
        """All of them, the oldest first, those that have expired too."""
        return await self._store.list()

    async def revoke(self, token_id: str, *, by: AdminToken | None = None) -> bool:
        """End it at once; False when there is no such token.

        `by`: the token that asks for it. One with scopes ends none that may do more. Raises ScopeMissing.
        """
        if by is not None and by.scopes:
            for token in await self._store.list():
                if token.id == token_id:
                    scope_rules.check_within(by.scopes, token.scopes)
        return await self._store.delete(token_id)

    async def check(self, bearer: str, address: str, now: float) -> AdminToken:
        """The token that this text is. Raises ClientError 401 `admin_token_invalid`, 429 `too_many_tries`, StoreError.

        It is looked up by its hash, so how long that takes says nothing of the tokens there are. Threat: who sends
        wrong ones from an address that services have, too (all of a machine's, on loopback), and so keeps these out.
        """
        counter = Counter("admin token from", network_of(address), FAILURES_MAX, WINDOW_S)
        token_hash = hash_of(bearer) if _is_token(bearer) else b""
        if self._good.get(token_hash, 0.0) <= now and self._is_locked(counter, now):
            raise ClientError(
                "too many wrong tokens came from this address: wait a minute, or use the Unix socket",
                code="too_many_tries",
                status=429,
            )
        token = await self._store.by_hash(token_hash, now) if token_hash else None
        if token is None:
            self._good.pop(token_hash, None)
            self._failures.add(counter.key, now)
            if self._shared is not None:
                await self._shared.failed((counter,), now)
            raise ClientError(
                "this admin token does not exist, has expired or was revoked",
                code="admin_token_invalid",
                status=401,
            )
        self._good.put(token_hash, now + GOOD_S)
        if token.seen_at is None or now - token.seen_at >= SEEN_EVERY_S:
            await self._store.seen(token.id, now)
        return token

    def _is_locked(self, counter: Counter, now: float) -> bool:
        """Whether too much came from there, to this process or to all of them as far as is known."""
        if self._failures.wait_s(counter.key, now):
            return True
        return self._shared is not None and self._shared.known_wait_s((counter,), now) > 0


def _is_token(text: str) -> bool:
    return text.startswith(TOKEN_PREFIX) and is_handle(text.removeprefix(TOKEN_PREFIX))
