"""A person's browser without the pages: an HTTP client with a cookie jar, for which every name is this machine."""

from __future__ import annotations

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class Loopback(AbstractResolver):
    """Resolves every name to 127.0.0.1."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    async def close(self) -> None:
        return None


def new_visitor(
    *, user_agent: str = "visitor/1", secure: str | None = None, source: str = "", is_exact: bool = False
) -> aiohttp.ClientSession:
    """A new browser profile: no cookies yet; takes those of addresses too; follows redirects unless told not to.

    `secure`: an http origin on loopback that gets `Secure` cookies back, as browsers do it. `source`: the address to
    come from. `is_exact`: redirects are followed as they are written, to the last percent sign, as browsers do it.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=Loopback(), limit=0, local_addr=(source, 0) if source else None
        ),
        cookie_jar=aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=secure),
        headers={"User-Agent": user_agent},
        timeout=aiohttp.ClientTimeout(total=60),
        requote_redirect_url=not is_exact,
    )
