"""`vestibule audit`, against the API in this process."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import msgspec
import pytest

from tests.unit.cli.test_remote import Shell
from tests.unit.web.api.desk import NOW, RING, ApiDesk
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


@pytest.mark.parametrize("action", ["session.creted", "app", "App.x"])
def test_an_event_that_there_is_not_is_told(shell, action):
    done = shell.run("audit", "--action", action)
    assert done.exit_code == 2
    assert "session.created" in done.stderr


def test_what_an_application_told_can_be_asked_for(shell):
    assert shell.json("audit", "--action", "app.order.paid") == []


# -- verified, exported -----------------------------------------------------------------------


def test_a_whole_trail_is_said_to_be_with_its_head(shell, api):
    done = shell.run("audit", "verify")
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        ["whole: 2 rows, 2027-01-15 08:00 to 2027-01-15 08:00", f"head: {api.store.audit.head.hash}"],
    )
    assert shell.run("audit", "verify", "--head", api.store.audit.kept[0].hash).exit_code == 0


def test_a_broken_one_is_another_exit_code_and_says_where(shell, api):
    del api.store.audit.kept[0]
    done = shell.run("audit", "verify")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1:] == [
        "first broken row: evt_2",
        "row 1 is missing: after row 0 comes 2",
    ]
    assert shell.run("audit", "verify", "--json").exit_code == 1


def test_a_head_that_was_kept_and_is_not_there_breaks_it(shell):
    done = shell.run("audit", "verify", "--head", "f" * 64)
    assert done.exit_code == 1
    assert "in none of the rows" in done.stdout
    assert shell.run("audit", "verify", "--head", "beef").exit_code == 2


@pytest.fixture
def copy(shell, tmp_path) -> Path:
    path = tmp_path / "trail.ndjson"
    path.write_text(shell.run("audit", "export").stdout)
    return path


def test_a_copy_is_verified_without_a_gateway(shell, copy, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_bytes(msgspec.json.encode({"keys": RING.keys}))
    keys.chmod(0o600)
    asked = len(shell.asked)
    done = shell.run("audit", "verify", "--file", str(copy))
    assert done.exit_code == 0
    assert "hashes alone were checked" in done.stdout
    sure = shell.run("audit", "verify", "--file", str(copy), "--key-file", str(keys))
    assert (sure.exit_code, "hashes alone" in sure.stdout) == (0, False)
    copy.write_text(copy.read_text().replace('"u1"', '"u2"'))
    assert shell.run("audit", "verify", "--file", str(copy)).exit_code == 1
    assert shell.run("audit", "verify", "--key-file", str(keys)).exit_code == 2
    assert len(shell.asked) - asked <= 8


def test_a_copy_has_a_line_a_row_and_goes_on_behind_one(shell, copy):
    rows = [json.loads(line) for line in copy.read_text().splitlines()]
    assert [row.get("id", row.get("end")) for row in rows][:3] == ["anchor", "evt_1", "evt_2"]
    assert rows[-1]["end"] == "head"
    rest = [json.loads(line) for line in shell.run("audit", "export", "--after", "1").stdout.splitlines()]
    assert rest[0]["id"] == "evt_2"
    some = shell.run("audit", "export", "--action", "session.created").stdout.splitlines()
    assert [json.loads(line)["id"] for line in some] == ["evt_1"]
