"""Where a Redis is: one server, a primary that Sentinels know, or a Cluster; and who asks for it how."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

import msgspec

from vestibule.model import Secret

Kind: TypeAlias = Literal["single", "sentinel", "cluster"]

PREFIX: Final = "vestibule:"
TIMEOUT_S: Final = 0.25
PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_KINDS: Final[dict[str | None, Kind]] = {None: "single", "sentinel": "sentinel", "cluster": "cluster"}
_TLS_PARAMETERS: Final = ("ca", "cert", "key")
_SENTINEL_PARAMETERS: Final = ("sentinel_user", "sentinel_password")
_PREFIX_RE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._/-]{0,63}")
_URL_RE: Final = re.compile(
    r"redis(?P<tls>s?)(?:\+(?P<kind>sentinel|cluster))?://"
    r"(?:(?P<user>[^:@/?#\s]*)(?::(?P<password>[^:@/?#\s]*))?@)?"
    r"(?P<hosts>[^@/?#\s]+)(?P<path>/[^?#\s]*)?(?:\?(?P<query>[^#\s]*))?"
)
_HOST_RE: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\],]+)(?::([0-9]{1,5}))?")
_SHAPE: Final = (
    "is not of the form redis://USER:PASSWORD@HOST:PORT/NUMBER, redis+sentinel://HOST:PORT,HOST:PORT/PRIMARY or "
    "redis+cluster://HOST:PORT,HOST:PORT (with TLS rediss…); in user and password, `@`, `:`, `/`, `?`, `#` and `%` "
    "are percent-encoded"
)


class Address(msgspec.Struct, frozen=True, order=True):
    """One server."""

    host: str
    """A name or an address."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Redis(msgspec.Struct, frozen=True, kw_only=True):
    """A Redis, and who asks for it how; what is shown of it holds no secret."""

    kind: Kind
    hosts: tuple[Address, ...]
    """The server; the Sentinels; or some servers of the Cluster, which name the others."""
    primary: str = ""
    """What the Sentinels call it."""
    number: int = 0
    """Of the database; a Cluster has only 0."""
    user: str = ""
    """Empty: Redis' `default`."""
    password: Secret = Secret("")
    sentinel_user: str = ""
    """Of the Sentinels, which have users of their own."""
    sentinel_password: Secret = Secret("")
    is_tls: bool = False
    ca: str = ""
    """File of the authorities its certificate is checked with; empty: those of the system."""
    cert: str = ""
    """File of the certificate this program shows; empty: none."""
    key: str = ""
    """File of that one's key; empty: it stands in the same file."""
    prefix: str = PREFIX
    """What every key and channel begins with."""
    timeout_s: float = TIMEOUT_S
    """How long it may take to answer a command."""

    @property
    def is_loopback(self) -> bool:
        """True when nobody else's machine is on the way, as far as the URL says."""
        return all(_is_loopback(address.host) for address in self.hosts)

    def __str__(self) -> str:
        hosts = ",".join(map(str, self.hosts))
        path = f"/{self.primary}" if self.primary else ""
        number = f"/{self.number}" if self.number else ""
        return f"{scheme(self.kind, is_tls=self.is_tls)}://{hosts}{path}{number}"


def scheme(kind: Kind, *, is_tls: bool) -> str:
    """What its URL begins with."""
    return ("rediss" if is_tls else "redis") + ("" if kind == "single" else f"+{kind}")


def parse(url: str) -> Redis:
    """The Redis this URL names. Raises ValueError, whose text repeats nothing of it but parameters' names."""
    found = _URL_RE.fullmatch(url)
    if found is None:
        raise ValueError(_SHAPE)
    kind = _KINDS[found["kind"]]
    is_tls = bool(found["tls"])
    usual_port = SENTINEL_PORT if kind == "sentinel" else PORT
    hosts = tuple(_address(text, usual_port) for text in found["hosts"].split(","))
    if kind == "single" and len(hosts) > 1:
        raise ValueError(
            "names several servers: write redis+sentinel:// where these are Sentinels, redis+cluster:// for a Cluster"
        )
    primary, number = _path(kind, (found["path"] or "").strip("/"))
    parameters = _parameters(found["query"] or "", kind, is_tls=is_tls)
    return Redis(
        kind=kind,
        hosts=hosts,
        primary=primary,
        number=number,
        user=unquote(found["user"] or ""),
        password=Secret(unquote(found["password"] or "")),
        sentinel_user=parameters.get("sentinel_user", ""),
        sentinel_password=Secret(parameters.get("sentinel_password", "")),
        is_tls=is_tls,
        ca=parameters.get("ca", ""),
        cert=parameters.get("cert", ""),
        key=parameters.get("key", ""),
    )


def is_prefix(text: str) -> bool:
    """True for what keys may begin with: nothing in it that Redis reads as a pattern or as a part of a slot's name."""
    return _PREFIX_RE.fullmatch(text) is not None


def _address(text: str, usual_port: int) -> Address:
    found = _HOST_RE.fullmatch(text)
    if found is None:
        raise ValueError(_SHAPE)
    port = int(found[2] or usual_port)
    if not 0 < port <= 0xFFFF:
        raise ValueError("names no port: 1 to 65535")
    return Address(unquote(found[1]).strip("[]"), port)


def _path(kind: Kind, path: str) -> tuple[str, int]:
    """Name of the primary and number of the database."""
    if kind == "cluster":
        if path not in ("", "0"):
            raise ValueError("names a database, and a Cluster has only one: end it after the servers")
        return "", 0
    primary, _, number = path.partition("/") if kind == "sentinel" else ("", "", path)
    if kind == "sentinel" and not primary:
        raise ValueError(
            "does not say what the Sentinels call the primary: redis+sentinel://HOST:26379,HOST:26379/PRIMARY"
        )
    if number and not re.fullmatch(r"[0-9]{1,4}", number):
        raise ValueError("ends in no number of a database: redis://HOST:6379/0")
    return unquote(primary), int(number or 0)


def _parameters(query: str, kind: Kind, *, is_tls: bool) -> dict[str, str]:
    known = (*_TLS_PARAMETERS, *(_SENTINEL_PARAMETERS if kind == "sentinel" else ()))
    pairs = [(part.partition("=")[0], unquote(part.partition("=")[2])) for part in query.split("&") if part]
    for name, _ in pairs:
        if name not in known:
            raise ValueError(f"has a parameter `{name}`; known are {', '.join(known)}")
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise ValueError("has a parameter twice")
    if not is_tls and any(name in parameters for name in _TLS_PARAMETERS):
        raise ValueError("has parameters of TLS, and asks without it: write rediss instead of redis")
    if "key" in parameters and "cert" not in parameters:
        raise ValueError("has a parameter `key` without `cert`")
    return parameters


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
