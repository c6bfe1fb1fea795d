"""Certificates that the gateway shows: whose names they cover, and how long they are good for."""

from __future__ import annotations

import enum
from ipaddress import ip_address
from typing import Final

import msgspec

from vestibule.model import Secret
from vestibule.protocol.address import Networks

DAY_S: Final = 86_400.0


class Source(enum.Enum):
    """Where a certificate comes from."""

    ACME = "acme"
    FILE = "file"
    LOCAL = "local"
    """Of the gateway's own authority, for development."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A chain and its key."""

    names: tuple[str, ...]
    """In lower case: DNS names, `*.` and one, or IP addresses."""
    chain_pem: bytes
    """Its own certificate first."""
    key_pem: Secret
    not_before_at: float
    not_after_at: float
    source: Source
    fingerprint: str
    """SHA-256 of its own certificate, hexadecimal."""

    def covers(self, name: str) -> bool:
        """True when it is good for this name, in lower case; `*` is one whole label (RFC 9525 section 6.3)."""
        if name in self.names:
            return True
        _, _, parent = name.partition(".")
        return "." in parent and f"*.{parent}" in self.names

    def lives(self, at: float) -> bool:
        """True while it is valid."""
        return self.not_before_at <= at < self.not_after_at


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How the certificate for the name of a host is had."""

    name: str
    source: Source
    certificate_path: str = ""
    """Of the operator's own file, absolute."""
    key_path: str = ""
    """Of its key; the same path where both stand in one file."""


class Alarm(enum.IntEnum):
    """How long before its end a certificate that is still in force is told of, in days; each is told once."""

    ENDED = 0
    DAY = 1
    WEEK = 7
    MONTH = 30


def alarm_of(certificate: Certificate, now: float) -> Alarm | None:
    """What is to be told of what is left of its life; None: nothing yet.

    What is more than half of a life is no alarm: one that is good for a week is renewed in its last days.
    """
    left_s = certificate.not_after_at - now
    life_s = certificate.not_after_at - certificate.not_before_at
    for alarm in Alarm:
        if left_s <= alarm * DAY_S and alarm * DAY_S <= life_s / 2:
            return alarm
    return Alarm.ENDED if left_s <= 0 else None


def is_public_name(name: str) -> bool:
    """True for a name that a CA may vouch for: not for addresses, names without a dot, and those nobody can own.

    Spec: RFC 6761, RFC 6762, RFC 8375, RFC 7686, RFC 9476; `internal` is ICANN's for private use.
    """
    return "." in name and not _is_address(name) and name.rpartition(".")[2] not in _NOBODYS


def is_local_name(name: str) -> bool:
    """True for a name that the gateway's own authority may vouch for: no other name of a name's owner is among them."""
    if _is_address(name):
        return name.strip("[]") in _LOCAL
    return any(name == top or name.endswith(f".{top}") for top in LOCAL_DOMAINS)


LOCAL_DOMAINS: Final = ("localhost", "test", "internal", "local", "home.arpa", "lan", "example", "invalid")
"""Below which nobody but this network's people has names."""
LOCAL_NETWORKS: Final = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)
"""Private networks, and this machine itself."""
_LOCAL: Final = Networks.parse(LOCAL_NETWORKS)
_NOBODYS: Final = frozenset(
    {"localhost", "test", "internal", "local", "arpa", "lan", "example", "invalid", "onion", "alt"}
)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
