"""Signing in with cidaas."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.providers.player import reply
from tests.unit.providers.signing import recheck, refused, sign_in
from vestibule.errors import ClientError, ProviderInvalid
from vestibule.model import Secret
from vestibule.providers.cidaas import Cidaas, CidaasConfig

ISSUER = "https://corp.cidaas.de"
GROUPS: list[dict[str, Any]] = [
    {"groupId": "CIDAAS_USERS", "roles": ["USER"]},
    {"groupId": "staff", "groupName": "Staff", "roles": ["EDITOR", "USER"]},
    {"groupId": "empty", "roles": []},
    {"groupId": "bare"},
]


def client(**fields: Any) -> Cidaas:
    return CidaasConfig(
        **{"name": "cd", "client_id": "cid", "client_secret": Secret("s"), "issuer": ISSUER, **fields}
    ).open()


def told(**claims: Any) -> Any:
    return reply({"sub": "alice", "groups": GROUPS, "roles": ["USER"], **claims})


def test_groups_are_known_by_id_and_roles_within_them_by_both() -> None:
    identity, _ = sign_in(client(), told(), groups=None)
    assert identity.groups == ("CIDAAS_USERS", "staff", "empty", "bare")
    assert identity.roles == ("USER", "CIDAAS_USERS:USER", "staff:EDITOR", "staff:USER")
    assert not {"groups", "roles"} & set(identity.unknown)


def test_groups_may_be_plain_names() -> None:
    identity, _ = sign_in(client(), groups=["staff"], roles=["USER"])
    assert (identity.groups, identity.roles) == (("staff",), ("USER",))
    assert sign_in(client(), groups=[], roles=[])[0].groups == ()


@pytest.mark.parametrize(
    "groups",
    [
        [{"roles": ["USER"]}],
        [{"groupId": ""}],
        [{"groupId": 5}],
        [{"groupId": "a"}, "b"],
        [{"groupId": "a", "roles": "ADMIN"}],
        [{"groupId": "a", "roles": [1]}],
        {"groupId": "a"},
        "staff",
        [5],
    ],
)
def test_groups_of_a_wrong_shape_let_nobody_in(groups: Any) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        sign_in(client(), told(groups=groups), groups=None)
    assert caught.value.code == "claim_invalid"


@pytest.mark.parametrize(
    ("fields", "lets_in"),
    [
        ({"allowed_roles": ("staff:EDITOR",)}, True),
        ({"allowed_roles": ("EDITOR",)}, False),
        ({"allowed_roles": ("USER:EDITOR", "CIDAAS_USERS:EDITOR")}, False),
        ({"allowed_groups": ("staff",)}, True),
        ({"allowed_groups": ("Staff",)}, False),
    ],
)
def test_a_role_counts_in_the_group_it_is_of(fields: dict[str, Any], *, lets_in: bool) -> None:
    op = client(**fields)
    if lets_in:
        identity, _ = sign_in(op, told(), groups=None)
        assert recheck(op, identity, told(), groups=None) == identity
        with pytest.raises(ClientError):
            recheck(op, identity, told(groups=[], roles=["USER"]), groups=None)
        return
    with pytest.raises(ClientError) as caught:
        sign_in(op, told(), groups=None)
    assert refused(caught.value)
