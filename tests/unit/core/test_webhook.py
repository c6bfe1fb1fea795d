"""`core.webhook`: messages and their signatures, by the specification's own example."""

from __future__ import annotations

import base64
import json

import pytest
from msgspec.structs import replace

from vestibule.core.event import ANY_APP, SESSION_CREATED, SESSION_ENDED, Event
from vestibule.core.webhook import LIFE_S, WAITS_S, Webhook, headers_of, key_of, message_of, next_at
from vestibule.model import Secret

NOW = 1_800_000_000.0
EVENT = Event(id="evt_1", at=NOW + 0.25, action=SESSION_CREATED, user_id="u1", detail={"new": "device"})
#: of the reference implementations' tests
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = Webhook(id="ops", url="https://ops.example/hook", secrets=(Secret(SECRET),))


def test_a_message_is_signed_as_the_reference_implementations_do():
    headers = headers_of(HOOK, "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1614265330.9)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_secrets_change_it_is_signed_with_both():
    other = Secret("whsec_" + base64.b64encode(b"k" * 32).decode())
    hook = Webhook(id="ops", url="https://ops.example", secrets=(other, Secret(SECRET)))
    alone = headers_of(HOOK, "m", b"{}", NOW)["webhook-signature"]
    both = headers_of(hook, "m", b"{}", NOW)["webhook-signature"].split(" ")
    assert len(both) == 2
    assert both[1] == alone != both[0]


@pytest.mark.parametrize(
    ("secret", "size"),
    [
        ("whsec_" + base64.b64encode(b"k" * 24).decode(), 24),
        ("whsec_" + base64.b64encode(b"k" * 64).decode(), 64),
        ("whsec_" + base64.b64encode(b"k" * 23).decode(), None),
        ("whsec_" + base64.b64encode(b"k" * 65).decode(), None),
        (base64.b64encode(b"k" * 32).decode(), None),
        ("whsec_not base64", None),
        ("whsec_é", None),
        ("", None),
    ],
)
def test_a_key_is_in_a_secret_as_the_specification_writes_them(secret, size):
    key = key_of(secret)
    assert (key and len(key)) == size


def test_a_message_says_what_happened_when_and_to_whom():
    message = json.loads(message_of(EVENT))
    assert message["type"] == "session.created"
    assert message["timestamp"] == "2027-01-15T08:00:00.250Z"
    assert message["data"]["user_id"] == "u1"
    assert message["data"]["detail"] == {"new": "device"}


@pytest.mark.parametrize(
    ("events", "takes"), [((), True), ((SESSION_CREATED,), True), ((SESSION_ENDED,), False)], ids=str
)
def test_a_receiver_is_told_of_what_it_named(events, takes):
    assert Webhook(id="o", url="u", secrets=(), events=frozenset(events)).takes(EVENT) is takes


@pytest.mark.parametrize(
    ("events", "takes"),
    [
        ((), False),
        ((SESSION_CREATED,), False),
        (("app.order.paid",), True),
        (("app.order",), False),
        ((ANY_APP,), True),
    ],
    ids=str,
)
def test_of_what_applications_tell_it_is_told_where_it_named_that(events, takes):
    told = replace(EVENT, action="app.order.paid")
    assert Webhook(id="o", url="u", secrets=(), events=frozenset(events)).takes(told) is takes


def test_who_wants_to_know_what_applications_tell_is_told_of_nothing_else():
    assert not Webhook(id="o", url="u", secrets=(), events=frozenset({ANY_APP})).takes(EVENT)


def test_it_is_tried_again_with_growing_waits_for_a_day():
    at, tries = NOW, 0
    waits = []
    while (again := next_at(NOW, tries := tries + 1, at)) is not None:
        waits.append(again - at)
        at = again
    assert waits[: len(WAITS_S)] == list(WAITS_S)
    assert waits == sorted(waits)
    assert LIFE_S - WAITS_S[-1] <= at - NOW < LIFE_S


def test_a_receivers_secrets_are_not_shown():
    assert SECRET not in repr(HOOK)
