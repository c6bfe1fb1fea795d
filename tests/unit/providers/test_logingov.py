"""Signing in with login.gov."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import came_back, form_of, jwks_of, play, reply, start, token_reply
from tests.unit.providers.signing import metadata_of, refused, sign_in
from tests.unit.providers.test_app_tokens import PEM, PUBLIC
from tests.unit.providers.test_oidc import RSA, TOKENS, id_token
from vestibule.errors import ClientError, ProviderInvalid
from vestibule.model import Secret
from vestibule.protocol import jose
from vestibule.providers.kit import Discovery, PostForm
from vestibule.providers.logingov import AUTH_ONLY, LoginGov, LoginGovConfig

ISSUER = "https://secure.login.gov/"
VERIFIED = "urn:acr.login.gov:verified"


def client(**fields: Any) -> LoginGov:
    given = {"name": "gov", "client_id": "urn:gov:app", "private_key": Secret(PEM), "private_key_id": "k1"}
    return LoginGovConfig(**{**given, **fields}).open()


def came(op: LoginGov, *then: Any, **claims: Any) -> Any:
    return sign_in(op, *then, **{"aud": "urn:gov:app", "groups": None, "acr": AUTH_ONLY, **claims})[0]


@pytest.mark.parametrize(
    ("environment", "issuer"),
    [("production", ISSUER), ("sandbox", "https://idp.int.identitysandbox.gov/")],
)
def test_there_are_two_environments(environment: str, issuer: str) -> None:
    url, asked = play(
        client(environment=environment).start(start(login_hint="a", prompt="x")), metadata_of(issuer)
    )
    assert asked == [Discovery(issuer)]
    query = dict(parse_qsl(urlsplit(url).query))
    assert (query["acr_values"], query["scope"], "login_hint" in query) == (AUTH_ONLY, "openid email", False)
    assert len(query["nonce"]) >= 22
    assert len(query["code_challenge"]) == 43


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"environment": "staging"}, "environment"),
        ({"private_key": Secret("")}, "private_key"),
        ({"client_secret": Secret("s")}, "private_key"),
        ({"all_emails": True}, "all_emails"),
    ],
)
def test_what_login_gov_does_not_take_is_refused(fields: dict[str, Any], about: str) -> None:
    with pytest.raises(ValueError, match=rf"^{about} "):
        client(**fields)


def test_the_client_shows_who_it_is_by_its_key() -> None:
    answers = [token_reply(id_token=id_token(iss=ISSUER, aud="urn:gov:app")), jwks_of(RSA)]
    _, asked = play(client().finish(came_back(code="c")), metadata_of(ISSUER), *answers)
    assert isinstance(asked[1], PostForm)
    form = form_of(asked[1])
    claims = jose.verify(form["client_assertion"], (PUBLIC,), algorithms=("RS256",)).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == (
        "urn:gov:app",
        "urn:gov:app",
        "https://op.example/token",
    )
    assert "client_secret" not in form
    assert asked[1].basic is None


def test_no_link_lowers_how_well_people_must_be_identified() -> None:
    url, _ = play(client(acr_values=VERIFIED).start(start(acr_values=AUTH_ONLY)), metadata_of(ISSUER))
    assert dict(parse_qsl(urlsplit(url).query))["acr_values"] == VERIFIED


def test_who_was_identified_less_well_is_not_let_in() -> None:
    op = client(acr_values=VERIFIED, allowed_acr=(VERIFIED,))
    assert came(op, acr=VERIFIED)
    for acr in (AUTH_ONLY, None, [VERIFIED], ""):
        with pytest.raises(ClientError) as caught:
            came(op, acr=acr)
        assert refused(caught.value)


ALL = {"email_domains": ("agency.gov",), "all_emails": True}


@pytest.mark.parametrize(
    ("fields", "told", "email"),
    [
        ({}, {"email": "al@home.example", "email_verified": True}, "al@home.example"),
        ({}, {"email": "al@home.example", "email_verified": False}, ""),
        ({"email_domains": ("agency.gov",)}, {"email": "al@home.example", "email_verified": True}, ""),
        (
            ALL,
            {
                "email": "al@home.example",
                "email_verified": True,
                "all_emails": ["al@home.example", "al@agency.gov"],
            },
            "al@agency.gov",
        ),
        (
            ALL,
            {"email": "al@agency.gov", "email_verified": True, "all_emails": ["x@agency.gov"]},
            "al@agency.gov",
        ),
        (ALL, {"email": "al@home.example", "email_verified": True, "all_emails": ["al@agency.gov.evil"]}, ""),
        (ALL, {"email": "al@home.example", "email_verified": True}, ""),
    ],
)
def test_the_address_is_one_within_the_domains(
    fields: dict[str, Any], told: dict[str, Any], email: str
) -> None:
    op = client(**fields)
    assert ("all_emails" in op.scopes) is bool(fields.get("all_emails"))
    unsaid = {"email": None, "email_verified": None}
    assert came(op, reply({"sub": "alice", **told}), **unsaid).email == email


def test_addresses_of_a_wrong_type_let_nobody_in() -> None:
    told = {"email": "al@home.example", "email_verified": True, "all_emails": "al@agency.gov"}
    with pytest.raises(ProviderInvalid):
        came(client(**ALL), reply({"sub": "alice", **told}), email=None, email_verified=None)


def test_signing_out_tells_no_id_token() -> None:
    url, _ = play(client().sign_out_url(TOKENS, "https://app.example/@/signedout"), metadata_of(ISSUER))
    assert url is not None
    assert set(dict(parse_qsl(urlsplit(url).query))) == {"client_id", "post_logout_redirect_uri"}
    assert play(client(sign_out_at_provider=False).sign_out_url(TOKENS, "/"), metadata_of(ISSUER))[0] is None
