"""How connections come in where something stands before their first request: a PROXY header, a TLS handshake, or both.

::

    accepted ─▶ HEADER ─▶ HELLO ─▶ handshake (`tls_transport`) ─▶ `opened(met)`
                │ a proxy's peer    │ the context is chosen by     │ the certificate of the client is
                │ must send one     │ what the client says         │ required again
                └── without TLS ────────────────────────────────────▶ `opened(met)`

The choice is made before OpenSSL sees a byte. Python's `sni_callback` comes during the handshake: a client without a
certificate gets through where it switches to a context that requires one, and it can't see the list of protocols,
which TLS-ALPN-01 goes by.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, cast

from vestibule.core.certificate import Certificate
from vestibule.core.listener import Met
from vestibule.core.seal import KeyRing
from vestibule.core.tls import USUAL, ClientCertificate, Demand, Handshake, Profile
from vestibule.edge.client_certificate import client_of
from vestibule.edge.contexts import ACME_ALPN, Contexts
from vestibule.edge.pending import Pending
from vestibule.edge.tls_transport import Space, TlsTransport
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.protocol import client_hello, proxy_protocol
from vestibule.protocol.address import Networks, normalise
from vestibule.protocol.client_hello import ClientHello, HelloRefused, alert_record

BACKLOG: Final = 1024
HOLD_S: Final = 5.0
"""How long who comes before the certificates are read waits for them."""
ALPN: Final = ("h2", "http/1.1")
NO_PROXIES: Final = Networks()
_ACME: Final = ACME_ALPN.encode("ascii")
_PLAIN_HTTP: Final = (b"GET ", b"HEAD", b"POST", b"PUT ", b"OPTI", b"DELE", b"PATC")
_NO_CERTIFICATE: Final = "PEER_DID_NOT_RETURN_A_CERTIFICATE"
"""OpenSSL's word for it."""
_ADVICE: Final = b"This port speaks https; please ask for https://\n"
_NOT_TLS: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(_ADVICE), _ADVICE)
)


class Certificates(Protocol):
    """What is shown (`service.shelf`)."""

    @property
    def is_filled(self) -> bool:
        """False while some are still to be read."""

    def find(self, name: str) -> Certificate | None:
        """For this name."""

    def challenge(self, name: str) -> Certificate | None:
        """To the CA that validates this name."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call this when others are in force."""

    def unwatch(self, changed: Callable[[], None]) -> None:
        """Call it no more."""


class Choice(NamedTuple):
    """By what a handshake is made."""

    context: ssl.SSLContext
    handshake: Handshake
    """As far as it is known before."""
    is_challenge: bool = False


class Nobody(Exception):
    """No host here goes by that name, or none has a certificate."""


class NotYet(Exception):
    """What is wanted may be among what is still to be read."""


