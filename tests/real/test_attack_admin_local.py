"""What other programs of this machine do to the admin pages: apps on the same name, and whoever listens to all there is."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.browser import office as offices
from tests.browser.office import NAVIGATION, Office, open_office
from vestibule.web.api.office import STREAMS_OF_ONE

pytestmark = pytest.mark.real

NEIGHBOUR = """
host "localhost" {
  backend = "internal:echo"
  sign_in = ["op"]
  access {
    allow = ["public"]
  }
}
"""
_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]*)"')


@pytest.fixture
async def office(ports: Any, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    monkeypatch.setattr(offices, "HCL", offices.HCL + NEIGHBOUR)
    async with open_office(ports, state_dir / "office") as office:
        yield office


async def by_token(office: Office, bearer: str) -> aiohttp.ClientSession:
    """A browser in which somebody has typed this token."""
    session = await office.visitor()
    async with session.get(f"{office.url}/sign-in", headers=NAVIGATION) as answer:
        found = _FORM_TOKEN.search(await answer.text())
    assert found
    fields = {"form_token": unescape(found[1]), "token": bearer}
    headers = {"Origin": office.url, "Sec-Fetch-Site": "same-origin"}
    async with session.post(f"{office.url}/sign-in", data=fields, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    return session


async def test_an_app_on_the_same_name_is_never_sent_the_operators_cookie(office: Office) -> None:
    """Threat: cookies are kept by name, not by port; who has the one of the pages, is the operator."""
    operator = await by_token(office, office.token())
    operator.cookie_jar.update_cookies({"theme": "dark"})
    url = f"http://localhost:{office.gateway.port}/"
    assert {"theme", f"vestibule-admin-{office.url.rpartition(':')[2]}"} <= {
        one.key for one in operator.cookie_jar
    }
    async with operator.get(url, headers=NAVIGATION) as answer:
        got = dict(json.loads(await answer.text())["headers"])
    assert "theme=dark" in got["Cookie"]
    assert "vestibule" not in got["Cookie"]


async def test_whoever_listens_to_all_there_is_keeps_nobody_else_waiting(office: Office) -> None:
    bearer = {"Authorization": f"Bearer {office.token('few', '--scope', 'traffic:read')}"}
    listener, operator = await office.visitor(), await by_token(office, office.token())

    async def listen() -> aiohttp.ClientResponse:
        return await listener.get(f"{office.url}/api/v1/traffic/stream", headers=bearer)

    async with asyncio.timeout(30):
        answers = [await listen() for _ in range(STREAMS_OF_ONE + 2)]
        assert [one.status for one in answers] == [200] * STREAMS_OF_ONE + [429] * 2
        assert answers[-1].headers["Retry-After"]
        assert await office.get(operator, "/people", office.url) == 200
        for one in answers:
            one.close()
        while (again := await listen()).status != 200:
            await asyncio.sleep(0.05)
        again.close()
