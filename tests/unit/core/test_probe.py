"""The doctor's probe: whose tokens are good, and what is told of what arrived."""

from __future__ import annotations

import pytest

from vestibule.core import probe
from vestibule.core.seal import Key, KeyRing
from vestibule.protocol.headers import is_owned

RING = KeyRing((Key("k1", b"k" * 32),))
OLD = Key("k0", b"o" * 32)
NOW_AT = 1_800_000_000.0
NONCE = b"n" * 16
PATH = probe.OWN_PATH
TOKEN = probe.token_of(RING, "app.example", PATH, NOW_AT + probe.LIFE_S, nonce=NONCE)


@pytest.mark.parametrize(
    ("token", "host", "now", "good"),
    [
        pytest.param(TOKEN, "app.example", NOW_AT, True, id="made for it"),
        pytest.param(TOKEN, "app.example", NOW_AT + probe.LIFE_S, False, id="over"),
        pytest.param(TOKEN, "app.example", NOW_AT - 2 * probe.LIFE_S, False, id="from the future"),
        pytest.param(TOKEN, "other.example", NOW_AT, False, id="for another host"),
        pytest.param("", "app.example", NOW_AT, False, id="none"),
        pytest.param("%%%", "app.example", NOW_AT, False, id="no base64"),
        pytest.param(TOKEN[:-4], "app.example", NOW_AT, False, id="cut"),
        pytest.param(
            probe.token_of(KeyRing((OLD,)), "app.example", PATH, NOW_AT + 9, nonce=NONCE),
            "app.example",
            NOW_AT,
            False,
            id="another ring's",
        ),
    ],
)
def test_a_token_is_good_for_its_host_its_ring_and_a_moment(token, host, now, good):
    assert probe.is_good(RING, token, host, PATH, now) is good


def test_a_token_is_good_for_its_path():
    assert not probe.is_good(RING, TOKEN, "app.example", probe.THROUGH_PATH, NOW_AT)


def test_a_token_of_a_key_that_no_longer_seals_is_good():
    ring = KeyRing((*RING.keys, OLD))
    token = probe.token_of(KeyRing((OLD,)), "app.example", PATH, NOW_AT + 9, nonce=NONCE)
    assert probe.is_good(ring, token, "app.example", PATH, NOW_AT)


@pytest.mark.parametrize(
    ("query", "token"),
    [(b"token=abc", "abc"), (b"x=1&token=abc", "abc"), (b"", ""), (b"token=a&token=b", ""), (b"token=", "")],
)
def test_the_token_stands_in_the_query_once(query, token):
    assert probe.token_in(query) == token


def test_only_who_has_the_ring_proves_that_it_answered():
    proof = probe.proof_of(RING, TOKEN)
    assert probe.is_proof(RING, TOKEN, proof)
    for other in ("", "zz", proof[:-2], probe.proof_of(KeyRing((OLD,)), TOKEN)):
        assert not probe.is_proof(RING, TOKEN, other)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        pytest.param([], (), id="nothing"),
        pytest.param([("Cookie", "secret"), ("Authorization", "x")], (), id="others' data is not told of"),
        pytest.param([("user-email", probe.EMAIL)], (("User-Email", "whole"),), id="as it was sent"),
        pytest.param([("User-Email", "ada@app.example")], (("User-Email", "other"),), id="overwritten"),
        pytest.param(
            [("User_Email", probe.EMAIL)], (("User_Email", "whole"),), id="an odd spelling is another"
        ),
        pytest.param(
            [("X-Forwarded-For", f"{probe.ADDRESS}, 10.0.0.9")], (("X-Forwarded-For", "part"),), id="added to"
        ),
        pytest.param(
            [("User-Email", "ada@app.example"), ("user-email", probe.EMAIL)],
            (("User-Email", "whole"),),
            id="twice: the worse counts",
        ),
    ],
)
def test_it_is_told_what_of_the_list_arrived(fields, found):
    assert tuple((one.name, one.state) for one in probe.arrived(fields)) == found


def test_nothing_is_forged_that_the_gateway_would_pass_on_to_a_backend():
    assert all(is_owned(name) for name, _ in probe.FORGED)


def test_no_name_of_the_list_stands_in_it_twice():
    names = [name.lower() for name, _ in probe.FORGED]
    assert len(names) == len(set(names))