class Front:
    """Accepts the connections of one listening socket."""

    def __init__(
        self,
        *,
        certificates: Certificates | None,
        demand_of: Callable[[bytes], Demand | None],
        log: Log,
        proxies: Callable[[], Networks] = lambda: NO_PROXIES,
        alpn: tuple[str, ...] = ALPN,
        pending: Pending | None = None,
        now: Callable[[], float] = clock.now,
        ring: KeyRing | None = None,
    ) -> None:
        """`certificates` None: no TLS here. `demand_of`: what the host of a name asks for; None: there is no such host.

        Both it and `proxies` are asked for each connection: they say what is in force. `ring`: sessions begun here are
        resumed wherever it is, too.
        """
        self.certificates = certificates
        self._demand_of = demand_of
        self.proxies = proxies
        self.log = log.of("tls")
        self.pending = pending if pending is not None else Pending()
        self.space = Space()
        self.now = now
        self.opened: Callable[[Met], asyncio.Protocol] = _never
        self._contexts = Contexts(clock.now, ring)
        self._offered = alpn
        self._alpn = frozenset(name.encode("ascii") for name in (*alpn, "http/1.0"))
        self._servers: list[asyncio.Server] = []
        self.held: dict[Entrance, None] = {}
        """Who waits for what is still to be read."""

    async def start(self, bound: socket.socket, opened: Callable[[Met], asyncio.Protocol]) -> None:
        """Accept; each connection is given what `opened` makes of what is known of it."""
        self.opened = opened
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Entrance(self), sock=bound, backlog=BACKLOG)
        if self.certificates is not None and not self._servers:
            self.certificates.watch(self._changed)
        self._servers.append(server)

    def stop(self) -> None:
        """Accept nothing more; a handshake under way is finished, and one that is on its way to come."""
        for server in self._servers:
            server.close()
        if self.certificates is not None and not self.held:
            self.certificates.unwatch(self._changed)

    @property
    def is_empty(self) -> bool:
        """True when nobody is on the way."""
        return not self.pending

    @property
    def is_busy(self) -> bool:
        """True while somebody is, and has said something."""
        return any(isinstance(one, Entrance) and not one.is_silent for one in self.pending)

    def close_idle(self) -> None:
        """Send away who has said nothing."""
        for one in self.pending:
            if isinstance(one, Entrance) and one.is_silent:
                one.give_up("the program is going")

    def abort(self) -> None:
        """Send away whoever is on the way."""
        if self.certificates is not None:
            self.certificates.unwatch(self._changed)
        for one in self.pending:
            one.give_up("the program is gone")

    def _changed(self) -> None:
        """Other certificates are in force; with all of them read nobody waits any longer."""
        self._contexts.forget()
        if self.held and cast("Certificates", self.certificates).is_filled:
            for one in tuple(self.held):
                one.go_on_held()

    def choose(self, hello: ClientHello, address: str) -> Choice:
        """By what to shake hands with who says this, at this address of ours.

        Raises Nobody, NotYet, HelloRefused; ssl.SSLError, ValueError, OSError, where what was chosen is no good.
        Spec: RFC 6066 section 3, RFC 7301, RFC 8737. Threat: the certificate of another host is shown to who asks for
        one that isn't here; a challenge's is shown to who wants to talk HTTP.
        """
        certificates = cast("Certificates", self.certificates)
        name = hello.server_name.decode("ascii")
        # 1. A CA that validates a name: this protocol alone, a name that is pending, and nothing follows.
        if _ACME in hello.alpn:
            found = certificates.challenge(name)
            if found is None and not certificates.is_filled:
                raise NotYet
            if found is None or len(hello.alpn) != 1:
                raise HelloRefused(client_hello.NO_APPLICATION_PROTOCOL, "no such challenge is pending")
            handshake = Handshake(server_name=hello.server_name, alpn=ACME_ALPN)
            return Choice(self._contexts.of(found, USUAL, (ACME_ALPN,)), handshake, is_challenge=True)
        # 2. A protocol that nobody speaks here (Threat: ALPACA, a connection meant for a mail server).
        if hello.alpn and self._alpn.isdisjoint(hello.alpn):
            raise HelloRefused(client_hello.NO_APPLICATION_PROTOCOL, "no protocol of these is spoken here")
        # 3. The host, and its certificate; without a name, that of the address.
        host = hello.server_name or _bracketed(address)
        demand, found = self._demand_of(host), certificates.find(name or address)
        if demand is not None and found is None and not certificates.is_filled:
            raise NotYet
        if demand is None or found is None:
            raise Nobody
        handshake = Handshake(server_name=hello.server_name, names=found.names, demand=demand)
        is_recent = client_hello.TLS_1_3 in hello.versions or demand.profile is Profile.MODERN
        return Choice(self._contexts.of(found, demand, self._offered, is_recent=is_recent), handshake)

    def met(self, transport: TlsTransport, choice: Choice, peer: str) -> Met:
        """What is known once hands are shaken. Raises HelloRefused where a client certificate is lacking."""
        found = cast("ssl.SSLObject", transport.get_extra_info("ssl_object"))
        handshake, demand = choice.handshake, choice.handshake.demand
        return Met(
            peer,
            Handshake(
                server_name=handshake.server_name,
                alpn=found.selected_alpn_protocol() or "",
                version=found.version() or "",
                client=self._client(found, demand) if demand.authority else None,
                names=handshake.names,
                demand=demand,
            ),
        )

    def _client(self, found: ssl.SSLObject, demand: Demand) -> ClientCertificate:
        """The client's certificate, required once more: a resumed session brings the one it began with."""
        der = found.getpeercert(binary_form=True)
        if not der:
            raise HelloRefused(client_hello.CERTIFICATE_REQUIRED, "no client certificate")
        client = client_of(der, demand.authority)
        if client.good_until_at <= self.now():
            raise HelloRefused(client_hello.CERTIFICATE_REQUIRED, "the client certificate has ended")
        return client


