"""The dance, as the plain OAuth 2.0 client does it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import (
    CHALLENGE,
    NOW,
    REDIRECT,
    VERIFIER,
    came_back,
    form_of,
    play,
    reply,
    start,
    token_reply,
)
from vestibule.errors import ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.model import Secret, Tokens
from vestibule.providers.base import RedirectLogin, Refresh, SignOut
from vestibule.providers.kit import Get, PostForm, Reply
from vestibule.providers.oauth2 import OAuth2Config, PlainOAuth2

SECRET = Secret("canary-secret")


def client(**fields: Any) -> PlainOAuth2:
    return OAuth2Config(
        **{
            "name": "app.example/op",
            "client_id": "cid",
            "client_secret": SECRET,
            "authorize_url": "https://op.example/auth",
            "access_token_url": "https://op.example/token",
            **fields,
        }
    ).open()


def query_of(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


TOKENS = Tokens(access_token=Secret("at-0"), refresh_token=Secret("rt-0"), scopes=("a",))


def test_it_can_sign_in_refresh_and_sign_out() -> None:
    op = client()
    assert isinstance(op, RedirectLogin)
    assert isinstance(op, Refresh)
    assert isinstance(op, SignOut)


def test_people_are_sent_off_with_state_and_challenge_and_no_verifier() -> None:
    url, asked = play(client(scopes=("a", "b")).start(start()))
    assert asked == []
    assert url.startswith("https://op.example/auth?")
    assert query_of(url) == {
        "response_type": "code",
        "client_id": "cid",
        "redirect_uri": REDIRECT,
        "scope": "a b",
        "state": "st",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }


def test_configured_parameters_go_along_and_win_over_hints() -> None:
    op = client(authorize_parameters=(("approval_prompt", "force"), ("prompt", "consent")))
    query = query_of(play(op.start(start(prompt="none", login_hint="alice", scope="admin", hd="x")))[0])
    assert (query["approval_prompt"], query["prompt"], query["login_hint"]) == ("force", "consent", "alice")
    assert "hd" not in query
    assert "scope" not in query


def test_a_query_of_the_operators_url_is_kept_and_never_doubled() -> None:
    op = client(authorize_url="https://op.example/auth?tenant=7&prompt=login")
    query = query_of(play(op.start(start(prompt="none")))[0])
    assert (query["tenant"], query["prompt"]) == ("7", "login")


@pytest.mark.parametrize(
    ("style", "basic", "in_form"),
    [
        ("", ("cid", SECRET), {}),
        ("basic", ("cid", SECRET), {}),
        ("post", None, {"client_id": "cid", "client_secret": "canary-secret"}),
        ("none", None, {"client_id": "cid"}),
    ],
)
def test_the_code_goes_to_the_token_endpoint_with_its_verifier(
    style: str, basic: Any, in_form: dict[str, str]
) -> None:
    signed_in, asked = play(client(auth_style=style).finish(came_back()), token_reply(refresh_token="rt-1"))
    assert isinstance(asked[0], PostForm)
    assert (asked[0].url, asked[0].basic) == ("https://op.example/token", basic)
    assert form_of(asked[0]) == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER.reveal(),
        **in_form,
    }
    assert signed_in.tokens == Tokens(
        access_token=Secret("at-1"), refresh_token=Secret("rt-1"), expires_at=NOW + 3600
    )


def test_a_client_without_a_secret_is_a_public_one() -> None:
    _, asked = play(client(client_secret=Secret("")).finish(came_back()), token_reply())
    assert form_of(asked[0])["client_id"] == "cid"
    assert "client_secret" not in form_of(asked[0])


def test_without_a_userinfo_url_there_are_credentials_and_nobody() -> None:
    op = client()
    assert not op.identifies
    assert play(op.finish(came_back()), token_reply())[0].identity is None


def with_userinfo(**fields: Any) -> PlainOAuth2:
    return client(userinfo_url="https://api.example/me", **fields)


def identified(document: Any, status: int = 200, **fields: Any) -> Any:
    signed_in, asked = play(
        with_userinfo(**fields).finish(came_back()), token_reply(), reply(document, status)
    )
    assert asked[1] == Get(url="https://api.example/me", bearer=Secret("at-1"))
    return signed_in.identity


def test_userinfo_says_who_it_is() -> None:
    identity = identified(
        {
            "sub": "17",
            "preferred_username": "al",
            "name": "Alice Ä.",
            "email": "Alice@EXAMPLE.com",
            "email_verified": True,
            "groups": ["a", "b"],
        }
    )
    assert (identity.client, identity.issuer, identity.subject) == (
        "app.example/op",
        "https://api.example",
        "17",
    )
    assert (identity.login, identity.name, identity.email) == ("al", "Alice Ä.", "Alice@example.com")
    assert identity.groups == ("a", "b")


@pytest.mark.parametrize(
    ("claims", "fields", "subject"),
    [
        ({"sub": "a", "id": 5}, {}, "a"),
        ({"id": 5}, {}, "5"),
        ({"id": "five"}, {}, "five"),
        ({"uid": 7, "sub": "a"}, {"claims": {"subject": "uid"}}, "7"),
    ],
)
def test_the_subject_is_sub_then_id_or_the_configured_claim(claims: Any, fields: Any, subject: str) -> None:
    assert identified(claims, **fields).subject == subject


def test_a_written_issuer_is_the_accounts_issuer() -> None:
    assert identified({"sub": "1"}, issuer="https://op.example").issuer == "https://op.example"


@pytest.mark.parametrize(
    ("claims", "fields", "email"),
    [
        ({"email": "a@b.example"}, {}, ""),
        ({"email": "a@b.example", "email_verified": "true"}, {}, ""),
        ({"email": "a@b.example", "email_verified": False}, {}, ""),
        ({"email": "a@b.example"}, {"assume_email_verified": True}, "a@b.example"),
        ({"email": "a@b.example", "email_verified": True}, {"email_domains": ("c.example",)}, ""),
        ({"mail": "a@b.example", "email_verified": True}, {"claims": {"email": "mail"}}, "a@b.example"),
    ],
)
def test_only_a_verified_address_counts(claims: Any, fields: Any, email: str) -> None:
    assert identified({"sub": "1", **claims}, **fields).email == email


BAD_USERINFO = {
    "no subject": {"name": "Alice"},
    "empty subject": {"sub": ""},
    "subject is true": {"sub": True},
    "subject is a fraction": {"id": 1.5},
    "subject with a line end": {"sub": "a\nb"},
    "a list": [{"sub": "1"}],
    "null": None,
    "HTML": b"<html>sign in</html>",
}


@pytest.mark.parametrize("body", BAD_USERINFO.values(), ids=BAD_USERINFO.keys())
def test_userinfo_without_a_subject_identifies_nobody(body: Any) -> None:
    with pytest.raises(ProviderInvalid):
        identified(body)


@pytest.mark.parametrize("status", [201, 302, 400, 401, 403, 404])
def test_userinfo_that_is_refused_identifies_nobody(status: int) -> None:
    with pytest.raises(ProviderInvalid):
        identified({"sub": "1"}, status)


BAD_CALLBACKS: dict[str, tuple[dict[str, str], type[Exception]]] = {
    "refused": ({"error": "access_denied", "error_description": "no"}, ProviderRefused),
    "refused with a code": ({"error": "access_denied", "code": "c0de"}, ProviderRefused),
    "temporarily": ({"error": "temporarily_unavailable"}, ProviderUnavailable),
    "no code": ({"x": "y"}, ProviderInvalid),
    "empty code": ({"code": ""}, ProviderInvalid),
    "code with a line end": ({"code": "a\nb"}, ProviderInvalid),
    "another issuer": ({"code": "c0de", "iss": "https://evil.example"}, ProviderInvalid),
}


@pytest.mark.parametrize(("params", "error"), BAD_CALLBACKS.values(), ids=BAD_CALLBACKS.keys())
def test_a_bad_callback_asks_the_token_endpoint_nothing(
    params: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        play(client(issuer="https://op.example").finish(came_back(**params)))


BAD_ANSWERS: dict[str, tuple[Reply, type[Exception]]] = {
    "HTML instead of JSON": (reply(b"<html></html>", kind="text/html"), ProviderInvalid),
    "HTML that calls itself JSON": (reply(b"<html></html>"), ProviderInvalid),
    "nothing": (reply(b""), ProviderInvalid),
    "a list": (reply([]), ProviderInvalid),
    "no access token": (reply({"token_type": "Bearer"}), ProviderInvalid),
    "another token type": (token_reply(token_type="mac"), ProviderInvalid),
    "other client's code": (reply({"error": "invalid_grant"}, 400), ProviderRefused),
    "error with 200": (reply({"error": "bad_verification_code"}), ProviderRefused),
    "wrong secret": (reply({"error": "invalid_client"}, 401), ProviderRefused),
    "503": (reply({}, 503), ProviderUnavailable),
    "404": (reply({}, 404), ProviderInvalid),
    "token with a line end": (token_reply(access_token="a\r\nX: 1"), ProviderInvalid),
}


@pytest.mark.parametrize(("answer", "error"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_a_bad_token_answer_signs_nobody_in(answer: Reply, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        play(client().finish(came_back()), answer)
    assert "canary" not in f"{caught.value!r} {getattr(caught.value, 'detail', '')}"


def test_an_answer_without_expiry_gives_a_token_of_unknown_age() -> None:
    signed_in, _ = play(client().finish(came_back()), reply({"access_token": "a", "token_type": "bearer"}))
    assert signed_in.tokens.expires_at is None


# Refresh and revocation


def test_a_rotated_refresh_token_is_kept() -> None:
    fresh, asked = play(client().refresh(TOKENS, NOW), token_reply(refresh_token="rt-1"))
    assert form_of(asked[0]) == {"grant_type": "refresh_token", "refresh_token": "rt-0"}
    assert (fresh.access_token, fresh.refresh_token) == (Secret("at-1"), Secret("rt-1"))


def test_without_a_new_refresh_token_the_old_one_stays() -> None:
    fresh, _ = play(client().refresh(TOKENS, NOW), token_reply())
    assert (fresh.refresh_token, fresh.scopes) == (Secret("rt-0"), ("a",))


@pytest.mark.parametrize("error", ["invalid_grant", "bad_refresh_token", "access_denied", "invalid_scope"])
def test_a_refused_refresh_token_is_said_to_be_refused(error: str) -> None:
    with pytest.raises(ProviderRefused) as caught:
        play(client().refresh(TOKENS, NOW), reply({"error": error}, 400))
    assert caught.value.error == error


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client", "unsupported_grant_type"])
def test_that_the_gateway_is_refused_costs_nobody_a_credential(error: str) -> None:
    with pytest.raises(ProviderInvalid):
        play(client().refresh(TOKENS, NOW), reply({"error": error}, 401))


def test_that_a_provider_is_down_is_no_refusal() -> None:
    with pytest.raises(ProviderUnavailable):
        play(client().refresh(TOKENS, NOW), reply({}, 503))
    with pytest.raises(ProviderUnavailable):
        play(client().refresh(TOKENS, NOW), ProviderUnavailable("down"))


def test_without_a_refresh_token_nothing_is_asked() -> None:
    with pytest.raises(ProviderRefused):
        play(client().refresh(Tokens(access_token=Secret("a")), NOW))


def test_both_tokens_are_revoked_where_the_provider_takes_that() -> None:
    _, asked = play(
        client(revoke_url="https://op.example/revoke").revoke(TOKENS, NOW), reply({}), reply({}, 400)
    )
    assert [form_of(ask) for ask in asked] == [
        {"token": "rt-0", "token_type_hint": "refresh_token"},
        {"token": "at-0", "token_type_hint": "access_token"},
    ]
    assert play(client().revoke(TOKENS, NOW)) == (None, [])


def test_there_is_no_sign_out_page() -> None:
    assert play(client().sign_out_url(TOKENS, "https://app.example/")) == (None, [])


# Configuration

BAD_CONFIG = {
    "no authorize_url": {"authorize_url": ""},
    "another scheme": {"access_token_url": "ftp://op.example/token"},
    "a name in letters that are none of a URL": {"userinfo_url": "https://bücher.example/me"},
    "an address that only some readers know": {"userinfo_url": "https://127.1/me"},
    "not a URL": {"authorize_url": "op.example/auth"},
    "javascript": {"authorize_url": "javascript:alert(1)"},
    "userinfo in the URL": {"access_token_url": "https://a:b@op.example/token"},
    "fragment": {"authorize_url": "https://op.example/#x"},
    "unknown auth style": {"auth_style": "jwt"},
    "auth style without a secret": {"auth_style": "post", "client_secret": Secret("")},
    "reserved parameter": {"authorize_parameters": (("state", "x"),)},
    "redirect_uri": {"authorize_parameters": (("redirect_uri", "https://evil.example"),)},
    "challenge method": {"authorize_parameters": (("code_challenge_method", "plain"),)},
    "parameter twice": {"authorize_parameters": (("a", "1"), ("a", "2"))},
    "address as domain": {"email_domains": ("a@b.example",)},
    "upper-case domain": {"email_domains": ("B.example",)},
}


@pytest.mark.parametrize("fields", BAD_CONFIG.values(), ids=BAD_CONFIG.keys())
def test_a_configuration_that_cannot_work_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        client(**fields)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "keycloak", "op.example", "10.0.0.1"])
def test_http_is_for_whoever_writes_it(host: str) -> None:
    """`vestibule check` warns of it."""
    client(authorize_url=f"http://{host}:9000/auth", access_token_url=f"http://{host}:9000/token")


def test_no_secret_is_in_a_repr() -> None:
    op = client()
    assert "canary" not in repr(op._config)
    _, asked = play(op.finish(came_back()), token_reply())
    assert "canary" not in repr(asked)


def test_the_button_says_the_title_or_the_id() -> None:
    assert client().title == "op"
    assert client(title="Our OP").title == "Our OP"
