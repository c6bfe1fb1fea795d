"""The only outgoing HTTP of the control plane: discovery, key sets, token endpoints, provider APIs.

One exchange goes one way: URL checked → name resolved once → every address checked → connected to one of just
those addresses → answer read up to a cap → a redirect of a GET goes back to the first step. All hops together
have one deadline. No cookies, no proxy environment, no credentials to another origin, no compressed bodies.

Where a request may go follows from who gave its URL, which is what `via` says; `core.outgoing` has the rules.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from vestibule.core.outgoing import WHY_REFUSED, Guard, checked_url, guard_of, literal_of, shown
from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.protocol.address import NO_NETWORKS, Address, Networks

Resolve: TypeAlias = Callable[[str, int], Awaitable[tuple[Address, ...]]]

CONNECT_S: Final = 5.0
DEADLINE_S: Final = 10.0
_DOCUMENT: Final = "application/samlmetadata+xml, application/xml, text/xml, */*;q=0.1"
BODY_MAX_BYTES: Final = 1024 * 1024
REDIRECTS_MAX: Final = 3
RESOLVING_MAX: Final = 8
"""Names looked up at a time: so many that the operator wrote, and so many of other people's."""
#: shorter than the 5 s after which Node servers hang up, so that a kept connection is rarely found dead
KEEP_ALIVE_S: Final = 4.0

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class ConnectionFailed(ProviderUnavailable):
    """No connection, or it broke before the whole answer had come; not a time-out."""

    code = "connection_failed"


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, whole: status, headers (lower-case names, repeated ones joined), body, where from."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def __repr__(self) -> str:
        """Without the body: tokens may stand in it."""
        return f"Answer(status={self.status}, url={self.url!r}, body=***)"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One hop, ready to be sent to one of `addresses` and nowhere else."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | None
    addresses: tuple[Address, ...]
    guard: Guard
    """Connections are shared only among requests of one mode."""

    def __repr__(self) -> str:
        """Without headers and body: credentials stand in them."""
        return f"Request(method={self.method!r}, url={str(self.url)!r})"


class Incoming(Protocol):
    """An answer whose body is still to be read."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers with lower-case names."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""


class Transport(Protocol):
    """Sends one hop; raises ProviderUnavailable when it can't. The real one is `AiohttpTransport`."""

    def send(self, request: Request) -> Any:
        """An asynchronous context manager around an `Incoming`."""

    async def close(self) -> None:
        """Close all connections."""


