"""Signing in without a browser: an ID token that an app got from Google's or Apple's SDK, and the app's session for it.

The same people come in as by the web: by the same rules, as the same users. Whoever must register first waits, sealed,
under a key that the app alone can use, once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from vestibule.core.app import App
from vestibule.core.authorize import audience
from vestibule.core.limit import Limit
from vestibule.core.lockout import network_of
from vestibule.core.person import shown
from vestibule.core.registration import Filled
from vestibule.core.route import Host
from vestibule.errors import ProviderInvalid
from vestibule.model import Device, Identity, Secret, User
from vestibule.protocol.authorization_server import OAuthError
from vestibule.providers.base import Native as Told
from vestibule.providers.base import NativeLogin, NativeToken, Provider, WithinDomains
from vestibule.providers.kit import Driver
from vestibule.service.authorizing import Authorizing
from vestibule.service.issuing import Issued, Person
from vestibule.service.locker import Locker
from vestibule.service.people import People
from vestibule.service.registering import REGISTER_S
from vestibule.service.visit import Visit
from vestibule.store import base

NONCE_MIN_CHARS: Final = 16
NONCE_MAX_CHARS: Final = 256
WRONG_MAX: Final = 60
"""Tokens that are none which one address may show in a window."""
WINDOW_S: Final = 600.0
_MARK: Final = "id token"
_KIND: Final = "native registration"


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What an app shows, and what it wants for it."""

    provider: str
    """ID of the client at that provider, as in paths."""
    id_token: Secret
    nonce: Secret
    user: str = ""
    """Apple's JSON of a first sign-in, as the app passes it on: nobody has signed it."""
    resource: str = ""
    scopes: tuple[str, ...] = ()


EndedSince = Callable[[Identity, float, float], Awaitable[bool]]


class Newcomer(msgspec.Struct, frozen=True, kw_only=True):
    """Who waits for their account, and what the app is to get."""

    identity: Identity
    kind: str
    """Of the client: `google`, `oidc`."""
    provider: str
    """As it was named (`Shown.provider`)."""
    host: str
    scopes: tuple[str, ...]
    until: float
    told_at: float
    """When the provider made the token."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The form comes first."""

    key: str
    """By which the app sends it."""
    newcomer: Newcomer
    name: str
    """What the form may begin with."""