def _bracketed(address: str) -> bytes:
    """The host that an address is."""
    return (f"[{address}]" if ":" in address else address).encode("ascii")


def _address_of(transport: asyncio.Transport, end: str) -> str:
    """Of an end of it; empty for a Unix socket."""
    found = transport.get_extra_info(end)
    if not isinstance(found, tuple):
        return ""
    text: str = found[0]
    return (
        normalise(text.partition("%")[0]) if ":" in text else text
    )  # of IPv4 there is one spelling from the kernel


def _never(_met: Met) -> asyncio.Protocol:
    raise RuntimeError("a connection before the start")


class Entrance(asyncio.Protocol):
    """One connection, until it is known what it is."""

    __slots__ = (
        "_buffer",
        "_choice",
        "_counted",
        "_front",
        "_held_until",
        "_is_over",
        "_must_tell",
        "_need",
        "_transport",
        "peer",
    )

    def __init__(self, front: Front) -> None:
        self._front = front
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._buffer = b""
        self._need = 1
        """So many bytes it takes at least to go on."""
        self._must_tell = False
        """A PROXY header has to come."""
        self._choice: Choice | None = None
        self._counted = ""
        self._held_until: asyncio.TimerHandle | None = None
        self._is_over = False
        self.peer = ""

    @property
    def is_silent(self) -> bool:
        """True while nothing has come of a handshake."""
        return not self._buffer and self._choice is None

    # -- the transport's calls ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer = _address_of(self._transport, "peername")
        proxies = self._front.proxies()
        self._must_tell = bool(proxies) and self.peer in proxies
        # What a proxy stands for are many clients, and what comes by a Unix socket, too.
        self._counted = "" if self._must_tell else self.peer
        self._front.pending.add(self, self._counted)
        if not self._must_tell and self._front.certificates is None:
            self._open(b"")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) < self._need or self._is_over:
            return
        try:
            if self._must_tell:
                self._read_header()
            self._go_on()
        except proxy_protocol.HeaderRefused as error:
            self._end()
            self._front.log.warning("proxy_header_refused", peer=self.peer, why=str(error))
            self._transport.abort()
        except HelloRefused as error:
            self._refuse(error.alert, str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def give_up(self, why: str) -> None:
        """Close without a word."""
        self._end()
        self._front.log.debug("connection_refused", peer=self.peer, why=why)
        self._transport.abort()

    def _go_on(self) -> None:
        if not self._must_tell and not self._is_over and len(self._buffer) >= self._need:
            self._read_hello()

    # -- steps --------------------------------------------------------------------------------

    def _read_header(self) -> None:
        told = proxy_protocol.read(self._buffer)
        if told is None:
            return
        self._must_tell = False
        self.peer = told.client or self.peer
        self._buffer, self._need = self._buffer[told.length :], 1
        if self._front.certificates is None:
            self._open(self._buffer)

    def _read_hello(self) -> None:
        if self._buffer.startswith(_PLAIN_HTTP):
            self._transport.write(_NOT_TLS)
            self._refuse(0, "a request without TLS")
            return
        if proxy_protocol.begins(self._buffer):
            self._front.log.info("proxy_header_untrusted", peer=self.peer)
            self._refuse(0, proxy_protocol.UNTRUSTED)
            return
        hello = client_hello.read(self._buffer)
        if isinstance(hello, int):
            self._need = hello
            return
        address = "" if hello.server_name else _address_of(self._transport, "sockname")
        try:
            self._choice = choice = self._front.choose(hello, address)
        except HelloRefused:
            raise
        except NotYet:
            self._hold()
        except Nobody:
            self._refuse(client_hello.UNRECOGNIZED_NAME, f"no such host: {hello.server_name.decode('ascii')}")
        except (ssl.SSLError, ValueError, OSError) as error:
            name, log = hello.server_name.decode("ascii"), self._front.log
            log.error("tls_unusable", host=name, detail=str(error))  # noqa: TRY400 - no structlog, no traceback
            self._refuse(client_hello.INTERNAL_ERROR, "certificate or authorities can't be used")
        else:
            # OpenSSL takes over, with all that was read; until it is through, the time goes on here.
            self._release()
            data, self._buffer = self._buffer, b""
            made = TlsTransport(self._transport, choice.context, self._front.space, self._shaken)
            self._transport.set_protocol(made)
            made.data_received(data)

    def _hold(self) -> None:
        """Wait until the certificates are read; meanwhile nothing more comes in."""
        if self._held_until is None:
            self._front.held[self] = None
            loop = asyncio.get_running_loop()
            self._held_until = loop.call_later(HOLD_S, self.give_up, "the certificates can't be read")
            self._transport.pause_reading()

    def _release(self) -> None:
        if self._held_until is not None:
            self._held_until.cancel()
            self._held_until = None
            self._front.held.pop(self, None)
            self._transport.resume_reading()

    def go_on_held(self) -> None:
        """All are read: its own may be among them."""
        self.data_received(b"")

    def _shaken(self, made: TlsTransport, error: Exception | None) -> asyncio.Protocol | None:
        """What speaks next; None: nobody does."""
        self._end()
        front, choice = self._front, cast("Choice", self._choice)
        if error is not None:
            self._tell_failed(choice.handshake, error)
            return None
        if choice.is_challenge:
            front.log.info(
                "challenge_shown", peer=self.peer, host=choice.handshake.server_name.decode("ascii")
            )
            return None
        try:
            met = front.met(made, choice, self.peer)
        except ValueError as refused:
            name = choice.handshake.server_name.decode("ascii")
            front.log.warning("client_certificate_refused", peer=self.peer, host=name, why=str(refused))
            made.abort()
            return None
        return front.opened(met)

    def _tell_failed(self, handshake: Handshake, error: Exception) -> None:
        """Log why hands were not shaken; of a client certificate so that it is read without asking for it."""
        log, name = self._front.log, handshake.server_name.decode("ascii")
        if handshake.demand.authority and isinstance(error, ssl.SSLError):
            if error.reason == _NO_CERTIFICATE:
                log.info("client_certificate_missing", peer=self.peer, host=name)
                return
            if isinstance(error, ssl.SSLCertVerificationError):
                why = error.verify_message
                log.info("client_certificate_refused", peer=self.peer, host=name, why=why)
                return
        log.debug("handshake_failed", peer=self.peer, why=str(error))

    def _open(self, rest: bytes) -> None:
        """It speaks as it is."""
        self._end()
        self._buffer = b""
        protocol = self._front.opened(Met(self.peer))
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if rest:
            protocol.data_received(rest)

    def _refuse(self, alert: int, why: str) -> None:
        """Close with an alert."""
        self._end()
        self._front.log.debug("handshake_refused", peer=self.peer, why=why)
        if alert:
            self._transport.write(alert_record(alert))
        self._transport.close()

    def _end(self) -> None:
        self._is_over = True
        self._release()
        self._front.pending.discard(self, self._counted)