class Fetcher:
    """Fetches by the rules of this module; made once, closed at the end."""

    def __init__(
        self,
        *,
        transport: Transport | None = None,
        resolve: Resolve | None = None,
        allow: Networks = NO_NETWORKS,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._allow = allow
        self._transport = transport or AiohttpTransport()
        self._resolve = resolve
        # Threat: strangers whose name servers take their time, and so every thread that looks names up.
        self._threads = {
            is_written: ThreadPoolExecutor(RESOLVING_MAX, f"resolve {'written' if is_written else 'learned'}")
            for is_written in (True, False)
        }
        self._deadline_s = deadline_s

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, via: str = "", follow: bool = True
    ) -> Answer:
        """The answer of whatever status, after at most three redirects; not to `follow`: a redirect is the answer.

        `via`: the operator's URL that led to this one; empty when the operator wrote it; `OUTSIDE` when a
        person or a database row gave it.
        Raises ProviderUnavailable (not reached, too slow) and ProviderInvalid (refused address, body too
        large).
        """
        sent = {"accept": "application/json", **_lower(headers)}
        async with self._deadline(url):
            for _ in range(REDIRECTS_MAX + 1):
                answer = await self._hop("GET", url, sent, None, via)
                if answer.status not in _REDIRECTS or not follow:
                    return answer
                url, via, sent = _redirected(answer, via or url, sent)
        raise ProviderInvalid(
            "the provider redirects too often", detail=shown(url), code="redirects_too_many"
        )

    async def get_document(self, url: str, *, via: str = "") -> Answer:
        """As `get`, of what is not JSON: metadata of SAML, which some give to nobody who doesn't ask for XML."""
        return await self.get(url, headers={"accept": _DOCUMENT}, via=via)

    async def post_form(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, via: str = ""
    ) -> Answer:
        """The answer of whatever status to a form; as `send`."""
        form = {"content-type": "application/x-www-form-urlencoded", **_lower(headers)}
        return await self.send("POST", url, body, headers=form, via=via)

    async def send(
        self,
        method: str,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        via: str = "",
    ) -> Answer:
        """The answer of whatever status; sent once, on a connection of its own, never redirected.

        Raises like `get`. After ProviderUnavailable it is unknown whether the server acted on it.
        """
        sent = {"accept": "application/json", "content-type": "application/json", **_lower(headers)}
        async with self._deadline(url):
            answer = await self._hop(method, url, sent, body, via)
        if answer.status in _REDIRECTS:
            raise ProviderInvalid(
                "the provider redirects a request that can't be", detail=shown(url), code="redirect_refused"
            )
        return answer

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    async def _hop(
        self, method: str, raw_url: str, headers: Mapping[str, str], body: bytes | None, via: str
    ) -> Answer:
        url = checked_url(raw_url)
        guard = guard_of(url, via)
        addresses = await self._checked_addresses(url, guard)
        request = Request(
            method=method, url=url, headers=headers, body=body, addresses=addresses, guard=guard
        )
        async with self._transport.send(request) as incoming:
            read = await _read(incoming, request)
            return Answer(incoming.status, incoming.headers, read, str(url))

    async def _checked_addresses(self, url: URL, guard: Guard) -> tuple[Address, ...]:
        """All addresses of the host; one that is not admitted refuses the whole name.

        Threat: SSRF by names of private addresses, by literals in any spelling, by DNS rebinding (the
        connection goes to just these addresses, nothing is resolved again).
        """
        literal = literal_of(url)
        if literal is not None and guard is Guard.WRITTEN:
            return (literal,)  # it can't become another
        found = (literal,) if literal is not None else await self._addresses(url, guard)
        refused = [str(address) for address in found if not guard.admits(address, self._allow)]
        if refused:
            raise ProviderInvalid(
                "the provider's address may not be called",
                detail=f"{shown(url)} is at {', '.join(refused)}: {WHY_REFUSED[guard]}",
                code="http_refused" if guard is Guard.ALLOWED else "address_refused",
            )
        return found

    async def _addresses(self, url: URL, guard: Guard) -> tuple[Address, ...]:
        host, port = url.raw_host or "", url.port or 443
        try:
            if self._resolve is not None:
                found = await self._resolve(host, port)
            else:
                found = await resolve_by_system(host, port, self._threads[guard is Guard.WRITTEN])
        except (OSError, UnicodeError) as exc:
            raise ProviderUnavailable(
                "the provider's name can't be resolved", detail=host, code="name_unresolved"
            ) from exc
        if not found:
            raise ProviderUnavailable(
                "the provider's name has no address", detail=host, code="name_unresolved"
            )
        return found

    @asynccontextmanager
    async def _deadline(self, url: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline_s):
                yield
        except TimeoutError as exc:
            detail = f"{shown(url)}: not within {self._deadline_s:g} s"
            raise ProviderUnavailable(
                "the provider didn't answer in time", detail=detail, code="provider_timeout"
            ) from exc


async def resolve_by_system(host: str, port: int, threads: Executor | None = None) -> tuple[Address, ...]:
    """The addresses the system's resolver gives, in its order. Raises OSError."""
    loop = asyncio.get_running_loop()
    look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await loop.run_in_executor(threads, look_up)
    return tuple(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))


def _lower(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}


