"""What a host and its routes may say of how requests go to the backend, and answers back."""

from __future__ import annotations

from typing import ClassVar

from vestibule.config.backend import HttpVersion
from vestibule.config.shape import Node
from vestibule.config.value import Family, FilePath, Origin, Seconds
from vestibule.model import Secret


class Header(Node, kw_only=True):
    """A header that is set or removed: `header` towards the backend, `answer_header` towards the client.

    In a value `{claim.NAME}` (or `{claim.PROVIDER/NAME}`), `{user.id}`, `{user.login}`, `{user.name}`,
    `{user.email}`, `{user.groups}`, `{session.NAME}`, `{host}`, `{prefix}` (the route's path), `{path}`, `{method}`,
    `{address}` and `{scheme}` stand for what is known; `{{` is a brace. A header one of whose values is not known is
    left out.
    """

    LABEL: ClassVar[str] = "the header's name"

    value: Secret | None = None
    """What it is set to, in place of whatever was there. This or `remove`."""
    remove: bool = False
    """True: nobody gets it. This or `value`."""


class Passing(Node, kw_only=True):
    """What hosts and routes have in common."""

    strip_prefix: bool | None = None
    """True: the backend gets the path without the route's own part, `/users` for `/admin/users`. Answers are not
    rewritten. In a host: for all its routes."""
    rewrite: str | None = None
    """A path that stands in front of what the backend gets, instead of the route's own part, as in
    `"/v2/{claim.team}"`; in a host, before the whole path. Values as in `header`, each one segment; where one is
    not known the answer is 403."""
    header: tuple[Header, ...] = ()
    """A header for the backend; a route's replaces the host's of that name."""
    answer_header: tuple[Header, ...] = ()
    """A header for the client, on the backend's answers; a route's replaces the host's of that name."""
    timeout: Seconds | None = None
    """How long the backend may take until its answer begins, then 504; without it a minute."""
    connect_timeout: Seconds | None = None
    """How long connecting to the backend may take, then 504; without it 5 seconds."""
    identity_headers: tuple[Family, ...] | None = None
    """Other products' names for the person, too, for a backend written for one of them: `oauth2-proxy`
    (X-Forwarded-User …), `vouch` (X-Vouch-User …), `authelia` (Remote-User …), `pomerium`
    (X-Pomerium-Claim-Email …), `nuon` (X-Nuon-Auth-User …), or a list of them. A route's replaces the host's."""
    assertion: bool | None = None
    """True: the backend gets `Proxy-Assertion`, too, a signed token (ES256) that says who asks, good for this
    host alone; the keys are at `/@/jwks.json`."""
    host_header: str | None = None
    """What the backend gets as Host: `client` (as it was asked for; so without this attribute), `backend` (the
    backend's own name), or a name of your own."""
    protocol: HttpVersion | None = None
    """`http2`: the backend speaks HTTP/2 and nothing else, as those of gRPC do; without TLS by prior knowledge. The
    same as `h2c://`, `grpc://` and `grpcs://` in `backend`, and the way to say it of a Unix socket."""
    backend_ca: FilePath | None = None
    """File of the authorities (PEM) that an https backend's certificate must come from, instead of the system's."""
    backend_certificate: FilePath | None = None
    """File of the certificate (PEM) the gateway shows to an https backend that asks for one."""
    backend_key: FilePath | None = None
    """File of its private key (PEM), not encrypted; without it the key stands in the certificate's file."""
    backend_name: str | None = None
    """The name an https backend's certificate must be for, where it isn't the one it is reached by."""
    preflight: bool | None = None
    """True: what browsers ask before a request of another site's page (OPTIONS with Origin and
    Access-Control-Request-Method) goes to the backend without sign-in, and without a cookie."""
    origins: tuple[Origin, ...] | None = None
    """Origins, besides the host's own, whose pages may open WebSockets: `["https://app.example.com"]`."""
