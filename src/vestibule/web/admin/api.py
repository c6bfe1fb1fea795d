"""The admin API as the pages call it: in this process, as whoever is signed in.

It is the same application that programs call, so scopes, checks and the trail are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.types import ASGIApp

from vestibule.errors import ClientError, Invalid, VestibuleError
from vestibule.model import Secret
from vestibule.service.admin import Asker
from vestibule.service.asgi import Message, Receive, Send, receiving
from vestibule.web.api.office import Actor

PREFIX: Final = "/api/v1"


class Refused(ClientError):
    """The API has refused it, and has written so to its log."""


class Failed(VestibuleError):
    """The API could not do it, and has written so to its log."""


class Api:
    """Calls as one who asks, during one request for a page."""

    def __init__(self, application: ASGIApp, actor: Actor, asker: Asker) -> None:
        self._application = application
        self._actor = actor
        self._asker = asker

    async def get(self, path: str, of: Any = Any, **query: str) -> Any:
        """What stands at this path below `/api/v1`, as a value of the type.

        `query`: parameters, those that are empty left out. Raises Refused, Failed, Invalid.
        """
        return _decoded(await self.call("GET", path + query_of(query)), of)

    async def post(self, path: str, value: Any = None, of: Any = Any, *, if_match: str = "") -> Any:
        """What the API answers to this. Raises Refused, Failed, Invalid."""
        headers = {"if-match": if_match} if if_match else {}
        return _decoded(await self.call("POST", path, value, headers), of)

    async def patch(self, path: str, value: Any, *, if_match: str = "") -> Any:
        """What it is after this change. Raises Refused, Failed, Invalid."""
        headers = {"if-match": if_match} if if_match else {}
        return _decoded(await self.call("PATCH", path, value, headers), Any)

    async def put(self, path: str, value: Any, *, if_match: str = "") -> Any:
        """What it is now that it was replaced. Raises Refused, Failed, Invalid."""
        headers = {"if-match": if_match} if if_match else {}
        return _decoded(await self.call("PUT", path, value, headers), Any)

    async def delete(self, path: str, **query: str) -> Any:
        """What the API answers, None for nothing. Raises Refused, Failed, Invalid."""
        return _decoded(await self.call("DELETE", path + query_of(query)), Any)

    async def call(
        self, method: str, path: str, value: Any = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of the answer. Raises Refused, Failed, Invalid."""
        body = b"" if value is None else msgspec.json.encode(value, enc_hook=_revealed)
        status, answered = 0, bytearray()

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                answered.extend(message.get("body", b""))

        await self._application(self._scope(method, path, headers or {}), receiving(body, _stays), send)
        if status >= 400:
            raise _error(status, bytes(answered))
        return bytes(answered)

    async def stream(self, path: str, receive: Receive, send: Send) -> None:
        """Answer by what the API answers to a GET, for as long as it does. `receive` tells when nobody listens."""
        await self._application(self._scope("GET", path, {}), receiving(b"", receive), send)

    def _scope(self, method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
        path, _, query = path.partition("?")
        lines = [(b"content-type", b"application/json")] if method in {"POST", "PUT", "PATCH"} else []
        lines += [(name.encode("ascii"), one.encode("ascii")) for name, one in headers.items()]
        return {
            "type": "http",
            # Not 2.4: by that a stream learns from `send` alone that nobody listens, and ours never says so.
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": PREFIX + path,
            "raw_path": (PREFIX + path).encode("utf-8"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": lines,
            "client": (self._asker.address, 0),
            "server": ("localhost", 0),
            "state": {"asker": self._asker, "actor": self._actor},
        }


async def _stays() -> Message:
    """Who asks stays until the answer is whole."""
    await asyncio.Event().wait()
    raise AssertionError


def segment(text: str) -> str:
    """Text as one segment of a path. Threat: `../` in an id that came with an address."""
    return quote(text, safe="")


def query_of(query: Mapping[str, str]) -> str:
    """The parameters that are not empty, with their `?`; nothing where there is none."""
    given = {name: value for name, value in query.items() if value}
    return f"?{urlencode(given)}" if given else ""


class _Problem(msgspec.Struct):
    code: str = "internal_error"
    detail: str = ""
    faults: tuple[dict[str, str], ...] = ()


def _error(status: int, body: bytes) -> VestibuleError:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem()
    if status == 422 and problem.faults:
        return Invalid(tuple((one.get("path", ""), one.get("message", "")) for one in problem.faults))
    kind = Failed if status >= 500 else Refused
    return kind(problem.detail, code=problem.code, status=status)


def _decoded(body: bytes, of: Any) -> Any:
    return msgspec.json.decode(body, type=of, dec_hook=_secret) if body else None


def _secret(of: type, value: Any) -> Any:
    if of is Secret:
        return Secret(value)
    raise NotImplementedError


def _revealed(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError
