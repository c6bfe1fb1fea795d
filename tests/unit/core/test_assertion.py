"""What a signed assertion says, and which key signs it."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from vestibule.core.assertion import (
    KEPT_S,
    LIFE_S,
    LISTS_LIMIT_BYTES,
    PUBLISHED_S,
    REUSE_S,
    SIGNS_S,
    claims_of,
    next_signs_at,
    outlived,
    pomerium_claims_of,
    said_in,
    signing,
)
from vestibule.core.known import Known

NOW = 1_800_000_000.5
ADA = Known(
    user_id="u1",
    issuer="https://op.example",
    subject="1",
    login="ada",
    name="Ada",
    email="ada@app.example",
    groups=("a", "b"),
    orgs=("o",),
    signed_in_at=NOW - 60,
)


def said(known: Known) -> dict:
    return claims_of(known, issuer="https://app.example", host="app.example", session="s", now=NOW)


def said_as_pomerium(known: Known) -> dict:
    return pomerium_claims_of(known, host="app.example", session="s", now=NOW, token_id="t1")


@pytest.mark.parametrize(
    ("scopes", "scope"),
    [(None, None), ((), ""), (("write", "read"), "read write")],
    ids=["cookie", "none", "two"],
)
def test_it_says_by_which_scopes_an_app_came_and_is_read_so(scopes, scope):
    claims = claims_of(
        ADA, issuer="https://app.example", host="app.example", session="s", now=NOW, scopes=scopes
    )
    assert claims.get("scope") == scope
    found = said_in(claims, issuer="https://app.example", now=NOW)
    assert found is not None
    assert (found.host, found.user_id, found.session) == ("app.example", "u1", "s")
    assert found.scopes == (None if scopes is None else tuple(sorted(scopes)))
    assert found.expires_at == int(NOW + LIFE_S)


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": ["app.example"]},
        {"aud": ""},
        {"sub": ""},
        {"sid": None},
        {"exp": int(NOW)},
        {"exp": "1900000000"},
        {"exp": None},
        {"scope": ["read"]},
    ],
    ids=str,
)
def test_what_is_no_assertion_of_a_session_says_nothing(wrong):
    claims = {name: value for name, value in {**said(ADA), **wrong}.items() if value is not None}
    assert said_in(claims, issuer="https://app.example", now=NOW) is None


def test_an_assertion_says_who_to_whom_and_for_how_long():
    assert said(ADA) == {
        "iss": "https://app.example",
        "aud": "app.example",
        "sub": "u1",
        "sid": "s",
        "iat": 1_800_000_000,
        "exp": 1_800_000_300,
        "auth_time": 1_799_999_940,
        "preferred_username": "ada",
        "name": "Ada",
        "email": "ada@app.example",
        "email_verified": True,
        "groups": ["a", "b"],
        "orgs": ["o"],
    }


def test_it_outlives_every_request_it_is_sent_with():
    assert LIFE_S >= 2 * REUSE_S


def test_what_is_not_known_is_not_said():
    assert said(Known(subject="1")).keys() == {"iss", "aud", "sid", "iat", "exp", "groups", "orgs"}
    assert said(Known(subject="1", scopes=("read", "write")))["scope"] == "read write"


def test_pomeriums_says_what_pomerium_says():
    assert said_as_pomerium(ADA) == {
        "iss": "app.example",
        "aud": "app.example",
        "jti": "t1",
        "iat": 1_800_000_000,
        "exp": 1_800_000_300,
        "sub": "u1",
        "user": "u1",
        "sid": "s",
        "email": "ada@app.example",
        "name": "Ada",
        "groups": ["a", "b"],
    }
    assert said_as_pomerium(Known(user_id="u1"))["groups"] == []


@pytest.mark.parametrize("say", [said, said_as_pomerium])
def test_lists_too_long_are_left_out_whole(say):
    """A shortened list of groups would be a wrong one, and an empty one, too."""
    fits = replace(ADA, groups=("x" * (LISTS_LIMIT_BYTES - 100),))
    assert len(say(fits)["groups"]) == 1
    many = say(replace(ADA, groups=tuple(f"group-{n}" for n in range(1000))))
    assert "groups" not in many
    assert many["email"] == "ada@app.example"


# -- keys -----------------------------------------------------------------------------------------


class Key(msgspec.Struct, frozen=True):
    number: int
    signs_at: float


FIRST = Key(1, NOW)
SECOND = Key(2, NOW + SIGNS_S)


def test_a_key_signs_until_the_next_one_does():
    keys = (FIRST, SECOND)
    assert signing((), NOW) is None
    assert signing(keys, NOW) is FIRST
    assert signing(keys, NOW + SIGNS_S - 1) is FIRST
    assert signing(keys, NOW + SIGNS_S) is SECOND
    assert signing(keys[::-1], NOW + SIGNS_S) is SECOND


def test_a_first_key_signs_whatever_the_clocks_say():
    """It was made by a machine whose clock is ahead."""
    assert signing((FIRST,), NOW - 5) is FIRST


def test_a_first_key_signs_at_once_and_others_are_published_before():
    assert next_signs_at((), NOW) == NOW
    due_at = NOW + SIGNS_S - PUBLISHED_S
    assert next_signs_at((FIRST,), due_at - 1) is None
    assert next_signs_at((FIRST,), due_at) == NOW + SIGNS_S
    assert next_signs_at((FIRST, SECOND), due_at) is None


def test_a_key_that_comes_late_is_published_as_long():
    """The program was not running when it was due."""
    assert next_signs_at((FIRST,), NOW + 9 * SIGNS_S) == NOW + 9 * SIGNS_S + PUBLISHED_S


def test_a_key_is_kept_for_as_long_as_anything_it_signed():
    keys = (FIRST, SECOND)
    assert outlived((), NOW) == ()
    assert outlived((FIRST,), NOW + 99 * SIGNS_S) == ()
    assert outlived(keys, NOW + SIGNS_S + KEPT_S - 1) == ()
    assert outlived(keys, NOW + SIGNS_S + KEPT_S) == (FIRST,)
    assert KEPT_S > LIFE_S + REUSE_S
