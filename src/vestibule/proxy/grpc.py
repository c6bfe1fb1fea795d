"""A call of gRPC on its way to a backend of HTTP/2: a request like any other, but for its deadline and its trailers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from vestibule.errors import BackendError
from vestibule.protocol.grpc import PAST_DEADLINE, status_in, timeout_of
from vestibule.proxy.relay import Relay

LOOK_S = 5.0
"""How often the deadline is looked at: so long a call that is over may be held here, whatever its client asked for."""


class CallRelay(Relay):
    """Carries one call. Backends keep its `grpc-timeout`, too: this is for those that don't."""

    takes_trailers = True
    on_status: Callable[[int | None], None] | None = None
    """Told the status that stands behind an answer (a calling interface whose credential was refused)."""
    _ends_at = 0.0

    def begin(self) -> None:
        # Some servers answer only when a message has come, and clients may have none for hours.
        self._exchange.talks = True
        timeout_s = timeout_of(self._exchange.head.value(b"grpc-timeout"))
        if timeout_s is not None:
            self._ends_at = asyncio.get_running_loop().time() + timeout_s
            self._look()
        if not self._ended:
            super().begin()

    def on_end(self, trailers: Sequence[bytes]) -> None:
        if self.on_status is not None:
            self.on_status(status_in(trailers))
        super().on_end(trailers)

    def _look(self) -> None:
        exchange = self._exchange
        if self._ended or exchange.is_over or exchange.responder is not self:
            return
        loop = asyncio.get_running_loop()
        left_s = self._ends_at - loop.time()
        if left_s > 0:
            loop.call_later(min(left_s, LOOK_S), self._look)
            return
        self.on_gone()
        if self._started:
            exchange.abort()
        else:
            self._failed(exchange, BackendError("the call took too long", code=PAST_DEADLINE, status=504))
