"""What TLS made of a connection, and what a host asks of it."""

from __future__ import annotations

import enum
import math
from typing import Final

import msgspec


class Profile(enum.Enum):
    """Which versions and ciphers clients may use: Mozilla's recommendations of these names (version 5.7)."""

    INTERMEDIATE = "intermediate"
    MODERN = "modern"


class ClientCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """Who a client is by the certificate it has shown, and that its host's authorities have signed."""

    subject: str
    """RFC 4514: `CN=builder,O=Example`."""
    common_name: str = ""
    emails: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    """As a SPIFFE ID is one."""
    serial: str = ""
    """Hexadecimal, lower case."""
    fingerprint: str = ""
    """SHA-256 of it, hexadecimal."""
    authority: str = ""
    """Of which authorities (`Demand.authority`) the one is that signed it; good for no other host."""
    good_until_at: float = math.inf
    """When it ends; connections may last longer."""
    der: bytes = b""
    """Itself, without those that it was signed with."""

    @property
    def known_as(self) -> tuple[str, ...]:
        """What rules may name it by: its subject, its common name, and `email:`, `dns:` or `uri:` with each other name.

        Threat: a common name that looks like a subject, or like a name of another sort: it counts as neither.
        """
        found = [self.subject] if "=" in self.subject else []
        if self.common_name and not set(self.common_name) & set("=:"):
            found.append(self.common_name)
        found += [f"email:{name}" for name in self.emails]
        found += [f"dns:{name}" for name in self.dns_names]
        return (*found, *(f"uri:{name}" for name in self.uris))


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a host asks of those who connect to it."""

    profile: Profile = Profile.INTERMEDIATE
    client_ca_pem: bytes = b""
    """Who signs the certificates that clients must show; empty: none is asked for."""
    authority: str = ""
    """SHA-256 of `client_ca_pem`, hexadecimal; empty where that is."""


USUAL: Final = Demand()


class Handshake(msgspec.Struct, frozen=True, kw_only=True):
    """What client and gateway have agreed on."""

    server_name: bytes = b""
    """Which host the client wanted, in lower case, without a dot at the end; empty: it didn't say."""
    alpn: str = ""
    """The protocol of what follows: `h2`, `http/1.1`, or empty where nothing was agreed on."""
    version: str = ""
    """As OpenSSL calls it: `TLSv1.3`."""
    client: ClientCertificate | None = None
    names: tuple[str, ...] = ()
    """What the certificate covers that the client was shown."""
    demand: Demand = USUAL
    """Of the host whose name it was."""


def agrees(made: Handshake | None, name: bytes, wanted: Demand | None) -> bool:
    """True when a request for this host may come over a connection that was made so.

    `wanted` is what the host asks of those who connect to it; None: it has no TLS. Browsers send requests for several
    hosts over one connection when its certificate covers them all (RFC 9113 section 9.1.1); that is fine where the
    hosts ask for the same.

    Threat: a connection to a host that asks for nothing is used for one that asks for a client certificate; one by the
    certificate of other authorities; none at all.
    """
    if wanted is None or made is None:
        return made is None and (wanted is None or not wanted.authority)
    if made.server_name != name and (made.demand != wanted or not _covers(made.names, name)):
        return False
    if not wanted.authority:
        return True
    return bool(made.server_name) and made.client is not None and made.client.authority == wanted.authority


def has_ended(made: Handshake | None, at: float) -> bool:
    """True when the client certificate that a connection was made with has ended; connections may last longer."""
    return made is not None and made.client is not None and made.client.good_until_at <= at


def _covers(names: tuple[str, ...], name: bytes) -> bool:
    text = name.decode("ascii").strip("[]")
    _, dot, parent = text.partition(".")
    return text in names or bool(dot and f"*.{parent}" in names)
