"""What apps send to the authorization server, and what they are answered."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.model import Secret
from vestibule.protocol.authorization_server import (
    OAuthError,
    answer_url,
    authorization_request,
    client_shown,
    code_answer,
    error_answer,
    error_body,
    is_challenge,
    is_scope,
    proves,
    scopes_in,
    token_answer,
)

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_a_request_is_read_as_it_came():
    found = authorization_request(
        {
            "client_id": "ios",
            "redirect_uri": "https://a.example/cb",
            "response_type": "code",
            "scope": "read write read",
            "state": "x y",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "audience": "a.example",
            "login_hint": "alice",
            "provider": "google",
            "nonsense": "1",
        }
    )
    assert (found.client_id, found.scopes, found.state) == ("ios", ("read", "write"), "x y")
    assert (found.challenge, found.challenge_method) == (CHALLENGE, "S256")
    assert (found.resource, found.login_hint, found.provider, found.fault) == (
        "a.example",
        "alice",
        "google",
        "",
    )


@pytest.mark.parametrize(
    "parameters",
    [{"state": "x" * 1025}, {"state": "a\nb"}, {"state": "é"}, {"redirect_uri": "x" * 2049}],
    ids=["long", "line", "no ASCII", "long parameter"],
)
def test_what_can_not_be_read_is_told(parameters):
    found = authorization_request(parameters)
    assert found.fault
    assert not found.state


@pytest.mark.parametrize(
    ("text", "scopes"),
    [("", ()), ("a", ("a",)), ("a b a", ("a", "b")), ("a  b", ("a", "", "b")), (" a", ("", "a"))],
)
def test_scopes(text, scopes):
    assert scopes_in(text) == scopes


def test_what_a_scope_can_be():
    assert is_scope("posts:read")
    assert not any(map(is_scope, ("", "a b", 'a"', "a\\", "é", "x" * 129, "a\n")))


def test_a_challenge_is_proven_by_its_verifier_alone():
    assert is_challenge(CHALLENGE)
    assert proves(VERIFIER, CHALLENGE)
    # RFC 7636 appendix B
    assert proves(
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )
    for wrong in ("", "w" * 43, VERIFIER[1:], VERIFIER + "\n", "v" * 129, CHALLENGE, "v" * 42 + "é"):
        assert not proves(wrong, CHALLENGE)
    assert not proves(VERIFIER, "")
    assert not proves(VERIFIER, VERIFIER)


@given(st.text())
def test_no_text_proves_another(text):
    assert proves(text, CHALLENGE) is (text == VERIFIER)


@pytest.mark.parametrize(
    ("redirect_uri", "url"),
    [
        ("https://a.example/cb", "https://a.example/cb?code=c%26x&state=s&iss=https%3A%2F%2Fg.example"),
        (
            "https://a.example/cb?x=1",
            "https://a.example/cb?x=1&code=c%26x&state=s&iss=https%3A%2F%2Fg.example",
        ),
        ("com.example.app:/cb", "com.example.app:/cb?code=c%26x&state=s&iss=https%3A%2F%2Fg.example"),
        ("http://127.0.0.1:9/cb", "http://127.0.0.1:9/cb?code=c%26x&state=s&iss=https%3A%2F%2Fg.example"),
    ],
    ids=["link", "query", "scheme", "loopback"],
)
def test_a_code_goes_to_the_redirect_uri(redirect_uri, url):
    assert code_answer(redirect_uri, "c&x", state="s", issuer="https://g.example") == url


def test_so_does_an_error_and_what_is_empty_stays_away():
    told = error_answer("https://a.example/", "access_denied", "", state="", issuer="https://g.example")
    assert told == "https://a.example/?error=access_denied&iss=https%3A%2F%2Fg.example"
    assert answer_url("https://a.example/", ()) == "https://a.example/"


def test_an_app_says_who_it_is():
    assert client_shown("", {"client_id": "ios"}).secret is None
    by_form = client_shown("", {"client_id": "web", "client_secret": "s:e%c"})
    by_header = client_shown(basic("web:s%3Ae%25c"), {})
    assert (by_form.id, by_form.secret) == (by_header.id, by_header.secret) == ("web", Secret("s:e%c"))
    assert (by_form.by_header, by_header.by_header) == (False, True)
    assert client_shown(basic("web:x"), {"client_id": "web"}).id == "web"


@pytest.mark.parametrize(
    ("authorization", "form"),
    [
        ("Bearer x", {}),
        ("Basic %%%", {}),
        (basic("nocolon"), {}),
        (f"Basic {base64.b64encode(bytes([255, 58])).decode()}", {}),
        (basic("web:x"), {"client_id": "other"}),
        (basic("web:x"), {"client_secret": "x"}),
    ],
    ids=["bearer", "no base64", "no colon", "no text", "another id", "two ways"],
)
def test_one_way_to_say_it_that_can_be_read(authorization, form):
    with pytest.raises(OAuthError) as caught:
        client_shown(authorization, form)
    assert (caught.value.code, caught.value.status) == ("invalid_client", 401)


def test_answers_are_those_of_the_book():
    told = token_answer(Secret("a"), expires_in_s=599.9, scopes=("read", "write"))
    assert told == {"access_token": "a", "token_type": "Bearer", "expires_in": 599, "scope": "read write"}
    assert (
        token_answer(Secret("a"), expires_in_s=1, scopes=(), refresh_token=Secret("r"))["refresh_token"]
        == "r"
    )
    assert error_body(OAuthError("invalid_grant")) == {"error": "invalid_grant"}
    assert error_body(OAuthError("invalid_grant", "why")) == {
        "error": "invalid_grant",
        "error_description": "why",
    }
