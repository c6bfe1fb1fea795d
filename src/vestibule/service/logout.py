"""Providers that say that a session of theirs is over: what rests on it here ends, on every host.

```
provider ─ POST /@ID/backchannel ─ a signed logout token ─┐                       core.session: with all that was
                                                          ├─ noted ─ by_sid ─ ended   handed on; grants dropped,
browser ── GET /@ID/frontchannel?iss=&sid= ── a frame ────┘                       tokens revoked, streams cut
```

Who may end which: a logout token is signed, and names one session or all of a subject. A frame is asked for by
whoever knows issuer and `sid`; a `sid` is a name that nobody guesses, and all it is good for is to end that session.

Threat: a sign-in that is under way while the logout comes. What was ended is noted before sessions are looked for, and
a sign-in looks for such a note once its session stands: whichever comes later sees the other. A note holds for ID
tokens that are not younger than the logout, so whoever signs in anew at the provider comes in.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from vestibule.core.limit import Limit
from vestibule.core.lockout import network_of
from vestibule.core.recent import Recent
from vestibule.errors import ClientError, ProviderError, ProviderUnavailable, StoreError, TooManyTries
from vestibule.model import Identity, Secret, Session, Tokens, User
from vestibule.protocol import jose
from vestibule.protocol.logout_token import NAME_MAX_CHARS, LogoutToken
from vestibule.protocol.oidc import SKEW_S
from vestibule.providers import kit
from vestibule.providers.base import SAML, Ending, EndsSessions, Provider, SpeaksSaml, Told
from vestibule.service.confined import issuer_here
from vestibule.service.leaving import Leaving
from vestibule.service.registering import REGISTER_S
from vestibule.service.sessions import Sessions
from vestibule.store import base

NOTED_S: Final = REGISTER_S + 300.0
"""For how long an end is noted: longer than from an ID token to its session, a newcomer's form in between."""
SAME_S: Final = 2.0
"""So much older than a sign-in may a logout seem that came after it: clocks of one provider's machines."""
AWAY_S: Final = 1.0
"""How long a provider whose keys couldn't be had is asked for none because of another token."""
MISSES_MAX: Final = 60
"""Frames that one address (of IPv6 its first 64 bits) may ask for in a window, for sessions that are not here."""
MISSES_WINDOW_S: Final = 60.0
_FRAMED_MAX: Final = 10_000
_ROUNDS_MAX: Final = 20
_NOTED: Final = "ended"
_SEEN: Final = "logout"
_NAMELESS: Final = "sub without sid"
"""What of a subject is noted where a `sid` is named: sign-ins of which none is known (`_is_nameless`)."""


class Owners(Protocol):
    """Whose an account is (`service.people`)."""

    async def owner_of(self, identity: Identity) -> User | None:
        """The user this account belongs to, or None."""


