from __future__ import annotations

import re

import pytest

from vestibule.core import app_token
from vestibule.core.app_token import DAY_S, Wish

TOKEN = app_token.written(bytes(range(32)))


def test_a_token_is_of_one_length_and_one_word():
    for random in (bytes(32), b"\xff" * 32, bytes(range(32))):
        assert re.fullmatch(r"vst_app_\w{49}", app_token.written(random), re.ASCII)


def test_two_random_numbers_make_two_tokens():
    made = {app_token.written(bytes(31 - n) + b"\x01" + bytes(n)) for n in range(32)}
    assert len(made) == 32


def test_what_was_written_is_a_token():
    assert app_token.is_token(TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(TOKEN[:-1], id="its end cut off"),
        pytest.param(TOKEN + "0", id="more behind it"),
        pytest.param(TOKEN + "\n", id="a line's end behind it"),
        pytest.param(" " + TOKEN, id="a blank before it"),
        pytest.param(TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1"), id="a wrong checksum"),
        pytest.param(TOKEN[:20] + ("0" if TOKEN[20] != "0" else "1") + TOKEN[21:], id="a letter mistyped"),
        pytest.param(TOKEN.replace("vst_app_", "vst_admin_"), id="an admin's"),
        pytest.param(TOKEN.upper(), id="in capitals"),
        pytest.param("vst_app_" + "é" * 49, id="other letters"),
    ],
)
def test_no_token_is(text):
    assert not app_token.is_token(text)


GOOD = Wish(name="laptop", host="git.example.com", life_s=30 * DAY_S)


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({}, {}),
        ({"life_s": 365 * DAY_S}, {}),
        ({"life_s": 365 * DAY_S + 1}, {"days": "invalid"}),
        ({"life_s": 0.0}, {"days": "invalid"}),
        ({"life_s": -5.0}, {"days": "invalid"}),
        ({"life_s": float("nan")}, {"days": "invalid"}),
        ({"name": ""}, {"name": "missing"}),
        ({"name": "x" * 100}, {}),
        ({"name": "x" * 101}, {"name": "too_long"}),
        ({"name": "a\nb"}, {"name": "invalid"}),
        ({"prefixes": ("/a",) * 21}, {"path": "too_long"}),
        ({"name": "", "life_s": 0.0}, {"name": "missing", "days": "invalid"}),
    ],
    ids=str,
)
def test_a_wish_is_looked_at(change, faults):
    wish = Wish(**{**{name: getattr(GOOD, name) for name in GOOD.__struct_fields__}, **change})
    assert app_token.faults_of(wish, life_max_s=365 * DAY_S) == faults
