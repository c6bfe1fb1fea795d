"""An address this program listens on."""

from __future__ import annotations

from ipaddress import ip_address

import msgspec


class ListenAddress(msgspec.Struct, frozen=True, kw_only=True):
    """TCP (`host` and `port`) or a Unix socket (`path`)."""

    host: str = ""
    """An IP address, without brackets."""
    port: int = 0
    """0: any free one."""
    path: str = ""
    group: bool = False
    """Of a Unix socket: who is in the group of its file may open it, not its owner alone."""
    scheme: str = "http"

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach it."""
        return bool(self.path) or ip_address(self.host).is_loopback

    def clashes(self, other: ListenAddress) -> bool:
        """True when the two can't be bound at once; a wildcard address takes the port on all."""
        if self.path or other.path:
            return self.path == other.path
        if self.port != other.port or not self.port:
            return False
        ours, theirs = ip_address(self.host), ip_address(other.host)
        return ours == theirs or ours.is_unspecified or theirs.is_unspecified

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