class Native:
    """From ID tokens to apps' sessions. Every method may raise StoreError."""

    def __init__(  # noqa: PLR0917 - at one place
        self,
        authorizing: Authorizing,
        people: People,
        marks: base.Marks,
        locker: Locker,
        driver: Driver,
        providers: Mapping[str, Provider],
        *,
        ended_since: EndedSince,
    ) -> None:
        """`ended_since`: whether the provider has ended its session meanwhile (`service.logout`)."""
        self._ended_since = ended_since
        self._authorizing = authorizing
        self._people = people
        self._marks = marks
        self._locker = locker
        self._driver = driver
        self._wrong = Limit(WRONG_MAX, WINDOW_S)
        self.use(providers)

    def use(self, providers: Mapping[str, Provider]) -> None:
        """Take providers by full name from a new configuration."""
        self._domains = {
            name: p.email_domains for name, p in providers.items() if isinstance(p, WithinDomains)
        }
        self._logins = {
            name: p for name, p in providers.items() if isinstance(p, NativeLogin) and p.native_client_ids
        }

    async def sign_in(self, visit: Visit, app: App, wanted: Shown) -> Issued | Waiting:
        """The app's session and its tokens; or who must register first.

        Raises OAuthError for what can't be done, ProviderError where the token is not believed or its keys can't be
        had, and ClientError for who is not let in, as `People.admit` does. Spec: RFC 8693 section 2; OpenID Connect
        Core 1.0 section 3.1.3.7.
        Threat: a token made for another app (`aud`), of another sign-in (`nonce`), shown again. Does NOT prove that
        the person is there now: an SDK gives tokens without asking them.
        """
        # 1. What the app may have.
        if not set(wanted.scopes) <= set(app.scopes):
            raise OAuthError("invalid_scope", "this app may not ask for that scope")
        name = audience(app, wanted.resource, self._authorizing.hosts(visit.host))
        host = self._authorizing.host(name) if name is not None else None
        if host is None:
            raise OAuthError("invalid_target", "this app has no tokens for that")
        # 2. Who vouches there.
        login = self._login(host, wanted.provider)
        # 3. Whom the token is about.
        if not NONCE_MIN_CHARS <= len(wanted.nonce.reveal()) <= NONCE_MAX_CHARS:
            raise OAuthError("invalid_request", f"nonce is needed, {NONCE_MIN_CHARS} characters at least")
        found = await self._told(visit, login, wanted)
        identity = found.identity
        # 4. As by the web: known, new, or not let in.
        user = await self._admit(host, identity, login.kind, visit.now)
        scopes = wanted.scopes or app.scopes
        if user is not None:
            return await self._lasting(
                await self._begin(visit, app, host, identity, user, scopes),
                identity,
                found.told_at,
                visit.now,
            )
        # 5. The form first.
        newcomer = Newcomer(
            identity=identity,
            kind=login.kind,
            provider=wanted.provider,
            host=host.name.decode("ascii"),
            scopes=scopes,
            until=visit.now + REGISTER_S,
            told_at=found.told_at,
        )
        key = await self._locker.park(_KIND, newcomer, bound=app.id, until=newcomer.until)
        return Waiting(key=key, newcomer=newcomer, name=identity.name or found.name)

    async def newcomer(self, visit: Visit, app: App, key: str) -> Newcomer:
        """Who waits under this key of the app's. Raises OAuthError `invalid_grant`."""
        found = await self._locker.look(_KIND, key, Newcomer, bound=app.id, now=visit.now)
        if found is None:
            raise _over()
        return found

    async def register(self, visit: Visit, app: App, key: str, form: Filled) -> Issued:
        """The new user's session and its tokens, once. Raises OAuthError, and what `People.admit` raises."""
        newcomer = await self._locker.take(_KIND, key, Newcomer, bound=app.id, now=visit.now)
        if newcomer is None:
            raise _over()
        # What was configured then may be so no more.
        host = self._authorizing.host(newcomer.host)
        is_here = newcomer.host in app.hosts and newcomer.host in self._authorizing.hosts(visit.host)
        if host is None or not is_here or "native" not in app.grants:
            raise _over()
        self._login(host, newcomer.provider)
        user = await self._admit(host, newcomer.identity, newcomer.kind, visit.now, form=form)
        assert user is not None, "the form has been sent"
        issued = await self._begin(visit, app, host, newcomer.identity, user, newcomer.scopes)
        return await self._lasting(issued, newcomer.identity, newcomer.told_at, visit.now)

    def _login(self, host: Host, provider: str) -> NativeLogin:
        """The provider of this ID, where the host signs people in by it. Raises OAuthError `invalid_request`."""
        name = host.clients.get(provider, "")
        login = self._logins.get(name)
        if login is None or name not in host.sign_in:
            raise OAuthError(
                "invalid_request", "subject_issuer names no provider by which apps sign people in here"
            )
        return login

    async def _told(self, visit: Visit, login: NativeLogin, wanted: Shown) -> Told:
        """Whom the token is about, and the name that the app adds to it. Raises OAuthError, ProviderError, ClientError.

        Threat: who tries tokens, each of which costs a signature; a token that was seen on its way.
        """
        network = network_of(visit.address)
        if self._wrong.wait_s(network, visit.now):
            raise OAuthError("slow_down", "too many tokens that are not good came from there", status=429)
        self._wrong.add(network, visit.now)  # at once: many at a time are many
        is_wrong = False
        token = NativeToken(id_token=wanted.id_token, nonce=wanted.nonce, user=wanted.user, now=visit.now)
        try:
            found = await self._driver.run(login.native(token), trusted=login.is_trusted, about=login.name)
        except ProviderInvalid:
            is_wrong = True
            raise
        finally:
            if not is_wrong:
                self._wrong.take_back(network)
        if not await self._marks.consume(_MARK, found.mark, visit.now, found.until):
            raise OAuthError("invalid_request", "this ID token was shown before")
        return found

    async def _lasting(self, issued: Issued, identity: Identity, told_at: float, now: float) -> Issued:
        """The same, where the provider has not ended its session meanwhile; else ended. Raises OAuthError.

        Threat: a token from before a sign-out at the provider, shown after it, or just then. Asked once the session
        stands, so that whichever is later sees the other.
        """
        if await self._ended_since(identity, told_at, now):
            await self._authorizing.end(issued.session.id, "ended_at_provider")
            raise OAuthError("invalid_request", "the provider has ended its session meanwhile: sign in anew")
        return issued

    async def _admit(
        self, host: Host, identity: Identity, kind: str, now: float, *, form: Filled | None = None
    ) -> User | None:
        believed = {name: self._domains.get(name, ()) for name in host.sign_in}
        return await self._people.admit(identity, now, kind=kind, form=form, clients=believed)

    async def _begin(  # noqa: PLR0917 - all of them are what it is about
        self,
        visit: Visit,
        app: App,
        host: Host,
        identity: Identity,
        user: User,
        scopes: tuple[str, ...],
    ) -> Issued:
        person = Person(
            user_id=user.id,
            identities=(replace(shown(identity, user), signed_in_at=identity.signed_in_at),),
            signed_in_at=identity.signed_in_at,
        )
        device = Device(user_agent=visit.user_agent, address=visit.address)
        return await self._authorizing.issuing.begin(
            app, host, person, scopes=scopes, device=device, now=visit.now
        )


def _over() -> OAuthError:
    return OAuthError("invalid_grant", "this registration is over: sign in anew")
