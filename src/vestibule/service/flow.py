"""Drives a provider's flow: fetches what it asks for and sends it the answer.

What can't be had is raised into the flow, which may go on without it; what the flow doesn't catch comes out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, assert_never
from urllib.parse import urlencode

from vestibule.errors import ProviderError, ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.fetch import Answer, ConnectionFailed, Fetcher
from vestibule.observe.meter import OTHER, Meter
from vestibule.observe.metrics import PROVIDER_REQUESTS, PROVIDER_SECONDS
from vestibule.protocol.oauth2 import client_basic
from vestibule.providers.kit import (
    OUTSIDE,
    Ask,
    Discovery,
    Document,
    Fetched,
    Flow,
    Get,
    Keys,
    PostForm,
    Reply,
    Send,
    Work,
)
from vestibule.service.keys import KeySets, check_works
from vestibule.service.sightings import Sightings

T = TypeVar("T")
THREADS: Final = 2
"""Of their own: who sends what takes long keeps nobody waiting who looks up a name or checks a password."""
_OUTCOMES: Final[Mapping[type[ProviderError], str]] = {
    ProviderRefused: "refused",
    ProviderInvalid: "invalid",
    ProviderUnavailable: "unavailable",
    ConnectionFailed: "unavailable",
}


class Driver:
    """Runs flows over the network."""

    def __init__(self, fetcher: Fetcher, keys: KeySets, meter: Meter | None = None) -> None:
        self._fetcher = fetcher
        self._keys = keys
        self._meter = meter or Meter()
        self._threads = ThreadPoolExecutor(THREADS, "flow")
        self.sightings = Sightings()
        """How it went, of late, for each client that was named."""

    async def run(self, flow: Flow[T], *, trusted: bool = True, about: str = "") -> T:
        """What the flow returns. Raises ProviderError, and whatever the flow raises.

        Not `trusted`: the provider stands in a database, so that whatever URL it asks for counts as `OUTSIDE`,
        even one it takes for the operator's.
        """
        has_asked = False
        unmet: ProviderError | None = None
        try:
            ask = next(flow)
            while True:
                is_work = isinstance(ask, Work)
                has_asked = has_asked or not is_work
                try:
                    answer = await self._had(about, ask, trusted=trusted)
                except ProviderError as exc:
                    unmet = unmet if is_work else exc
                    ask = flow.throw(exc)
                else:
                    ask = flow.send(answer)
        except StopIteration as stop:
            # A flow that went on without what it could not have says nothing good of the provider.
            if unmet is not None:
                self.sightings.wrong(about, unmet)
            elif has_asked:
                self.sightings.well(about)
            result: T = stop.value
            return result
        except ProviderError as exc:
            self.sightings.wrong(about, exc)
            raise
        finally:
            flow.close()

    async def _had(self, about: str, ask: Ask, *, trusted: bool) -> Any:
        """What was asked for, or what a work came to."""
        if isinstance(ask, Work):
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask.run)
        via = ask.via if trusted else OUTSIDE
        self.sightings.asks(about, ask, via)
        return await self._counted(about, ask, via)

    async def _counted(self, about: str, ask: Fetched, via: str) -> Any:
        """As `_answer`; what was only looked up here, and what was asked for, both well, are told apart."""
        provider, began_mono, outcome = about or OTHER, time.monotonic(), "timeout"
        try:
            answer = await self._answer(ask, via)
            outcome = _outcome_of(answer)
        except ProviderError as error:
            outcome = _OUTCOMES.get(type(error), "failed")
            raise
        finally:
            if outcome != "ok" or not isinstance(ask, Discovery | Document | Keys):
                self._meter.add(PROVIDER_REQUESTS, (provider, outcome))
                self._meter.observe(PROVIDER_SECONDS, (provider,), time.monotonic() - began_mono)
        return answer

    async def _answer(self, ask: Fetched, via: str) -> Any:
        match ask:
            case Get():
                return _reply(await self._get(ask, via))
            case PostForm():
                return _reply(await self._post(ask, via))
            case Send():
                return _reply(await self._send(ask, via))
            case Discovery():
                return await self._keys.metadata(ask.issuer, ask.url, via=via)
            case Document():
                return await self._keys.document(ask.url, anew=ask.anew, via=via)
            case Keys():
                return await self._keys.keys(ask.url, ask.kid, via=via)
            case _:
                assert_never(ask)

    async def _get(self, ask: Get, via: str) -> Answer:
        """The answer, tried once more when the connection failed: a GET changes nothing."""
        headers = _headers(ask)
        try:
            return await self._fetcher.get(ask.url, headers=headers, via=via, follow=ask.follow)
        except ConnectionFailed:
            return await self._fetcher.get(ask.url, headers=headers, via=via, follow=ask.follow)

    async def _post(self, ask: PostForm, via: str) -> Answer:
        """The answer to a form sent once: a code or a rotating refresh token is spent by being sent."""
        body = urlencode(ask.form).encode("ascii")
        return await self._fetcher.post_form(ask.url, body, headers=_headers(ask), via=via)

    async def _send(self, ask: Send, via: str) -> Answer:
        """The answer to a body sent once."""
        headers = {"content-type": ask.content_type, **_headers(ask)}
        return await self._fetcher.send(ask.method, ask.url, ask.body, headers=headers, via=via)


def _outcome_of(answer: object) -> str:
    """What an answer comes to; one of 500 and above has been raised as an error."""
    return "refused" if isinstance(answer, Reply) and answer.status >= 400 else "ok"


def _headers(ask: Get | PostForm | Send) -> dict[str, str]:
    headers = {name.lower(): value for name, value in ask.headers}
    if ask.bearer is not None:
        headers["authorization"] = f"Bearer {ask.bearer.reveal()}"
    elif not isinstance(ask, Get) and ask.basic is not None:
        headers["authorization"] = client_basic(*ask.basic).reveal()
    return headers


def _reply(answer: Answer) -> Reply:
    """The answer as flows see it; that a provider is failing is no answer."""
    check_works(answer)
    return Reply(status=answer.status, headers=answer.headers, body=answer.body, url=answer.url)