class Logouts:
    """Ends what rested on a provider's session. Every method may raise StoreError."""

    def __init__(
        self,
        sessions: Sessions,
        leaving: Leaving,
        parking: base.Parking,
        owners: Owners,
        driver: kit.Driver,
    ) -> None:
        self._sessions = sessions
        self._leaving = leaving
        self._parking = parking
        self._owners = owners
        self._driver = driver
        self._providers: dict[str, Provider] = {}
        self._away: dict[str, float] = {}
        self._framed: Recent[bytes, float] = Recent(_FRAMED_MAX)
        self._misses = Limit(MISSES_MAX, MISSES_WINDOW_S)

    def use(self, providers: Mapping[str, Provider]) -> None:
        """Take providers by full name from a new configuration."""
        self._providers = dict(providers)

    # -- by the provider itself ---------------------------------------------------------------

    async def by_token(self, client: str, raw: Secret, now: float) -> tuple[Session, ...]:
        """The sessions that ended by this logout token for the client (its full name); durable on return.

        One that comes again ends nothing, and is no fault. Raises ClientError 501 `no_logout`, 400 `logout_token_…`;
        ProviderError where its keys can't be had.
        """
        return await self._by(await self._read(client, raw, now), now)

    async def by_browser(self, client: str, told: Told) -> tuple[Ending, tuple[Session, ...]]:
        """What a logout that a browser carried comes to, and the sessions that ended by it; durable on return.

        Raises ClientError 501 `no_logout`; ProviderError for what can't be believed. Spec: SAML 2.0 Profiles section
        4.4.
        """
        provider = self._providers.get(client)
        if not isinstance(provider, SpeaksSaml):
            raise ClientError("this provider has no logout of its own", code="no_logout", status=501)
        ending = await self._driver.run(
            provider.logout(told), trusted=provider.is_trusted, about=provider.name
        )
        ended: tuple[Session, ...] = ()
        for token in ending.ended:
            ended += await self._by(token, told.now)
        return ending, ended

    async def _by(self, token: LogoutToken, now: float) -> tuple[Session, ...]:
        """The sessions that ended by what is believed; none where it was told before."""
        seen = _key(token.issuer, token.jti)
        if await self._parking.parked(_SEEN, seen, now) is not None:
            return ()
        # Noted first, then looked for: see above. Marked as seen last, so that what failed can come again.
        await self._note(token, now)
        ended = await self._end_all(token, now)
        await self._parking.park(_SEEN, seen, b"", token.until)
        return ended

    async def _read(self, client: str, raw: Secret, now: float) -> LogoutToken:
        """What the token says. Threat: a flood of them that has a provider which is away asked for its keys."""
        provider = self._teller(client)
        if now < self._away.get(client, now):
            raise ProviderUnavailable("the provider was asked a moment ago, and did not answer")
        try:
            return await self._driver.run(
                provider.ended(raw, now), trusted=provider.is_trusted, about=provider.name
            )
        except ProviderError:
            self._away[client] = now + AWAY_S
            raise

    async def _note(self, token: LogoutToken, now: float) -> None:
        place = ("sid", token.sid) if token.sid else ("sub", token.subject)
        await self._park(_key(token.issuer, *place), token.issued_at, now)
        if token.sid and token.subject:
            await self._park(_key(token.issuer, _NAMELESS, token.subject), token.issued_at, now)

    async def _end_all(self, token: LogoutToken, now: float) -> tuple[Session, ...]:
        """End what the token means; a store tells of a thousand at a time."""
        ended: dict[str, Session] = {}
        for _ in range(_ROUNDS_MAX):
            if not (found := await self._meant(token)):
                break
            await self._end(found, now)
            ended |= {one.id: one for one in found}
        return tuple(ended.values())

    async def _meant(self, token: LogoutToken) -> tuple[Session, ...]:
        """The sessions of that `sid`; of that subject all, or those of which no `sid` is known."""
        found = {}
        if token.sid:
            found = {one.id: one for one in await self._sessions.by_sid(token.issuer, token.sid)}
        if token.subject:
            for one in await self._of_subject(token.issuer, token.subject):
                if not token.sid or _is_nameless(one, token):
                    found[one.id] = one
        return tuple(found.values())

    async def _of_subject(self, issuer: str, subject: str) -> tuple[Session, ...]:
        account = Identity(client="", issuer=issuer, subject=subject)
        user = await self._owners.owner_of(account)
        if user is None:
            return ()
        return tuple(
            one
            for one in await self._sessions.of_user(user.id)
            if any((known.issuer, known.subject) == (issuer, subject) for known in one.identities)
        )

    # -- by a frame in the browser ------------------------------------------------------------

    async def by_frame(
        self, client: str, issuer: str, sid: str, address: str, now: float
    ) -> tuple[Session, ...]:
        """The sessions that ended because this client's provider has a page frame ours; durable on return.

        Raises ClientError 501 `no_logout`, 400 `logout_frame`; TooManyTries. Spec: Front-Channel Logout 1.0 section 2.
        Threat: who makes sids up gets nothing into the store, and soon no answer; who knows one ends that session.
        """
        teller = self._teller(client)
        if not sid or len(sid) > NAME_MAX_CHARS or not teller.speaks_for(issuer):
            raise ClientError(
                "issuer and session of the provider must both be named", code="logout_frame", status=400
            )
        network = network_of(address)
        if wait_s := self._misses.wait_s(network, now):
            raise TooManyTries(wait_s=wait_s, detail=f"frames for sessions that are not here, from {address}")
        issuer = issuer_here(teller, issuer)
        key = _key(issuer, "sid", sid)
        self._framed.put(key, now + SKEW_S)
        found = await self._sessions.by_sid(issuer, sid)
        if not found:
            self._misses.add(network, now)
            return ()
        await self._park(key, now + SKEW_S, now)
        await self._end(found, now)
        return found

    async def frame_origins(self, client: str) -> tuple[str, ...]:
        """Where the pages may stand that frame ours: its provider's. Raises ClientError 501 `no_logout`."""
        provider = self._teller(client)
        return await self._driver.run(
            provider.frame_origins(), trusted=provider.is_trusted, about=provider.name
        )

    # -- by the person, who leaves there, too --------------------------------------------------

    async def along(self, session: Session, now: float) -> None:
        """End what else rests on the provider's sessions that this one rested on, and which are left with it.

        A provider doesn't tell whoever sent the person there; on another host the same client may hold another session.
        Raises nothing: the person's own session is over, whatever becomes of the others.
        """
        with contextlib.suppress(StoreError):
            for identity in session.identities:
                if identity.sid:
                    await self._end(await self._sessions.by_sid(identity.issuer, identity.sid), now)

    # -- of a sign-in that is under way -------------------------------------------------------

    async def is_over(self, identity: Identity, tokens: Tokens | None, now: float) -> bool:
        """True where the session of the provider that this identity came by has ended since.

        To be asked when the session here stands. What comes without an ID token has no session there.
        """
        told_at = _issued_at(tokens)
        if told_at is None and tokens is not None and tokens.token_type == SAML:
            told_at = identity.signed_in_at
        return told_at is not None and await self.ended_since(identity, told_at, now)

    async def ended_since(self, identity: Identity, told_at: float, now: float) -> bool:
        """True where the provider has ended what this identity came by at `told_at`, or was ending it just then.

        To be asked when the session here stands.
        """
        own = ("sid", identity.sid) if identity.sid else (_NAMELESS, identity.subject)
        places = [("sub", identity.subject), own]
        for place in places:
            key = _key(identity.issuer, *place)
            noted = await self._parking.parked(_NOTED, key, now)
            ended_at = max(float(noted) if noted else 0.0, self._framed.get(key, 0.0))
            if told_at <= ended_at + SAME_S and ended_at:
                return True
        return False

    # -- all of them --------------------------------------------------------------------------

    async def _end(self, found: Iterable[Session], now: float) -> None:
        """End these with all that was handed on with them; their tokens are revoked in the background."""
        tokens: dict[str, dict[str, Tokens | None]] = {}
        for session in found:
            for one in await self._family(session):
                tokens[one.id] = await self._leaving.tokens_of(one)
        ends = (self._sessions.end(session.id) for session in found)
        for outcome in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        for held in tokens.values():
            self._leaving.revoke(held, now)

    async def _family(self, session: Session) -> tuple[Session, ...]:
        theirs = await self._sessions.of_user(session.user_id) if session.user_id else ()
        return (session, *(one for one in theirs if one.parent_id == session.id))

    async def _park(self, key: bytes, ended_at: float, now: float) -> None:
        await self._parking.park(_NOTED, key, repr(ended_at).encode(), now + NOTED_S)

    def _teller(self, client: str) -> EndsSessions:
        provider = self._providers.get(client)
        if not isinstance(provider, EndsSessions):
            raise ClientError("this provider has no logout of its own", code="no_logout", status=501)
        return provider


def _is_nameless(session: Session, token: LogoutToken) -> bool:
    """By a sign-in of that subject for which no `sid` was told: it may be the one that is meant."""
    place = token.issuer, token.subject, ""
    return not session.made_by and any(
        (known.issuer, known.subject, known.sid) == place for known in session.identities
    )


def _issued_at(tokens: Tokens | None) -> float | None:
    """When the ID token was made, which was verified when it came; None without one."""
    if tokens is None or tokens.id_token is None:
        return None
    claims: dict[str, Any] = jose.unverified(tokens.id_token.reveal())
    return float(claims["iat"])


def _key(*parts: str) -> bytes:
    """The parts as one key; none of them holds a NUL."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
