"""The end of a gateway while somebody watches the admin pages: it waits for answers, not for what has no end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from tests.browser.office import Office, open_office

pytestmark = pytest.mark.real

WATCHED = ("/live", "/traffic/live")


@pytest.fixture(params=[1, 2], ids=["one process", "workers"])
async def office(ports, state_dir, request) -> AsyncIterator[Office]:
    async with open_office(ports, state_dir / "office", workers=request.param) as office:
        yield office


async def test_who_watches_keeps_no_gateway_from_ending(office: Office) -> None:
    ops = f"http://ops.example.com:{office.gateway.port}"
    olga = await office.visitor()
    await office.sign_in(olga, "ops", ops)
    await office.sign_in(olga, "ops", office.url)
    process = office.gateway.process
    async with asyncio.timeout(120):
        answers = [await olga.get(f"{at}{path}") for at in (ops, office.url) for path in WATCHED]
        for answer in answers:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            assert await answer.content.readany()
        os.kill(process.pid, signal.SIGTERM)
        # Else each of them would end where the time for answers under way is over, broken off.
        for answer in answers:
            await answer.read()
