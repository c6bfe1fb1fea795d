"""What holds for every kind that is an OpenID provider: whose token, for which sign-in, which address."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tests.unit.providers import (
    test_adfs,
    test_auth0,
    test_cidaas,
    test_cognito,
    test_entra,
    test_google,
    test_google_groups,
    test_keycloak,
    test_logingov,
    test_oidc,
    test_okta,
)
from tests.unit.providers.player import NOW, came_back, jwks_of, play, reply, token_reply
from tests.unit.providers.signing import metadata_of, recheck, sign_in
from tests.unit.providers.test_oidc import OTHER_RSA, RSA, id_token
from vestibule.errors import ProviderInvalid, ProviderRefused
from vestibule.model import Secret, Tokens
from vestibule.providers.oidc import Oidc


class Kind(NamedTuple):
    """A client, what its ID tokens hold besides, and the answers that come after the keys."""

    op: Oidc
    claims: Mapping[str, Any] = MappingProxyType({})
    then: tuple[Any, ...] = ()

    @property
    def metadata(self) -> dict[str, Any]:
        return metadata_of(self.op._oidc.issuer)


OFF: dict[str, Any] = {"userinfo": False}
FAMILY = {
    "oidc": Kind(test_oidc.client(**OFF)),
    "google": Kind(test_google.client(**OFF)),
    "google with groups": Kind(
        test_google_groups.client(**OFF),
        {"hd": "corp.example", "groups": None},
        (test_google_groups.ROBOT, test_google_groups.page("staff")),
    ),
    "keycloak": Kind(test_keycloak.client(**OFF), {}, (jwks_of(RSA),)),
    "entra": Kind(
        test_entra.client(),
        {"tid": test_entra.CORP, "oid": test_entra.OID, "iss": test_entra.issuer_of(test_entra.CORP)},
    ),
    "adfs": Kind(test_adfs.client(), {"upn": "al@corp"}),
    "auth0": Kind(test_auth0.client(**OFF)),
    "okta": Kind(test_okta.client(**OFF)),
    "cognito": Kind(test_cognito.client(), test_cognito.CLAIMS),
    "cidaas": Kind(test_cidaas.client(**OFF)),
    "logingov": Kind(test_logingov.client(client_id="cid", **OFF)),
}
ACCESS = {"keycloak": test_keycloak.access()}


@pytest.fixture(params=FAMILY.keys())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kind(name: str) -> Kind:
    return FAMILY[name]


def came(name: str, **claims: Any) -> Any:
    kind = FAMILY[name]
    given = {"metadata": kind.metadata, "access_token": ACCESS.get(name, "at-1")}
    return sign_in(kind.op, *kind.then, **given, **{**kind.claims, **claims})[0]


def test_a_person_comes_in(name: str, kind: Kind) -> None:
    identity = came(name)
    assert identity.client == kind.op.name
    assert identity.issuer
    assert identity.subject in {"alice", test_entra.OID}


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"nonce": "m" * 43}, "id_token_nonce"),
        ({"nonce": None}, "id_token_nonce"),
        ({"aud": "other"}, "id_token_aud"),
        ({"aud": ["cid", "other"], "azp": "other"}, "id_token_azp"),
        ({"exp": int(NOW) - 100}, "id_token_expired"),
        ({"sub": ""}, "id_token_sub"),
        ({"iss": "https://evil.example"}, "id_token_iss"),
        ({"events": {}}, "id_token_typ"),
    ],
)
def test_a_token_of_another_sign_in_or_client_signs_nobody_in(
    name: str, claims: dict[str, Any], code: str
) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        came(name, **claims)
    assert caught.value.code == code


def test_a_token_signed_with_another_key_signs_nobody_in(kind: Kind) -> None:
    raw = id_token(OTHER_RSA, **{"iss": kind.op._oidc.issuer, **kind.claims})
    with pytest.raises(ProviderInvalid) as caught:
        play(kind.op.finish(came_back(code="c")), kind.metadata, token_reply(id_token=raw), jwks_of(RSA))
    assert caught.value.code == "id_token_signature"


@pytest.mark.parametrize("verified", [None, False, "true", "yes", 1, [True], {}])
def test_an_address_that_is_not_verified_is_none(name: str, verified: Any) -> None:
    assert came(name, email_verified=verified).email == ""


@pytest.mark.parametrize(
    "address",
    [
        "alice@evil.example@example.com",
        "alice@example.com\n",
        "alice@exämple.com",
        "alice@example.com,bob@example.com",
        "@example.com",
        ["alice@example.com"],
        "alice＠example.com",
    ],
)
def test_an_address_that_two_readers_read_differently_is_none(name: str, address: Any) -> None:
    assert came(name, email=address).email == ""


def test_a_person_without_an_address_is_a_person(name: str) -> None:
    if name == "logingov":
        assert came(name, email=None).email == ""
    assert came(name, email=None).subject


def test_somebody_is_looked_at_again_by_a_new_token(name: str, kind: Kind) -> None:
    found = came(name)
    at = ACCESS.get(name, "at-1")
    assert recheck(kind.op, found, *kind.then, metadata=kind.metadata, at=at, **kind.claims) == found


def test_a_new_token_about_somebody_else_is_not_taken(name: str, kind: Kind) -> None:
    found = came(name)
    who = {"oid": test_entra.OID.replace("0a", "0b")} if name == "entra" else {"sub": "bob"}
    at = test_keycloak.access(sub="bob") if name == "keycloak" else "at-1"
    with pytest.raises(ProviderInvalid) as caught:
        recheck(kind.op, found, *kind.then, metadata=kind.metadata, at=at, **{**kind.claims, **who})
    assert caught.value.code == "wrong_subject"


def test_without_anything_fresh_the_person_must_come_again(name: str, kind: Kind) -> None:
    found = came(name)
    raw = id_token(**{"iss": kind.op._oidc.issuer, "nonce": None, "iat": int(NOW) - 3500, **kind.claims})
    tokens = Tokens(access_token=Secret("at"), id_token=Secret(raw))
    with pytest.raises(ProviderRefused):
        play(kind.op.recheck(found, tokens, NOW), kind.metadata)


def test_userinfo_that_takes_the_token_no_more_is_a_refusal() -> None:
    for op in (test_okta.client(), test_cidaas.client(), test_auth0.client(userinfo=True)):
        found, _ = sign_in(op, *([] if op.kind != "auth0" else [reply({"sub": "alice"})]), roles=[])
        with pytest.raises(ProviderRefused):
            play(
                op.recheck(found, Tokens(access_token=Secret("at")), NOW),
                metadata_of(op._oidc.issuer),
                reply({}, 401),
            )
