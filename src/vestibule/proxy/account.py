"""`internal:account`: a host without an app. Its `/` leads to the account page; there is nothing else."""

from __future__ import annotations

from typing import Final

from vestibule.core.route import ACCOUNT_PATH
from vestibule.protocol.caching import NOT_KEPT
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.refusal import Answers, id_of

_LINES: Final = (
    b"Location: " + ACCOUNT_PATH.encode("ascii"),
    *NOT_KEPT,
    b"Referrer-Policy: no-referrer",
    b"X-Content-Type-Options: nosniff",
)


class Account:
    """Answers exchanges that got past the decision."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def begin(self, exchange: Exchange) -> None:
        """Send people from `/` to their account page; anything else is not there."""
        head = exchange.head
        if head.target.path != b"/":
            self._refuse(exchange, 404, "not_found", [])
        elif head.method not in (b"GET", b"HEAD"):
            self._refuse(exchange, 405, "method_not_allowed", [b"Allow: GET, HEAD"])
        else:
            exchange.answer(b"HTTP/1.1 303 See Other", list(_LINES))

    def _refuse(self, exchange: Exchange, status: int, code: str, lines: list[bytes]) -> None:
        status_line, made, body = self._answers.make(
            exchange.head, status=status, code=code, request_id=id_of(exchange), host=exchange.host
        )
        exchange.answer(status_line, [*made, *lines], body)
