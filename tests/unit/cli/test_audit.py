"""`vestibule audit`, against the API in this process."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.unit.cli.test_remote import Shell
from tests.unit.web.api.desk import NOW, ApiDesk
from vestibule.core.event import REFUSED, SESSION_CREATED, SIGN_IN_REFUSED, Event


@pytest.fixture
def api() -> ApiDesk:
    desk = ApiDesk()
    made = Event(
        id="evt_1",
        at=NOW,
        action=SESSION_CREATED,
        actor="user u1",
        user_id="u1",
        address="192.0.2.7",
        device="Firefox",
    )
    refused = Event(
        id="evt_2", at=NOW + 1, action=SIGN_IN_REFUSED, outcome=REFUSED, detail={"code": "not_invited"}
    )
    asyncio.run(desk.store.audit.add((made, refused)))
    return desk


@pytest.fixture
def shell(api, monkeypatch) -> Shell:
    return Shell(api, monkeypatch)


def test_what_has_happened_the_latest_first(shell):
    lines = shell.run("audit", COLUMNS="140").stdout.splitlines()
    assert lines[0].split() == ["AT", "WHAT", "WHO", "WHOM", "ADDRESS", "DEVICE"]
    assert "sign_in.refused" in lines[1]
    assert "(not_invited)" in lines[1]
    assert lines[2].split() == [
        "2027-01-15",
        "08:00:00",
        "session.created",
        "user",
        "u1",
        "u1",
        "192.0.2.7",
        "Firefox",
    ]


def test_as_json_it_is_what_the_api_says(shell):
    found = shell.json("audit", "--user", "u1")
    assert [(one["id"], one["action"]) for one in found] == [("evt_1", "session.created")]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--refused",), 1),
        (("--action", "session.created"), 1),
        (("--actor", "user u1"), 1),
        (("--session", "s9"), 0),
        (("--limit", "1"), 1),
        (("--limit", "0"), 2),
    ],
    ids=str,
)
def test_it_can_be_narrowed(shell, options, count):
    assert len(shell.json("audit", *options)) == count


def test_it_can_be_what_was_of_late(shell, api):
    found = [
        Event(id=f"evt_{ago_s}", at=time.time() - ago_s, action=SESSION_CREATED, actor="socket")
        for ago_s in (60, 7200)
    ]
    asyncio.run(api.store.audit.add(found))
    assert [one["id"] for one in shell.json("audit", "--actor", "socket", "--last", "1h")] == ["evt_60"]


def test_where_there_is_nothing_it_says_so(shell):
    assert shell.run("audit", "--user", "u9").stdout.strip() == "Nothing of that kind."
