"""Sessions while two programs serve: what is said to the new one holds for what is open at the old one."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.real import raw
from tests.real.test_logout import Somebody, hall_of, is_closed, somebodies
from tests.real.test_upgrade import Running

__all__ = ["hall_of", "somebodies"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

STAYS = "import vestibule.handover\nvestibule.handover.SETTLE_S = 120.0\n"
"""The old program looks for longer whether the new one is well, so that both serve as long as the test takes."""


READY = b"GET /@/readyz HTTP/1.1\r\nHost: app.example.com\r\n\r\n"


async def is_ready(port: int) -> bool:
    """With workers a port is there before somebody who answers."""
    try:
        async with raw.connect(port) as connection:
            return (await connection.ask(READY)).status == 200
    except (ConnectionError, raw.BrokenAnswerError):
        return False


async def sign_out(somebody: Somebody, port: int) -> None:
    """By the page at this port; cookies are named after theirs."""
    page = somebody.url("/@/signout")
    known = somebody.session.cookie_jar.filter_cookies(page)
    cookies = {f"vestibule-{port}": known[f"vestibule-{page.port}"].value}
    headers = {"Origin": f"http://app.example.com:{port}", "Sec-Fetch-Site": "same-origin"}
    async with somebody.session.post(
        page.with_port(port), cookies=cookies, headers=headers, allow_redirects=False
    ) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize("workers", [1, 2], ids=["one process", "workers"])
async def test_a_sign_out_at_the_new_program_cuts_a_websocket_at_the_old_one(
    hall_of, ports, tmp_path, workers
):
    (tmp_path / "sitecustomize.py").write_text(STAYS)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    hall = await hall_of(env={"PYTHONPATH": path}, workers=workers)
    running, other = Running(hall.gateway), ports.take()
    alice, bob = hall.somebody(), hall.somebody()
    await alice.sign_in("alice")
    await bob.sign_in("bob")
    async with alice.socket() as socket, bob.socket() as kept:
        file, port = hall.gateway.file, hall.gateway.port
        # An address that the new program alone has, to talk to it and to nobody else.
        at = f'"127.0.0.1:{port}"'
        file.write_text(file.read_text().replace(at, f'{at}, "127.0.0.1:{other}"', 1))
        os.kill(running.pid, signal.SIGUSR2)
        async with asyncio.timeout(90):
            while not await is_ready(other):
                await asyncio.sleep(0.05)
        await sign_out(alice, other)
        assert await is_closed(socket)
        async with asyncio.timeout(60):
            while await alice.is_in():  # whichever of the two is asked
                await asyncio.sleep(0.05)
        # Both are there still, and who has not signed out is as well off as before.
        assert not running._has_ended(running.pid)
        assert not running.events("upgraded")
        await kept.send_str("still here")
        assert await kept.receive_str() == "still here"
