"""What holds for every client that signs people in by sending their browser away and back, whatever its kind."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers import (
    test_adfs,
    test_apple,
    test_auth0,
    test_bitbucket,
    test_cidaas,
    test_cognito,
    test_entra,
    test_github,
    test_gitlab,
    test_google,
    test_google_groups,
    test_keycloak,
    test_logingov,
    test_oauth2,
    test_oidc,
    test_okta,
    test_openid_kinds,
    test_userinfo_kinds,
)
from tests.unit.providers.player import (
    CHALLENGE,
    NOW,
    REDIRECT,
    VERIFIER,
    came_back,
    form_of,
    reply,
    start,
    token_reply,
)
from vestibule.errors import ProviderInvalid, ProviderRefused, ProviderUnavailable
from vestibule.model import Secret, Tokens
from vestibule.providers.base import Recheck, RedirectLogin, Refresh, SignOut
from vestibule.providers.kit import Ask, Discovery, Flow, PostForm
from vestibule.providers.oauth2 import OAuth2

CANARY = Secret("canary-secret")
KINDS = {
    "oauth2": test_oauth2.client(client_secret=CANARY),
    "oauth2 with userinfo": test_oauth2.with_userinfo(client_secret=CANARY),
    "oidc": test_oidc.client(client_secret=CANARY),
    "google": test_google.client(client_secret=CANARY),
    "github": test_github.client(client_secret=CANARY),
    "apple": test_apple.client(client_id="cid"),
    "google with groups": test_google_groups.client(client_secret=CANARY),
    "keycloak": test_keycloak.client(client_secret=CANARY),
    "entra": test_entra.client(client_secret=CANARY),
    "adfs": test_adfs.client(client_secret=CANARY),
    "auth0": test_auth0.client(client_secret=CANARY),
    "okta": test_okta.client(client_secret=CANARY),
    "cognito": test_cognito.client(client_secret=CANARY),
    "cidaas": test_cidaas.client(client_secret=CANARY),
    "logingov": test_logingov.client(client_id="cid"),
    "gitlab": test_gitlab.client(client_secret=CANARY),
    "bitbucket": test_bitbucket.client(client_secret=CANARY),
    **{name: test_openid_kinds.client(name, client_secret=CANARY) for name in test_openid_kinds.ISSUERS},
    **{
        name: test_userinfo_kinds.client(name, client_secret=CANARY)
        for name in test_userinfo_kinds.KINDS
        if name != "homeassistant"
    },
    "homeassistant": test_userinfo_kinds.client("homeassistant", web_url="https://home.example"),
}
#: kinds whose provider refuses whoever comes with a challenge
WITHOUT_PKCE = {"linkedin"}
TOKENS = Tokens(
    access_token=Secret("canary-at"), refresh_token=Secret("canary-rt"), id_token=Secret("canary.id.t")
)


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def op(request: pytest.FixtureRequest) -> OAuth2:
    client: OAuth2 = request.param
    return client


def driven(flow: Flow[Any], *posts: Any) -> tuple[Any, list[Ask]]:
    """The flow with metadata given whenever it is asked for, and these answers to everything else."""
    asked: list[Ask] = []
    left = list(posts)
    try:
        ask = next(flow)
        while True:
            asked.append(ask)
            if isinstance(ask, Discovery):
                ask = flow.send({**test_oidc.METADATA, "issuer": ask.issuer})
                continue
            assert left, f"asked for more than there are answers: {ask}"
            answer = left.pop(0)
            ask = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    except StopIteration as stop:
        return stop.value, asked


def callback(op: OAuth2, **params: str) -> Any:
    """What the browser comes back with, `iss` among it where the kind's metadata promises one."""
    issuer = getattr(getattr(op, "_oidc", None), "issuer", "")
    return came_back(**({"iss": issuer} if issuer else {}), **params)


def test_it_has_every_capability_of_the_dance(op: OAuth2) -> None:
    assert isinstance(op, RedirectLogin)
    assert isinstance(op, Refresh)
    assert isinstance(op, SignOut)
    assert isinstance(op, Recheck)
    assert op.name
    assert op.title


def test_people_leave_with_state_and_s256_challenge_and_without_any_secret(op: OAuth2) -> None:
    url, _ = driven(op.start(start(login_hint="alice")))
    pairs = parse_qsl(urlsplit(url).query)
    query = dict(pairs)
    assert len(query) == len(pairs)
    assert url.startswith("https://")
    assert (query["response_type"], query["redirect_uri"], query["state"]) == ("code", REDIRECT, "st")
    assert query["client_id"] in {"cid", "https://app.example"}
    challenge = (query.get("code_challenge"), query.get("code_challenge_method"))
    assert challenge == ((None, None) if op.kind in WITHOUT_PKCE else (CHALLENGE, "S256"))
    assert VERIFIER.reveal() not in url
    assert "canary" not in url


