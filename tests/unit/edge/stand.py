"""What the tests of the front have in common: certificates, a transport in memory, and a client's side of TLS."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import ssl
from typing import Any

import trustme

from vestibule.core.certificate import Certificate, Source
from vestibule.core.listener import Met
from vestibule.core.tls import Demand, Profile
from vestibule.edge.front import Entrance, Front
from vestibule.model import Secret
from vestibule.observe.log import Log
from vestibule.protocol.address import Networks
from vestibule.service.shelf import Shelf


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@functools.cache
def clients() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@functools.cache
def certificate(*names: str) -> Certificate:
    made = authority().issue_cert(*names, key_type=trustme.KeyType.ECDSA)
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    return Certificate(
        names=names,
        chain_pem=chain,
        key_pem=Secret(made.private_key_pem.bytes().decode()),
        not_before_at=0.0,
        not_after_at=4e9,
        source=Source.LOCAL,
        fingerprint=hashlib.sha256(chain).hexdigest(),
    )


def demanding(ca: trustme.CA | None = None, profile: Profile = Profile.INTERMEDIATE) -> Demand:
    pem = ca.cert_pem.bytes() if ca is not None else b""
    return Demand(
        profile=profile, client_ca_pem=pem, authority=hashlib.sha256(pem).hexdigest() if pem else ""
    )


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, peer: str = "192.0.2.1", here: str = "192.0.2.80") -> None:
        super().__init__()
        self.peer, self.here = peer, here
        self.protocol: Any = None
        self.written = b""
        self.is_closed = self.is_aborted = self.has_ended = self.is_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": (self.peer, 4711), "sockname": (self.here, 443)}.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def taken(self) -> bytes:
        data, self.written = self.written, b""
        return data

    def write_eof(self) -> None:
        self.has_ended = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        if not self.is_closed:
            self.is_closed = self.is_aborted = True
            self.protocol.connection_lost(None)


class Upper(asyncio.Protocol):
    """What speaks when the handshake is over."""

    def __init__(self, met: Met) -> None:
        self.met = met
        self.transport: Any = None
        self.came = b""
        self.events: list[str] = []
        self.stays = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.came += data

    def eof_received(self) -> bool:
        self.events.append("ended")
        return self.stays

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")


class Stand:
    """A front with hosts, and what became of the connections."""

    def __init__(
        self, hosts: dict[str, Demand], *, tls: bool = True, proxies: tuple[str, ...] = (), **more: Any
    ) -> None:
        self.shelf = Shelf()
        for name in hosts:
            self.shelf.put(name, certificate(name))
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.front = Front(
            certificates=self.shelf if tls else None,
            demand_of={name.encode(): demand for name, demand in hosts.items()}.get,
            proxies=lambda: Networks.parse(proxies),
            log=log_to(self.events),
            **more,
        )
        self.opened: list[Upper] = []
        self.front.opened = self._opened
        self.shelf.watch(self.front._changed)

    def _opened(self, met: Met) -> Upper:
        self.opened.append(Upper(met))
        return self.opened[-1]

    def accept(self, peer: str = "192.0.2.1", here: str = "192.0.2.80") -> Wire:
        wire = Wire(peer, here)
        wire.protocol = Entrance(self.front)
        wire.protocol.connection_made(wire)
        return wire


def log_to(events: list[tuple[str, dict[str, Any]]]) -> Log:
    class Sink:
        def of(self, _component: str) -> Any:
            return self

        def __getattr__(self, _level: str) -> Any:
            return lambda event, **fields: events.append((event, fields))

    return Sink()  # type: ignore[return-value]


class Client:
    """A client's side of TLS, on a wire."""

    def __init__(
        self,
        wire: Wire,
        name: str | None = "a.test",
        *,
        alpn: tuple[str, ...] = ("h2", "http/1.1"),
        own: trustme.LeafCert | None = None,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> None:
        self.wire = wire
        self.context = context or client_context(own, alpn, most)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = self.context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=name, session=session
        )

    def step(self, size: int = 1 << 20) -> bool:
        """One flight to the server, and its answer. True when the client has done its part."""
        try:
            self.object.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        self.push(size)
        return done

    def push(self, size: int = 1 << 20) -> None:
        data = self.outgoing.read()
        for at in range(0, len(data), size):
            self.wire.protocol.data_received(data[at : at + size])
        self.incoming.write(self.wire.taken())

    def shake(self, size: int = 1 << 20) -> None:
        while not self.step(size):
            pass
        self.pull()

    def pull(self) -> bytes:
        """What the server has sent. Raises ssl.SSLError."""
        self.incoming.write(self.wire.taken())
        found = b""
        try:
            while piece := self.object.read(1 << 16):
                found += piece
        except ssl.SSLWantReadError:
            pass
        return found

    def send(self, data: bytes, size: int = 1 << 20) -> None:
        self.object.write(data)
        self.push(size)


def client_context(
    own: trustme.LeafCert | None = None,
    alpn: tuple[str, ...] = ("h2", "http/1.1"),
    most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    context.maximum_version = most
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if own is not None:
        own.configure_cert(context)
    return context
