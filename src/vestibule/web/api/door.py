"""The door of the API: nothing gets past it without a token or the socket, nor with a body that reads in two ways."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp

from vestibule.errors import ClientError, VestibuleError
from vestibule.protocol.document import DocumentError, json_of
from vestibule.service.admin import Asker
from vestibule.service.asgi import Message, Receive, Send, receiving
from vestibule.service.events import acting
from vestibule.web.api.office import SOCKET, Actor, Office
from vestibule.web.api.problem import HEADERS, about_of, crash, failure, refused

_TAKES_A_BODY = {"POST", "PUT", "PATCH"}


class Door:
    """An ASGI application around another.

    The scope's state has the `Asker`, and gets the `Office` and the `Actor`; it has that one already where the admin
    pages ask for somebody who is signed in there.
    """

    def __init__(self, inner: ASGIApp, office: Office) -> None:
        self._inner = inner
        self._office = office

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Check who asks, then what they sent, then let it in."""
        asker: Asker = scope["state"]["asker"]
        scope["state"]["office"] = self._office
        about = about_of(scope["method"], scope["path"])
        try:
            if "actor" not in scope["state"]:
                scope["state"]["actor"] = await self._actor(asker, Headers(scope=scope))
            body = await _body(scope, receive)
        except VestibuleError as error:
            await refused(error, asker, self._office, **about)
            await failure(error, asker, self._office.log, **about)(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if not started:
                started = True
                message = {**message, "headers": _with_ours(message.get("headers", ()))}
            await send(message)

        try:
            with acting(scope["state"]["actor"].name, address=asker.address, request_id=asker.request_id):
                await self._inner(scope, receiving(body, receive), watched)
        except Exception as error:  # noqa: BLE001 - the last line of defence: Starlette answers, then raises again
            if not started:
                await crash(error, asker, self._office.log, **about)(scope, receive, send)

    async def _actor(self, asker: Asker, headers: Headers) -> Actor:
        """Who asks. Raises ClientError 401, 429; StoreError."""
        if asker.is_owner:
            return SOCKET
        given = headers.getlist("authorization")
        if len(given) != 1:
            raise _unauthorized(
                "send an admin token: Authorization: Bearer vst_admin_…, or use the Unix socket"
            )
        scheme, _, bearer = given[0].partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthorized("an admin token is sent as Authorization: Bearer vst_admin_…")
        token = await self._office.tokens.check(bearer.strip(" "), asker.address, asker.now)
        return Actor(f"token {token.name}", token)


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, with those that all answers have."""
    given = list(headers)
    names = {name.lower() for name, _ in given}
    return given + [pair for pair in _OURS if pair[0] not in names]


_OURS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


def _unauthorized(message: str) -> ClientError:
    return ClientError(message, code="admin_token_required", status=401)


async def _body(scope: MutableMapping[str, Any], receive: Receive) -> bytes:
    """The whole body, which is JSON where there is one. Raises ClientError.

    Threat: a form of a web page (which can't send JSON unasked); a member that stands there twice, of which the
    check sees one and the use the other.
    """
    message = await receive()
    if message["type"] != "http.request":
        raise ClientError("the client has left", code="client_gone")
    body = bytes(message.get("body", b""))
    if scope["method"] not in _TAKES_A_BODY:
        return b""
    if not body:
        return body
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"application/json", "application/merge-patch+json"}:
        raise ClientError("send the body as application/json", code="body_type", status=415)
    try:
        json_of(body)
    except DocumentError as error:
        raise ClientError(f"the body can't be read: {error}", code="body_unreadable") from None
    return body
