"""The system's clock jumps under a running gateway (libfaketime), and nobody is signed out, or in for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.real.house import CONFIGURATION, Browser, House, build

pytestmark = pytest.mark.real

HOUR_S, DAY_S = 3600, 86400
LIBRARY = "faketime/libfaketime.so.1"


@pytest.fixture(scope="module")
def library() -> str:
    """Where the library is that lies about the time."""
    found = next(Path("/usr/lib").glob(f"*/{LIBRARY}"), None) or next(
        Path("build/debian/usr/lib").glob(f"*/{LIBRARY}"), None
    )
    if found is None:
        pytest.fail("libfaketime is missing: tools/servers.sh faketime (make test does it when it may)")
    return str(found.absolute())


class Machine:
    """The clock of the gateway's machine: what it says is read from a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, by_s: int) -> None:
        """It is that much ahead of ours from now on."""
        self._file.write_text(f"{by_s:+d}\n")


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path / "faketimerc")


@pytest.fixture
def lying(gateway, library, tmp_path) -> Callable[..., Any]:
    """Starts a gateway on that machine; the steady clocks tell the truth, as they do when a clock is set."""
    environ = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "faketimerc"),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Its mend for a fault that glibc no longer has makes threads wait for each other for tenths of seconds.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }

    def start(text: str, *, port: int = 0) -> Any:
        return gateway(text, port=port, env=environ)

    return start


@pytest.fixture
async def house(ports, api, openid, lying, machine) -> House:
    text = CONFIGURATION + 'lifetimes {\n  session_idle = "2h"\n  session_absolute = "3h"\n}\n'
    return await build(ports=ports, api=api, openid=openid, gateway=lying, configuration=text)


def events(house: House) -> list[str]:
    found = []
    for line in house.gateway.log.splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line)["event"])
    return found


async def is_in(browser: Browser) -> bool:
    return (await browser.get("/")).status == 200


@pytest.mark.parametrize("by_s", [-HOUR_S, DAY_S, -DAY_S], ids=["an hour back", "a day ahead", "a day back"])
async def test_a_jump_signs_nobody_out_and_what_is_set_right_is_as_it_was(house, machine, by_s):
    async with house.browser() as alice, house.browser() as bob:
        assert (await alice.sign_in("alice")).status == 200
        machine.set(by_s)
        async with asyncio.timeout(45):
            while "clock_jumped" not in events(house):
                assert await is_in(alice)
                await asyncio.sleep(0.1)
        for _ in range(10):
            assert await is_in(alice)
        assert (await bob.sign_in("bob")).status == 200, (
            "the provider's machine has the right time, and so have we"
        )
        machine.set(1)
        async with asyncio.timeout(45):
            while "clock_set_right" not in events(house):
                assert await is_in(alice)
                await asyncio.sleep(0.1)
        assert await is_in(alice)
        assert await is_in(bob)


async def test_who_begins_with_a_clock_can_but_believe_it(house, machine):
    async with house.browser() as alice:
        assert (await alice.sign_in("alice")).status == 200
        house.gateway.stop()
        machine.set(DAY_S)
        house.gateway.start_again()
        assert not await is_in(alice)
