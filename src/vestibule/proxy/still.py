"""Whether what lasts would be let in again, were it to come now: by the rules in force, as who it came as."""

from __future__ import annotations

from collections.abc import Callable

from vestibule.core import access
from vestibule.core.policy import asker_of, decide
from vestibule.core.route import Host, Route, RouteTable, is_own, serving_name
from vestibule.core.seal import KeyRing
from vestibule.core.tls import agrees
from vestibule.errors import ClientError, CredentialRefused
from vestibule.model import Allow, Session
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import value_of
from vestibule.proxy.accessing import opened
from vestibule.proxy.case import Callers, decided_by_rules, decided_for
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.secured import names_on
from vestibule.proxy.view import Views
from vestibule.service.sessions import Sessions


class Still:
    """Looks once more at exchanges under way (`proxy.lasting`)."""

    def __init__(
        self, sessions: Sessions, callers: Callers, ring: KeyRing, *, now: Callable[[], float]
    ) -> None:
        self._sessions = sessions
        self._callers = callers
        self._ring = ring
        self._now = now

    def use(self, table: RouteTable, views: Views) -> None:
        """Look by this table from now on."""
        self._table = table
        self._views = views

    def allows(self, exchange: Exchange, session: Session | None) -> bool:
        """Whether one by a session, as that is now, or by nobody would be let through."""
        host = self._table.host(exchange.head.host)
        path, method = exchange.head.target.path, exchange.head.method
        if host is None or not agrees(exchange.tls, host.name, host.demand):
            return False
        now, scopes = self._now(), None
        if session is not None and (session.app or _by_access(exchange.head)):
            # Threat: a WebSocket that goes on for hours by a token that was good for minutes.
            try:
                scopes = self._scopes(host, exchange.head, session, now)
            except CredentialRefused:
                return False
        if is_own(path, host):
            return True
        shown = names_on(exchange)
        return all(
            isinstance(
                decide(
                    route.policy,
                    method,
                    asker_of(session, route.policy, exchange.address, now, shown, scopes=scopes),
                ),
                Allow,
            )
            for route in self._way(host, path)
        )

    def _scopes(self, host: Host, head: RequestHead, session: Session, now: float) -> frozenset[str]:
        """What the access token is good for by which this app's session came. Raises CredentialRefused."""
        token = access.shown_in(value_of(head.authorization)) if head.authorization else b""
        shown = opened(self._ring, host, token, now)
        if not shown.is_of(session, host):
            raise CredentialRefused("it is another session's")
        return shown.scopes_in(session)

    def _way(self, host: Host, path: bytes) -> tuple[Route, ...]:
        """The routes by whose rules a request goes: the host's, and that of a serving it leads to."""
        route = host.route(path)
        serving = self._table.host(serving_name(route.backend.serving)) if route.backend.serving else None
        return (route,) if serving is None else (route, serving.route(path))

    async def allows_credential(self, exchange: Exchange) -> bool:
        """The same for one with a credential of its own. Raises StoreError, ProviderUnavailable."""
        head = exchange.head
        authorization = value_of(head.authorization)
        if token := access.shown_in(authorization):
            return await self._allows_machine(exchange, token)
        host, reached = self._taker(head, authorization), self._table.host(head.host)
        if host is None:
            return False
        if reached is not None and not agrees(exchange.tls, reached.name, reached.demand):
            return False
        try:
            caller = await self._callers.load(host, authorization, exchange.address, self._now())
        except ClientError:
            return False
        (route, *inner), now = self._way(host, head.target.path), self._now()
        decision = decided_for(caller, head.host.decode("ascii"), route, exchange, now)
        decisions = [decision, *(decided_by_rules(caller, one, exchange, now) for one in inner)]
        if not all(isinstance(one, Allow) for one in decisions):
            return False
        return reached is host or reached is None or await self._lets_by_session(exchange, reached)

    async def _allows_machine(self, exchange: Exchange, token: bytes) -> bool:
        """The same for one by a machine's access token. Raises StoreError."""
        head, now = exchange.head, self._now()
        host = self._table.host(head.host)
        if host is None or not agrees(exchange.tls, host.name, host.demand):
            return False
        try:
            shown = opened(self._ring, host, token, now)
        except CredentialRefused:
            return False
        caller = shown.caller
        for name in shown.access.rests_on:
            if not await self._callers.load_key(name, now):
                return False
        return caller is not None and all(
            isinstance(decided_by_rules(caller, one, exchange, now), Allow)
            for one in self._way(host, head.target.path)
        )

    async def _lets_by_session(self, exchange: Exchange, host: Host) -> bool:
        """Whether a host lets in who shows its serving a credential: by their session. Raises StoreError."""
        view = self._views.of(host.name, exchange.listener)
        handle = (view.taken(exchange.head).value or b"").decode("latin-1")
        known = self._sessions.peek(handle) or await self._sessions.load(handle)
        is_good = known is not None and known.host == view.realm and not known.app
        session = known if is_good else None
        policy = host.route(exchange.head.target.path).policy
        asker = asker_of(session, policy, exchange.address, self._now(), names_on(exchange))
        return isinstance(decide(policy, exchange.head.method, asker), Allow)

    def _taker(self, head: RequestHead, authorization: bytes) -> Host | None:
        """Who takes this credential: the host, or the serving it leads to; None: nobody."""
        host = self._table.host(head.host)
        serving = host.route(head.target.path).backend.serving if host is not None else ""
        for one in (host, self._table.host(serving_name(serving)) if serving else None):
            if one is not None and one.takes_callers and self._callers.takes(one, authorization):
                return one
        return None


def _by_access(head: RequestHead) -> bool:
    """Whether it came by an access token, whoever's session that is of."""
    return bool(head.authorization and access.shown_in(value_of(head.authorization)))
