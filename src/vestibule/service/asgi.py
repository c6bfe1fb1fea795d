"""What a call of an ASGI application begins with, where its body is at hand.

Spec: ASGI 3.0, HTTP connection scope.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


def receiving(body: bytes, then: Receive) -> Receive:
    """What gives the whole body once, and from then on what `then` gives, however often it is asked.

    `then` waits: for who asked to leave, or for ever. Threat: one that gives anything at once, and an application that
    asks it without end.
    """
    is_given = False

    async def receive() -> Message:
        nonlocal is_given
        if is_given:
            return await then()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
