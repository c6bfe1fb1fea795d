"""`vestibule webhooks`, against the API in this process."""

from __future__ import annotations

import pytest

from tests.unit.cli.test_remote import Shell
from tests.unit.web.api.desk import NOW, ApiDesk
from vestibule.store.base_events import DeadLetter, Letter


@pytest.fixture
def api() -> ApiDesk:
    desk = ApiDesk()
    for number in range(3):
        letter = Letter(webhook="ops", id=f"-vt_{number}", body=b"{}", created_at=NOW, next_at=NOW)
        dead = DeadLetter(
            webhook="ops",
            id=letter.id,
            action="session.created",
            body=b"{}",
            created_at=NOW,
            died_at=NOW + number,
            tries=14,
            detail="https://ops.example answered 500",
        )
        desk.do(desk.store.dead_letters.bury(letter, dead, at_most=9))
    return desk


@pytest.fixture
def shell(api, monkeypatch) -> Shell:
    return Shell(api, monkeypatch)


def left(shell: Shell) -> list[str]:
    return [one["id"] for one in shell.json("webhooks", "dead")]


def test_what_did_not_arrive_is_listed(shell):
    lines = shell.run("webhooks", "dead", COLUMNS="160").stdout.splitlines()
    assert lines[0].split() == ["WEBHOOK", "ID", "WHAT", "MADE", "GIVEN", "UP", "TRIES", "WHY"]
    assert lines[1].split()[:3] == ["ops", "-vt_2", "session.created"]
    assert len(lines) == 4


def test_some_are_tried_again_and_the_rest_thrown_away(shell, api):
    assert shell.run("webhooks", "retry", "ops", "-vt_1").stdout == "1 to ops are tried again.\n"
    assert left(shell) == ["-vt_2", "-vt_0"]
    assert shell.run("webhooks", "discard", "ops").stdout == "2 to ops are gone.\n"
    assert shell.run("webhooks", "dead").stdout.strip() == "All have arrived, or are still tried."
    assert api.do(api.store.outbox.count()) == 1


def test_one_that_is_not_there_is_told(shell):
    done = shell.run("webhooks", "retry", "ops", "evt_9")
    assert done.exit_code == 1
    assert "There is no such message" in done.stderr
