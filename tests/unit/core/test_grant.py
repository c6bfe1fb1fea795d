"""What a grant is good for, and who opens its sealed form."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.grant import Standing, opened, sealed, standing
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Grant, Secret, Tokens

NOW = 1_800_000_000.0
TOKENS = Tokens(
    access_token=Secret("at-1"),
    refresh_token=Secret("rt-1"),
    expires_at=NOW + 3600,
    scopes=("a", "b"),
    id_token=Secret("id-1"),
)
GRANT = Grant(owner="s1", client="h/google", tokens=TOKENS, obtained_at=NOW, version=5)
RING = KeyRing((Key("k2", b"2" * 32), Key("k1", b"1" * 32)))
NONCE = b"n" * 12
USE, REFRESH, GONE = Standing.USE, Standing.REFRESH, Standing.GONE


@pytest.mark.parametrize(
    ("tokens", "rejected", "at", "expected"),
    [
        pytest.param({}, None, 0, USE, id="fresh"),
        pytest.param({}, None, 3569, USE, id="well before its end"),
        pytest.param({}, None, 3570, REFRESH, id="30 s before its end"),
        pytest.param({}, None, 9999, REFRESH, id="long over"),
        pytest.param({"expires_at": NOW + 20}, None, 9, USE, id="short life, first half"),
        pytest.param({"expires_at": NOW + 20}, None, 10, REFRESH, id="short life, second half"),
        pytest.param({"expires_at": None}, None, 10**9, USE, id="no known end"),
        pytest.param({}, "at-1", 1, REFRESH, id="rejected early"),
        pytest.param({"expires_at": None}, "at-1", 1, REFRESH, id="no known end, rejected"),
        pytest.param({}, "at-0", 1, USE, id="an older one was rejected"),
        pytest.param({"refresh_token": None}, None, 3599, USE, id="can't be replaced, to its very end"),
        pytest.param({"refresh_token": None}, None, 3600, GONE, id="can't be replaced, over"),
        pytest.param({"refresh_token": None}, "at-1", 1, USE, id="can't be replaced, rejected"),
        pytest.param({"refresh_token": None, "expires_at": None}, "at-1", 10**9, USE, id="nothing is known"),
    ],
)
def test_what_it_is_good_for(tokens, rejected, at, expected):
    grant = replace(GRANT, tokens=replace(TOKENS, **tokens))
    secret = None if rejected is None else Secret(rejected)
    assert standing(grant, can_refresh=True, rejected=secret, now=NOW + at) is expected


def test_without_a_provider_that_refreshes_it_dies_at_its_end():
    assert standing(GRANT, can_refresh=False, rejected=None, now=NOW + 3599) is USE
    assert standing(GRANT, can_refresh=False, rejected=None, now=NOW + 3600) is GONE


def test_an_api_that_rejects_fresh_tokens_does_not_cause_one_refresh_after_the_other():
    grant = replace(GRANT, rejected_at=NOW)
    rejected = Secret("at-1")
    assert standing(grant, can_refresh=True, rejected=rejected, now=NOW + 9.9) is USE
    assert standing(grant, can_refresh=True, rejected=rejected, now=NOW + 10) is REFRESH
    expired = replace(grant, tokens=replace(TOKENS, expires_at=NOW + 1))
    assert standing(expired, can_refresh=True, rejected=rejected, now=NOW + 2) is REFRESH


@pytest.mark.parametrize(
    "grant",
    [
        pytest.param(GRANT, id="whole"),
        pytest.param(replace(GRANT, tokens=Tokens(access_token=Secret("x"))), id="bare"),
        pytest.param(replace(GRANT, refreshing_since=NOW, rejected_at=NOW - 1), id="under refresh"),
    ],
)
def test_it_comes_back_as_it_was(grant):
    raw = sealed(grant, RING, nonce=NONCE)
    assert opened(raw, RING, owner="s1", client="h/google", version=5) == grant


def test_no_secret_is_seen_in_the_sealed_form_or_the_repr():
    raw = sealed(GRANT, RING, nonce=NONCE)
    for secret in ("at-1", "rt-1", "id-1"):
        assert secret.encode() not in raw
        assert secret not in repr(GRANT)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param({"owner": "s2"}, id="moved to another session"),
        pytest.param({"client": "h/github"}, id="moved to another client"),
        pytest.param({"version": 6}, id="an older version in a newer row"),
        pytest.param({"owner": "s1\0h", "client": "google"}, id="names that run together"),
    ],
)
def test_it_opens_in_its_own_place_only(place):
    raw = sealed(GRANT, RING, nonce=NONCE)
    own = {"owner": "s1", "client": "h/google", "version": 5}
    assert opened(raw, RING, **(own | place)) is None


def test_another_key_opens_nothing_and_an_older_key_of_the_ring_does():
    raw = sealed(GRANT, KeyRing((Key("k1", b"1" * 32),)), nonce=NONCE)
    assert opened(raw, RING, owner="s1", client="h/google", version=5) == GRANT
    strange = KeyRing((Key("k1", b"9" * 32),))
    assert opened(raw, strange, owner="s1", client="h/google", version=5) is None