@pytest.mark.parametrize(
    "name", ["state", "redirect_uri", "client_id", "code_challenge", "response_type", "nonce", "scope"]
)
def test_a_sign_in_link_changes_nothing_that_protects_the_flow(op: OAuth2, name: str) -> None:
    assert driven(op.start(start(**{name: "evil"})))[0] == driven(op.start(start()))[0]


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"error": "access_denied"}, ProviderRefused),
        ({"error": "access_denied", "code": "c0de"}, ProviderRefused),
        ({"error": "server_error"}, ProviderUnavailable),
        ({"error": "\x00\n"}, ProviderInvalid),
        ({"code": ""}, ProviderInvalid),
        ({}, ProviderInvalid),
    ],
)
def test_an_answer_without_a_good_code_is_exchanged_nowhere(
    op: OAuth2, params: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        driven(op.finish(callback(op, **params, x="y")))


def test_the_code_goes_out_once_with_verifier_and_redirect_uri(op: OAuth2) -> None:
    for broken in (ProviderUnavailable("down"), ConnectionError("never comes out of a driver")):
        flow = op.finish(callback(op, code="c0de"))
        sent: list[Ask] = []
        with pytest.raises(type(broken)):
            driven(_seen(flow, sent), broken)
        posts = [ask for ask in sent if isinstance(ask, PostForm)]
        assert len(posts) == 1
        form = form_of(posts[0])
        assert (form["code"], form["redirect_uri"]) == ("c0de", REDIRECT)
        assert form.get("code_verifier") == (None if op.kind in WITHOUT_PKCE else VERIFIER.reveal())


def _seen(flow: Flow[Any], sent: list[Ask]) -> Flow[Any]:
    """The flow, with what it asks for noted."""
    try:
        ask = next(flow)
        while True:
            sent.append(ask)
            try:
                answer = yield ask
            except Exception as exc:  # noqa: BLE001 - passed on as it is
                ask = flow.throw(exc)
            else:
                ask = flow.send(answer)
    except StopIteration as stop:
        return stop.value


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply(b"<html></html>", kind="text/html"), ProviderInvalid),
        (reply({"error": "invalid_grant"}, 400), ProviderRefused),
        (reply({}, 404), ProviderInvalid),
        (token_reply(access_token=""), ProviderInvalid),
    ],
)
def test_a_bad_token_answer_signs_nobody_in_and_shows_no_secret(
    op: OAuth2, answer: Any, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        driven(op.finish(callback(op, code="c0de")), answer)
    assert "canary" not in f"{caught.value!r}{getattr(caught.value, 'detail', '')}"


def test_a_refresh_keeps_what_is_not_replaced(op: OAuth2) -> None:
    kept, _ = driven(op.refresh(TOKENS, NOW), token_reply())
    assert (kept.access_token, kept.refresh_token, kept.expires_at) == (
        Secret("at-1"),
        Secret("canary-rt"),
        NOW + 3600,
    )
    rotated, _ = driven(op.refresh(TOKENS, NOW), token_reply(refresh_token="rt-1"))
    assert rotated.refresh_token == Secret("rt-1")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply({"error": "invalid_grant"}, 400), ProviderRefused),
        (reply({"error": "invalid_client"}, 401), ProviderInvalid),
        (reply(b"", 503), ProviderUnavailable),
        (ProviderUnavailable("down"), ProviderUnavailable),
        (reply(b"<html>"), ProviderInvalid),
    ],
)
def test_only_a_refusal_of_the_credential_is_a_refusal(
    op: OAuth2, answer: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        driven(op.refresh(TOKENS, NOW), answer)


def test_signing_out_leads_to_https_or_nowhere(op: OAuth2) -> None:
    url, _ = driven(op.sign_out_url(TOKENS, "https://app.example/@/signedout"))
    assert url is None or url.startswith("https://")


def test_no_secret_is_in_a_repr(op: OAuth2) -> None:
    _, asked = driven(op.refresh(TOKENS, NOW), token_reply())
    _, more = driven(op.revoke(TOKENS, NOW), *[reply({"x": "canary"})] * 2)
    seen = repr(asked) + repr(more) + repr(op.__dict__) + repr(TOKENS)
    seen += repr(callback(op, code="canary")) + repr(reply({"access_token": "canary"}))
    assert "canary" not in seen
