"""The sealed handle a backend makes calls with."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.handle import LENGTH_LIMIT_CHARS, Handle, open_handle, seal_handle
from vestibule.core.seal import Key, KeyRing

RING = KeyRing((Key("k1", b"k" * 32),))
AT = 1_800_000_000.0
SEALED = seal_handle(RING, "session-id", "app.example", AT, nonce=b"n" * 12).encode()


def test_a_handle_says_session_and_host_until_it_expires():
    good = Handle("session-id", "app.example", AT)
    assert open_handle(RING, SEALED, AT - 3600) == good
    assert open_handle(RING, SEALED, AT - 0.001) == good
    assert open_handle(RING, SEALED, AT) == "handle_expired"
    assert open_handle(RING, SEALED, AT + 9e9) == "handle_expired"


def test_it_tells_its_holder_nothing():
    raw = base64.urlsafe_b64decode(SEALED + b"==")
    for secret in (b"session-id", b"app.example"):
        assert secret not in SEALED
        assert secret not in raw


def test_it_fits_a_header_and_a_url():
    assert SEALED.replace(b"-", b"").replace(b"_", b"").isalnum()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"x",
        b"nonsense",
        b"%%%%",
        SEALED[:-1],
        SEALED[1:],
        SEALED + b"A",
        SEALED * 30,
        b"\xff" * 40,
    ],
    ids=[
        "empty",
        "NUL",
        "one",
        "nonsense",
        "percent",
        "cut",
        "cut in front",
        "longer",
        "far longer",
        "bytes",
    ],
)
def test_anything_else_is_invalid(raw):
    assert open_handle(RING, raw, AT - 1) == "handle_invalid"


def test_what_is_too_long_is_not_even_opened():
    assert open_handle(RING, b"A" * (LENGTH_LIMIT_CHARS + 1), AT) == "handle_invalid"


def test_another_ring_or_purpose_opens_nothing():
    other = KeyRing((Key("k1", b"o" * 32),))
    assert open_handle(other, SEALED, AT - 1) == "handle_invalid"
    box = RING.seal("grant", base64.urlsafe_b64decode(SEALED + b"=="), aad=b"", nonce=b"n" * 12)
    assert open_handle(RING, base64.urlsafe_b64encode(box).rstrip(b"="), AT - 1) == "handle_invalid"


def test_a_handle_of_the_former_key_is_good_while_the_ring_has_it():
    ring = KeyRing((Key("k2", b"2" * 32), Key("k1", b"k" * 32)))
    assert open_handle(ring, SEALED, AT - 1) == Handle("session-id", "app.example", AT)


@given(st.integers(0, len(SEALED) - 2), st.integers(1, 63))
def test_a_changed_character_spoils_it(at, by):
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = bytearray(SEALED)
    changed[at] = alphabet[(alphabet.index(changed[at]) + by) % 64]
    assert open_handle(RING, bytes(changed), AT - 1) == "handle_invalid"


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_session_and_host_are_never_mixed_up(session_id, host):
    sealed = seal_handle(RING, session_id, host, AT, nonce=b"n" * 12).encode()
    assert open_handle(RING, sealed, 0.0) == Handle(session_id, host, AT)
