"""Messages that webhooks did not take, by the API."""

from __future__ import annotations

import pytest

from tests.unit.web.api.desk import NOW, ApiDesk
from vestibule.store.base_events import AuditFilter, DeadLetter, Letter


@pytest.fixture
def filled(api: ApiDesk) -> ApiDesk:
    for number, webhook in enumerate(("ops", "ops", "gone")):
        letter = Letter(webhook=webhook, id=f"evt_{number}", body=b"{}", created_at=NOW, next_at=NOW)
        dead = DeadLetter(
            webhook=webhook,
            id=letter.id,
            action="session.created",
            body=letter.body,
            created_at=NOW,
            died_at=NOW + number,
            tries=14,
            detail="https://ops.example answered 500",
        )
        api.do(api.store.dead_letters.bury(letter, dead, at_most=9))
    return api


def ids(api: ApiDesk) -> list[str]:
    return [one["id"] for one in api.call("GET", "/dead-letters").json]


def test_they_are_listed_the_latest_first(filled):
    first, *_ = filled.call("GET", "/dead-letters").json
    assert first == {
        "webhook": "gone",
        "id": "evt_2",
        "action": "session.created",
        "created_at": "2027-01-15T08:00:00Z",
        "died_at": "2027-01-15T08:00:02Z",
        "tries": 14,
        "detail": "https://ops.example answered 500",
    }
    assert ids(filled) == ["evt_2", "evt_1", "evt_0"]


def test_one_is_tried_again_or_thrown_away_and_that_is_told(filled):
    assert filled.call("POST", "/dead-letters/ops/evt_0/retry").status == 204
    assert filled.call("DELETE", "/dead-letters/ops/evt_1").status == 204
    assert ids(filled) == ["evt_2"]
    assert filled.do(filled.store.outbox.count()) == 1
    told = filled.do(filled.store.audit.list(AuditFilter()))
    assert {(one.action, one.target, one.detail["message"]) for one in told} == {
        ("message.retried", "webhook ops", "evt_0"),
        ("message.discarded", "webhook ops", "evt_1"),
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/dead-letters/ops/evt_9/retry", 404, "not_found"),
        ("DELETE", "/dead-letters/ops/evt_9", 404, "not_found"),
        ("POST", "/dead-letters/gone/evt_2/retry", 409, "no_webhook"),
    ],
)
def test_what_is_not_there_or_has_no_receiver_is_told(filled, method, path, status, code):
    answer = filled.call(method, path)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert len(ids(filled)) == 3
