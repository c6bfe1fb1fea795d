"""Servers that requests go to, as they are written: backends, and the APIs of calls."""

from __future__ import annotations

import re
from typing import NewType

import msgspec

from vestibule.config.place import Unfit
from vestibule.core.route import Backend, Server
from vestibule.protocol.address import HTTP2_SCHEMES, TLS_SCHEMES, Endpoint, parse_backend

HttpVersion = NewType("HttpVersion", str)
"""`http1` or `http2`."""

_PORT_RE = re.compile(r":[0-9]+/?$")


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """The API a call leads to, and what was written of its scheme."""

    server: Server
    authority: str
    """What goes into Host."""
    is_loopback: bool
    is_guessed: bool
    """True: no scheme was written, and the port means plain http."""


def api(data: str) -> Api:
    """`host`, `host:port`, `http://…`, `https://…`, `unix:/path`: https where the port is 443 or absent.

    By HTTP/2: `grpcs://…`, `grpc://…` or `h2c://…`.
    """
    written = "://" in data or data.startswith("unix:")
    found = _endpoint(data if written or _PORT_RE.search(data) else f"https://{data}")
    tls = found.scheme in TLS_SCHEMES or (not written and found.port == 443)
    usual = 443 if tls else 80
    host = f"[{found.host}]" if ":" in found.host else found.host
    authority = "localhost" if found.path else host if found.port == usual else f"{host}:{found.port}"
    return Api(
        server=Server(
            host=found.host,
            port=found.port,
            path=found.path,
            tls=tls,
            http2=found.scheme in HTTP2_SCHEMES,
        ),
        authority=authority,
        is_loopback=found.is_loopback,
        is_guessed=not written and not tls,
    )


def _endpoint(data: str) -> Endpoint:
    if not data.startswith("unix:") and "/" in data.partition("://")[2].removesuffix("/"):
        raise Unfit(f"`{data}`: only scheme, host and port, without a path; the path comes with each request")
    try:
        return parse_backend(data)
    except ValueError as exc:
        raise Unfit(f"`{data}` is no server: {exc}") from None


#: backends that are built in
INTERNAL = ("account", "admin", "echo")


def backend(data: str) -> Backend:
    """One backend: a server, `static:DIR` or `internal:NAME`."""
    kind, mark, rest = data.partition(":")
    if kind == "static" and mark:
        if not rest:
            raise Unfit("names no directory: static:public")
        return Backend(static_dir=rest)
    if kind == "internal" and mark:
        if rest not in INTERNAL:
            raise Unfit(
                f"there is no internal:{rest}; there are {', '.join(f'internal:{x}' for x in INTERNAL)}"
            )
        return Backend(internal=rest)
    if kind == "serving" and not rest.isdecimal():
        if not rest.isascii() or not rest:
            raise Unfit("names no serving: serving:ID")
        return Backend(serving=rest)
    if kind == "nomad" and not rest.isdecimal():
        raise Unfit("`nomad:` is not in this version yet; name the server itself, host:port")
    found = _endpoint(data)
    server = Server(
        host=found.host,
        port=found.port,
        path=found.path,
        tls=found.scheme in TLS_SCHEMES,
        http2=found.scheme in HTTP2_SCHEMES,
    )
    return Backend(servers=(server,))


def http_version(data: str) -> HttpVersion:
    """What a backend speaks."""
    if data not in ("http1", "http2"):
        raise Unfit(f"`{data}` is none of: http1, http2")
    return HttpVersion(data)
