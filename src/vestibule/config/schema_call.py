"""What the block of a calling interface may hold: `call`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vestibule.config.backend import Api, HttpVersion
from vestibule.config.shape import Node
from vestibule.config.value import (
    HeaderName,
    Method,
    Pattern,
    Reference,
)
from vestibule.core.listener import ListenAddress


class Auth(Node, kw_only=True):
    """A credential a call gets, and where it goes (IO's first form)."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "credential")

    name: HeaderName = HeaderName("")
    """Of the header or query parameter."""
    location: str = "header"
    """`header` or `query`."""
    credential: Reference | None = None
    """`session:CLIENT` (the person's), `secret:NAME`, `client_credentials:NAME` or `service_account:NAME`."""
    prefix: str | None = None
    """Stands before the credential; without it `Bearer ` for a token in the Authorization header, else
    nothing."""


class ApplyHeader(Node, kw_only=True):
    """A header a call gets (IO's second form).

    Exactly one of `secret`, `client_credentials` and `service_account` stands in it.
    """

    LABEL: ClassVar[str] = "the header's name"

    secret: Reference | None = None
    """Name of a `secret`, or `session:CLIENT` for the person's credential."""
    client_credentials: str = ""
    """Name of a `client_credentials` block."""
    service_account: str = ""
    """Name of a `service_account` block."""
    scopes: tuple[str, ...] = ()
    """Scopes to ask for with `service_account` or `client_credentials`, instead of those in that block."""
    prefix: str | None = None
    """As in `auth`."""


class Operation(Node, kw_only=True):
    """A named call of the API: a label in traffic and metrics, and with `only_operations` a permission."""

    LABEL: ClassVar[str] = "its ID"
    REQUIRED: ClassVar[tuple[str, ...]] = ("path",)

    method: Method = Method(b"")
    """Without it: any."""
    path: Pattern = Pattern((), rest=True)
    """As in `/v1/users/{id}`: `{…}` is any one segment, a last `/**` is everything below."""
    description: str = ""
    """For people."""


class Call(Node, kw_only=True):
    """A calling interface: a local port by which the app calls an API as the person who is signed in.

    The app sends its calls to `http://127.0.0.1:PORT/…` with the `Proxy-Session` it was given, and the
    gateway adds the person's credential. Also named `calling`; may stand inside a host, and then takes its
    handles only.

    On a loopback port the handle is a bearer secret among the programs of this machine.
    """

    LABEL: ClassVar[str] = "its ID"
    ALIASES: ClassVar[Mapping[str, str]] = {"target": "endpoint"}
    LATER: ClassVar[Mapping[str, str]] = {
        "callers": "a calling interface listens on loopback only",
        "users": "",
        "require_jwt": "a calling interface listens on loopback only",
        "atproto_auth": "",
        "credentials": "",
        "apply_query": 'write auth { location = "query" … }',
    }
    REQUIRED: ClassVar[tuple[str, ...]] = ("endpoint",)

    name: str = ""
    """For people; without it the ID."""
    port: int | None = None
    """Local port, on 127.0.0.1. This or `listen`."""
    listen: ListenAddress | None = None
    """Loopback address (`127.0.0.1:4848`, `[::1]:4848`) or `unix:PATH`. This or `port`."""
    endpoint: Api | None = None
    """The API, also named `target`: `host` or `host:443` is https; any other port needs its scheme written
    (`https://api.example.com:8443`), unless it is on loopback, which is plain http; `unix:PATH`. Of gRPC:
    `grpcs://host` (TLS), `grpc://host:port`."""
    protocol: HttpVersion | None = None
    """`http2`: the API is called by HTTP/2 and nothing else, as those of gRPC are; over TLS agreed on by ALPN. The app
    calls the port by HTTP/1.1 or by HTTP/2 without TLS. The same as `grpcs://` and `grpc://` in `endpoint`."""
    insecure: bool = False
    """True: the API's certificate is not checked. Only for testing: who stands between gets the
    credentials."""
    hosts: tuple[str, ...] = ()
    """Names of the hosts whose handles it takes. Without it: those with the client it applies."""
    auth: tuple[Auth, ...] = ()
    """A credential and where it goes."""
    apply_header: tuple[ApplyHeader, ...] = ()
    """A header and the credential in it."""
    operation: tuple[Operation, ...] = ()
    """The calls by name."""
    only_operations: bool = False
    """True: what no `operation` names is refused."""
