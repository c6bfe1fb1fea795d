"""Where a PostgreSQL database is: the URL as libpq reads it, as far as it goes here."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from vestibule.model import Secret

TIMEOUT_S: Final = 0.25
SSL_MODES: Final = ("disable", "prefer", "require", "verify-ca", "verify-full")
_PARAMETERS: Final = ("host", "sslmode", "sslrootcert")
_URL_RE: Final = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^:@/?#\s]*)(?::(?P<password>[^:@/?#\s]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:@/?#\[\]\s,]*)(?::(?P<port>[0-9]{1,5}))?"
    r"/(?P<name>[^/?#\s]+)(?:\?(?P<query>[^#\s]*))?"
)
_SHAPE: Final = (
    "is not of the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE; in user and password, "
    "`@`, `:`, `/`, `?`, `#` and `%` are percent-encoded"
)


class Postgres(msgspec.Struct, frozen=True, kw_only=True):
    """A database, and who asks for it how; what is shown of it holds no secret."""

    host: str
    """A name, an address, or the directory of a Unix socket."""
    port: int = 5432
    user: str = ""
    """Empty: the user this program runs as."""
    password: Secret = Secret("")
    name: str
    sslmode: str
    """One of `SSL_MODES`, with libpq's meaning."""
    sslrootcert: str = ""
    """File of the authorities its certificate is checked with; empty: those of the system."""
    timeout_s: float = TIMEOUT_S
    """How long a request waits for it at most."""

    @property
    def is_loopback(self) -> bool:
        """True when nobody else's machine is on the way."""
        return _is_loopback(self.host)

    @property
    def is_checked(self) -> bool:
        """True when the server has to prove by a certificate that it is one of the authority's."""
        return self.sslmode.startswith("verify-") or (self.sslmode == "require" and bool(self.sslrootcert))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{host}:{self.port}/{self.name}"


def parse(url: str) -> Postgres:
    """The database this URL names. Raises ValueError, whose text repeats nothing of it but parameters' names.

    Without `sslmode` it is `prefer` where the database is on this machine, and `verify-full` elsewhere.
    """
    found = _URL_RE.fullmatch(url)
    if found is None:
        raise ValueError(_SHAPE)
    parameters = _parameters(found["query"] or "")
    host = parameters.get("host") or unquote(found["host"]).strip("[]") or "localhost"
    port = int(found["port"] or 5432)
    if not 0 < port <= 0xFFFF:
        raise ValueError("names no port: 1 to 65535")
    sslmode = parameters.get("sslmode") or ("prefer" if _is_loopback(host) else "verify-full")
    if sslmode not in SSL_MODES:
        raise ValueError(f"has an unknown sslmode; there is {', '.join(SSL_MODES)}")
    rootcert = parameters.get("sslrootcert", "")
    return Postgres(
        host=host,
        port=port,
        user=unquote(found["user"] or ""),
        password=Secret(unquote(found["password"] or "")),
        name=unquote(found["name"]),
        sslmode=sslmode,
        sslrootcert="" if rootcert == "system" else rootcert,
    )


def _parameters(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, _ in pairs:
        if name not in _PARAMETERS:
            raise ValueError(f"has a parameter `{name}`; known are {', '.join(_PARAMETERS)}")
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise ValueError("has a parameter twice")
    if not parameters.get("host", "/").startswith("/"):
        raise ValueError(
            "has a parameter `host` that is no directory of a Unix socket, as in /var/run/postgresql"
        )
    return parameters


def _is_loopback(host: str) -> bool:
    if host.startswith("/") or host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
