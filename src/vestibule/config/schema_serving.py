"""What a `serving` block may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vestibule.config.schema_caller import ApikeyAuth, RequireJwt
from vestibule.config.schema_host import Access
from vestibule.config.schema_passage import Passing
from vestibule.config.value import Size
from vestibule.core.route import Backend


class Serving(Passing, kw_only=True):
    """A backend with a port of its own on this machine, for programs: IO's `serve`, which is another name of it.

    On `127.0.0.1` it answers under any name of loopback, and asks for what its own blocks say: without any of them
    whoever is on this machine gets through. Hosts lead people to it by `backend = "serving:ID"`; whom such a host lets
    in must be let in here, too.
    """

    LABEL: ClassVar[str] = "its ID"
    EITHER: ClassVar[tuple[str, ...]] = ("backend", "identity_headers", "issuers")
    LATER: ClassVar[Mapping[str, str]] = {"atproto_auth": "write access { allow = […] }"}
    REQUIRED: ClassVar[tuple[str, ...]] = ("port", "backend")

    name: str = ""
    """For people; without it the ID."""
    port: int | None = None
    """Its port on `127.0.0.1`."""
    backend: tuple[Backend, ...] = ()
    """Where requests go, as in `host`."""
    insecure: bool = False
    """True: the certificate of an https backend is not checked."""
    max_body: Size | None = None
    """Largest request body, as in `host`."""
    apikey_auth: ApikeyAuth | None = None
    """Users with keys, who get through; the backend is told which of them it is, in `User-Name`."""
    issuers: tuple[str, ...] = ()
    """IDs of the `issuer` blocks whose tokens programs may show, as in `host`."""
    require_jwt: RequireJwt | None = None
    """Nobody gets through without such a JWT."""
    access: Access | None = None
    """Who gets through, as in `host`. Rules see callers of this block, and people of the hosts that lead here."""