def _redirected(answer: Answer, via: str, headers: dict[str, str]) -> tuple[str, str, dict[str, str]]:
    """Where the redirect leads, via which operator's URL, with which headers: credentials stay behind."""
    here = checked_url(answer.url)
    raw = answer.headers.get("location", "")
    try:
        target = checked_url(str(here.join(URL(raw))))
    except ValueError as exc:
        raise ProviderInvalid(
            "the provider redirects to what isn't a URL", detail=shown(here), code="redirect_refused"
        ) from exc
    if not raw or (here.scheme == "https" and target.scheme != "https"):
        detail = f"{shown(here)} leads to {shown(target)}"
        raise ProviderInvalid(
            "the provider redirects to where it may not", detail=detail, code="redirect_refused"
        )
    if target.origin() != here.origin():
        headers = {"accept": headers["accept"]}
    return str(target), via, headers


async def _read(incoming: Incoming, request: Request) -> bytes:
    """The whole body. Threat: one without end, and a small one that unpacks to a huge one."""
    where = f"{request.method} {shown(request.url)}"
    if incoming.headers.get("content-encoding", "identity") not in {"identity", ""}:
        raise ProviderInvalid(
            "the provider's answer is compressed though that was not asked for",
            detail=where,
            code="answer_compressed",
        )
    read = bytearray()
    async for chunk in incoming.chunks():
        read += chunk
        if len(read) > BODY_MAX_BYTES:
            raise ProviderInvalid(
                "the provider's answer is too large",
                detail=f"{where}: more than {BODY_MAX_BYTES} bytes",
                code="answer_too_large",
            )
    return bytes(read)


_pinned: ContextVar[tuple[Address, ...]] = ContextVar("pinned addresses")


class _Pinned(AbstractResolver):
    """Gives aiohttp the addresses that were checked for this very request, and asks nobody."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family  # the addresses say theirs
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in _pinned.get()
        ]

    async def close(self) -> None:
        return


class AiohttpTransport:
    """Sends hops by aiohttp over verified TLS: GETs keep connections, a POST has one of its own.

    A kept connection that the server has just closed makes it unknown whether a POST was acted on, and a POST
    of a code or of a rotating refresh token can't be repeated; so none goes out on a connection used before.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._clients: dict[tuple[Guard, bool], aiohttp.ClientSession] = {}

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Incoming]:
        """Connect to one of the request's addresses, send, and give the answer's head."""
        client = self._client(request.guard, keep=request.method == "GET")
        token = _pinned.set(request.addresses)
        try:
            async with client.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
            ) as response:
                yield _AiohttpIncoming(response)
        except aiohttp.ClientConnectorCertificateError as exc:
            raise ProviderUnavailable(
                "the provider's certificate can't be verified", detail=str(exc), code="certificate_refused"
            ) from exc
        except TimeoutError as exc:
            raise ProviderUnavailable(
                "the provider didn't answer in time",
                detail=f"connecting to {request.url.origin()}",
                code="provider_timeout",
            ) from exc
        except (aiohttp.ClientError, OSError) as exc:
            # The origin alone: a query can hold what no log may.
            why = (isinstance(exc, OSError) and exc.strerror) or type(exc).__name__
            raise ConnectionFailed(
                "the provider can't be reached", detail=f"{request.url.origin()}: {why}"
            ) from exc
        finally:
            _pinned.reset(token)

    async def close(self) -> None:
        """Close all connections."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.close()

    def _client(self, guard: Guard, *, keep: bool) -> aiohttp.ClientSession:
        """The client of this mode: a connection opened under one mode never serves another."""
        client = self._clients.get((guard, keep))
        if client is None:
            if self._tls is None:
                self._tls = ssl.create_default_context()
            connector = aiohttp.TCPConnector(
                ssl=self._tls,
                resolver=_Pinned(),
                use_dns_cache=False,
                limit=64,
                **({"keepalive_timeout": KEEP_ALIVE_S} if keep else {"force_close": True}),
            )
            client = self._clients[guard, keep] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                headers={"User-Agent": "vestibule", "Accept-Encoding": "identity"},
            )
        return client


class _AiohttpIncoming:
    """aiohttp's answer as an `Incoming`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers = _joined(response)
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.content.iter_any():
            yield chunk


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
