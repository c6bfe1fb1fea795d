"""Blocks whose attributes are a provider's own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.config.conftest import Desk

HEAD = 'provider "op" {\n  type = "oidc"\n  issuer = "https://op.example"\n  client_id = "i"\n  client_secret = "s"\n'
TAIL = '}\nhost "app.example" {\n  backend = "x:1"\n  sign_in = ["op"]\n  access { allow = ["anyone"] }\n}\n'


@pytest.mark.parametrize(
    "text",
    ['claims { groups = "realm_access.roles" }', 'claims = { groups = "realm_access.roles" }'],
    ids=["a block", "an object"],
)
def test_claims_are_mapped_by_a_block_or_an_object(desk: Desk, text: str) -> None:
    config: Any = desk.load(f"{HEAD}  {text}\n{TAIL}").checked.clients["op"].config
    assert config.claims == {"groups": "realm_access.roles"}


def test_a_claim_may_be_switched_off(desk: Desk) -> None:
    config: Any = desk.load(f'{HEAD}  claims {{ groups = "" }}\n{TAIL}').checked.clients["op"].config
    assert config.open().claims["groups"] == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("claims { groups = [] }", "one text"),
        ("claims { groups { } }", "holds attributes only"),
        ('claims { groups = "a" }\n  claims { roles = "b" }', "claims"),
        ('claim { groups = "a" }', "there is no block `claim` here; did you mean `claims`?"),
        ("is_trusted = false", "there is no attribute `is_trusted` here"),
        ('groups_claim = "roles"', "there is no attribute `groups_claim` here"),
    ],
)
def test_what_is_no_mapping_is_told_with_its_place(desk: Desk, text: str, fault: str) -> None:
    faults = desk.faults(f"{HEAD}  {text}\n{TAIL}")
    assert any((fault in found and ":6:" in found) or ":7:" in found for found in faults), faults
