"""The blocks `webhook` and `audit`: what they may say, and what they mean."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from vestibule.config.compile import compile_config
from vestibule.core.event import SESSION_ENDED, SESSION_NEW_DEVICE
from vestibule.core.webhook import Webhook
from vestibule.model import Secret

HOST = 'host "a.example" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_" + "A" * 32
BLOCK = f'webhook "ops" {{\n  url = "https://ops.example/hook"\n  secret = "{SECRET}"\n%s\n}}\n'


def faults(desk: Desk, text: str) -> list[str]:
    return [fault.partition(": ")[2] for fault in desk.faults(HOST + text)]


def test_without_a_block_nobody_is_told_and_the_log_is_kept_a_year(desk: Desk) -> None:
    compiled = compile_config(desk.load(HOST))
    assert compiled.webhooks == ()
    assert compiled.audit_keep_s == 366 * 86400


def test_everything_that_can_be_said(desk: Desk) -> None:
    inside = f'  old_secret = "{OLD}"\n  events = ["session.new_device", "session.ended"]'
    more = f'webhook "dev" {{\n  url = "http://127.0.0.1:9000/"\n  secret = "{OLD}"\n}}\naudit {{ keep = "90d" }}\n'
    compiled = compile_config(desk.load(HOST + BLOCK % inside + more))
    assert compiled.webhooks == (
        Webhook(
            id="ops",
            url="https://ops.example/hook",
            secrets=(Secret(SECRET), Secret(OLD)),
            events=frozenset({SESSION_NEW_DEVICE, SESSION_ENDED}),
        ),
        Webhook(id="dev", url="http://127.0.0.1:9000/", secrets=(Secret(OLD),)),
    )
    assert compiled.audit_keep_s == 90 * 86400


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (BLOCK % 'events = ["session.end"]', "there is no event `session.end`: session.created"),
        (BLOCK % "events = []", "the list is empty: name events, or leave it out for all"),
        (BLOCK.replace(SECRET, "password") % "", "is no secret of a webhook: write `whsec_`"),
        (BLOCK.replace(SECRET, "") % "", "is no secret of a webhook"),
        (BLOCK % 'old_secret = "old"', "is no secret of a webhook"),
        (BLOCK.replace("https://ops.example", "ops.example") % "", "is no URL of a receiver"),
        (BLOCK.replace("https://", "https://me:pw@") % "", "is no URL of a receiver"),
        (BLOCK.replace('"ops"', '"Ops!"') % "", "a webhook's ID is lower-case letters"),
        (BLOCK % "" + BLOCK % "", "there are two webhooks named `ops`"),
        ('webhook "ops" {\n  url = "https://ops.example"\n}\n', "secret"),
        ('audit { keep = "0s" }', "`keep` must be longer than nothing"),
    ],
    ids=lambda text: text[-40:],
)
def test_what_can_not_work_is_told(desk: Desk, text: str, fault: str) -> None:
    found = faults(desk, text)
    assert any(fault in one for one in found), found
    assert not any("password" in one for one in found)


def test_plain_http_to_another_machine_is_warned_of(desk: Desk) -> None:
    (warning,) = desk.warnings(HOST + BLOCK.replace("https://", "http://") % "")
    assert "plain http" in warning
