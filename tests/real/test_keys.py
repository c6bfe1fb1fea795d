"""Keys that change while the program runs: several processes, and nobody is signed out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.real.house import CONFIGURATION, House, build
from vestibule.core.seal import key_id_of

pytestmark = pytest.mark.real

WORKERS = CONFIGURATION.replace("gateway {\n", "gateway {\n  workers = 2\n")
PROCESSES = 3
CANARIES = (b"alice@example.com", b"CanaryBrowser", b"op-access-token")


@pytest.fixture
async def house(ports, api, openid, gateway) -> AsyncIterator[House]:
    """The usual house, carried by two workers."""
    built = await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=WORKERS)
    built.gateway.wait()
    async with aiohttp.ClientSession() as built.client:
        yield built


def keys(house: House, *words: str) -> str:
    """What `vestibule keys …` prints."""
    argv = [sys.executable, "-m", "vestibule", "keys", *words, str(house.gateway.file)]
    done = subprocess.run(argv, cwd=house.gateway.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(house: House) -> dict[str, str]:
    return {key["id"]: key["state"] for key in json.loads(keys(house, "list", "--json"))["keys"]}


async def told(house: House, event: str, times: int) -> None:
    """Returns once this many lines of the log are of this event."""
    async with asyncio.timeout(60):
        while house.gateway.log.count(f'"event":"{event}"') < times:
            await asyncio.sleep(0.05)


def sealed_by(house: House) -> list[str]:
    """Ids of the keys that sealed the sessions, the oldest first."""
    path = house.gateway.directory / "state" / "vestibule.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT sealed FROM sessions ORDER BY created_at").fetchall()
    return [key_id_of(sealed) for (sealed,) in rows]


async def test_a_key_is_rotated_while_the_program_runs_and_nobody_notices(house):
    [old] = listed(house)
    async with house.browser() as alice, house.browser() as bob, house.browser() as late:
        await alice.sign_in()
        handle = (await alice.seen_by_app()).one("proxy-session")
        callback = await bob.authorize(await bob.begin("bob"))
        keys(house, "rotate", "--delay", "6s")
        await told(house, "keys_read", PROCESSES)
        assert await alice.email() == "alice@example.com"
        await told(house, "keys_rotated", PROCESSES)
        [new] = listed(house).keys() - {old}

        page = await bob.get(callback, follow=True)
        assert page.status == 200, page.text
        assert await bob.email() == "bob@example.com"
        await late.sign_in("alice")
        assert sealed_by(house) == [old, new, new]
        async with house.call(handle) as answer:
            assert answer.status == 200

        house.gateway.stop()
        house.gateway.start_again()
        for browser, email in ((alice, "alice"), (bob, "bob"), (late, "alice")):
            assert await browser.email() == f"{email}@example.com"
        async with house.call(handle) as answer:
            assert answer.status == 200
        assert "record_unreadable" not in house.gateway.log

        keys(house, "retire", old, "--force")
        await told(house, "keys_read", PROCESSES * 2)
        house.gateway.stop()
        house.gateway.start_again()
        assert await alice.email() is None
        assert await late.email() == "alice@example.com"
        assert '"event":"record_unreadable"' in house.gateway.log


async def test_a_broken_key_file_is_told_and_changes_nothing(house):
    path = house.gateway.directory / "state" / "vestibule.key"
    good = path.read_bytes()
    async with house.browser() as alice, house.browser() as bob:
        await alice.sign_in()
        path.write_bytes(b'{"keys":[')
        await told(house, "keys_unusable", PROCESSES)
        assert await alice.email() == "alice@example.com"
        await bob.sign_in("bob")
        assert await bob.email() == "bob@example.com"
        path.write_bytes(good)
        [only] = listed(house)
        keys(house, "rotate", "--now")
        await told(house, "keys_rotated", PROCESSES)
        assert len(listed(house)) == 2
        assert sealed_by(house) == [only, only]
        assert await alice.email() == "alice@example.com"


async def test_a_state_directory_carried_away_without_its_key_lets_nobody_in(house):
    state: Path = house.gateway.directory / "state"
    async with house.browser() as alice:
        await alice.sign_in()
        handle = (await alice.seen_by_app()).one("proxy-session")
        house.gateway.stop()
        with contextlib.closing(sqlite3.connect(state / "vestibule.db")) as connection:
            for table in ("sessions", "session_digests", "grants"):
                rows = connection.execute(f"SELECT * FROM {table}").fetchall()
                kept = b"\n".join(
                    cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row
                )
                assert rows
                assert [
                    word for word in (*CANARIES, *map(str.encode, house.secrets_told())) if word in kept
                ] == []
        shutil.move(state / "vestibule.key", state / "elsewhere")
        house.gateway.start_again()
        assert await alice.email() is None
        async with house.call(handle) as answer:
            assert answer.status == 401
