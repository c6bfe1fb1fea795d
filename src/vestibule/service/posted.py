"""Answers of providers that came by form, until the browser comes for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from vestibule.core import flow as flows
from vestibule.core.flow import Flow
from vestibule.core.limit import Limit
from vestibule.core.lockout import network_of
from vestibule.core.seal import KeyRing
from vestibule.errors import ClientError, FlowError
from vestibule.service.handoff import FLOW_TEXTS
from vestibule.service.locker import Locker
from vestibule.service.visit import Visit

PARKED: Final = "parked"
"""The callback's parameter that holds the key of an answer that came by form."""

POSTED_S: Final = 60.0
"""How long such an answer waits to be taken."""
POSTED_MAX: Final = 60
"""How many of them one client address (of IPv6 its first 64 bits) may leave in that time."""
ANSWER_MAX_CHARS: Final = 16 * 1024
ASSERTION_MAX_CHARS: Final = 256 * 1024
"""Of an answer that holds a signed document, with all that it says of the person's groups."""
_KIND: Final = "form_post"


class _Sent(msgspec.Struct, frozen=True):
    """The parameters of an answer."""

    params: dict[str, str]

    def __repr__(self) -> str:
        """Without what came: the code stands in it."""
        return "_Sent(***)"


class Posted:
    """Parks them, each for its own flow."""

    def __init__(self, locker: Locker, keys: KeyRing, life_s: float) -> None:
        """`life_s`: of a flow."""
        self._locker = locker
        self._keys = keys
        self._life_s = life_s
        self._count = Limit(POSTED_MAX, POSTED_S)

    async def park(
        self,
        visit: Visit,
        client: str,
        params: Mapping[str, str],
        *,
        name: str,
        limit_chars: int = ANSWER_MAX_CHARS,
    ) -> str:
        """Where to go on with the answer: a GET of the client's callback, which takes it once, soon. Durable.

        `name`: the client's full name. Raises FlowError, ClientError `body_too_large`, `too_many_tries`.
        Threat: who can't show a state of ours leaves nothing in the store; but anybody can get the state of a flow,
        and fill the store with answers to it.
        """
        raw = params.get("state", "")
        state = flows.parse_state(self._keys, raw, client=name, host=visit.host.name.decode("ascii"))
        if state is None:
            raise FlowError(FLOW_TEXTS["flow_unknown"], code="flow_unknown")
        if not flows.is_alive(state.issued_at, visit.now, self._life_s):
            raise FlowError(FLOW_TEXTS["flow_expired"], code="flow_expired")
        if sum(map(len, (*params, *params.values()))) > limit_chars:
            raise ClientError("This answer is too long.", code="body_too_large", status=413)
        place = network_of(visit.address)
        if self._count.wait_s(place, visit.now):
            raise ClientError("Please wait a minute.", code="too_many_tries", status=429)
        self._count.add(place, visit.now)
        sent = _Sent(params=dict(params))
        key = await self._locker.park(_KIND, sent, bound=state.flow_id, until=visit.now + POSTED_S)
        return f"/@{quote(client, safe='')}/callback?{urlencode({PARKED: key, 'state': raw})}"

    async def take(self, flow: Flow, params: Mapping[str, str], now: float) -> Mapping[str, str]:
        """The answer's parameters where it came by form, once; else those that came. Raises FlowError."""
        if PARKED not in params:
            return params
        sent = await self._locker.take(_KIND, params[PARKED], _Sent, bound=flow.id, now=now)
        if sent is None:
            raise FlowError(FLOW_TEXTS["flow_expired"], code="flow_expired")
        return sent.params
