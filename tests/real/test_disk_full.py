"""A disk that takes no more: what was kept is served, nothing new is promised, and it is over when it is over."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

pytestmark = pytest.mark.real

PROGRAM = """
import asyncio, os, resource, sys, time
from pathlib import Path
from vestibule.core.record import Vault
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError
from vestibule.model import Session
from vestibule.store import sqlite

VAULT = Vault(KeyRing((Key("k1", b"k" * 32),)))

def session(name):
    now = time.time()
    return Session(id=name, host="h" * 5000, created_at=now, seen_at=now, expires_at=now + 99, idle_s=99.0)

def allow(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main(path):
    store = await sqlite.open_store(f"sqlite:{path}", VAULT)
    await store.sessions.create(session("before"), b"before")
    allow(Path(f"{path}-wal").stat().st_size + 50_000)
    made = []
    try:
        for n in range(1000):
            await store.sessions.create(session(f"s{n}"), b"%d" % n)
            made.append(f"s{n}")
    except StoreError as exc:
        print("refused", len(made), exc.detail)
    for name in ("before", *made):
        assert await store.sessions.by_id(name, time.time()), name
    assert not await store.sessions.by_id(f"s{len(made)}", time.time())
    try:
        await store.sessions.delete("before")
    except StoreError:
        print("still full")
    assert await store.sessions.by_id("before", time.time())
    allow(resource.RLIM_INFINITY)
    await store.sessions.create(session("after"), b"after")
    assert await store.sessions.by_id("after", time.time())
    assert await store.sessions.delete("before")
    await store.close()
    store = await sqlite.open_store(f"sqlite:{path}", VAULT)
    for name in ("after", *made):
        assert await store.sessions.by_id(name, time.time()), name
    await store.close()
    print("recovered")

asyncio.run(main(sys.argv[1]))
"""


def test_a_full_disk_loses_nothing_and_is_recovered_from(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "x.db"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["refused", "still", "recovered"]
    assert int(lines[0].split()[1]) > 0


class Disk:
    """The disk of a running gateway: full is what it takes no more of."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def fill(self) -> None:
        """No file grows any more."""
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    def empty(self) -> None:
        """There is room again."""
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_on_a_full_disk_known_people_go_on_others_are_told_to_come_back_and_it_is_over_when_it_is_over(
    house,
):
    disk = Disk(house.gateway.process.pid)
    async with house.browser() as alice, house.browser() as bob:
        assert (await alice.sign_in("alice")).status == 200
        disk.fill()
        for _ in range(10):
            assert (await alice.get("/")).status == 200
            page = await bob.sign_in("bob")
            assert page.status == 503
            assert int(page.headers["Retry-After"]) > 0
            assert await bob.who() is None
        page = await alice.post("/@/signout")
        assert page.status == 503
        assert (await alice.get("/")).status == 200
        disk.empty()
        assert (await bob.sign_in("bob")).status == 200
        assert await bob.email() == "bob@example.com"
        assert (await alice.post("/@/signout")).status == 200
        assert await alice.who() is None
