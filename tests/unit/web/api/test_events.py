"""What applications tell by the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.api.desk import NOW, ApiDesk
from vestibule.core.event import ADMIN_REFUSED, Event
from vestibule.core.told import EVENTS_MAX
from vestibule.service.admin import FAILURES_MAX
from vestibule.service.events import TOLD_MAX
from vestibule.store.base_events import AuditFilter

PAID: dict[str, Any] = {
    "id": "order-1",
    "action": "app.order.paid",
    "outcome": "ok",
    "target": "order 1",
    "user_id": "u1",
    "session_id": "s1",
    "host": "shop.example.com",
    "address": "192.0.2.7",
    "device": "Firefox on Linux",
    "request_id": "r1",
    "at": "2027-01-15T07:59:59.5Z",
    "detail": {"amount": "12.50", "items": [{"n": 1}]},
}


def bearer(api: ApiDesk, *scopes: str, name: str = "shop") -> dict[str, Any]:
    _, secret = api.do(api.tokens.create(name, None, api.now, scopes=scopes))
    headers = {"authorization": f"Bearer {secret.reveal()}"}
    return {"headers": headers, "is_owner": False, "address": "127.0.0.1"}


def kept(api: ApiDesk, **wanted: Any) -> tuple[Event, ...]:
    found: tuple[Event, ...] = api.do(api.store.audit.list(AuditFilter(limit=1000, **wanted)))
    return found


def tell(api: ApiDesk, *events: dict[str, Any], **options: Any) -> Any:
    return api.call("POST", "/events", {"events": list(events)}, **(options or bearer(api, "events:write")))


def test_what_is_told_is_kept_whole_and_who_told_it_can_not_be_claimed(api):
    answer = tell(api, PAID, **bearer(api, "events:write"))
    assert (answer.status, answer.json["written"]) == (200, True)
    (event,) = kept(api)
    assert answer.json["ids"] == [event.id]
    expected = {**PAID, "id": event.id, "at": NOW - 0.5, "actor": "token shop"}
    assert {name: getattr(event, name) for name in expected} == expected
    line = next(one for one in api.log if one["event"] == "app.order.paid")
    assert (line["actor"], line["user"], line["detail_amount"]) == ("token shop", "u1", "12.50")
    assert tell(api, {**PAID, "actor": "user u2"}).status == 422


@pytest.mark.parametrize("value", [5, None, "x", [1], {"a": 1}], ids=str)
def test_a_detail_may_have_any_members(api, value):
    detail = {"before": value, "after": value, "changed": value}
    assert tell(api, {"id": "1", "action": "app.x", "detail": detail}).status == 200
    assert kept(api)[0].detail == detail


def test_of_little_that_is_told_nothing_is_made_up(api):
    tell(api, {"id": "1", "action": "app.started"})
    (event,) = kept(api)
    assert (event.at, event.address, event.request_id, event.detail) == (NOW, "", "", {})


def test_what_is_told_twice_is_kept_once_but_another_service_s_is_another(api):
    shop, till = bearer(api, "events:write"), bearer(api, "events:write", name="till")
    first, again, other = (tell(api, PAID, **who).json["ids"] for who in (shop, shop, till))
    assert first == again != other
    assert len(kept(api)) == 2


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"action": "session.created"}, "action"),
        ({"action": "app"}, "action"),
        ({"action": "app.Order"}, "action"),
        ({"action": "app.a.b.c.d.e"}, "action"),
        ({"action": "app.order.paid\n"}, "action"),
        ({"id": ""}, "id"),
        ({"id": "a b"}, "id"),
        ({"outcome": "maybe"}, "outcome"),
        ({"user_id": "a\nb"}, "user_id"),
        ({"target": "x" * 201}, "target"),
        ({"at": "2027-01-15T09:00:00Z"}, "at"),
        ({"at": "2027-01-13T08:00:00Z"}, "at"),
        ({"at": 1_800_000_000}, "at"),
        ({"detail": {"a": "x" * 5000}}, "detail"),
        ({"detail": {"a": [[[[[1]]]]]}}, "detail"),
        ({"detail": [1]}, "detail"),
        ({"more": 1}, "more"),
    ],
    ids=str,
)
def test_what_can_not_be_kept_is_named_and_nothing_of_its_batch_is(api, change, path):
    answer = tell(api, PAID, {**PAID, "id": "order-2", **change})
    assert answer.status == 422
    assert [fault["path"] for fault in answer.json["faults"]] == [f"events[1].{path}"]
    assert [one for one in kept(api) if one.action != ADMIN_REFUSED] == []


@pytest.mark.parametrize("count", [0, EVENTS_MAX + 1])
def test_a_batch_has_a_size(api, count):
    assert tell(api, *({"id": str(n), "action": "app.x"} for n in range(count))).status == 422


def test_a_service_tells_so_much_in_a_minute_and_others_as_much(api):
    shop, till = bearer(api, "events:write"), bearer(api, "events:write", name="till")
    batch = [{"id": str(n), "action": "app.x"} for n in range(EVENTS_MAX)]
    for _ in range(TOLD_MAX // EVENTS_MAX):
        assert tell(api, *batch, **shop).status == 200
    refused = tell(api, PAID, **shop)
    assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (
        429,
        "too_many_tries",
        "60",
    )
    assert tell(api, PAID, **till).status == 200
    api.now += 60
    assert tell(api, {**PAID, "at": None}, **shop).status == 200


# -- who was turned away ----------------------------------------------------------------------


def test_a_service_that_asks_for_what_it_may_not_is_told_of(api):
    assert api.call("GET", "/users", **bearer(api, "events:write")).status == 403
    (event,) = kept(api, action=ADMIN_REFUSED)
    assert (event.actor, event.outcome, event.address) == ("token shop", "refused", "127.0.0.1")
    assert event.detail == {
        "code": "scope_missing",
        "scope": "users:read",
        "method": "GET",
        "path": "/api/v1/users",
    }


def test_wrong_tokens_again_and_again_are_told_of_and_one_is_not(api):
    wrong = {"headers": {"authorization": "Bearer vst_admin_x"}, "is_owner": False, "address": "192.0.2.9"}
    for _ in range(FAILURES_MAX):
        assert api.call("GET", "/users", **wrong).status == 401
    assert kept(api, action=ADMIN_REFUSED) == ()
    for _ in range(50):
        assert api.call("GET", "/users", **wrong).status == 429
    found = kept(api, action=ADMIN_REFUSED)
    assert 0 < len(found) <= 30
    assert {(one.actor, one.address, one.detail["code"]) for one in found} == {
        ("", "192.0.2.9", "too_many_tries")
    }
