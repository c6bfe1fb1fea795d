"""From what an attribute says to the value it means: one converter for each kind of value.

A converter takes the written text and returns the value, or raises `Unfit` with what to write instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, NewType

import msgspec

from vestibule.config import value_tls
from vestibule.config.backend import Api, HttpVersion, api, backend, http_version
from vestibule.config.place import Unfit, nearest
from vestibule.config.rule import rule_of
from vestibule.core import branding
from vestibule.core.compat import PRODUCTS
from vestibule.core.inject import FAMILIES, OWN
from vestibule.core.listener import ListenAddress
from vestibule.core.postgres import Postgres
from vestibule.core.postgres import parse as parse_postgres
from vestibule.core.redis import Redis
from vestibule.core.redis import parse as parse_redis
from vestibule.core.route import Backend
from vestibule.core.rule import Rule
from vestibule.errors import BadRequest
from vestibule.model import Secret
from vestibule.protocol import url
from vestibule.protocol.address import parse_listener, parse_network
from vestibule.protocol.language import TAG_RE

Seconds = NewType("Seconds", float)
SecondsOrNone = NewType("SecondsOrNone", float)
"""A span that may be nothing."""
Size = NewType("Size", int)
Share = NewType("Share", float)
HostName = NewType("HostName", str)
"""Canonical: lower case, no trailing dot, no port."""
Origin = NewType("Origin", str)
"""`https://app.example`, without trailing slash."""
Offered = NewType("Offered", str)
"""A client's ID, or `*`: every enabled provider of the database."""
Prefix = NewType("Prefix", bytes)
"""A route's canonical path without its last slash."""
Method = NewType("Method", bytes)
HeaderName = NewType("HeaderName", str)
FilePath = NewType("FilePath", str)
"""As written; made absolute by the file it stands in."""
Network = NewType("Network", str)
Colour = NewType("Colour", str)
"""`#rrggbb`, lower case."""
LanguageTag = NewType("LanguageTag", str)
Family = NewType("Family", str)
"""Of `core.inject.FAMILIES`."""


Product = NewType("Product", str)
"""Of `core.compat.PRODUCTS`."""


class StoreUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Where the store is: a file, or a database server."""

    path: str = ""
    """As written, without the scheme."""
    postgres: Postgres | None = None


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "ms": 0.001}
_SIZES = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
_DURATION_RE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|min)")
_SIZE_RE = re.compile(r"([0-9]+)\s*(KiB|MiB|GiB|KB|MB|GB|)")
_TOKEN_RE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CLIENT_RE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._~-]{0,62}[A-Za-z0-9])?")
_MODE_RE = re.compile(r"0?[0-7]{3}")
_GROUP_RE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
_SYSTEMD_RE = re.compile(r"[A-Za-z0-9_.@-]{1,255}")


def seconds(data: Any) -> Seconds:
    """A span: a number of seconds, or `30s`, `10m`, `24h`, `7d`."""
    if isinstance(data, int | float) and not isinstance(data, bool):
        value = float(data)
    elif isinstance(data, str) and (found := _DURATION_RE.fullmatch(data.strip())):
        value = float(found[1]) * _UNITS["m" if found[2] == "min" else found[2]]
    else:
        raise Unfit('is a span of time: "30s", "10m", "24h", "7d" or a number of seconds')
    if not 0 < value < 4e9 or not math.isfinite(value):
        raise Unfit("must be longer than nothing and less than a hundred years")
    return Seconds(value)


def seconds_or_none(data: Any) -> SecondsOrNone:
    """A span, or `0s`."""
    is_none = data == 0 or (isinstance(data, str) and data.strip() in {"0", "0s"})
    return SecondsOrNone(0.0 if is_none and data is not False else seconds(data))


def size(data: Any) -> Size:
    """A number of bytes, or `64KiB`, `10MiB`, `1GiB`."""
    if isinstance(data, int) and not isinstance(data, bool) and data >= 0:
        return Size(data)
    if isinstance(data, str) and (found := _SIZE_RE.fullmatch(data.strip())):
        return Size(int(found[1]) * _SIZES[found[2]])
    raise Unfit('is a size: "64KiB", "10MiB", "1GiB" or a number of bytes')


def share(data: Any) -> Share:
    """A part of all, from 0 to 1."""
    if isinstance(data, bool) or not isinstance(data, int | float) or not 0 <= data <= 1:
        raise Unfit("is a number from 0 to 1: 0.1")
    return Share(data)


def host_name(data: str) -> HostName:
    """A host's canonical name."""
    if "://" in data:
        raise Unfit("is a name alone, without a scheme")
    try:
        text = data if data.isascii() else data.encode("idna").decode("ascii")
        found = url.authority(text.encode("ascii"))
    except (BadRequest, UnicodeError):
        raise Unfit("is no host name: letters, digits, `-` and dots, as in app.example.com") from None
    if found.port is not None:
        raise Unfit("is a name alone; the port goes into gateway { http = […] }")
    return HostName(found.host.decode())


