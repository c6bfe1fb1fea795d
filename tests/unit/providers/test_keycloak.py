"""Signing in with Keycloak: whose roles are believed, and out of which token."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.providers.player import NOW, form_of, jwks_of, play, reply
from tests.unit.providers.signing import metadata_of, recheck, sign_in
from tests.unit.providers.test_oidc import EC, OTHER_RSA, RSA
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused
from vestibule.model import Secret, Tokens
from vestibule.protocol.jose import SigningKey
from vestibule.providers.keycloak import Keycloak, KeycloakConfig, roles_in
from vestibule.providers.kit import PostForm

ISSUER = "https://sso.example/realms/corp"
ACCESS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "alice",
    "typ": "Bearer",
    "azp": "cid",
    "aud": ["account", "billing"],
    "iat": int(NOW) - 5,
    "exp": int(NOW) + 60,
    "realm_access": {"roles": ["editor", "offline_access"]},
    "resource_access": {"cid": {"roles": ["writer"]}, "billing": {"roles": ["reader"]}},
}
ROLES = ("editor", "offline_access", "cid:writer", "billing:reader")


def client(**fields: Any) -> Keycloak:
    where = {} if "issuer" in fields or "base_url" in fields else {"issuer": ISSUER}
    return KeycloakConfig(
        **{"name": "kc", "client_id": "cid", "client_secret": Secret("s"), **where, **fields}
    ).open()


def access(key: SigningKey = RSA, **claims: Any) -> str:
    merged = {name: value for name, value in {**ACCESS, **claims}.items() if value is not None}
    return key.sign(merged).reveal()


def roles_of(op: Keycloak, token: str, keys: Any = None) -> tuple[str, ...]:
    return sign_in(op, keys or jwks_of(RSA), access_token=token)[0].roles


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_issuer_is_made_of_address_and_realm(slash: str) -> None:
    op = client(base_url=f"https://sso.example{slash}", realm="corp")
    assert op._oidc.issuer == ISSUER


def test_a_realms_name_stays_one_part_of_the_path() -> None:
    assert client(base_url="https://sso.example", realm="a/b c")._oidc.issuer.endswith("/realms/a%2Fb%20c")


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"issuer": ""}, "issuer"),
        ({"base_url": "https://sso.example"}, "issuer"),
        ({"base_url": "ftp://sso.example", "realm": "corp"}, "base_url"),
        ({"issuer": ISSUER, "realm": "corp"}, "issuer"),
    ],
)
def test_a_realm_that_cannot_be_found_is_refused(fields: dict[str, Any], about: str) -> None:
    with pytest.raises(ValueError, match=rf"^{about} "):
        client(**fields)


def test_roles_of_realm_and_clients_are_those_of_the_access_token() -> None:
    identity, _ = sign_in(client(), jwks_of(RSA), access_token=access())
    assert identity.roles == ROLES
    assert "roles" not in identity.unknown


NOT_BELIEVED = {
    "another realm's": (access(iss="https://sso.example/realms/other"), "access_token_iss"),
    "made for another client": (access(azp="other"), "access_token_azp"),
    "made for nobody in particular": (access(azp=None), "access_token_azp"),
    "about somebody else": (access(sub="bob"), "access_token_sub"),
    "an ID token": (access(typ="ID"), "access_token_typ"),
    "a refresh token": (access(typ="Refresh"), "access_token_typ"),
    "of no kind": (access(typ=None), "access_token_typ"),
    "expired": (access(exp=int(NOW) - 100), "access_token_expired"),
    "without end": (access(exp=None), "access_token_expired"),
    "signed with another key": (access(OTHER_RSA), "access_token_signature"),
    "signed with a key the realm hasn't": (access(EC), "access_token_key"),
    "unsigned": (access().rpartition(".")[0] + ".", "access_token_signature"),
    "not a token": ("opaque", "access_token_malformed"),
}


@pytest.mark.parametrize(("token", "code"), NOT_BELIEVED.values(), ids=NOT_BELIEVED.keys())
def test_roles_of_a_token_that_cannot_be_believed_let_nobody_in(token: str, code: str) -> None:
    answers = [] if token == "opaque" else [jwks_of(RSA)]
    with pytest.raises(ProviderInvalid) as caught:
        sign_in(client(), *answers, access_token=token)
    assert caught.value.code == code
    assert token not in f"{caught.value!r}{caught.value.detail}"


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"realm_access": {"roles": ["a"]}}, ("a",)),
        ({"realm_access": {"roles": []}}, ()),
        ({"realm_access": {}}, ()),
        ({"resource_access": {"app": {"roles": ["a", "b"]}}}, ("app:a", "app:b")),
        ({"resource_access": {"app": {}}}, ()),
        ({}, None),
    ],
)
def test_roles_are_read_by_where_they_stand(claims: dict[str, Any], roles: Any) -> None:
    assert roles_in(claims) == roles


@pytest.mark.parametrize(
    "claims",
    [
        {"realm_access": ["a"]},
        {"realm_access": {"roles": "admin"}},
        {"realm_access": {"roles": [1]}},
        {"resource_access": []},
        {"resource_access": {"app": ["a"]}},
        {"resource_access": {"app": {"roles": {"a": 1}}}},
    ],
)
def test_roles_of_a_wrong_type_are_no_roles_at_all_but_an_error(claims: dict[str, Any]) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        roles_in(claims)
    assert caught.value.code == "claim_invalid"


def test_a_token_that_says_nothing_of_roles_leaves_them_unknown() -> None:
    token = access(realm_access=None, resource_access=None)
    identity, _ = sign_in(client(), jwks_of(RSA), access_token=token)
    assert "roles" in identity.unknown


def test_roles_that_mappers_of_ones_own_put_into_the_id_token_are_read_there() -> None:
    op = client(claims={"roles": "my.roles"})
    assert sign_in(op, my={"roles": ["x"]})[0].roles == ("x",)
    assert "roles" in sign_in(client(access_token_roles=False))[0].unknown


def test_an_allowed_role_lets_in_and_another_does_not() -> None:
    for allowed in ("editor", "billing:reader"):
        assert roles_of(client(allowed_roles=(allowed,)), access()) == ROLES
    for missing in ("reader", "cid:reader", "Editor"):
        with pytest.raises(ClientError) as caught:
            roles_of(client(allowed_roles=(missing,)), access())
        assert (caught.value.status, caught.value.code) == (403, "not_admitted")


def test_an_allowed_group_is_a_full_path() -> None:
    groups = ["/staff/berlin"]
    op = client(allowed_groups=("/staff/berlin",))
    assert sign_in(op, jwks_of(RSA), access_token=access(), groups=groups)[0].groups == ("/staff/berlin",)
    for allowed in ("/staff", "berlin", "staff/berlin"):
        with pytest.raises(ClientError):
            sign_in(client(allowed_groups=(allowed,)), jwks_of(RSA), access_token=access(), groups=groups)


@pytest.mark.parametrize("told", [["acme", "umbrella"], {"acme": {"id": "1"}, "umbrella": {}}])
def test_organisations_may_come_with_details(told: Any) -> None:
    identity, _ = sign_in(client(access_token_roles=False), organization=told)
    assert identity.orgs == ("acme", "umbrella")


def test_whoever_loses_a_role_is_without_it_when_looked_at_again() -> None:
    op = client(allowed_roles=("editor",))
    identity, _ = sign_in(op, jwks_of(RSA), access_token=access())
    assert recheck(op, identity, jwks_of(RSA), at=access()).roles == ROLES
    with pytest.raises(ClientError):
        recheck(op, identity, jwks_of(RSA), at=access(realm_access={"roles": ["offline_access"]}))


def test_an_access_token_of_an_earlier_hour_says_nothing_of_now() -> None:
    op = client()
    identity, _ = sign_in(op, jwks_of(RSA), access_token=access())
    with pytest.raises(ProviderRefused):
        recheck(op, identity, jwks_of(RSA), at=access(iat=int(NOW) - 3000))


def test_userinfo_alone_says_nothing_of_roles() -> None:
    op = client()
    identity, _ = sign_in(op, jwks_of(RSA), access_token=access())
    tokens = Tokens(access_token=Secret(access()))
    told = reply({"sub": "alice", "groups": ["staff"]})
    with pytest.raises(ProviderRefused):
        play(op.recheck(identity, tokens, NOW), metadata_of(ISSUER), told)


METADATA = metadata_of(ISSUER) | {
    "end_session_endpoint": f"{ISSUER}/logout",
    "revocation_endpoint": f"{ISSUER}/revoke",
}
HELD = Tokens(access_token=Secret("at"), refresh_token=Secret("rt"))


def test_a_sign_out_ends_the_one_session_and_leaves_the_persons_other_devices_alone() -> None:
    _, asked = play(client().revoke(HELD, NOW), METADATA, reply(b"", 204))
    [post] = [ask for ask in asked if isinstance(ask, PostForm)]
    assert post.url == f"{ISSUER}/logout"
    assert form_of(post) == {"refresh_token": "rt"}
    assert post.basic is not None


def test_all_that_the_person_has_is_revoked_when_the_account_is_deleted() -> None:
    _, asked = play(client().revoke(HELD, NOW, for_good=True), METADATA, reply(b""), reply(b""))
    assert [ask.url for ask in asked if isinstance(ask, PostForm)] == [f"{ISSUER}/revoke"] * 2


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        pytest.param({"revoke_at_sign_out": False}, HELD, id="switched off"),
        pytest.param({"sign_out_at_provider": False}, HELD, id="the session there is to stay"),
        pytest.param({}, Tokens(access_token=Secret("at")), id="no refresh token"),
    ],
)
def test_a_session_there_may_be_left_alone(fields: dict[str, Any], tokens: Tokens) -> None:
    assert play(client(**fields).revoke(tokens, NOW), METADATA)[0] is None
