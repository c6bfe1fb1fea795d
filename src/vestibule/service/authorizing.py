"""From an app's authorization request to a code, and from the code to the app's session (RFC 6749 section 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from vestibule.core.app import App, Apps
from vestibule.core.assertion import Said
from vestibule.core.authorize import Confirm, Give, Step, audience, next_step
from vestibule.core.limit import Limit
from vestibule.core.route import Host, RouteTable
from vestibule.core.seal import KeyRing
from vestibule.core.session import ID_BYTES
from vestibule.errors import ClientError
from vestibule.model import Device, Session
from vestibule.protocol import base64url
from vestibule.protocol.authorization_server import AuthorizationRequest, OAuthError, proves
from vestibule.service.assertion import Assertions
from vestibule.service.events import because
from vestibule.service.issuing import Issued, Issuing, Person
from vestibule.service.linking import bond
from vestibule.service.locker import Locker
from vestibule.service.sessions import Sessions
from vestibule.service.visit import Visit

REFUSED_MAX: Final = 300
"""Requests of programs that come to nothing which one network may send in a window, in each process."""
WINDOW_S: Final = 60.0
_NETWORKS_MAX: Final = 10_000
CODE_S: Final = 60.0
FORM_S: Final = 600.0
_CODE: Final = "code"
_FORM: Final = "app form"
_SESSION: Final = "code session"
_SINCE: Final = "authorize since"


class _Form(msgspec.Struct, frozen=True):
    """A person is being asked."""

    request: AuthorizationRequest


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """What a code stands for."""

    app: str
    redirect_uri: str
    challenge: str
    host: str
    scopes: tuple[str, ...]
    session_id: str
    """Of the browser in which it was asked for; it must live still when the code is used."""


class Authorizing:
    """Asks people, gives codes, takes them. Every method may raise StoreError."""

    def __init__(
        self,
        issuing: Issuing,
        sessions: Sessions,
        locker: Locker,
        ring: KeyRing,
        table: Callable[[], RouteTable],
        *,
        assertions: Assertions | None = None,
    ) -> None:
        """`table`: the hosts in force. `assertions`: what reads those of this gateway; None: none is taken."""
        self._assertions = assertions
        self.issuing = issuing
        self._sessions = sessions
        self._locker = locker
        self._ring = ring
        self._table = table
        self.tries = Limit(REFUSED_MAX, WINDOW_S, keys=_NETWORKS_MAX)
        """What programs asked for in vain, by the network it came from."""

    def hosts(self, host: Host) -> tuple[str, ...]:
        """Those for which tokens are given on this one: itself, or those that sign people in here."""
        domain = host.domain
        if domain is None:
            return (host.name.decode("ascii"),)
        if domain.auth != host.name:
            return ()
        found = (one for one in self._table().hosts.values() if one.domain == domain)
        return tuple(one.name.decode("ascii") for one in found)

    def host(self, name: str) -> Host | None:
        """The host of this name, as it is in force."""
        return self._table().host(name.encode("ascii", "replace"))

    async def live(self, session_id: str) -> Session | None:
        """The session in which somebody was asked, if it lives still."""
        return await self._sessions.by_id(session_id)

    async def end(self, session_id: str, reason: str) -> None:
        """End what was given a moment ago; durable on return."""
        with because(reason):
            await self._sessions.end(session_id)

    def host_of(self, app: App, resource: str = "") -> Callable[[str], Host | None]:
        """Finds the host of this name, where it is one of the app's still.

        Raises OAuthError `invalid_target` where `resource` names another. Spec: RFC 8707 section 2.2.
        """

        def found(name: str) -> Host | None:
            if resource and audience(app, resource, (name,)) is None:
                raise OAuthError("invalid_target", "the refresh token is for something else")
            return self.host(name) if name in app.hosts else None

        return found

    def step(
        self,
        visit: Visit,
        request: AuthorizationRequest,
        *,
        apps: Apps | None = None,
        is_confirmed: bool = False,
        since: float = 0.0,
    ) -> Step:
        """What comes next for whoever is here (`core.authorize.next_step`).

        `apps`: of which it may be; None: the configuration's.
        """
        return next_step(
            request,
            self.issuing.apps if apps is None else apps,
            hosts=self.hosts(visit.host),
            session=visit.session,
            is_confirmed=is_confirmed,
            signed_in_since=since,
        )

    def since(self, request: AuthorizationRequest, now: float) -> str:
        """What a request for a sign-in anew carries through that sign-in: when it was made, so that nobody can say.

        Threat: a page left open, whose address says that the sign-in asked for has been.
        """
        at = str(int(now))
        return f"{at}.{base64url.encode(self._ring.mac(_SINCE, _marked(request, at)))}"

    def since_in(self, request: AuthorizationRequest, text: str) -> float:
        """When it was made, by what it carries; 0 for anything else."""
        at, _, mac = text.partition(".")
        is_ours = self._ring.check_mac(_SINCE, _marked(request, at), base64url.decode(mac) or b"")
        return float(at) if is_ours and at.isdecimal() else 0.0

    async def ask(self, visit: Visit, request: AuthorizationRequest) -> str:
        """The key of a form by which the person says yes or no, good once."""
        session = _person(visit)
        return await self._locker.park(_FORM, _Form(request), bound=bond(session), until=visit.now + FORM_S)

    async def answered(self, visit: Visit, key: str) -> AuthorizationRequest:
        """The request that the form was about. Raises ClientError `form_expired`."""
        form = await self._locker.take(_FORM, key, _Form, bound=bond(_person(visit)), now=visit.now)
        if form is None:
            raise _over()
        return form.request

    async def give(self, visit: Visit, request: AuthorizationRequest, step: Give | Confirm) -> str:
        """A code for the app, good once and for a minute; durable."""
        code = Code(
            app=step.app.id,
            redirect_uri=request.redirect_uri,
            challenge=request.challenge,
            host=step.host,
            scopes=step.scopes,
            session_id=_person(visit).id,
        )
        return await self._locker.park(_CODE, code, bound=step.app.id, until=visit.now + CODE_S)

    async def take(
        self,
        app: App,
        text: str,
        *,
        verifier: str,
        redirect_uri: str,
        device: Device,
        now: float,
        resource: str = "",
    ) -> Issued:
        """The app's session and its tokens, for a code. Raises OAuthError `invalid_grant`, `invalid_target`.

        `resource`: what they are to be for, which is what the code is for (RFC 8707 section 2.2).

        Threat: a code that is shown again. It was stolen from the app, or by it: what it gave ends (RFC 6749 section
        4.1.2), by its session's id, which follows from the code, so that nothing is kept of used ones. A wrong proof
        uses it up.
        """
        session_id = self._session_id(text)
        code = await self._locker.take(_CODE, text, Code, bound=app.id, now=now)
        if code is None:
            if await self._sessions.by_id(session_id) is not None:
                with because("code_reused"):
                    await self._sessions.end(session_id)
            raise _no_code()
        if code.redirect_uri != redirect_uri or not proves(verifier, code.challenge):
            raise _no_code()
        if resource and audience(app, resource, (code.host,)) is None:
            raise OAuthError("invalid_target", "the code is for something else")
        host, session = self.host(code.host), await self._sessions.by_id(code.session_id)
        if host is None or session is None or code.host not in app.hosts:
            raise _no_code()
        person = Person(
            user_id=session.user_id, identities=session.identities, signed_in_at=session.signed_in_at
        )
        return await self.issuing.begin(
            app, host, person, scopes=code.scopes, device=device, now=now, session_id=session_id
        )

    async def narrowed(
        self, app: App, text: str, *, resource: str, scopes: tuple[str, ...], here: Host, now: float
    ) -> Issued:
        """A token for less, for the access token shown (`Issuing.narrowed`); `resource`: empty: for the same host."""

        def host_for(shown: str) -> Host | None:
            name = audience(app, resource or shown, self.hosts(here))
            return None if name is None else self.host(name)

        return await self.issuing.narrowed(app, text, scopes=scopes, host_for=host_for, now=now)

    async def by_assertion(
        self,
        app: App,
        text: str,
        *,
        issuer: str,
        resource: str,
        scopes: tuple[str, ...],
        here: Host,
        now: float,
    ) -> Issued:
        """A token for less, for a `Proxy-Assertion` that a backend of the app's was sent; it is over no later.

        `issuer`: base URL of where it is asked for. `resource`: empty: for the host whose backend that was.
        Raises OAuthError `unauthorized_client`, `invalid_request`, `invalid_target`, `invalid_scope`.
        Spec: RFC 8693 section 2.1.

        Threat: an assertion is seen by many (it is a header), so only an app that proves who it is may have it
        exchanged, and only for sessions that live. Which session it is of, the gateway alone can tell (`sid`).
        """
        # 1. Who asks.
        if app.is_public:
            raise OAuthError("unauthorized_client", "only an app with a secret may exchange an assertion")
        # 2. The assertion: this gateway's, for a host of this app's.
        said = self._assertions.read(text, issuer, now) if self._assertions is not None else None
        is_theirs = said is not None and said.host in app.hosts and said.host in self.hosts(here)
        session = await self._asserted(said) if said is not None and is_theirs else None
        if said is None or session is None:
            raise OAuthError(
                "invalid_request", "the subject_token is not good, or no longer, or not this app's"
            )
        # 3. For where and for what.
        name = audience(app, resource or said.host, self.hosts(here))
        host = self.host(name) if name is not None else None
        if host is None:
            raise OAuthError("invalid_target", "this app has no tokens of that session for that")
        return await self.issuing.for_session(
            app, session, host, scopes=scopes, bound=said.scopes, now=now, until=said.expires_at
        )

    async def _asserted(self, said: Said) -> Session | None:
        """The living session that an assertion is about."""
        assert self._assertions is not None, "it has read the assertion"
        for one in await self._sessions.of_user(said.user_id):
            if self._assertions.session_name(one.id, said.host) == said.session:
                return await self._sessions.by_id(one.id)
        return None

    def _session_id(self, code: str) -> str:
        return base64url.encode(self._ring.mac(_SESSION, code.encode())[:ID_BYTES])


def _marked(request: AuthorizationRequest, at: str) -> bytes:
    return msgspec.json.encode(
        [request.client_id, request.redirect_uri, request.challenge, request.state, at]
    )


def _person(visit: Visit) -> Session:
    if visit.session is None or not visit.session.user_id:
        raise _over()
    return visit.session


def _over() -> ClientError:
    return ClientError("This form is over. Nothing was given by it now.", code="form_expired")


def _no_code() -> OAuthError:
    return OAuthError("invalid_grant", "the code is not good, or no longer: begin anew")
