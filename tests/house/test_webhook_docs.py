"""docs/webhooks.md: its examples verify what is signed here, its tables name what there is."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.house.source import ROOT
from tests.real.node_home import node_binary
from vestibule.config.schema_webhook import KEEP_S
from vestibule.core import chain, change, told
from vestibule.core.event import NAMES, Event
from vestibule.core.webhook import WAITS_S, Webhook, headers_of, message_of
from vestibule.model import Secret
from vestibule.service import devices, events, webhooks

PAGE = (ROOT / "docs" / "webhooks.md").read_text("utf-8")
AUDIT = (ROOT / "docs" / "audit.md").read_text("utf-8")
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
HOOK = Webhook(id="ops", url="https://ops.example", secrets=(Secret("whsec_" + "A" * 32), Secret(SECRET)))
NOW = 1_800_000_000.0
EVENT = Event(id="evt_1", at=NOW, action=NAMES[0], user_id="ü", detail={"new": [1, None]})
BODY = message_of(EVENT)
HEADERS = headers_of(HOOK, EVENT.id, BODY, NOW)
Verify = Callable[[dict[str, str], bytes, str, float], bool]


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def in_python(headers: dict[str, str], body: bytes, secret: str, now: float) -> bool:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    return bool(names["is_ours"](headers, body, secret, now))


def in_node(headers: dict[str, str], body: bytes, secret: str, now: float) -> bool:
    call = f"isOurs({json.dumps(headers)}, Buffer.from({json.dumps(body.hex())}, 'hex'), {json.dumps(secret)}, {now})"
    program = f"{block('javascript')}\nconsole.log({call});\n"
    done = subprocess.run(
        [node_binary(), "--input-type=module", "-"], input=program, capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "true"


class Came(NamedTuple):
    """A message as a receiver sees it."""

    changed: dict[str, str] = {}  # noqa: RUF012 - a default that nothing changes
    body: bytes = BODY
    secret: str = SECRET
    now: float = NOW


@pytest.mark.parametrize("verify", [in_python, in_node], ids=["python", "node"])
@pytest.mark.parametrize(
    ("came", "expected"),
    [
        pytest.param(Came(), True, id="ours"),
        pytest.param(Came(now=NOW + 299), True, id="a little late"),
        pytest.param(Came(now=NOW + 301), False, id="sent again"),
        pytest.param(
            Came({"webhook-timestamp": str(int(NOW) + 301)}, now=NOW + 301), False, id="another time"
        ),
        pytest.param(Came({"webhook-id": "evt_2"}), False, id="another id"),
        pytest.param(Came({"webhook-signature": "v1,"}), False, id="no signature"),
        pytest.param(Came(body=BODY + b" "), False, id="altered"),
        pytest.param(Came(secret="whsec_" + "B" * 32), False, id="another secret"),
    ],
)
def test_the_examples_tell_our_messages_from_others(verify: Verify, came: Came, expected: bool):
    assert verify({**HEADERS, **came.changed}, came.body, came.secret, came.now) is expected


def test_every_event_is_in_the_table():
    assert tuple(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", PAGE, re.MULTILINE)) == NAMES


def test_the_message_that_is_shown_has_the_members_of_a_real_one():
    shown, real = json.loads(block("json")), json.loads(BODY)
    assert shown.keys() == real.keys()
    assert shown["data"].keys() == real["data"].keys()


def test_numbers_in_the_text_are_those_of_the_program():
    assert WAITS_S == (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
    assert "after 5 and 30\nseconds, 2, 10 and 30 minutes, 1, 2 and 4 hours, and then every 4 hours" in PAGE
    assert f"within {webhooks.TIMEOUT_S:.0f} seconds" in PAGE
    assert f"{events.REFUSALS_MAX} refusals a minute" in PAGE
    assert f"{events.REFUSALS_MAX} refusals a minute" in AUDIT
    assert events.REFUSALS_S == 60.0
    assert f"up to {events.WAITING_MAX:,} a process" in PAGE
    sessions = (ROOT / "docs" / "sessions.md").read_text("utf-8")
    assert f"for {devices.COOKIE_S // 86400} days" in sessions
    assert f"at most {devices.DEVICES_MAX} devices" in sessions


def test_numbers_in_the_text_about_the_trail_are_those_of_the_program():
    assert (webhooks.DEAD_MAX, webhooks.DEAD_S, webhooks.GONE) == (1000, 30 * 86_400.0, 410)
    assert "the newest thousand, for 30\ndays" in PAGE
    assert f"up to {events.WAITING_MAX:,} a process" in AUDIT
    assert f"tells {events.TOLD_MAX:,} events a minute" in AUDIT
    assert f"up to {told.EVENTS_MAX} events at a time" in AUDIT
    assert (f"at most {told.DETAIL_MAX_BYTES} bytes" in AUDIT, told.DEPTH_MAX) == (True, 5)
    assert (told.PAST_S, told.FUTURE_S) == (86_400.0, 60.0)
    assert f"cut at {change.VALUE_MAX_CHARS:,} characters" in AUDIT
    assert f"{KEEP_S / 86_400:.0f} days, where nothing is said" in AUDIT


def test_the_trail_s_columns_stand_in_the_text_in_the_order_in_which_they_are_hashed():
    order = ", ".join(f"`{name}`" for name in chain.TEXTS[:-3])
    assert order in AUDIT.replace("\n", " ")
    assert chain.TEXTS[-3:] == ("detail", "key_id", "previous")


def test_the_text_says_of_every_event_that_an_admin_causes_what_is_in_it():
    told_of = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", AUDIT))
    changes = {
        name
        for name in NAMES
        if name.partition(".")[0] in {"user", "provider", "invitation", "token", "message"}
    }
    assert changes <= told_of
