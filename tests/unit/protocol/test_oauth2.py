"""OAuth 2.0: what is asked, and what is believed of the answers."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.errors import ProviderError, ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.model import Secret, Tokens
from vestibule.protocol import oauth2

VERIFIER = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
NOW = 1_000_000.0
JSON = "application/json"


def test_the_challenge_of_rfc_7636_appendix_b() -> None:
    assert oauth2.challenge_of(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def url(**changes: Any) -> str:
    options = {
        "endpoint": "https://idp.example/authorize",
        "client_id": "c",
        "redirect_uri": "https://app.example/@idp/callback",
        "state": "s",
        "verifier": VERIFIER,
    } | changes
    return oauth2.authorization_url(options.pop("endpoint"), **options)


def test_the_authorisation_request() -> None:
    sent = url(scopes=("openid", "e&mail"), nonce="n", more=(("prompt", "select account"),))
    assert "+" not in sent
    assert urlsplit(sent).netloc == "idp.example"
    assert parse_qsl(urlsplit(sent).query) == [
        ("prompt", "select account"),
        ("response_type", "code"),
        ("client_id", "c"),
        ("redirect_uri", "https://app.example/@idp/callback"),
        ("scope", "openid e&mail"),
        ("state", "s"),
        ("nonce", "n"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ]
    assert VERIFIER.reveal() not in sent


def test_what_is_not_asked_is_not_sent_and_the_endpoint_keeps_its_query() -> None:
    names = [
        name
        for name, _ in parse_qsl(
            urlsplit(url(endpoint="https://idp.example/a?tenant=t&x=")).query, keep_blank_values=True
        )
    ]
    assert names[:2] == ["tenant", "x"]
    assert not {"scope", "nonce"} & set(names)


@pytest.mark.parametrize("name", sorted(oauth2.RESERVED))
def test_a_parameter_of_the_protocol_cannot_be_set_from_outside(name: str) -> None:
    with pytest.raises(ValueError, match="twice"):
        url(more=((name, "x"),))
    with pytest.raises(ValueError, match="twice"):
        url(endpoint=f"https://idp.example/a?{name}=x")


def test_no_parameter_is_sent_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        url(more=(("hd", "a"), ("hd", "b")))


IDP = "https://idp.example"


@pytest.mark.parametrize(
    ("params", "options", "expected"),
    [
        ({"code": "a"}, {}, "a"),
        ({"code": "a", "iss": "https://else.example"}, {}, "a"),
        ({"code": "a"}, {"issuer": IDP}, "a"),
        ({"code": "a", "iss": IDP}, {"issuer": IDP}, "a"),
        ({"code": "a", "iss": IDP}, {"issuer": IDP, "has_iss": True}, "a"),
        ({"code": "a"}, {"issuer": IDP, "has_iss": True}, ProviderInvalid),
        ({"code": "a", "iss": ""}, {"issuer": IDP}, ProviderInvalid),
        ({"code": "a", "iss": IDP + "/"}, {"issuer": IDP}, ProviderInvalid),
        ({"code": "a", "iss": "https://evil.example"}, {"issuer": IDP}, ProviderInvalid),
        ({"error": "access_denied", "iss": "https://evil.example"}, {"issuer": IDP}, ProviderInvalid),
        ({"error": "access_denied"}, {}, ProviderRefused),
        ({"error": "access_denied", "code": "a"}, {}, ProviderRefused),
        ({"error": "temporarily_unavailable"}, {}, ProviderUnavailable),
        ({"error": "server_error"}, {}, ProviderUnavailable),
        ({"error": ""}, {}, ProviderInvalid),
        ({"error": "<b>\n"}, {}, ProviderInvalid),
        ({"error": "é"}, {}, ProviderInvalid),
        ({}, {}, ProviderInvalid),
        ({"code": ""}, {}, ProviderInvalid),
        ({"code": "a b"}, {}, ProviderInvalid),
        ({"code": "a\n"}, {}, ProviderInvalid),
        ({"code": "a" * 20_000}, {}, ProviderInvalid),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_the_code_of_a_response(
    params: dict[str, str], options: dict[str, Any], expected: str | type[ProviderError]
) -> None:
    if isinstance(expected, str):
        assert oauth2.authorization_code(params, **options) == Secret(expected)
    else:
        with pytest.raises(expected):
            oauth2.authorization_code(params, **options)


def test_a_refusal_keeps_error_and_description_apart() -> None:
    with pytest.raises(ProviderRefused) as caught:
        oauth2.authorization_code({"error": "access_denied", "error_description": "no\r\nX: y" + "z" * 1000})
    assert caught.value.error == "access_denied"
    assert caught.value.description.startswith("no  X: y")
    assert len(caught.value.description) == 512
    assert "no" not in caught.value.message.split()


def test_forms() -> None:
    assert dict(oauth2.code_form(Secret("c"), redirect_uri="https://a/cb", verifier=VERIFIER)) == {
        "grant_type": "authorization_code",
        "code": "c",
        "redirect_uri": "https://a/cb",
        "code_verifier": VERIFIER.reveal(),
    }
    assert dict(oauth2.refresh_form(Secret("r"))) == {"grant_type": "refresh_token", "refresh_token": "r"}
    assert dict(oauth2.client_credentials_form()) == {"grant_type": "client_credentials"}
    assert dict(oauth2.client_credentials_form(["a", "b"], [("audience", "x")])) == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "audience": "x",
    }
    assert dict(oauth2.revocation_form(Secret("t"), "refresh_token")) == {
        "token": "t",
        "token_type_hint": "refresh_token",
    }
    assert dict(oauth2.assertion_form(Secret("j")))["assertion"] == "j"


def test_client_authentication() -> None:
    secret = Secret("p:ss wörd")
    form = (("a", "b"),)
    assert oauth2.authenticated(form, method="client_secret_basic", client_id="c", client_secret=secret) == (
        form,
        ("c", secret),
    )
    assert oauth2.authenticated(form, method="client_secret_post", client_id="c", client_secret=secret) == (
        (("a", "b"), ("client_id", "c"), ("client_secret", "p:ss wörd")),
        None,
    )
    assert oauth2.authenticated(form, method="none", client_id="c", client_secret=Secret("")) == (
        (("a", "b"), ("client_id", "c")),
        None,
    )
    value = oauth2.client_basic("a:b", secret).reveal()
    assert base64.b64decode(value.removeprefix("Basic ")) == b"a%3Ab:p%3Ass+w%C3%B6rd"


def answer(body: Any, status: int = 200, content_type: str = JSON, **options: Any) -> Tokens:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return oauth2.parse_token_answer(status, content_type, raw, now=NOW, **options)


def test_a_full_token_answer() -> None:
    tokens = answer(
        {
            "access_token": "at",
            "token_type": "bEARER",
            "refresh_token": "rt",
            "expires_in": 3600,
            "scope": "a b",
            "id_token": "x.y.z",
            "more": [1],
        }
    )
    assert tokens == Tokens(
        access_token=Secret("at"),
        refresh_token=Secret("rt"),
        expires_at=NOW + 3600,
        scopes=("a", "b"),
        id_token=Secret("x.y.z"),
    )
    assert "at" not in repr(tokens).replace("expires_at", "")


@pytest.mark.parametrize(
    ("raw", "lives_s"),
    [
        (3600, 3600),
        ("3600", 3600),
        (3599.5, 3599.5),
        (10**12, oauth2.MAX_LIFETIME_S),
        (10**400, oauth2.MAX_LIFETIME_S),
        (1e300, oauth2.MAX_LIFETIME_S),
        ("inf", oauth2.MAX_LIFETIME_S),
        (0, None),
        (-1, None),
        ("-1", None),
        ("", None),
        ("never", None),
        ("nan", None),
        (None, None),
        (True, None),
        ([], None),
        ({}, None),
    ],
)  # fmt: skip
def test_expires_in_as_providers_send_it(raw: Any, lives_s: float | None) -> None:
    tokens = oauth2._tokens({"access_token": "a", "expires_in": raw}, now=NOW, asked=(), old=None)
    assert tokens.expires_at == (None if lives_s is None else NOW + lives_s)


def test_an_answer_without_expires_in_expires_nobody_knows_when() -> None:
    assert answer({"access_token": "a"}).expires_at is None


@pytest.mark.parametrize(
    ("raw", "scopes"),
    [
        (None, ("asked",)),
        ("", ("asked",)),
        ("a", ("a",)),
        ("a  b", ("a", "b")),
        ("repo,gist", ("repo", "gist")),
        (["a", "b", 1, ""], ("a", "b")),
        (7, ("asked",)),
    ],
)
def test_scopes_granted(raw: Any, scopes: tuple[str, ...]) -> None:
    assert answer({"access_token": "a", "scope": raw}, asked=("asked",)).scopes == scopes


def test_a_refresh_keeps_what_did_not_come_anew() -> None:
    old = Tokens(access_token=Secret("o"), refresh_token=Secret("r1"), scopes=("s",), id_token=Secret("i"))
    assert answer({"access_token": "n"}, old=old) == Tokens(
        access_token=Secret("n"), refresh_token=Secret("r1"), scopes=("s",), id_token=Secret("i")
    )
    rotated = answer({"access_token": "n", "refresh_token": "r2", "id_token": "j", "scope": "t"}, old=old)
    assert (rotated.refresh_token, rotated.id_token, rotated.scopes) == (Secret("r2"), Secret("j"), ("t",))
    assert answer({"access_token": "n", "refresh_token": ""}, old=old).refresh_token == Secret("r1")


def test_a_form_encoded_answer_is_read() -> None:
    for kind in ("application/x-www-form-urlencoded; charset=utf-8", "text/plain"):
        tokens = answer(b"access_token=gho_x&scope=repo%2Cgist&token_type=bearer", content_type=kind)
        assert (tokens.access_token, tokens.scopes) == (Secret("gho_x"), ("repo", "gist"))
    assert answer(b'{"access_token":"a"}', content_type="text/plain").access_token == Secret("a")


@pytest.mark.parametrize(
    ("body", "status", "raised"),
    [
        ({"error": "invalid_grant"}, 400, ProviderRefused),
        ({"error": "invalid_client", "error_description": "x"}, 401, ProviderRefused),
        ({"error": "bad_verification_code"}, 200, ProviderRefused),
        ({"error": "invalid_grant", "access_token": "a"}, 200, ProviderRefused),
        ({"error": "temporarily_unavailable"}, 400, ProviderUnavailable),
        ({"error": "slow_down"}, 400, ProviderUnavailable),
        ({"error": "invalid_grant"}, 503, ProviderUnavailable),
        ({"error": "invalid_grant"}, 429, ProviderUnavailable),
        (b"<html>", 502, ProviderUnavailable),
        ({"error": {"message": "x"}}, 400, ProviderInvalid),
        ({"error": "x\n"}, 400, ProviderInvalid),
        ({"access_token": "a"}, 400, ProviderInvalid),
        ({"access_token": "a"}, 302, ProviderInvalid),
        ({"access_token": "a"}, 201, ProviderInvalid),
        ({}, 200, ProviderInvalid),
        ({"access_token": ""}, 200, ProviderInvalid),
        ({"access_token": None}, 200, ProviderInvalid),
        ({"access_token": 1}, 200, ProviderInvalid),
        ({"access_token": "a\r\nX: y"}, 200, ProviderInvalid),
        ({"access_token": "a b"}, 200, ProviderInvalid),
        ({"access_token": "é"}, 200, ProviderInvalid),
        ({"access_token": "a" * 20_000}, 200, ProviderInvalid),
        ({"access_token": "a", "refresh_token": 1}, 200, ProviderInvalid),
        ({"access_token": "a", "id_token": []}, 200, ProviderInvalid),
        ({"access_token": "a", "token_type": "mac"}, 200, ProviderInvalid),
        ({"access_token": "a", "token_type": "DPoP"}, 200, ProviderInvalid),
        ({"access_token": "a", "token_type": 1}, 200, ProviderInvalid),
        ([], 200, ProviderInvalid),
        ("x", 200, ProviderInvalid),
        (b"", 200, ProviderInvalid),
        (b"<html>secret-token</html>", 200, ProviderInvalid),
        (b'{"access_token":"secret-token', 200, ProviderInvalid),
        (b'{"access_token":"\xff"}', 200, ProviderInvalid),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_an_answer_that_gives_no_token(body: Any, status: int, raised: type[ProviderError]) -> None:
    with pytest.raises(raised) as caught:
        answer(body, status)
    assert type(caught.value) is raised
    assert "secret-token" not in f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"


@given(st.binary(max_size=60), st.sampled_from([JSON, "application/x-www-form-urlencoded", ""]))
def test_no_body_ends_in_anything_but_a_providers_fault(body: bytes, content_type: str) -> None:
    with contextlib.suppress(ProviderError):
        answer(body, content_type=content_type)


@pytest.mark.parametrize(
    ("error", "is_dead"),
    [
        ("invalid_grant", True),
        ("access_denied", True),
        ("invalid_token", True),
        ("invalid_client", False),
        ("unauthorized_client", False),
        ("unsupported_grant_type", False),
        ("invalid_request", False),
        ("server_error", False),
        ("temporarily_unavailable", False),
        ("slow_down", False),
    ],
)
def test_an_error_about_the_client_or_the_provider_costs_nobody_a_credential(
    error: str, is_dead: bool
) -> None:
    assert oauth2.blames_grant(error) is is_dead
