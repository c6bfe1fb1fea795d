"""The admin listener: who may reach it at all, whether the program is ready, and the way to the admin API.

There are two, each with a handler of its own: the Unix socket, which only the gateway's own user can open, and a
loopback port, where the API asks for a token. Its API answers to no web page; beside it stand the admin pages, which
look themselves at where a request comes from (`web.admin`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from vestibule.core.listener import ListenAddress
from vestibule.core.route import Host, is_own, site_of
from vestibule.errors import BadRequest, ClientError
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.traffic import Kind, Traffic
from vestibule.protocol import cookie, url
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import value_of
from vestibule.proxy.asgi import Control, bare_scope
from vestibule.proxy.exchange import Exchange, record_of_exchange
from vestibule.proxy.gateway import Gateway
from vestibule.proxy.health import METHODS, Health, tell_alive
from vestibule.proxy.refusal import Answer, Answers, Refusals, id_of
from vestibule.service.admin import Asker

BODY_LIMIT_BYTES = 256 * 1024
LABEL = b"admin"
_LOOPBACK_NAMES = frozenset((b"localhost", b"127.0.0.1", b"[::1]"))
_HEALTH = frozenset((b"/healthz", b"/readyz"))
_FOR_PROGRAMS = _HEALTH | {b"/metrics", b"/api"}


class Admin:
    """Takes the exchanges of one admin listener."""

    def __init__(
        self,
        *,
        address: ListenAddress,
        control: Control,
        ready: Callable[[], Awaitable[None]],
        answers: Answers,
        traffic: Traffic,
        log: Log,
        now: Callable[[], float] = clock.now,
        gateway: Gateway | None = None,
        host: Callable[[], Host | None] = lambda: None,
    ) -> None:
        """`ready` returns when the program can do all its work, and raises what is in the way otherwise.

        `host`: the port as a host where people sign in, as it is in force now, and None where nobody does; `gateway`
        judges those who do.
        """
        self._gateway = gateway
        self._host = host
        self._token_cookie = b"vestibule-admin-%d" % address.port
        self._is_owner = bool(address.path)
        self._names = _LOOPBACK_NAMES if address.path else _LOOPBACK_NAMES | {_name(address)}
        self._control = control
        self._health = Health(ready)
        self._refusals = Refusals(
            answers, traffic, log.of("admin").bind(listener="admin"), as_json=True, now=now
        )
        self._traffic = traffic
        self._now = now

    def handle(self, exchange: Exchange) -> None:
        """Answer it. Whatever goes wrong is a refusal."""
        exchange.on_end = self._record
        try:
            self._check_asker(exchange.head)
            host = self._host()
            if exchange.head.target.path in _HEALTH:
                self._tell_health(exchange)
            elif self._gateway is not None and host is not None and self._is_persons(exchange, host):
                # No client can ask for a host by this name: it leads there from this listener alone.
                exchange.head.authority = url.Authority(host.name, None)
                self._gateway.handle(exchange)
            else:
                self._call(exchange, host)
        except Exception as error:  # noqa: BLE001 - the boundary: an unforeseen fault lets nobody in
            self._refusals.by_failure(exchange, error)

    def refuse(self, exchange: Exchange | None, error: BadRequest, peer: str) -> Answer:
        """The answer to what can't be served."""
        return self._refusals.unread(exchange, error, peer)

    def _check_asker(self, head: RequestHead) -> None:
        """Threat: a web page that reaches a loopback port, by itself or by DNS rebinding; a forwarded socket, too.

        A browser says where a request comes from, except to plain http by a name that is not loopback: that one
        is stopped by the name. What a person types into the address bar (`none`) is nobody's page. Of a request for
        one of the admin pages only the name is looked at here.
        """
        head.upgrade = b""
        if head.host not in self._names:
            raise ClientError(
                "the admin API answers to a loopback name only", code="foreign_host", status=403
            )
        if not _is_for_programs(head.target.path):
            return
        site = head.value(b"sec-fetch-site")
        if head.value(b"origin") or (site and site != b"none"):
            raise ClientError("a web page may not call here", code="browser_call", status=403)

    # -- health -------------------------------------------------------------------------------

    def _tell_health(self, exchange: Exchange) -> None:
        if exchange.head.method not in METHODS:
            raise ClientError("it is asked with GET", code="method_not_allowed", status=405)
        if exchange.head.target.path == b"/healthz":
            tell_alive(exchange)
        else:
            self._health.tell_ready(
                exchange, lambda error: self._refusals.by_failure(exchange, error), brief=False
            )

    # -- pages and API --------------------------------------------------------------------------

    def _is_persons(self, exchange: Exchange, host: Host) -> bool:
        """True for a request about a sign-in, and for one with a session's cookie and no token's."""
        head = exchange.head
        if _is_for_programs(head.target.path):
            return False
        if is_own(head.target.path, host):
            return True
        names = cookie.parse(value_of(line) for line in head.cookies).values
        own = site_of(host, exchange.listener.scheme, exchange.listener.port).cookie.encode("ascii")
        return own in names and self._token_cookie not in names

    def _call(self, exchange: Exchange, host: Host | None) -> None:
        exchange.decision = "admin"
        asker = Asker(
            is_owner=self._is_owner,
            address=exchange.peer,
            request_id=id_of(exchange),
            now=self._now(),
        )
        scope = bare_scope(exchange) | {
            "state": {"asker": asker, "sign_in": host.base_url if host is not None else ""}
        }
        # The pages know by a cookie of theirs who is signed in; the API never looks at any.
        scope["headers"] += [(b"cookie", value_of(line)) for line in exchange.head.cookies]
        self._control.call(exchange, scope, self._on_fault, limit_bytes=BODY_LIMIT_BYTES)

    def _on_fault(self, exchange: Exchange, error: Exception) -> None:
        exchange.responder = None if exchange.status == 0 else exchange.responder
        self._refusals.by_failure(exchange, error)

    def _record(self, exchange: Exchange) -> None:
        self._traffic.add(record_of_exchange(exchange, Kind.ADMIN, LABEL, self._now()))


def _is_for_programs(path: bytes) -> bool:
    """True for what no page has to do with."""
    return path in _FOR_PROGRAMS or path.startswith(b"/api/")


def _name(address: ListenAddress) -> bytes:
    return (f"[{address.host}]" if ":" in address.host else address.host).encode("ascii")
