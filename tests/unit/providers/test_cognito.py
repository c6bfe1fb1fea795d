"""Signing in with Amazon Cognito."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.providers.player import NOW, form_of, play, reply
from tests.unit.providers.signing import metadata_of, recheck, refused, sign_in
from tests.unit.providers.test_oidc import TOKENS
from vestibule.errors import ClientError, ProviderInvalid
from vestibule.model import Secret
from vestibule.providers.cognito import Cognito, CognitoConfig

POOL = "eu-central-1_AbC123xyz"
ISSUER = f"https://cognito-idp.eu-central-1.amazonaws.com/{POOL}"
GROUPS = "cognito:groups"
#: an ID token of a user pool has its own names, and says what it is for
CLAIMS: dict[str, Any] = {
    "token_use": "id",
    "cognito:username": "al",
    "preferred_username": None,
    "groups": None,
}


def client(**fields: Any) -> Cognito:
    return CognitoConfig(
        **{"name": "aws", "client_id": "cid", "client_secret": Secret("s"), "user_pool": POOL, **fields}
    ).open()


@pytest.mark.parametrize(
    ("pool", "issuer"),
    [
        (POOL, ISSUER),
        ("us-gov-west-1_X", "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_X"),
        ("cn-north-1_X", "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_X"),
    ],
)
def test_the_issuer_is_made_of_the_pool(pool: str, issuer: str) -> None:
    assert client(user_pool=pool)._oidc.issuer == issuer


@pytest.mark.parametrize(
    "pool", ["", "eu-central-1", "AbC123", "eu-central-1_a/b", "evil.example/#_x", "EU-1_x"]
)
def test_a_pool_that_cannot_be_one_is_refused(pool: str) -> None:
    with pytest.raises(ValueError, match=r"^user_pool "):
        client(user_pool=pool)


def test_who_is_in_no_group_has_none_which_is_known() -> None:
    identity, _ = sign_in(client(), **CLAIMS)
    assert (identity.login, identity.groups) == ("al", ())
    assert "groups" not in identity.unknown
    assert "roles" in identity.unknown


def test_groups_and_roles_have_names_of_their_own() -> None:
    told = {GROUPS: ["admins"], "cognito:roles": ["arn:aws:iam::1:role/x"], "groups": ["not these"]}
    identity, _ = sign_in(client(), **{**CLAIMS, **told})
    assert (identity.groups, identity.roles) == (("admins",), ("arn:aws:iam::1:role/x",))


def test_an_access_token_is_no_id_token() -> None:
    with pytest.raises(ProviderInvalid) as caught:
        sign_in(client(), **{**CLAIMS, "token_use": "access"})
    assert caught.value.code == "id_token_typ"


@pytest.mark.parametrize("told", ["admins", {"admins": 1}, [5]])
def test_groups_of_a_wrong_type_let_nobody_in(told: Any) -> None:
    with pytest.raises(ProviderInvalid):
        sign_in(client(), **{**CLAIMS, GROUPS: told})


@pytest.mark.parametrize(
    ("verified", "email"), [(True, "alice@example.com"), (False, ""), ("true", ""), (None, "")]
)
def test_an_address_counts_when_it_is_verified(verified: Any, email: str) -> None:
    assert sign_in(client(), **{**CLAIMS, "email_verified": verified})[0].email == email


def test_an_allowed_group_lets_in_and_its_absence_does_not() -> None:
    op = client(allowed_groups=("admins",))
    identity, _ = sign_in(op, **CLAIMS, **{GROUPS: ["admins", "x"]})
    assert recheck(op, identity, **CLAIMS, **{GROUPS: ["admins"]}).groups == ("admins",)
    for told in ({}, {GROUPS: []}, {GROUPS: ["Admins"]}):
        with pytest.raises(ClientError) as caught:
            sign_in(op, **CLAIMS, **told)
        assert refused(caught.value)
        with pytest.raises(ClientError):
            recheck(op, identity, **CLAIMS, **told)


def test_signing_out_leads_to_the_hosted_page_with_its_own_parameters() -> None:
    found = metadata_of(
        ISSUER, authorization_endpoint="https://corp.auth.eu-central-1.amazoncognito.com/oauth2/authorize"
    )
    url, _ = play(client().sign_out_url(TOKENS, "https://app.example/@/signedout"), found)
    assert url == (
        "https://corp.auth.eu-central-1.amazoncognito.com/logout"
        "?client_id=cid&logout_uri=https%3A%2F%2Fapp.example%2F%40%2Fsignedout"
    )
    assert (
        play(client(sign_out_at_provider=False).sign_out_url(TOKENS, "https://app.example/"), found)[0]
        is None
    )


def test_the_refresh_token_is_revoked() -> None:
    _, asked = play(client().revoke(TOKENS, NOW), metadata_of(ISSUER), reply({}), reply({}, 400))
    assert form_of(asked[1])["token"] == "rt-0"
