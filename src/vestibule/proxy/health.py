"""Whether this process works: what platforms and edges ask at listeners for people, and operators at the admin's.

`alive` says that the process answers at all. `ready` says that it can do all its work: it accepts, its store answers,
its configuration and its providers are in force. A process that is being stopped is not ready.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from vestibule.errors import VestibuleError
from vestibule.protocol.caching import NOT_KEPT
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.task import Tasks

METHODS: Final = (b"GET", b"HEAD")
_OK: Final = b"HTTP/1.1 200 OK"
_UNAVAILABLE: Final = b"HTTP/1.1 503 Service Unavailable"
_JSON: Final = (b"Content-Type: application/json", *NOT_KEPT, b"X-Content-Type-Options: nosniff")
_TEXT: Final = (b"Content-Type: text/plain", *NOT_KEPT)


class Health:
    """Answers exchanges that ask."""

    def __init__(self, ready: Callable[[], Awaitable[None]]) -> None:
        """`ready` returns when the program can do all its work, and raises what is in the way otherwise."""
        self._ready = ready
        self._tasks = Tasks()

    def tell_ready(self, exchange: Exchange, failed: Callable[[Exception], None], *, brief: bool) -> None:
        """Answer 200, or 503 with the code of what is in the way. `brief`: to anybody, so without the detail."""
        self._tasks.spawn(self._tell(exchange, brief=brief), "readyz", failed)

    async def _tell(self, exchange: Exchange, *, brief: bool) -> None:
        said, line = {"status": "ready"}, _OK
        try:
            await self._ready()
        except VestibuleError as error:
            line, said = _UNAVAILABLE, {"status": "not ready", "code": error.code}
            if not brief:
                said["detail"] = error.message
        if not exchange.is_over:
            exchange.answer(line, list(_JSON), msgspec.json.encode(said) + b"\n")


def tell_alive(exchange: Exchange) -> None:
    """Answer 200 as JSON."""
    exchange.answer(_OK, list(_JSON), b'{"status":"ok"}\n')


def tell_ok(exchange: Exchange) -> None:
    """Answer 200 in the fewest words."""
    exchange.answer(_OK, list(_TEXT), b"ok\n")
