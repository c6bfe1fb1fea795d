"""Access tokens of the gateway's own."""

from __future__ import annotations

import base64

import pytest

from vestibule.core.access import (
    EXPIRED,
    INVALID,
    LENGTH_MAX_CHARS,
    PREFIX,
    Access,
    is_one,
    read,
    seal,
    shown_in,
)
from vestibule.core.handle import seal_handle
from vestibule.core.seal import Key, KeyRing

RING = KeyRing((Key("k1", b"k" * 32),))
NOW = 1_800_000_000.0
ACCESS = Access(
    host="forum.example.com", app="ios", expires_at=NOW + 600, session_id="session-id", scopes=("read",)
)
TOKEN = seal(RING, ACCESS, nonce=b"n" * 12).encode()


def test_a_token_says_what_it_is_for_until_it_expires():
    assert is_one(TOKEN)
    assert read(RING, TOKEN, NOW) == ACCESS
    assert read(RING, TOKEN, NOW + 599.9) == ACCESS
    assert read(RING, TOKEN, NOW + 600) == EXPIRED


def test_it_tells_its_holder_nothing():
    raw = base64.urlsafe_b64decode(TOKEN[len(PREFIX) :] + b"==")
    for secret in (b"session-id", b"forum.example.com", b"read"):
        assert secret not in TOKEN
        assert secret not in raw
    assert "session-id" not in repr(ACCESS)


def test_a_machines_token_has_its_claims():
    machine = Access(
        host="h", app="ci", machine="ci", subject="run 7", claims={"ref": "main"}, expires_at=NOW + 9
    )
    assert read(RING, seal(RING, machine, nonce=b"m" * 12).encode(), NOW) == machine


OF_ANOTHER = seal(KeyRing((Key("k1", b"x" * 32),)), ACCESS, nonce=b"n" * 12).encode()
HANDLE = (PREFIX + seal_handle(RING, "session-id", "forum.example.com", NOW + 600, nonce=b"n" * 12)).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        PREFIX.encode(),
        TOKEN[:-1],
        TOKEN + b"A",
        TOKEN + b"\n",
        TOKEN[len(PREFIX) :],
        TOKEN + b"A" * LENGTH_MAX_CHARS,
        OF_ANOTHER,
        HANDLE,
        PREFIX.encode() + b"\xff" * 40,
    ],
    ids=[
        "empty",
        "prefix",
        "cut",
        "longer",
        "newline",
        "bare",
        "huge",
        "another ring",
        "another box",
        "bytes",
    ],
)
def test_what_is_none(text):
    assert read(RING, text, NOW) == INVALID


def basic(text: bytes) -> bytes:
    return b"Basic " + base64.b64encode(text)


@pytest.mark.parametrize(
    ("authorization", "shown"),
    [
        (b"Bearer " + TOKEN, TOKEN),
        (b"BEARER   " + TOKEN + b"  ", TOKEN),
        (b"Bearer\t" + TOKEN, TOKEN),
        (b"Bearer " + TOKEN + b", x\xff", TOKEN + b", x\xff"),
        (b"Bearer vst_at_", b"vst_at_"),
        (basic(b"git:" + TOKEN), TOKEN),
        (basic(TOKEN + b":"), TOKEN),
        (basic(TOKEN + b":x-oauth-basic"), TOKEN),
        (b"Bearer x" + TOKEN, b""),
        (b"Bearer vst_app_x", b""),
        (b"Bearer", b""),
        (b"", b""),
        (b"Digest " + TOKEN, b""),
        (basic(b"ada:secret"), b""),
        (b"Basic " + TOKEN, b""),
    ],
    ids=[
        "Bearer",
        "other letters and blanks",
        "a tab",
        "more behind it",
        "nothing behind the prefix",
        "password",
        "user",
        "user, as Git has it",
        "something before it",
        "another token",
        "a scheme alone",
        "empty",
        "another scheme",
        "a password of somebody",
        "Basic that is none",
    ],
)
def test_what_looks_like_one_is_found_wherever_programs_put_it(authorization, shown):
    assert shown_in(authorization) == shown
