"""People with browsers at a gateway whose identity provider is a stand-in."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import AsyncExitStack
from typing import Any, Generic, TypeVar

import aiohttp

from tests.real.gateway import Gateway
from tests.real.visitor import new_visitor

P = TypeVar("P")


@dataclasses.dataclass
class Stage(Generic[P]):
    """A gateway before `internal:echo`, a stand-in, and people."""

    gateway: Gateway
    provider: P
    client: str
    """The provider's ID."""
    visitors: AsyncExitStack

    @property
    def base(self) -> str:
        """How people address the app."""
        return f"http://app.localhost:{self.gateway.port}"

    async def person(self) -> Person:
        """Somebody with a new browser."""
        return Person(self, await self.visitors.enter_async_context(new_visitor()))


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, stage: Stage[Any], visitor: aiohttp.ClientSession) -> None:
        self.stage = stage
        self.visitor = visitor

    async def sign_in(self, login: str) -> tuple[int, str]:
        """Through the stand-in; status and text of where that ends."""
        target = f"{self.stage.base}/@{self.stage.client}/signin?rd=/&login_hint={login}"
        async with self.visitor.get(target) as answer:
            return answer.status, await answer.text()

    async def told(self, answer: tuple[int, str]) -> dict[str, str]:
        """The headers that the app was sent, by lower-case name."""
        status, text = answer
        assert status == 200, text
        return {name.lower(): value for name, value in json.loads(text)["headers"]}

    async def status(self, path: str) -> int:
        """What a request for this path is answered with; nothing is followed."""
        async with self.visitor.get(f"{self.stage.base}{path}", allow_redirects=False) as answer:
            return answer.status

    async def who(self) -> dict[str, Any] | None:
        """What `/@/session` says; None when nobody is signed in."""
        async with self.visitor.get(f"{self.stage.base}/@/session") as answer:
            return None if answer.status == 401 else dict(await answer.json())

    async def until(self, path: str, status: int) -> None:
        """Returns once a request for this path is answered so."""
        for _ in range(600):
            if await self.status(path) == status:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{path} never came to {status}")

    async def gone(self) -> None:
        """Returns once the person isn't signed in any more."""
        for _ in range(600):
            if await self.status("/") == 401:
                assert await self.who() is None
                return
            await asyncio.sleep(0.1)
        raise AssertionError("still signed in")
