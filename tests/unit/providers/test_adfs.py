"""Signing in with AD FS."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.unit.providers.player import play, start
from tests.unit.providers.signing import metadata_of, recheck, refused, sign_in
from vestibule.errors import ClientError, ProviderInvalid
from vestibule.model import Secret
from vestibule.providers.adfs import Adfs, AdfsConfig
from vestibule.providers.kit import Discovery

ISSUER = "https://fs.example.com/adfs"
#: what an ID token of AD FS holds besides the usual
CLAIMS: dict[str, Any] = {
    "sub": "f1x9Z/opaque=",
    "upn": "alice@corp.example.com",
    "unique_name": "CORP\\alice",
    "email": None,
    "email_verified": None,
    "preferred_username": None,
    "name": None,
    "groups": None,
}


def client(**fields: Any) -> Adfs:
    return AdfsConfig(
        **{"name": "fs", "client_id": "cid", "client_secret": Secret("s"), "issuer": ISSUER, **fields}
    ).open()


def test_metadata_stands_below_adfs() -> None:
    url, asked = play(client().start(start()), metadata_of(ISSUER))
    assert asked == [Discovery(ISSUER)]
    assert "resource" not in dict(parse_qsl(urlsplit(url).query))


def test_the_api_whose_claim_rules_apply_can_be_named() -> None:
    url, _ = play(client(resource="urn:app:api").start(start()), metadata_of(ISSUER))
    assert dict(parse_qsl(urlsplit(url).query))["resource"] == "urn:app:api"


def test_a_person_is_known_by_sub_and_called_by_upn() -> None:
    identity, _ = sign_in(client(), **CLAIMS)
    assert (identity.subject, identity.login) == ("f1x9Z/opaque=", "alice@corp.example.com")
    assert "groups" in identity.unknown


@pytest.mark.parametrize(
    ("told", "groups"),
    [("Staff", ("Staff",)), (["Staff", "Berlin"], ("Staff", "Berlin")), ([], ())],
    ids=["one as lone text", "several", "none"],
)
def test_groups_may_be_lone_text(told: Any, groups: tuple[str, ...]) -> None:
    identity, _ = sign_in(client(), **{**CLAIMS, "group": told})
    assert identity.groups == groups


@pytest.mark.parametrize("told", [5, {"Staff": 1}, [["Staff"]], [None], True])
def test_groups_of_a_wrong_type_let_nobody_in(told: Any) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        sign_in(client(), **{**CLAIMS, "group": told})
    assert caught.value.code == "claim_invalid"


@pytest.mark.parametrize(
    ("fields", "claims", "email"),
    [
        ({}, {"email": "alice@example.com"}, ""),
        ({"email_domains": ("example.com",)}, {"email": "alice@example.com"}, ""),
        ({"assume_email_verified": True}, {"email": "alice@example.com"}, "alice@example.com"),
        ({"assume_email_verified": True}, {}, ""),
        ({"assume_email_verified": True, "claims": {"email": "upn"}}, {}, "alice@corp.example.com"),
        (
            {"assume_email_verified": True, "email_domains": ("example.com",)},
            {"email": "alice@evil.example"},
            "",
        ),
    ],
)
def test_an_address_counts_only_where_the_operator_says_so(
    fields: dict[str, Any], claims: dict[str, Any], email: str
) -> None:
    assert sign_in(client(**fields), **{**CLAIMS, **claims})[0].email == email


def test_an_allowed_group_or_role_lets_in_and_its_absence_does_not() -> None:
    for fields, good, bad in (
        ({"allowed_groups": ("Staff",)}, {"group": "Staff"}, {"group": "Staffing"}),
        ({"allowed_roles": ("Admin",)}, {"role": ["Admin"]}, {}),
    ):
        op = client(**fields)
        identity, _ = sign_in(op, **{**CLAIMS, **good})
        assert recheck(op, identity, **{**CLAIMS, **good}) == identity
        for attempt in (
            lambda op=op, bad=bad: sign_in(op, **{**CLAIMS, **bad}),
            lambda op=op, bad=bad, identity=identity: recheck(op, identity, **{**CLAIMS, **bad}),
        ):
            with pytest.raises(ClientError) as caught:
                attempt()
            assert refused(caught.value)
