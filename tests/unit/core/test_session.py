"""What becomes of a session."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core import session as rules
from vestibule.core.lifetimes import Lifetimes
from vestibule.model import Device, Identity, Session
from vestibule.protocol import base64url

NOW = 1_800_000_000.0
SESSION = Session(
    id="s1", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW + 1000, idle_s=600.0, clients=("a", "b")
)
ZOE = Identity(client="a", issuer="i", subject="1", name="Zoë")


def test_a_handle_has_256_bits_in_43_characters():
    handle = base64url.encode(b"\xff" * 32)
    assert len(handle) == rules.HANDLE_CHARS == 43
    assert rules.is_handle(handle)
    assert rules.is_handle(base64url.encode(bytes(32)))


@pytest.mark.parametrize(
    "text", ["", "a" * 42, "a" * 44, "a" * 42 + "=", "a" * 42 + "+", "a" * 42 + "é", "a" * 42 + "\n"]
)
def test_anything_else_is_no_handle(text):
    assert not rules.is_handle(text)


def test_the_hash_is_sha_256():
    assert rules.hash_of("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_session_begins_seen_and_with_both_its_ends():
    session = rules.begun(
        session_id="s1",
        host="h",
        user_id="u1",
        identities=[ZOE],
        clients=["a"],
        device=Device(user_agent="x"),
        lifetimes=Lifetimes(idle_s=10.0, absolute_s=100.0),
        now=NOW,
    )
    assert session == Session(
        id="s1",
        host="h",
        user_id="u1",
        created_at=NOW,
        seen_at=NOW,
        signed_in_at=NOW,
        expires_at=NOW + 100,
        idle_s=10.0,
        identities=(ZOE,),
        clients=("a",),
        device=Device(user_agent="x"),
    )


def test_clients_come_and_go_and_keep_their_order():
    assert rules.with_client(SESSION, "c").clients == ("a", "b", "c")
    assert rules.with_client(SESSION, "a") is SESSION
    assert rules.without_client(SESSION, "a").clients == ("b",)
    assert rules.without_client(SESSION, "x") == SESSION


def test_last_seen_never_goes_backwards():
    assert rules.seen(SESSION, NOW + 5).seen_at == NOW + 5
    assert rules.seen(SESSION, NOW - 5).seen_at == NOW


@pytest.mark.parametrize(
    ("idle_s", "unseen_s", "due"),
    [
        pytest.param(86400.0, 59.9, False, id="within the minute"),
        pytest.param(86400.0, 60.0, True, id="after a minute"),
        pytest.param(60.0, 5.9, False, id="short idle time, just seen"),
        pytest.param(60.0, 6.0, True, id="short idle time, a tenth gone"),
    ],
)
def test_last_seen_is_written_once_a_minute_or_in_good_time(idle_s, unseen_s, due):
    session = replace(SESSION, idle_s=idle_s)
    assert rules.is_touch_due(session, session.seen_at + unseen_s) is due


def test_the_old_handle_is_honoured_30_s_but_never_across_a_sign_in():
    zoe = replace(SESSION, user_id="u1")
    assert rules.old_handle_until(SESSION, replace(SESSION, clients=()), NOW) == NOW + 30
    assert rules.old_handle_until(zoe, zoe, NOW) == NOW + 30
    assert rules.old_handle_until(SESSION, zoe, NOW) == 0.0
    assert rules.old_handle_until(zoe, replace(zoe, user_id="u2"), NOW) == 0.0
