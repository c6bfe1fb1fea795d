"""Answers of providers that came by form, until the browser comes for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from vestibule.core.limit import Limit
from vestibule.core.lockout import network_of
from vestibule.errors import ClientError
from vestibule.service.locker import Locker
from vestibule.service.visit import Visit

POSTED_S: Final = 60.0
"""How long such an answer waits to be taken."""
POSTED_MAX: Final = 60
"""How many of them one client address (of IPv6 its first 64 bits) may leave in that time."""
ANSWER_MAX_CHARS: Final = 16 * 1024
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
        self._count = Limit(POSTED_MAX, POSTED_S)

    async def park(self, flow_id: str, params: Mapping[str, str], visit: Visit) -> str:
        """The key under which the answer waits; durable. Raises ClientError `body_too_large`, `too_many_tries`.

        Threat: anybody can get the state of a flow, and fill the store with answers to it.
        """
        if sum(map(len, (*params, *params.values()))) > ANSWER_MAX_CHARS:
            raise ClientError("This answer is too long.", code="body_too_large", status=413)
        place = network_of(visit.address)
        if self._count.wait_s(place, visit.now):
            raise ClientError("Please wait a minute.", code="too_many_tries", status=429)
        self._count.add(place, visit.now)
        sent = _Sent(params=dict(params))
        return await self._locker.park(_KIND, sent, bound=flow_id, until=visit.now + POSTED_S)

    async def take(self, flow_id: str, key: str, now: float) -> Mapping[str, str] | None:
        """The answer's parameters, once; None when there is none for this flow."""
        sent = await self._locker.take(_KIND, key, _Sent, bound=flow_id, now=now)
        return None if sent is None else sent.params
