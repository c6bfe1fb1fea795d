"""Signing in with Apple."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.unit.providers.player import NOW, came_back, form_of, jwks_of, play, start, token_reply
from tests.unit.providers.test_oidc import METADATA, RSA, TOKENS, id_token
from vestibule.core import claim
from vestibule.model import Secret
from vestibule.protocol import jose
from vestibule.protocol.jose import SigningKey
from vestibule.providers.apple import ISSUER, SECRET_LIFE_S, Apple, AppleConfig
from vestibule.providers.kit import Discovery

APPLE = {
    key: value
    for key, value in {**METADATA, "issuer": ISSUER, "revocation_endpoint": f"{ISSUER}/auth/revoke"}.items()
    if key not in {"userinfo_endpoint", "authorization_response_iss_parameter_supported"}
}
KEY = generate_private_key(SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = SigningKey.load(Secret(PEM), algorithm="ES256", kid="KEY1234567").public_jwk()


def client(**fields: Any) -> Apple:
    return AppleConfig(
        **{
            "name": "apple",
            "client_id": "com.example.web",
            "team_id": "TEAM123456",
            "private_key": Secret(PEM),
            "private_key_id": "KEY1234567",
            **fields,
        }
    ).open()


def signed_in(op: Apple, params: dict[str, str] | None = None, **claims: Any) -> Any:
    raw = id_token(**{"iss": ISSUER, "aud": "com.example.web", "groups": None, "name": None, **claims})
    answers = [APPLE, token_reply(id_token=raw), jwks_of(RSA)]
    found, asked = play(op.finish(came_back(**{"code": "c", **(params or {})})), *answers)
    return found.identity, asked


def test_the_answer_is_asked_for_by_post() -> None:
    url, asked = play(client().start(start()), APPLE)
    query = dict(parse_qsl(urlsplit(url).query))
    assert asked == [Discovery(ISSUER)]
    assert (query["response_mode"], query["scope"]) == ("form_post", "openid name email")
    assert "code_challenge" in query
    assert "nonce" in query


def test_where_neither_name_nor_address_is_asked_for_the_answer_may_come_by_get() -> None:
    url, _ = play(client(scopes=("openid",)).start(start()), APPLE)
    assert "response_mode" not in url


def test_the_client_secret_is_a_token_signed_by_the_teams_key() -> None:
    _, asked = signed_in(client())
    form = form_of(asked[1])
    assert form["client_id"] == "com.example.web"
    token = jose.verify(form["client_secret"], [PUBLIC], algorithms={"ES256"})
    assert token.header["kid"] == "KEY1234567"
    assert token.claims == {
        "iss": "TEAM123456",
        "sub": "com.example.web",
        "aud": ISSUER,
        "iat": int(NOW),
        "exp": int(NOW) + SECRET_LIFE_S,
    }
    assert asked[1].basic is None


def test_one_client_secret_serves_for_a_day_and_never_past_its_end() -> None:
    op = client()

    def secret_at(now: float) -> str:
        form, _ = op.authenticated((), None, now)  # type: ignore[arg-type]  # it doesn't look where to
        return dict(form)["client_secret"]

    first = secret_at(NOW)
    assert secret_at(NOW + 3600) == first
    later = secret_at(NOW + SECRET_LIFE_S - 1)
    assert later != first
    assert jose.verify(later, [PUBLIC], algorithms={"ES256"}).claims["exp"] > NOW + SECRET_LIFE_S


@pytest.mark.parametrize(
    ("verified", "email"),
    [
        (True, "a@b.example"),
        ("true", "a@b.example"),
        (False, ""),
        ("false", ""),
        ("True", ""),
        (1, ""),
        (None, ""),
    ],
)
def test_a_verified_address_may_be_so_by_text(verified: Any, email: str) -> None:
    identity, _ = signed_in(client(), email="a@b.example", email_verified=verified)
    assert identity.email == email


def test_a_forwarding_address_is_an_address() -> None:
    identity, _ = signed_in(
        client(claims={"is_private_email": "is_private_email"}),
        email="x1@privaterelay.appleid.com",
        email_verified="true",
        is_private_email="true",
    )
    assert identity.email == "x1@privaterelay.appleid.com"
    assert identity.claims == {"is_private_email": "true"}


def user(**fields: Any) -> dict[str, str]:
    return {"user": msgspec.json.encode(fields).decode()}


@pytest.mark.parametrize(
    ("params", "name"),
    [
        (user(name={"firstName": "Zoë", "lastName": "Ångström"}), "Zoë Ångström"),
        (user(name={"firstName": "Zoë"}), "Zoë"),
        (user(name={"firstName": "Zo\ne", "lastName": "X"}), "X"),
        (user(name={"firstName": ["Zoë"]}), ""),
        (user(name="Zoë"), ""),
        (user(name={"firstName": "Z" * 300}), ""),
        ({"user": "{"}, ""),
        ({"user": "[" * 100_000}, ""),
        ({}, ""),
    ],
)
def test_the_name_comes_beside_the_code_and_only_once(params: dict[str, str], name: str) -> None:
    identity, _ = signed_in(client(), params)
    assert identity.name == name


def test_the_address_beside_the_code_is_never_believed() -> None:
    params = user(name={"firstName": "M"}, email="victim@corp.example", email_verified=True)
    identity, _ = signed_in(client(), params, email=None, email_verified=None)
    assert identity.email == ""


def test_apple_says_nothing_of_groups() -> None:
    identity, _ = signed_in(client())
    assert identity.unknown == claim.LISTS


def test_signing_out_leaves_the_consent_and_deleting_the_account_takes_it_back() -> None:
    assert play(client().revoke(TOKENS, NOW), APPLE)[1] == [Discovery(ISSUER)]
    _, asked = play(client().revoke(TOKENS, NOW, for_good=True), APPLE, token_reply(), token_reply())
    assert [form_of(ask)["token_type_hint"] for ask in asked[1:]] == ["refresh_token", "access_token"]
    assert "client_secret" in form_of(asked[1])


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"private_key": Secret("nonsense")}, "key"),
        ({"private_key_algorithm": "RS256"}, "private_key_algorithm"),
        ({"team_id": ""}, "team_id"),
        ({"private_key_id": "a b"}, "private_key_id"),
        ({"client_secret": Secret("s")}, "private_key"),
    ],
)
def test_what_can_not_work_is_told_when_the_configuration_loads(fields: Any, about: str) -> None:
    with pytest.raises(ValueError, match=about) as caught:
        client(**fields)
    assert "nonsense" not in str(caught.value)
