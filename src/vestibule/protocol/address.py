"""IP addresses, networks, and the `host:port` of listeners and backends.

An address has one spelling here: an IPv4-mapped IPv6 address is its IPv4 address (Threat: `::ffff:10.0.0.1`
that slips past a rule for `10.0.0.0/8`), IPv6 is compressed and lower-case, a zone id is refused, and so are
the forms only C libraries know (`127.1`, `0x7f.1`, octal octets).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

import msgspec

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

#: Stands in place of the operator's URL that led to a URL, where a person's input or a database row gave it: no host
#: of it is trusted. It is no URL itself.
OUTSIDE: Final = "outside"

_MAPPED = IPv6Network("::ffff:0:0/96")


def parse(text: str) -> Address:
    """The address, an IPv4-mapped one as IPv4. Raises: ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an IPv6 zone id has no meaning here")
        return address.ipv4_mapped or address
    return address


def normalise(text: str) -> str:
    """The one spelling of an IP address. Raises: ValueError."""
    return str(parse(text))


def parse_network(text: str) -> Network:
    """The network of a CIDR prefix or of one address. Raises: ValueError (also for host bits)."""
    if "%" in text:
        raise ValueError("an IPv6 zone id has no meaning here")
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


class Networks(msgspec.Struct, frozen=True, gc=False):
    """A set of networks; membership costs one look-up for each prefix length in it."""

    v4: tuple[tuple[int, frozenset[int]], ...] = ()
    """(mask, networks), the longest prefix first."""
    v6: tuple[tuple[int, frozenset[int]], ...] = ()
    has_unix: bool = False
    """True: the peers of Unix sockets, whose address is the empty text, are in it."""

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Networks:
        """The set of these CIDR prefixes, addresses, and `unix` for Unix sockets. Raises: ValueError."""
        v4: dict[int, set[int]] = {}
        v6: dict[int, set[int]] = {}
        has_unix = False
        for text in texts:
            if text == "unix":
                has_unix = True
                continue
            network = parse_network(text)
            table = v4 if isinstance(network, IPv4Network) else v6
            table.setdefault(int(network.netmask), set()).add(int(network.network_address))
        return cls(_by_mask(v4), _by_mask(v6), has_unix)

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6 or self.has_unix)

    def __contains__(self, address: Address | str) -> bool:
        """True for an address in one of the networks; what is no address is in none."""
        if isinstance(address, str):
            if not address:
                return self.has_unix
            try:
                address = parse(address)
            except ValueError:
                return False
        number = int(address)
        table = self.v4 if isinstance(address, IPv4Address) else self.v6
        return any(number & mask in networks for mask, networks in table)


def _by_mask(table: dict[int, set[int]]) -> tuple[tuple[int, frozenset[int]], ...]:
    return tuple((mask, frozenset(table[mask])) for mask in sorted(table, reverse=True))


NO_NETWORKS: Final = Networks()
#: What no outgoing request of the control plane should reach unless the operator wrote it down.
_NOT_PUBLIC = Networks.parse(
    [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    ]
)
_NAT64 = Networks.parse(["64:ff9b::/96"])
#: All of IPv6 that has been given out for unicast (RFC 4291 section 2.4). Elsewhere are, among others, addresses of
#: translators that carry an IPv4 address (`::ffff:0:a.b.c.d`, RFC 2765).
_GLOBAL_V6 = Networks.parse(["2000::/3"])


def is_public(of: Address | str) -> bool:
    """True for a unicast address of the public Internet; False for what is no address, or has a zone id.

    Threat: requests made to reach inside (loopback, link-local metadata services, private and shared ranges,
    and IPv6 forms that carry such an IPv4 address). Check the address that is connected to, not the name.
    """
    try:
        address = parse(str(of))
    except ValueError:
        return False
    if address in _NAT64:
        address = IPv4Address(int(address) & 0xFFFFFFFF)
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return False
    return address not in _NOT_PUBLIC