def origin(data: str) -> Origin:
    """Scheme and host as people see them."""
    text = data.rstrip("/")
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in ("http", "https") or not rest or "/" in rest:
        raise Unfit("is scheme and host alone: https://app.example.com")
    try:
        found = url.authority(rest.encode())
    except BadRequest:
        raise Unfit("is scheme and host alone: https://app.example.com") from None
    scheme = scheme.lower()
    usual = 443 if scheme == "https" else 80
    port = "" if found.port in (None, usual) else f":{found.port}"
    return Origin(f"{scheme}://{found.host.decode()}{port}")


def client_id(data: str) -> str:
    """An ID that can stand in `/@ID/signin`."""
    if not _CLIENT_RE.fullmatch(data):
        raise Unfit(f"`{data}` can't stand in /@ID/signin: letters, digits, `.`, `_`, `-`, at most 64")
    return data


def offered(data: str) -> Offered:
    """What `sign_in` may hold."""
    return Offered(data if data == "*" else client_id(data))


def prefix(data: str) -> Prefix:
    """A route's path, canonical, without its last slash."""
    if not data.startswith("/"):
        raise Unfit(f'`{data}` is no path: it begins with a slash, "/{data}"')
    if "*" in data or "?" in data:
        raise Unfit(f"`{data}`: a route owns everything below its path; there are no patterns and no queries")
    if data.strip("/") == "":
        raise Unfit('"/" is the host itself: write its settings straight into the host')
    try:
        target = url.canonical(data.encode())
    except BadRequest as exc:
        raise Unfit(f"`{data}` is no path: {exc.detail or exc.message}") from None
    if target.plain != target.path:
        raise Unfit(f"`{data}`: a path parameter (`;…`) can't be part of a route")
    return Prefix(target.path.rstrip(b"/"))


def method(data: str) -> Method:
    """An HTTP method, in capitals."""
    if not _TOKEN_RE.fullmatch(data):
        raise Unfit(f"`{data}` is no method: GET, POST, …")
    if data.upper() in ("TRACE", "CONNECT"):
        raise Unfit(f"{data.upper()} never goes through")
    return Method(data.upper().encode())


def header_name(data: str) -> HeaderName:
    """A header's or query parameter's name."""
    if not _TOKEN_RE.fullmatch(data):
        raise Unfit(f"`{data}` is no header name")
    return HeaderName(data)


def network(data: str) -> Network:
    """An address, a range of addresses, or `unix` for the peers of Unix sockets; as text."""
    if data == "unix":
        return Network(data)
    try:
        return Network(str(parse_network(data)))
    except ValueError:
        pass
    try:
        whole = ip_network(data, strict=False)
    except ValueError:
        raise Unfit(f"`{data}` is no address or range: 10.0.0.0/8") from None
    raise Unfit(f"`{data}` has bits behind its mask; write {whole}")


