"""Guesses of what a program shows on its screen: ten thousand over HTTP, by many people from a hundred addresses."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.ports import Ports
from tests.real.visitor import new_visitor
from vestibule.service.device_flow import WINDOW_S, WRONG_FROM_MAX, WRONG_MAX

pytestmark = pytest.mark.real

HCL = """
log {
  component "signin" {
    level = "error"
  }
}
gateway {
  http = ["127.0.0.1:{port}"]
}
provider "google" {
  client_id     = "nobody comes by this one"
  client_secret = "canary-secret"
}
app "cli" {
  name   = "A terminal"
  hosts  = ["127.0.0.1"]
  grants = ["device", "refresh"]
}
host "127.0.0.1" {
  backend  = "internal:echo"
  htpasswd = "FILE"
  sign_in  = ["google"]
  access { allow = ["anyone"] }
}
"""
PEOPLE, ADDRESSES, GUESSES = 25, 100, 10_000
AT_ONCE = 20
PASSWORD = "correct horse"
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


def code_of(number: int) -> str:
    """As they are made, each another."""
    text = "".join(LETTERS[number // 20**place % 20] for place in range(8))
    return f"{text[:4]}-{text[4:]}"


@pytest.fixture
def origin(gateway, ports: Ports, tmp_path: Path) -> str:
    users = tmp_path / "users"
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode(), usedforsecurity=False).digest()).decode()
    users.write_text("".join(f"user{number}:{{SHA}}{digest}\n" for number in range(PEOPLE + 1)))
    port = ports.take()
    gateway(HCL.replace("FILE", str(users)), port=port)
    return f"http://127.0.0.1:{port}"


async def signed_in(origin: str, user: str) -> dict[str, str]:
    """The cookies of a browser in which this one has signed in."""
    async with new_visitor() as browser:
        form = {"user": user, "password": PASSWORD, "rd": "/"}
        async with browser.post(f"{origin}/@/signin", data=form, headers={"Origin": origin}) as answer:
            assert answer.status == 200
        return {cookie.key: cookie.value for cookie in browser.cookie_jar}


@pytest.fixture
async def visitors(origin: str) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Each address, with a browser of one of the people; at last one more person's, from elsewhere."""
    async with AsyncExitStack() as stack:
        found = []
        cookies = [await signed_in(origin, f"user{number}") for number in range(PEOPLE + 1)]
        for number in range(ADDRESSES + 1):
            visitor = new_visitor(source=f"127.0.1.{number + 1}")
            whose = number % PEOPLE if number < ADDRESSES else PEOPLE
            visitor.cookie_jar.update_cookies(cookies[whose], URL(origin))
            found.append(await stack.enter_async_context(visitor))
        yield found


async def test_ten_thousand_guesses_from_a_hundred_addresses_find_nothing_and_are_slowed(origin, visitors):
    async def begun(program: aiohttp.ClientSession) -> str:
        async with program.post(f"{origin}/@/device/code", data={"client_id": "cli"}) as answer:
            return (await answer.json())["user_code"]

    async def guess(visitor: aiohttp.ClientSession, code: str) -> int:
        headers = {"Origin": origin, "Accept": "application/json"}
        while True:
            async with visitor.post(
                f"{origin}/@/device", data={"user_code": code}, headers=headers
            ) as answer:
                if answer.status == 429:
                    assert 0 < int(answer.headers["Retry-After"]) <= WINDOW_S
                if answer.status != 503:
                    return answer.status
                # Nothing was looked at: so many at once are too many where the machine stands still for a moment.
                assert answer.content_type == "text/plain"
            await asyncio.sleep(0.1)

    *guessing, another = visitors
    async with new_visitor() as program:
        waiting = await begun(program)
        numbers = iter(range(GUESSES))
        statuses: Counter[int] = Counter()

        async def guess_on() -> None:
            for number in numbers:
                statuses[await guess(guessing[number % ADDRESSES], code_of(number))] += 1

        await asyncio.gather(*(guess_on() for _ in range(AT_ONCE)))
        assert set(statuses) == {422, 429}
        assert statuses[422] == min(PEOPLE * WRONG_MAX, ADDRESSES * WRONG_FROM_MAX)
        assert statuses.total() == GUESSES

        # None of them gets even the right one in, and nobody else is kept from theirs.
        assert {await guess(visitor, waiting) for visitor in guessing[:PEOPLE]} == {429}
        assert await guess(another, waiting) == 200