def is_loopback(host: str) -> bool:
    """True for a loopback address, `localhost` and below (RFC 6761 section 6.3), brackets or not."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return parse(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where to listen or to connect to."""

    host: str = ""
    """A name or an IP address, without brackets; empty for a Unix socket."""
    port: int = 0
    path: str = ""
    """Absolute or relative path of a Unix socket; empty for TCP."""
    scheme: str = "http"
    """`http` or `https`; of a backend also one of `HTTP2_SCHEMES`, or `TLS_SCHEMES`."""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True when nothing beyond this machine can be at the other end."""
        return bool(self.path) or is_loopback(self.host)


_HOST_PORT_RE = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]{1,5}))?")
_NAME_RE = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*", re.IGNORECASE
)
_LAST_LABEL_NUMERIC_RE = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.IGNORECASE)
#: HTTP/2 and nothing else: without TLS by prior knowledge, with it by ALPN
HTTP2_SCHEMES: Final = frozenset(("h2c", "grpc", "grpcs"))
TLS_SCHEMES: Final = frozenset(("https", "grpcs"))
_DEFAULT_PORTS = {"http": 80, "https": 443, "h2c": 80, "grpc": 80, "grpcs": 443}


def parse_listener(text: str) -> Endpoint:
    """Where to listen: `0.0.0.0:80`, `[::]:443`, `localhost:80`, `unix:PATH`. Raises: ValueError, readably.

    Port 0 lets the system choose. An address without a port is refused.
    """
    if text.startswith("unix:"):
        return _unix(text)
    host, port = _host_and_port(text)
    if port is None:
        raise ValueError(f"{text!r} has no port; write {text}:PORT")
    return Endpoint(host=host, port=port)


def parse_backend(text: str) -> Endpoint:
    """Where to connect to: `host:port`, `http://host[:port]`, `https://host[:port]`, `unix:PATH`.

    By HTTP/2: `h2c://` or `grpc://`, which are the same, and `grpcs://` over TLS.
    Raises: ValueError, readably. A path, a query or a user name behind the host is refused.
    """
    if text.startswith("unix:"):
        return _unix(text)
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme:
        scheme, rest = "http", text
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{text!r} has an unknown scheme; http, https, h2c, grpc, grpcs and unix are known")
    rest = rest.removesuffix("/") if has_scheme else rest
    host, port = _host_and_port(rest)
    if port is None and not has_scheme:
        raise ValueError(f"{text!r} has no port; write {text}:PORT")
    port = _DEFAULT_PORTS[scheme] if port is None else port
    if port == 0:
        raise ValueError(f"{text!r} has a port that nothing listens on")
    return Endpoint(host=host, port=port, scheme=scheme)


def _unix(text: str) -> Endpoint:
    path = text.removeprefix("unix:").removeprefix("//")
    if not path or "\0" in path:
        raise ValueError(f"{text!r} names no Unix socket; write unix:PATH")
    # The kernel's limit (sun_path), with its closing NUL: bind would fail late and tell less.
    if len(path.encode()) > 107:
        raise ValueError(f"the path of a Unix socket has at most 107 bytes: {path!r}")
    return Endpoint(path=path)


def _host_and_port(text: str) -> tuple[str, int | None]:
    found = _HOST_PORT_RE.fullmatch(text)
    if not found:
        # Threat: a password that somebody wrote there, in a log or on a page that tells of the fault.
        _, at, place = text.rpartition("@")
        shown = f"***@{place}" if at else place
        raise ValueError(f"{shown!r} is not host:port (an IPv6 address stands in brackets)")
    literal, name, digits = found.groups()
    port = int(digits) if digits else None
    if port is not None and port > 0xFFFF:
        raise ValueError(f"{text!r} has a port above 65535")
    return (_ipv6(literal) if literal is not None else _name(name)), port


def _ipv6(text: str) -> str:
    address = IPv6Address(text)
    if address.scope_id is not None:
        raise ValueError("an IPv6 zone id has no meaning here")
    return str(address)


def _name(text: str) -> str:
    if _LAST_LABEL_NUMERIC_RE.fullmatch(text):
        return str(IPv4Address(text))
    if len(text) > 253 or not _NAME_RE.fullmatch(text):
        raise ValueError(f"{text!r} is neither a host name nor an IP address")
    return text.lower()
