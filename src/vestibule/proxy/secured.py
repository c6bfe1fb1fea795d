"""Whether a request may come over its connection, and where it has to come instead."""

from __future__ import annotations

import base64
import functools
from typing import Final, Protocol

from vestibule.core.route import HEALTH_PATH, READY_PATH, Host
from vestibule.core.tls import ClientCertificate, Handshake, agrees, has_ended
from vestibule.errors import BadRequest
from vestibule.model import Caller, Identity
from vestibule.protocol.caching import NOT_KEPT
from vestibule.protocol.h1 import RequestHead
from vestibule.proxy.challenge import is_challenge
from vestibule.proxy.exchange import Exchange

CERTIFICATE: Final = "certificate"
_PLAIN: Final = frozenset((HEALTH_PATH.encode(), READY_PATH.encode()))
"""Platforms ask for these without TLS, and take a redirect for an illness."""


class Connected(Protocol):
    """A request, with the handshake of the connection it came by."""

    head: RequestHead
    tls: Handshake | None


class ComeByTls(Exception):
    """The request has to be sent to `url`, over TLS."""

    def __init__(self, url: bytes) -> None:
        super().__init__()
        self.url = url


def check_connection(case: Connected, host: Host, *, is_trusted: bool, now: float) -> None:
    """Nothing, where a request for this host may come over the connection. Raises ComeByTls, BadRequest (421).

    `is_trusted`: the peer is an edge, which has seen to TLS itself: it is not sent elsewhere.

    Spec: RFC 9110 section 15.5.20. Threat: the name in the handshake, by which a certificate was demanded or wasn't,
    is another than the host in the request; a client certificate that has ended, on a connection that goes on.
    """
    made, wanted = case.tls, host.demand
    if made is None and wanted is not None and not is_trusted and isinstance(case, Exchange):
        target = case.head.target
        # Some authorities follow no redirect to what a backend shows them that orders its own certificates. Only the
        # redirect is left out: rules, and who may, are those of the route.
        if not wanted.authority and (target.path in _PLAIN or is_challenge(target.path)):
            return
        base = host.base_url or f"https://{host.name.decode('ascii')}"
        if base.startswith("https://"):
            raise ComeByTls(base.encode("ascii") + target.full)
    if not agrees(made, host.name, wanted):
        raise BadRequest("this host is not served over this connection", code="misdirected", status=421)
    if has_ended(made, now):
        raise BadRequest("the client certificate has ended", code="misdirected", status=421)


def redirect(exchange: Exchange, url: bytes) -> None:
    """Send the client where it has to come; the method stays what it is."""
    exchange.decision = "own"
    lines = [b"Location: " + url, *NOT_KEPT, b"Referrer-Policy: no-referrer"]
    exchange.answer(b"HTTP/1.1 308 Permanent Redirect", lines)


def names_on(case: Connected) -> tuple[str, ...]:
    """What rules may name the client certificate by that its connection was made with; empty: there is none."""
    made = case.tls
    return made.client.known_as if made is not None and made.client is not None else ()


@functools.lru_cache(maxsize=1024)
def shown_by(client: ClientCertificate) -> Caller:
    """Who has shown the certificate, for records of requests."""
    name = client.common_name or client.subject
    identity = Identity(client=CERTIFICATE, issuer=CERTIFICATE, subject=client.subject, login=name, name=name)
    return Caller(id=client.fingerprint[:16], kind=CERTIFICATE, identities=(identity,))


def client_cert_line(client: ClientCertificate) -> bytes:
    """The certificate as backends are told of it. Spec: RFC 9440 section 2.2."""
    return b"Client-Cert: :" + base64.b64encode(client.der) + b":"
