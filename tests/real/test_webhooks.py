"""Webhooks to a real receiver: signed as the specification has it, while it is there, after it was away, after kill -9.

The signature is checked by the text of Standard Webhooks 1.0.0 alone, with nothing of the program's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.ports import Ports
from tests.process import Process
from tests.real import receiver
from tests.real.club import Club, Person, open_club
from tests.real.test_acme import end_leases
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

KEY, OLD_KEY = b"k" * 32, b"o" * 24
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OLD_SECRET = "whsec_" + base64.b64encode(OLD_KEY).decode()
HOOK = 'webhook "ops" {{\n  url = "http://127.0.0.1:{port}/hook"\n  secret = "{secret}"\n{more}\n}}\n'
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Mobile/15E148 Safari/604.1"
)
WITHIN_S = 60.0


def is_signed(message: dict[str, Any], key: bytes) -> bool:
    """By the specification: HMAC-SHA256 over `id.timestamp.body`, base64, after `v1,`; one of several is enough."""
    headers = message["headers"]
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + message["body"]
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(
        mark.startswith("v1,") and hmac.compare_digest(mark[3:], expected)
        for mark in headers["webhook-signature"].split(" ")
    )


class Post:
    """The receiver, which can be away."""

    def __init__(self, port: int, directory: Path) -> None:
        self.port = port
        self.file = directory / "received"
        self.process: Process | None = None

    def start(self, status: int = 204) -> None:
        argv = [sys.executable, receiver.__file__, str(self.port), self.file, str(status)]
        self.process = Process("receiver", argv)
        self.process.wait_port(self.port)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process = None

    def messages(self) -> list[dict[str, Any]]:
        return receiver.kept(self.file)

    def types(self) -> list[str]:
        return [json.loads(one["body"])["type"] for one in self.messages()]

    async def until(self, *types: str) -> list[dict[str, Any]]:
        """The messages, once there is one of each of these."""
        end = time.monotonic() + WITHIN_S
        while not set(types) <= set(self.types()):
            assert time.monotonic() < end, f"only {self.types()} came"
            await asyncio.sleep(0.05)
        return self.messages()

    async def until_there_are(self, count: int) -> list[dict[str, Any]]:
        """The messages, once there are so many."""
        end = time.monotonic() + WITHIN_S
        while len(self.messages()) < count:
            assert time.monotonic() < end, f"only {self.types()} came"
            await asyncio.sleep(0.05)
        return self.messages()


Open = Callable[..., Awaitable[tuple[Club, Post]]]


@pytest.fixture
async def opened(openid, gateway, ports: Ports, tmp_path: Path) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def start(more: str = "") -> tuple[Club, Post]:
            post = Post(ports.take(), tmp_path)
            stack.callback(post.stop)
            block = HOOK.format(port=post.port, secret=SECRET, more=more)
            club = await stack.enter_async_context(open_club(openid, gateway, ports, people=block))
            return club, post

        yield start


def person(club: Club, user_agent: str = FIREFOX) -> Person:
    visitor = new_visitor(user_agent=user_agent)
    club.visitors.append(visitor)
    return Person(club, visitor)


async def test_what_happens_is_posted_and_signed(opened: Open) -> None:
    club, post = await opened(f'  old_secret = "{OLD_SECRET}"')
    post.start()
    laptop, phone = person(club), person(club, SAFARI)
    user_id = await laptop.sign_in()
    await phone.sign_in()
    await post.until("session.created", "session.new_device")
    found = await post.until_there_are(3)
    assert sorted(post.types()) == ["session.created", "session.created", "session.new_device"]
    assert all(is_signed(one, KEY) and is_signed(one, OLD_KEY) for one in found)
    assert not any(is_signed(one, b"x" * 32) for one in found)
    assert not is_signed({**found[0], "body": found[0]["body"] + b" "}, KEY)
    assert {one["path"] for one in found} == {"/hook"}
    (new,) = (json.loads(one["body"]) for one in found if b"session.new_device" in one["body"])
    assert new["data"]["user_id"] == user_id
    assert new["data"]["device"] == "Safari on iPhone"
    assert new["data"]["address"] == "127.0.0.1"

    # One device signs the other out.
    (other,) = (one for one in (await laptop.account())["devices"] if not one["is_this"])
    assert (other["browser"], other["system"], other["address"]) == ("Safari", "iPhone", "127.0.0.1")
    answer = await laptop.tell("/@/account/devices/signout", {"id": other["id"]})
    assert answer.json == {"signed_out": 1}
    assert await phone.id() == ""
    found = await post.until("session.ended")
    (ended,) = (json.loads(one["body"])["data"] for one in found if b"session.ended" in one["body"])
    assert (ended["actor"], ended["user_id"]) == (f"user {user_id}", user_id)

    # Everything, and somebody who is not let in.
    (user,) = await club.users()
    assert (await club.admin("POST", f"/users/{user['id']}/block"))[0] == 200
    found = await post.until("session.revoked_all")
    blocked = next(json.loads(one["body"]) for one in found if b"session.revoked_all" in one["body"])
    assert blocked["data"]["actor"] == "socket"
    assert blocked["data"]["detail"] == {"reason": "user_disabled", "sessions": 1}
    assert (await person(club).come()).status == 403
    found = await post.until("sign_in.refused")
    refused = json.loads(found[-1]["body"])["data"]
    assert refused["outcome"] == "refused"
    assert refused["detail"] == {"code": "user_disabled"}
    ids = [one["headers"]["webhook-id"] for one in found]
    assert len(set(ids)) == len(ids)
    # No secret is in any of it: no handle of a cookie, no token.
    told = b"".join(one["body"] for one in found).decode()
    for visitor in club.visitors:
        for cookie in visitor.cookie_jar:
            assert len(cookie.value) < 16 or cookie.value not in told


async def test_a_receiver_that_was_away_gets_what_it_missed_and_nobody_waited_for_it(opened: Open) -> None:
    club, post = await opened()
    alice = person(club)
    await alice.sign_in()
    await asyncio.to_thread(club.gateway.process.wait_log, "webhook_failed")
    assert post.messages() == []
    post.start()
    (message,) = await post.until("session.created")
    assert is_signed(message, KEY)


async def test_kill_9_loses_none(opened: Open) -> None:
    club, post = await opened()
    people = [person(club) for _ in range(3)]
    for one in people:
        await one.sign_in()
    club.gateway.kill()
    end_leases(club.gateway)
    post.start()
    club.gateway.start_again()
    end = time.monotonic() + WITHIN_S
    while len({one["headers"]["webhook-id"] for one in post.messages()}) < 3:
        assert time.monotonic() < end, post.types()
        await asyncio.sleep(0.05)
    assert set(post.types()) == {"session.created"}
    assert all(is_signed(one, KEY) for one in post.messages())


async def test_a_redirect_is_not_followed_and_is_no_arrival(opened: Open) -> None:
    club, post = await opened()
    post.start(302)
    await person(club).sign_in()
    await post.until("session.created")
    assert {one["path"] for one in post.messages()} == {"/hook"}
    post.stop()
    post.start()
    end = time.monotonic() + WITHIN_S
    while len(post.messages()) < 2:
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    first, *_, last = post.messages()
    assert first["headers"]["webhook-id"] == last["headers"]["webhook-id"]


async def test_it_is_told_of_what_it_named_alone(opened: Open) -> None:
    club, post = await opened('  events = ["session.ended"]')
    post.start()
    alice = person(club)
    await alice.sign_in()
    assert (await alice.post("/@/signout")).status in {200, 303}
    await post.until("session.ended")
    assert post.types() == ["session.ended"]


async def test_a_new_key_is_told(opened: Open) -> None:
    club, post = await opened('  events = ["keys.rotated"]')
    post.start()
    argv = [sys.executable, "-m", "vestibule", "keys", "rotate", "--now", str(club.gateway.file)]
    done = subprocess.run(argv, cwd=club.gateway.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (message,) = await post.until("keys.rotated")
    assert is_signed(message, KEY)
    key_id = json.loads(message["body"])["data"]["target"].removeprefix("key ")
    assert key_id
    assert key_id in done.stdout


async def test_tables_that_are_broken_turn_nobody_away_and_the_log_has_it_all(opened: Open) -> None:
    club, post = await opened()
    post.start()
    database = club.gateway.directory / "state" / "vestibule.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for table in ("audit", "outbox", "devices"):
            connection.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
        connection.commit()
    alice = person(club)
    user_id = await alice.sign_in()
    assert (await person(club, SAFARI).come()).status == 303
    assert (await alice.post("/@/signout")).status in {200, 303}
    told = [json.loads(line) for line in club.gateway.log.splitlines() if line.startswith("{")]
    assert {"events_not_written", "device_not_noted"} <= {line["event"] for line in told}
    assert [line["user"] for line in told if line["event"] in {"session.created", "session.ended"}] == [
        user_id
    ] * 3

    # Back again: what waited is written, and arrives.
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for table in ("audit", "outbox", "devices"):
            connection.execute(f"ALTER TABLE {table}_away RENAME TO {table}")
        connection.commit()
    await post.until("session.created", "session.ended")
    status, found = await club.admin("GET", f"/audit?user_id={user_id}")
    assert status == 200
    assert [one["action"] for one in found["items"]] == [
        "session.ended",
        "session.created",
        "session.created",
    ]
