"""A JSON API and an app backend over HTTP or HTTPS, which write down all they were sent."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True)
class Seen:
    """One request as it arrived: header names as they were spelt, in their order."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer_port: int

    def all(self, name: str) -> list[str]:
        """Every value of that header, whatever its case."""
        return [value for known, value in self.headers if known.casefold() == name.casefold()]

    def one(self, name: str) -> str:
        """The value of a header that must be there once."""
        (value,) = self.all(name)
        return value


class Api:
    """Answers each request by `answer` (default: JSON of what it saw) and keeps it in `seen`."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, answer: Answer | None = None) -> None:
        self.port = port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        self.seen: list[Seen] = []
        self.answer: Answer = answer or _echo
        self._tls = tls
        self._transports: set[asyncio.Transport] = set()
        application = web.Application(client_max_size=1 << 40)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        # A TLS connection ends when its peer has said so, too; the loop would be closed before that.
        for transport in self._transports:
            transport.abort()
        await self._runner.cleanup()
        await asyncio.sleep(0.1)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._tls is not None and request.transport is not None:
            self._transports.add(request.transport)
        body = await request.read()
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
        )
        peer = request.transport.get_extra_info("peername") if request.transport else ("", 0)
        self.seen.append(Seen(request.method, request.raw_path, headers, body, peer[1]))
        return await self.answer(request)


async def _echo(request: web.Request) -> web.StreamResponse:
    return web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "headers": [[name, value] for name, value in request.headers.items()],
            "body": (await request.read()).decode("latin-1"),
        }
    )
