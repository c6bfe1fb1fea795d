"""Signing in with Auth0."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import NOW, play, reply, start
from tests.unit.providers.signing import metadata_of, recheck, refused, sign_in
from tests.unit.providers.test_oidc import TOKENS
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused
from vestibule.model import Secret, Tokens
from vestibule.providers.auth0 import Auth0, Auth0Config
from vestibule.providers.kit import Discovery

ISSUER = "https://corp.eu.auth0.com/"
SPACE = "https://corp.example/"


def client(**fields: Any) -> Auth0:
    given = {"name": "a0", "client_id": "cid", "client_secret": Secret("s"), "domain": "corp.eu.auth0.com"}
    return Auth0Config(**{**given, "userinfo": False, **fields}).open()


@pytest.mark.parametrize(
    "domain", ["corp.eu.auth0.com", "https://corp.eu.auth0.com", "https://corp.eu.auth0.com/"]
)
def test_the_issuer_ends_in_a_slash(domain: str) -> None:
    _, asked = play(client(domain=domain).start(start()), metadata_of(ISSUER))
    assert asked == [Discovery(ISSUER)]


@pytest.mark.parametrize("domain", ["", "https://", "corp eu"])
def test_a_domain_that_cannot_be_one_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match=r"^domain "):
        client(domain=domain)


def test_claims_stand_below_the_namespace() -> None:
    told = {f"{SPACE}groups": ["staff"], f"{SPACE}roles": ["admin"], "groups": ["not these"]}
    identity, _ = sign_in(client(namespace=SPACE), **told)
    assert (identity.groups, identity.roles) == (("staff",), ("admin",))
    own = client(namespace=SPACE, claims={"groups": "https://corp.example/teams"})
    assert sign_in(own, **{f"{SPACE}teams": ["t"]})[0].groups == ("t",)


@pytest.mark.parametrize("told", ["admin", {"admin": 1}, [5]])
def test_roles_of_a_wrong_type_let_nobody_in(told: Any) -> None:
    with pytest.raises(ProviderInvalid):
        sign_in(client(namespace=SPACE), **{f"{SPACE}roles": told})


@pytest.mark.parametrize("organization", ["org_1", "corp"])
def test_only_people_of_the_organisation_are_let_in_whatever_they_asked_for(organization: str) -> None:
    op = client(organization=organization)
    url, _ = play(op.start(start()), metadata_of(ISSUER))
    assert dict(parse_qsl(urlsplit(url).query))["organization"] == organization
    assert op.is_restricted
    member = {"org_id": "org_1", "org_name": "corp"}
    identity, _ = sign_in(op, **member)
    assert identity.orgs == ("org_1", "corp")
    assert recheck(op, identity, **member) == identity
    for other in ({}, {"org_id": "org_2", "org_name": "evil"}, {"org_id": ["org_1"]}):
        with pytest.raises(ClientError) as caught:
            sign_in(op, **other)
        assert refused(caught.value)
        with pytest.raises(ClientError):
            recheck(op, identity, **other)


def test_an_allowed_role_lets_in_and_its_absence_does_not() -> None:
    op = client(namespace=SPACE, allowed_roles=("admin",))
    assert sign_in(op, **{f"{SPACE}roles": ["admin"]})[0].roles == ("admin",)
    for told in ({f"{SPACE}roles": ["reader"]}, {"roles": ["admin"]}, {}):
        with pytest.raises(ClientError) as caught:
            sign_in(op, **told)
        assert refused(caught.value)


def test_userinfo_looks_at_somebody_again_where_it_says_as_much_as_the_token() -> None:
    op = client(namespace=SPACE, allowed_roles=("admin",), userinfo=True)
    groups = {f"{SPACE}groups": ["g"], "nickname": "al"}
    identity, _ = sign_in(op, **groups, **{f"{SPACE}roles": ["admin"]})
    tokens = Tokens(access_token=Secret("at"))

    def again(**told: Any) -> Any:
        return play(op.recheck(identity, tokens, NOW), metadata_of(ISSUER), reply({"sub": "alice", **told}))[
            0
        ]

    assert again(**groups, **{f"{SPACE}roles": ["admin", "new"]}).roles == ("admin", "new")
    with pytest.raises(ClientError):
        again(**groups, **{f"{SPACE}roles": ["reader"]})
    with pytest.raises(ProviderRefused):
        again(**groups)


def test_signing_out_leads_to_the_page_that_the_tenant_has() -> None:
    back = "https://app.example/@/signedout"
    url, _ = play(client().sign_out_url(TOKENS, back), metadata_of(ISSUER))
    assert url is not None
    assert "post_logout_redirect_uri" in url
    old, _ = play(client().sign_out_url(TOKENS, back), metadata_of(ISSUER, end_session_endpoint=""))
    assert old == (
        "https://corp.eu.auth0.com/v2/logout?client_id=cid&returnTo=https%3A%2F%2Fapp.example%2F%40%2Fsignedout"
    )
    assert play(client(sign_out_at_provider=False).sign_out_url(TOKENS, back), metadata_of(ISSUER))[0] is None
