"""Answers of providers that came by form, until the browser comes for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from vestibule.service.locker import Locker

POSTED_S: Final = 60.0
"""How long such an answer waits to be taken."""
_KIND: Final = "form_post"


class _Sent(msgspec.Struct, frozen=True):
    """The parameters of an answer."""

    params: dict[str, str]

    def __repr__(self) -> str:
        """Without what came: the code stands in it."""
        return "_Sent(***)"


class Posted:
    """Parks them, each for its own flow."""

    def __init__(self, locker: Locker) -> None:
        self._locker = locker

    async def park(self, flow_id: str, params: Mapping[str, str], now: float) -> str:
        """The key under which the answer waits; durable."""
        sent = _Sent(params=dict(params))
        return await self._locker.park(_KIND, sent, bound=flow_id, until=now + POSTED_S)

    async def take(self, flow_id: str, key: str, now: float) -> Mapping[str, str] | None:
        """The answer's parameters, once; None when there is none for this flow."""
        sent = await self._locker.take(_KIND, key, _Sent, bound=flow_id, now=now)
        return None if sent is None else sent.params
