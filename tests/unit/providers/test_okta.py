"""Signing in with Okta."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import play, reply, start
from tests.unit.providers.signing import metadata_of, recheck, refused, sign_in
from vestibule.errors import ClientError, ProviderInvalid
from vestibule.model import Secret
from vestibule.providers.kit import Discovery
from vestibule.providers.okta import Okta, OktaConfig

ISSUER = "https://corp.okta.com"


def client(**fields: Any) -> Okta:
    where = {} if {"issuer", "domain"} & fields.keys() else {"domain": "corp.okta.com"}
    return OktaConfig(
        **{"name": "okta", "client_id": "cid", "client_secret": Secret("s"), **where, **fields}
    ).open()


@pytest.mark.parametrize(
    ("fields", "issuer", "asks_groups"),
    [
        ({}, ISSUER, True),
        ({"domain": "https://corp.okta.com/"}, ISSUER, True),
        ({"authorization_server": "default"}, f"{ISSUER}/oauth2/default", False),
        ({"issuer": "https://id.corp.example/oauth2/aus1"}, "https://id.corp.example/oauth2/aus1", False),
        ({"scopes": ("openid", "email")}, ISSUER, False),
    ],
)
def test_the_issuer_is_the_organisation_or_one_of_its_servers(
    fields: dict[str, Any], issuer: str, *, asks_groups: bool
) -> None:
    url, asked = play(client(**fields).start(start()), metadata_of(issuer))
    assert asked == [Discovery(issuer)]
    assert ("groups" in dict(parse_qsl(urlsplit(url).query))["scope"].split()) is asks_groups


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"domain": ""}, "domain"),
        ({"domain": "a b"}, "domain"),
        ({"issuer": ISSUER, "authorization_server": "default"}, "issuer"),
    ],
)
def test_where_to_ask_is_said_once(fields: dict[str, Any], about: str) -> None:
    with pytest.raises(ValueError, match=rf"^{about} "):
        client(**fields)


def test_groups_that_are_not_in_the_token_are_asked_of_userinfo() -> None:
    op = client()
    assert sign_in(op, groups=["Everyone", "Staff"])[0].groups == ("Everyone", "Staff")
    thin = {"groups": None, "preferred_username": None}
    identity, _ = sign_in(op, reply({"sub": "alice", "groups": ["Staff"]}), **thin)
    assert identity.groups == ("Staff",)


@pytest.mark.parametrize("told", ["Staff", {"Staff": 1}, [5]])
def test_groups_of_a_wrong_type_let_nobody_in(told: Any) -> None:
    with pytest.raises(ProviderInvalid):
        sign_in(client(), groups=told)


def test_an_allowed_group_lets_in_and_its_absence_does_not() -> None:
    op = client(allowed_groups=("Staff",), userinfo=False)
    identity, _ = sign_in(op, groups=["Everyone", "Staff"])
    assert recheck(op, identity, groups=["Staff"]).groups == ("Staff",)
    for groups in (["Everyone"], ["staff"], [], None):
        with pytest.raises(ClientError) as caught:
            sign_in(op, groups=groups)
        assert refused(caught.value)
        with pytest.raises(ClientError):
            recheck(op, identity, groups=groups)
