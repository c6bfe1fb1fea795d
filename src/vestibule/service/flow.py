"""Drives a provider's flow: fetches what it asks for and sends it the answer.

What can't be had is raised into the flow, which may go on without it; what the flow doesn't catch comes out.
"""

from __future__ import annotations

from typing import Any, TypeVar, assert_never
from urllib.parse import urlencode

from vestibule.errors import ProviderError
from vestibule.fetch import Answer, ConnectionFailed, Fetcher
from vestibule.protocol.oauth2 import client_basic
from vestibule.providers.kit import Ask, Discovery, Flow, Get, Keys, PostForm, Reply
from vestibule.service.keys import KeySets, check_works

T = TypeVar("T")


class Driver:
    """Runs flows over the network."""

    def __init__(self, fetcher: Fetcher, keys: KeySets) -> None:
        self._fetcher = fetcher
        self._keys = keys

    async def run(self, flow: Flow[T]) -> T:
        """What the flow returns. Raises ProviderError, and whatever the flow raises."""
        try:
            ask = next(flow)
            while True:
                try:
                    answer = await self._answer(ask)
                except ProviderError as exc:
                    ask = flow.throw(exc)
                else:
                    ask = flow.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()

    async def _answer(self, ask: Ask) -> Any:
        match ask:
            case Get():
                return _reply(await self._get(ask))
            case PostForm():
                return _reply(await self._post(ask))
            case Discovery():
                return await self._keys.metadata(ask.issuer, ask.url)
            case Keys():
                return await self._keys.keys(ask.url, ask.kid, via=ask.via)
            case _:
                assert_never(ask)

    async def _get(self, ask: Get) -> Answer:
        """The answer, tried once more when the connection failed: a GET changes nothing."""
        headers = _headers(ask)
        try:
            return await self._fetcher.get(ask.url, headers=headers, via=ask.via)
        except ConnectionFailed:
            return await self._fetcher.get(ask.url, headers=headers, via=ask.via)

    async def _post(self, ask: PostForm) -> Answer:
        """The answer to a form sent once: a code or a rotating refresh token is spent by being sent."""
        body = urlencode(ask.form).encode("ascii")
        return await self._fetcher.post_form(ask.url, body, headers=_headers(ask), via=ask.via)


def _headers(ask: Get | PostForm) -> dict[str, str]:
    headers = dict(ask.headers)
    if ask.bearer is not None:
        headers["authorization"] = f"Bearer {ask.bearer.reveal()}"
    elif isinstance(ask, PostForm) and ask.basic is not None:
        headers["authorization"] = client_basic(*ask.basic).reveal()
    return headers


def _reply(answer: Answer) -> Reply:
    """The answer as flows see it; that a provider is failing is no answer."""
    check_works(answer)
    return Reply(status=answer.status, headers=answer.headers, body=answer.body)
