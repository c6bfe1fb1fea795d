"""What is shown live: server-sent events, for as long as who listens is signed in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace
from starlette.responses import Response, StreamingResponse

from vestibule.errors import VestibuleError
from vestibule.observe import clock
from vestibule.service.asgi import Message, Receive, Send
from vestibule.web.admin.answers import HEADERS, Desk
from vestibule.web.admin.asking import Ask

LOOK_EVERY_S: Final = 3.0
"""How often it is looked whether who listens is still signed in."""
_STREAM: Final = "text/event-stream"
_OUT: Final = b"event: out\ndata: \n\n"
"""Said to who is signed out: there is no use in asking again."""
_encode: Final = msgspec.json.Encoder().encode


class Live(Response):
    """What the API streams, passed on."""

    def __init__(self, desk: Desk, ask: Ask, path: str) -> None:
        """`path`: of the API's stream, with its query."""
        super().__init__(media_type=_STREAM)
        self._desk = desk
        self._ask = ask
        self._path = path

    @staticmethod
    def of_parts(desk: Desk, ask: Ask, part: Callable[[Ask], Awaitable[str]], *, every_s: float) -> Response:
        """A part of a page, made anew every so often."""
        desk.streams.check(ask.actor)
        return StreamingResponse(_parts(desk, ask, part, every_s), 200, dict(HEADERS), _STREAM)

    async def __call__(
        self,
        scope: MutableMapping[str, Any],  # noqa: ARG002 - as ASGI has it
        receive: Receive,
        send: Send,
    ) -> None:
        """Pass on what comes, until the stream ends or who listens is signed out."""
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        headers.append((b"content-type", _STREAM.encode()))
        is_streamed = False

        async def passed(message: Message) -> None:
            nonlocal is_streamed
            if message["type"] == "http.response.start" and message["status"] == 200:
                is_streamed, message = True, {**message, "headers": headers}
            await send(message)

        streaming = asyncio.ensure_future(self._ask.api.stream(self._path, receive, passed))
        try:
            while not (await asyncio.wait((streaming,), timeout=LOOK_EVERY_S))[0]:
                if await _now(self._desk, self._ask) is None:
                    break
            else:
                streaming.result()
                return
        finally:
            streaming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await streaming
        if is_streamed:
            await send({"type": "http.response.body", "body": _OUT, "more_body": False})


async def _parts(
    desk: Desk, ask: Ask, part: Callable[[Ask], Awaitable[str]], every_s: float
) -> AsyncIterator[bytes]:
    with desk.streams.one(ask.actor) as has_place:
        while (now := await _now(desk, ask)) is not None:
            try:
                html = await part(now) if has_place else ""
            except VestibuleError:
                html = ""
            if not html:
                return  # the browser asks again, and is told why
            yield b"data: " + _encode({"html": html}) + b"\n\n"
            await asyncio.sleep(every_s)
    yield _OUT


async def _now(desk: Desk, ask: Ask) -> Ask | None:
    """The request as it would be now; None once nobody is signed in. Whom the gateway let in it ends itself."""
    try:
        found = await desk.door.entered(replace(ask, asker=replace(ask.asker, now=clock.now())))
    except VestibuleError:
        return None
    return found if found.guest is not None else None
