"""What has happened, as the API tells it."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from tests.unit.web.api.desk import NOW, ApiDesk
from vestibule.core.event import REFUSED, SESSION_CREATED, SESSION_NEW_DEVICE, SIGN_IN_REFUSED, Event

MADE = Event(
    id="evt_1",
    at=NOW + 0.25,
    action=SESSION_CREATED,
    actor="user u1",
    user_id="u1",
    session_id="s1",
    host="app.example.com",
    address="192.0.2.7",
    device="Firefox on Linux",
    request_id="r1",
    detail={"made_by": "billing"},
)
NEW = Event(id="evt_2", at=NOW + 1, action=SESSION_NEW_DEVICE, actor="user u1", user_id="u1")
NOT_IN = Event(
    id="evt_3", at=NOW + 2, action=SIGN_IN_REFUSED, outcome=REFUSED, target="provider google", user_id="u2"
)


@pytest.fixture
def filled(api: ApiDesk) -> ApiDesk:
    asyncio.run(api.store.audit.add((MADE, NEW, NOT_IN)))
    return api


def ids(api: ApiDesk, query: str = "") -> list[str]:
    answer = api.call("GET", f"/audit{query}")
    assert answer.status == 200, answer.text
    return [one["id"] for one in answer.json["items"]]


def test_one_event_is_told_by_its_id(filled):
    [listed] = filled.call("GET", "/audit?action=session.created").json["items"]
    assert filled.call("GET", "/audit/evt_1").json == listed
    assert filled.call("GET", "/audit/evt_9").status == 404


def test_an_event_is_told_whole(filled):
    assert filled.call("GET", "/audit?action=session.created").json == {
        "items": [
            {
                "id": "evt_1",
                "at": "2027-01-15T08:00:00.250000Z",
                "action": "session.created",
                "outcome": "ok",
                "actor": "user u1",
                "target": "",
                "user_id": "u1",
                "session_id": "s1",
                "host": "app.example.com",
                "address": "192.0.2.7",
                "device": "Firefox on Linux",
                "request_id": "r1",
                "detail": {"made_by": "billing"},
            }
        ],
        "next": None,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["evt_3", "evt_2", "evt_1"]),
        ("?user_id=u1", ["evt_2", "evt_1"]),
        ("?outcome=refused", ["evt_3"]),
        ("?target=provider%20google", ["evt_3"]),
        ("?actor=user%20u1&action=session.new_device", ["evt_2"]),
        ("?session_id=s1", ["evt_1"]),
        (f"?since={quote('2027-01-15T09:00:01+01:00')}", ["evt_3", "evt_2"]),
        ("?until=2027-01-15T08:00:01Z", ["evt_1"]),
    ],
)
def test_filters_are_all_applied(filled, query, expected):
    assert ids(filled, query) == expected


def test_it_comes_by_pages(filled):
    first = filled.call("GET", "/audit?limit=2").json
    assert [one["id"] for one in first["items"]] == ["evt_3", "evt_2"]
    rest = filled.call("GET", f"/audit?limit=2&cursor={first['next']}").json
    assert ([one["id"] for one in rest["items"]], rest["next"]) == (["evt_1"], None)
    assert filled.call("GET", f"/audit?user_id=u1&cursor={first['next']}").status == 422


@pytest.mark.parametrize(
    "query", ["?since=yesterday", "?outcome=good", "?limit=0", "?who=u1", "?action=a%00"]
)
def test_what_can_not_be_asked_for_is_told(filled, query):
    assert filled.call("GET", f"/audit{query}").status == 422


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_changes_it(filled, method):
    assert filled.call(method, "/audit", {}).status == 405
    assert filled.call(method, "/audit/evt_1", {}).status == 405
