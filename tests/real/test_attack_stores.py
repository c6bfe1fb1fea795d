"""Who was signed out comes back by whatever a store, or whoever shares it, does not know of."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import Any

import pytest

from tests.real.house import CONFIGURATION, build, handle_of, status_with

pytestmark = pytest.mark.real

KEY = {"VESTIBULE_SESSION_KEY": "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="}
STORE = 'store {\n  url = "sqlite:FILE"\n}\n'


async def test_of_two_gateways_on_one_file_neither_lets_in_whom_the_other_signed_out(
    ports: Any, api: Any, openid: Any, gateway: Any, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    text = CONFIGURATION + STORE.replace("FILE", str(tmp_path / "shared" / "both.db"))
    start = functools.partial(gateway, env=KEY)
    house = await build(ports=ports, api=api, openid=openid, gateway=start, configuration=text)
    house.gateway.wait()
    text = house.gateway.file.read_text().replace(f"= {house.call_port}\n", f"= {ports.take()}\n")
    other = start(text.replace(f':{house.gateway.port}"', ':{port}"'))
    other.wait()
    async with house.browser() as alice, house.browser() as bob:
        for one, name in ((alice, "alice"), (bob, "bob")):
            await one.sign_in(name)
            assert await status_with(house, handle_of(one), other.port) == 200
        handle = handle_of(alice)
        await alice.post("/@/signout")
        assert await status_with(house, handle, other.port) == 302
        await asyncio.to_thread(other.kill)
        handle = handle_of(bob)
        assert (await bob.get("/")).status == 200
        await bob.post("/@/signout")
        await asyncio.to_thread(other.start_again)
        assert await status_with(house, handle, house.gateway.port) == 302
        assert await status_with(house, handle, other.port) == 302
        await alice.sign_in("alice")
        handle = handle_of(alice)
        assert await status_with(house, handle, other.port) == 200
        await alice.post("/@/signout")
        assert await status_with(house, handle, other.port) == 302
