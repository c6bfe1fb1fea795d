"""The Authorization header: what is read of it, and the challenges."""

from __future__ import annotations

import base64

import pytest

from vestibule.model import Secret
from vestibule.protocol.authorization import (
    CREDENTIAL_LIMIT_BYTES,
    Basic,
    basic_challenge,
    basic_of,
    bearer_challenge,
    bearer_of,
    scheme_of,
    step_up_challenge,
    token_in,
)


def basic(text: str, encoding: str = "utf-8") -> bytes:
    return b"Basic " + base64.b64encode(text.encode(encoding))


@pytest.mark.parametrize(
    ("authorization", "token"),
    [
        (b"Bearer mF_9.B5f-4.1JqM", "mF_9.B5f-4.1JqM"),  # RFC 6750 section 2.1
        (b"bearer abc==", "abc=="),
        (b"BEARER   abc  ", "abc"),
        (b"Bearer", ""),
        (b"Bearer ", ""),
        (b"Bearer a b", ""),
        (b"Bearer a,b", ""),
        (b"Bearer \xc3\xa4", ""),
        (b"Bearer =", ""),
        (b"Bearer a=b", ""),
        (b"Basic YTpi", ""),
        (b"DPoP abc", ""),
        (b"Bearerabc", ""),
        (b"Bearer " + b"a" * (CREDENTIAL_LIMIT_BYTES + 1), ""),
        (b"", ""),
    ],
)
def test_a_bearer_token_is_read_as_the_rfc_writes_it(authorization: bytes, token: str):
    assert bearer_of(authorization) == token


@pytest.mark.parametrize(
    ("authorization", "user", "password"),
    [
        (b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),  # RFC 7617 section 2
        (b"Basic dGVzdDoxMjPCow==", "test", "123£"),  # RFC 7617 section 2.1
        (basic("ann:a:b:c"), "ann", "a:b:c"),
        (basic("ann:"), "ann", ""),
        (basic(":secret"), "", "secret"),
        (b"bAsIc  QWxhZGRpbjpvcGVuIHNlc2FtZQ== ", "Aladdin", "open sesame"),
    ],
)
def test_user_and_password_are_read_as_the_rfc_writes_them(authorization: bytes, user: str, password: str):
    assert basic_of(authorization) == Basic(user, Secret(password))


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(b"Basic", id="nothing"),
        pytest.param(b"Basic !!!", id="no base64"),
        pytest.param(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", id="no padding"),
        pytest.param(b"Basic QWxh\nZGRpbg==", id="line end"),
        pytest.param(basic("ann"), id="no colon"),
        pytest.param(basic("an\0n:x"), id="control in the user"),
        pytest.param(basic("ann:x\r\ny"), id="control in the password"),
        pytest.param(basic("änn:x", "latin-1"), id="not UTF-8"),
        pytest.param(basic("ann:" + "x" * CREDENTIAL_LIMIT_BYTES), id="too long"),
        pytest.param(b"Bearer YTpi", id="another scheme"),
    ],
)
def test_what_cannot_be_read_is_no_user_and_password(authorization: bytes):
    assert basic_of(authorization) is None


@pytest.mark.parametrize(
    ("user", "password", "token"),
    [
        ("anything", "vst_abc", "vst_abc"),
        ("vst_abc", "x-oauth-basic", "vst_abc"),
        ("vst_abc", "X-OAuth-Basic", "vst_abc"),
        ("vst_abc", "", "vst_abc"),
        ("", "vst_abc", "vst_abc"),
        ("", "", ""),
        ("ann", "two words", ""),
        ("änn", "", ""),
    ],
)
def test_a_token_may_come_as_password_or_as_user_name(user: str, password: str, token: str):
    assert token_in(Basic(user, Secret(password))) == token


def test_the_scheme_is_read_whatever_its_case():
    assert [scheme_of(line) for line in (b"BEARER x", b"Basic", b"", b"\xff x")] == [
        "bearer",
        "basic",
        "",
        "ÿ",
    ]


def test_the_challenges_are_those_of_their_rfcs():
    assert basic_challenge("foo") == 'Basic realm="foo", charset="UTF-8"'
    assert bearer_challenge("app.example") == 'Bearer realm="app.example"'
    assert (
        bearer_challenge("app.example", error="invalid_token", description="it has expired")
        == 'Bearer realm="app.example", error="invalid_token", error_description="it has expired"'
    )


def test_a_fresher_sign_in_is_asked_for_in_the_words_of_rfc_9470():
    assert step_up_challenge("app.example", description="sign in", max_age_s=3600.0) == (
        'Bearer realm="app.example", error="insufficient_user_authentication", '
        'error_description="sign in", max_age="3600"'
    )


def test_nothing_ends_a_challenge_early():
    assert basic_challenge('a"\r\n\\b') == 'Basic realm="ab", charset="UTF-8"'


def test_a_password_is_not_shown():
    assert "sesame" not in repr(basic_of(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="))
