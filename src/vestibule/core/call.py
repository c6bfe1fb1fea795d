"""A calling interface: where it listens, which API it leads to, whose credential it applies and how."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from vestibule.core.listener import ListenAddress
from vestibule.core.route import Server
from vestibule.model import Secret


class Location(Enum):
    """Where in a call a credential goes."""

    HEADER = "header"
    QUERY = "query"


class SessionCredential(msgspec.Struct, frozen=True, kw_only=True):
    """The credential of the person whose handle came with the call."""

    client: str
    """The client's ID, as the operator wrote it."""
    clients: Mapping[str, str]
    """Host name → full name of that client there: the handle says which host it came from."""


class SecretCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed secret of the app's own."""

    name: str
    value: Secret


class TokenCredential(msgspec.Struct, frozen=True, kw_only=True):
    """An access token of the app's own: client credentials or a service account."""

    source: str
    """Name of the token source (`Compiled.token_sources`)."""


Credential = SessionCredential | SecretCredential | TokenCredential


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """One credential and the place it goes to."""

    location: Location
    name: str
    """Of the header (as written) or of the query parameter."""
    credential: Credential
    prefix: str = ""
    """Stands before the credential: `Bearer ` for a token in Authorization."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A named call of the API."""

    id: str
    method: bytes = b""
    """Empty: any."""
    segments: tuple[bytes, ...] = ()
    """Of the path; an empty one matches any single segment."""
    rest: bool = False
    """True when more segments may follow (`/**`)."""
    description: str = ""

    def matches(self, method: bytes, path: bytes) -> bool:
        """True for a call with this method and canonical path (no query)."""
        if self.method and method != self.method:
            return False
        given = path.split(b"/")[1:]
        if len(given) < len(self.segments) or (len(given) > len(self.segments) and not self.rest):
            return False
        pairs = zip(self.segments, given, strict=False)
        return all((want == got) if want else bool(got) for want, got in pairs)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One calling interface."""

    id: str
    """Its ID at top level, `HOST/ID` inside a host."""
    title: str = ""
    """For people: what `name` says, else the ID."""
    listen: ListenAddress
    endpoint: Server
    authority: str
    """What goes into Host: the API's name, with the port where it isn't the scheme's own."""
    applied: tuple[Applied, ...] = ()
    hosts: frozenset[str] = frozenset()
    """Names of the hosts whose handles it takes."""
    realms: Mapping[str, str] = {}
    """Of those whose sessions are good for more than the host (`core.domain`), what they are good for."""
    needs_session: bool = False
    """True: a call without a good handle is refused. False: only the app's own credentials are applied."""
    operations: tuple[Operation, ...] = ()
    only_operations: bool = False
    """True: what no operation names is refused."""
    names: frozenset[str] = frozenset()
    """Host fields it answers to besides the loopback names."""
    place: str = ""
    """`file:line` it was written at."""

    def operation(self, method: bytes, path: bytes) -> Operation | None:
        """The first operation that names this call, or None."""
        for operation in self.operations:
            if operation.matches(method, path):
                return operation
        return None
