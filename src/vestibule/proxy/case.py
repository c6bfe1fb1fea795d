"""What is judged, and what of it follows from a caller's own credential."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vestibule.core.credential import is_good_for
from vestibule.core.policy import asker_of, decide
from vestibule.core.route import Host, Route, Site
from vestibule.core.tls import Handshake
from vestibule.model import Caller, Decision, Deny, Session
from vestibule.protocol.h1 import RequestHead
from vestibule.proxy.exchange import Exchange, Listener
from vestibule.proxy.secured import names_on


class Case(Protocol):
    """What is judged: an exchange, or a question about one that an edge holds."""

    head: RequestHead
    listener: Listener
    peer: str
    address: str
    host: Host | None
    site: Site | None
    tls: Handshake | None
    """Of the connection it came by; None: that is not encrypted, or nobody knows."""
    session_id: str
    asker: Session | Caller | None
    route: bytes
    on_last: Callable[[Exchange], None] | None
    """Told when the answer turns out to have no known end; one that only lets pass never has."""

    @property
    def is_over(self) -> bool:
        """True when nobody waits for the answer any more."""


class Callers(Protocol):
    """Who shows a credential of their own (`service.caller`)."""

    def takes(self, host: Host, authorization: bytes) -> bool:
        """True where this value of Authorization is for the gateway to judge; else it is the backend's."""

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        """Whose it is, if that is known already; None says nothing but: ask `load`."""

    async def load(self, host: Host, authorization: bytes, address: str, now: float) -> Caller:
        """Whose it is. Raises ClientError (401, 429), StoreError, ProviderUnavailable."""

    def peek_key(self, key_id: str) -> bool | None:
        """Whether this key of a machine, or token, lives; None says nothing but: ask `load_key`."""

    async def load_key(self, key_id: str, now: float) -> bool:
        """Whether it lives. Raises StoreError."""


def decided_for(caller: Caller, host: str, route: Route, case: Case, now: float) -> Decision:
    """What a caller may: no more than the credential is good for, whatever the rules say."""
    head = case.head
    is_upgrade = bool(head.upgrade)
    if not is_good_for(caller.bounds, host, head.target.path, head.method, is_upgrade=is_upgrade):
        return Deny(403, "out_of_bounds", f"this {caller.kind} is not good for this address")
    return decided_by_rules(caller, route, case, now)


def decided_by_rules(caller: Caller, route: Route, case: Case, now: float) -> Decision:
    """What the rules say of a caller."""
    if route.needs_caller and not route.policy.believes(caller):
        return Deny(401, "token_required", f"this address takes another token than this {caller.kind}")
    asker = asker_of(caller, route.policy, case.address, now, names_on(case))
    return decide(route.policy, case.head.method, asker)