def listener(data: Any) -> ListenAddress:
    """An address to listen on: `127.0.0.1:8000`, `[::1]:8000`, `unix:PATH?mode=0660&group=www-data`, `systemd:NAME`."""
    text = str(data)
    if text.startswith("systemd:"):
        if not _SYSTEMD_RE.fullmatch(name := text.removeprefix("systemd:")):
            raise Unfit(f"`{data}` names no socket of systemd: systemd:web, as FileDescriptorName= has it")
        return ListenAddress(systemd=name)
    of_file: dict[str, Any] = {}
    if text.startswith("unix:"):
        text, _, written = text.partition("?")
        of_file = _of_file(data, written)
    try:
        found = parse_listener(text)
        host = "127.0.0.1" if found.host == "localhost" else found.host
        return ListenAddress(host=host and str(ip_address(host)), port=found.port, path=found.path, **of_file)
    except ValueError:
        raise Unfit(
            f'`{data}` is no address to listen on: "127.0.0.1:8000", "[::1]:8000" or "unix:vestibule.sock"'
        ) from None


def _of_file(data: Any, written: str) -> dict[str, Any]:
    """Mode and group of a Unix socket's file, as they stand behind its path."""
    found: dict[str, Any] = {}
    for part in filter(None, written.split("&")):
        name, _, value = part.partition("=")
        if name == "mode" and _MODE_RE.fullmatch(value) and int(value, 8):
            found["mode"] = int(value, 8)
        elif name == "group" and _GROUP_RE.fullmatch(value):
            found["owner_group"] = value
        else:
            raise Unfit(
                f"`{data}`: a Unix socket has a mode and a group, unix:vestibule.sock?mode=0660&group=www-data"
            )
    return found


def port(data: Any) -> int:
    """A TCP port; 0 is any free one."""
    if isinstance(data, str) and data.isdecimal() and len(data) < 6:
        data = int(data)
    if not isinstance(data, int) or isinstance(data, bool) or not 0 <= data <= 0xFFFF:
        raise Unfit(f"`{data}` is no port: 0 to 65535")
    return data


class Reference(msgspec.Struct, frozen=True):
    """What a call applies, by name."""

    kind: str
    name: str


#: kinds of credentials a call can name
CREDENTIALS = ("session", "secret", "client_credentials", "service_account")


def reference(data: str) -> Reference:
    """A credential by kind and name (`session:google`); a bare name is a secret's."""
    kind, mark, name = data.partition(":")
    if not mark:
        return Reference("secret", data)
    if kind not in CREDENTIALS or not name:
        raise Unfit(f"`{data}` names no credential: {', '.join(f'{known}:NAME' for known in CREDENTIALS)}")
    return Reference(kind, name)


class Pattern(msgspec.Struct, frozen=True):
    """The path of an operation; see `core.call.Operation`."""

    segments: tuple[bytes, ...]
    rest: bool


def pattern(data: str) -> Pattern:
    """`/v1/users/{id}`; a last `/**` is everything below."""
    below = data.endswith("/**")
    path = data.removesuffix("/**") if below else data
    if not data.startswith("/") or "*" in path or "?" in path:
        raise Unfit(f"`{data}` is no path of an operation: /v1/users/{{id}}, or /v1/** for all below /v1")
    segments = []
    for segment in path.split("/")[1:]:
        open_ended = segment.startswith("{") and segment.endswith("}") and len(segment) > 2
        if not open_ended and ("{" in segment or "}" in segment):
            raise Unfit(f"`{data}`: `{{…}}` stands for a whole segment, /v1/users/{{id}}")
        segments.append(b"" if open_ended else segment.encode())
    try:
        url.canonical(path.replace("{", "").replace("}", "").encode() or b"/")
    except BadRequest as exc:
        raise Unfit(f"`{data}` is no path: {exc.detail or exc.message}") from None
    return Pattern(tuple(segments), below)


def store_url(data: str) -> StoreUrl:
    """Where the store is: `sqlite:PATH`, or a URL of PostgreSQL, which is never repeated: it holds a password."""
    path = data.removeprefix("sqlite:")
    if data.startswith("sqlite:") and path and not path.startswith("//") and path != ":memory:":
        return StoreUrl(path=path)
    if data.startswith("postgres"):
        try:
            return StoreUrl(postgres=parse_postgres(data))
        except ValueError as exc:
            raise Unfit(str(exc)) from None
    if data.startswith("redis"):
        raise Unfit("can't be Redis, which keeps sessions alone: write it into `sessions`, beside `url`")
    raise Unfit(
        "is no store: sqlite:PATH, as in sqlite:state/vestibule.db, or postgresql://USER@HOST/DATABASE"
    )


