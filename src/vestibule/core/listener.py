"""An address this program listens on."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

import msgspec

from vestibule.core.tls import Handshake


class ListenAddress(msgspec.Struct, frozen=True, kw_only=True):
    """TCP (`host` and `port`), a Unix socket (`path`), or a socket that systemd hands over by name (`systemd`)."""

    host: str = ""
    """An IP address, without brackets."""
    port: int = 0
    """0: any free one."""
    path: str = ""
    group: bool = False
    """Of a Unix socket: who is in the group of its file may open it, not its owner alone."""
    mode: int = 0
    """Of a Unix socket: of its file; 0: by `group`."""
    owner_group: str = ""
    """Of a Unix socket: name or number of its file's group; empty: the process's."""
    systemd: str = ""
    """Its `FileDescriptorName`; what kind of socket it is shows when it is there."""
    scheme: str = "http"

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach it; False, too, for what nobody can know yet."""
        return bool(self.path) or (not self.systemd and ip_address(self.host).is_loopback)

    @property
    def is_any_port(self) -> bool:
        """True where any free port will do."""
        return not (self.path or self.systemd or self.port)

    @property
    def file_mode(self) -> int:
        """Of a Unix socket's file."""
        return self.mode or (0o660 if self.group or self.owner_group else 0o600)

    @property
    def shown_port(self) -> int:
        """The port that addresses of hosts are made with: who comes by a socket asks for the usual one."""
        return self.port or ((443 if self.scheme == "https" else 80) if self.path or self.systemd else 0)

    def clashes(self, other: ListenAddress) -> bool:
        """True when the two can't be bound at once; a wildcard address takes the port on all of its family."""
        if self.path or other.path or self.systemd or other.systemd:
            return (self.path, self.systemd) == (other.path, other.systemd)
        if self.port != other.port or not self.port:
            return False
        ours, theirs = ip_address(self.host), ip_address(other.host)
        if ours.version != theirs.version:  # IPv6 sockets take IPv6 alone (IPV6_V6ONLY)
            return False
        return ours == theirs or ours.is_unspecified or theirs.is_unspecified

    def __str__(self) -> str:
        if self.systemd:
            return f"systemd:{self.systemd}"
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Met(msgspec.Struct, frozen=True):
    """What is known of a connection before anything is asked over it."""

    peer: str = ""
    """Address of the client, or of the edge in front; empty for a Unix socket."""
    tls: Handshake | None = None
    """None: what follows is not encrypted."""


UNKNOWN: Final = Met()
"""Nothing but what the socket tells."""
