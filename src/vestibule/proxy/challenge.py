"""What a certificate authority asks for by plain http (RFC 8555 section 8.3): our own tokens, and only these.

All others are the backend's. Which are ours stands in the store; until that is read, whoever asks for one waits, so
that no answer of a backend's spoils an order of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from vestibule.errors import StoreError
from vestibule.protocol.acme import CHALLENGE_PATH, TOKEN_RE
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.task import Tasks

KNOWN_S: Final = 8.0
"""How long who asks waits: authorities wait for some ten seconds."""
_PROOF: Final = (b"Content-Type: text/plain", b"Cache-Control: no-store", b"X-Content-Type-Options: nosniff")


def is_challenge(path: bytes) -> bool:
    """True for what an authority asks for, whosever it is."""
    token = path.removeprefix(CHALLENGE_PATH)
    return token != path and TOKEN_RE.fullmatch(token.decode("latin-1")) is not None


class Proofs(Protocol):
    """Our answers."""

    @property
    def are_known(self) -> bool:
        """False until it was read which tokens are ours."""

    def answer(self, token: bytes) -> bytes | None:
        """What is to be seen by who asks for this token; None: it isn't ours."""

    async def known(self) -> None:
        """Return once they are known."""


class NoProofs:
    """Nothing is ordered."""

    are_known = True

    def answer(self, _token: bytes) -> bytes | None:
        """None is ours."""
        return None

    async def known(self) -> None:
        """Return at once."""


class Challenges:
    """Answers exchanges that ask for a token of ours."""

    def __init__(self, proofs: Proofs) -> None:
        self._proofs = proofs
        self._tasks = Tasks()

    def begin(
        self,
        exchange: Exchange,
        others: Callable[[Exchange], None],
        failed: Callable[[Exchange, Exception], None],
    ) -> None:
        """Answer it, now or later; `others` is called where the token isn't ours, `failed` where that can't be told."""
        if self._proofs.are_known:
            self._tell(exchange, others)
        else:
            self._tasks.spawn(
                self._tell_later(exchange, others), "wait for proofs", partial(failed, exchange)
            )

    async def _tell_later(self, exchange: Exchange, others: Callable[[Exchange], None]) -> None:
        try:
            async with asyncio.timeout(KNOWN_S):
                await self._proofs.known()
        except TimeoutError:
            raise StoreError("the answers to certificate authorities can't be read") from None
        if not exchange.is_over:
            self._tell(exchange, others)

    def _tell(self, exchange: Exchange, others: Callable[[Exchange], None]) -> None:
        text = self._proofs.answer(exchange.head.target.path.removeprefix(CHALLENGE_PATH))
        if text is None:
            others(exchange)
            return
        exchange.decision = "own"
        exchange.answer(b"HTTP/1.1 200 OK", list(_PROOF), text)