def redis(data: str) -> Redis:
    """Where sessions are: a URL of Redis, which is never repeated: it holds a password."""
    if not data.startswith("redis"):
        raise Unfit(
            "is no Redis: redis://HOST:6379; what stands in the database of `url` needs no `sessions`"
        )
    try:
        return parse_redis(data)
    except ValueError as exc:
        raise Unfit(str(exc)) from None


def whole_number(data: Any) -> int:
    """A number without fraction."""
    if isinstance(data, int) and not isinstance(data, bool):
        return data
    if isinstance(data, str) and re.fullmatch(r"-?[0-9]{1,18}", data):
        return int(data)
    raise Unfit("is a whole number")


def switch(data: Any) -> bool:
    """True or false."""
    if isinstance(data, bool):
        return data
    if data in ("true", "false"):
        return bool(data == "true")
    raise Unfit("is true or false, without quotes")


def secret(data: str) -> Secret:
    """A secret; an empty one is a variable that was meant to be set."""
    if not data:
        raise Unfit("is empty")
    return Secret(data)


def colour(data: str) -> Colour:
    """A colour as `#rgb` or `#rrggbb`."""
    if not branding.COLOUR_RE.fullmatch(data):
        raise Unfit(f'`{data}` is no colour: "#1f5a52"')
    return Colour(branding.colour(data))


def language_tag(data: str) -> LanguageTag:
    """A language's tag."""
    if not TAG_RE.fullmatch(data):
        raise Unfit(f'`{data}` is no language tag: "de", "pt-BR"')
    return LanguageTag(data)


def family(data: str) -> Family:
    """Whose names for the person a backend knows."""
    known = [name for name in FAMILIES if name != OWN]
    if data not in known:
        raise Unfit(f"`{data}` is none of: {', '.join(known)}{nearest(data, known)}")
    return Family(data)


def product(data: str) -> Product:
    """Whose paths a host has, too."""
    if data not in PRODUCTS:
        raise Unfit(f"`{data}` is none of: {', '.join(PRODUCTS)}{nearest(data, PRODUCTS)}")
    return Product(data)


def plain(data: str) -> str:
    """The text itself."""
    return data


class Kind(msgspec.Struct, frozen=True):
    """How one kind of value is written."""

    words: str
    convert: Callable[[Any], Any]
    text: bool = True
    """True: only a text will do. False: the converter looks at numbers and booleans itself."""


#: type of a field → how its values are written
KINDS: Mapping[Any, Kind] = {
    str: Kind("text", plain),
    bool: Kind("true or false", switch, text=False),
    int: Kind("whole number", whole_number, text=False),
    float: Kind("span of time", seconds, text=False),
    Secret: Kind("text", secret),
    Seconds: Kind("span of time", seconds, text=False),
    SecondsOrNone: Kind("span of time", seconds_or_none, text=False),
    Share: Kind("part of all", share, text=False),
    Size: Kind("size in bytes", size, text=False),
    Origin: Kind("URL", origin),
    HostName: Kind("host name", host_name),
    Offered: Kind("name", offered),
    Method: Kind("method", method),
    HeaderName: Kind("header name", header_name),
    FilePath: Kind("path of a file", plain),
    Colour: Kind("colour", colour),
    LanguageTag: Kind("language tag", language_tag),
    Family: Kind("family of headers", family),
    Product: Kind("product", product),
    HttpVersion: Kind("version of HTTP", http_version),
    StoreUrl: Kind("store", store_url),
    Redis: Kind("URL of Redis", redis),
    Network: Kind("address or range", network),
    ListenAddress: Kind("address to listen on", listener),
    Backend: Kind("backend", backend),
    Api: Kind("server", api),
    Rule: Kind("rule", rule_of),
    Reference: Kind("credential", reference),
    Pattern: Kind("path", pattern),
    **{kind: Kind(words, convert) for kind, (words, convert) in value_tls.KINDS.items()},
}
