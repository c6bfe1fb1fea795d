"""docs/providers.md: every kind is in its table, and what the table says of a kind is so by its code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest

from tests.house.source import ROOT
from tests.house.test_docs import quoted, table
from vestibule.core import claim
from vestibule.providers import BUILTIN
from vestibule.providers.base import Recheck, RedirectLogin
from vestibule.providers.oauth2 import OAuth2, Userinfo
from vestibule.providers.oidc import Oidc

PAGE = "docs/providers.md"
KINDS = {quoted(row[0])[0]: row for row in table(PAGE, "kind | address counts")}
GENERAL = {OAuth2, Userinfo, Oidc}


def client_of(kind: str) -> type[Any]:
    """The class that the kind's configuration opens."""
    found: type[Any] = get_type_hints(BUILTIN[kind].open)["return"]
    return found


def has(client: type[Any], protocol: type[Any]) -> bool:
    """Whether the class has the Protocol's methods; its properties may be set only when a client is made."""
    names = [name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")]
    return all(hasattr(client, name) for name in names)


SIGNS_IN = [kind for kind in BUILTIN if has(client_of(kind), RedirectLogin)]


def own(client: type[Any]) -> Iterator[str]:
    """The source of what the kind adds to OAuth 2.0 and OpenID Connect as such."""
    for base in client.__mro__:
        if base is not object and base not in GENERAL:
            yield inspect.getsource(base)


def test_every_kind_that_signs_people_in_has_its_line():
    assert set(KINDS) == set(SIGNS_IN)
    assert set(BUILTIN) - set(SIGNS_IN) == {"client_credentials", "service_account"}
    assert f"Each of {len(SIGNS_IN)} kinds" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("kind", SIGNS_IN)
def test_the_page_of_a_kind_shows_how_it_is_written(kind: str):
    (target,) = re.findall(r"\]\(([^)#]*)", KINDS[kind][0])
    page = ROOT / "docs" / (target or "providers.md")
    written = rf'(provider "{kind}"|type += "{kind}")'
    assert re.search(written, page.read_text("utf-8")) or kind == "oauth2"


@pytest.mark.parametrize("kind", SIGNS_IN)
def test_restrictions_are_attributes_and_all_of_the_kinds_own_are_named(kind: str):
    named, config = set(quoted(KINDS[kind][3])), BUILTIN[kind]
    assert named <= set(config.__struct_fields__)
    assert {name for name in vars(config).get("__annotations__", {}) if name.startswith("allowed_")} <= named


@pytest.mark.parametrize("kind", SIGNS_IN)
def test_what_a_kind_tells_is_what_its_code_finds(kind: str):
    client, cell = client_of(kind), re.sub(r"\([^)]*\)", "", KINDS[kind][2])
    told = set(re.findall(rf"\b({'|'.join(claim.LISTS)})\b", cell))
    names = "|".join(claim.LISTS)
    source = "".join(own(client))
    found = set(re.findall(rf'\b({names})=|"({names})": (?!"")', source))
    must = {name for pair in found for name in pair if name}
    may = {name for name, path in getattr(client, "default_claims", {}).items() if path}
    assert must <= told <= must | may


@pytest.mark.parametrize("kind", SIGNS_IN)
def test_an_address_that_nobody_calls_verified_is_said_not_to_count(kind: str):
    claims = getattr(client_of(kind), "default_claims", {})
    if claims.get("email") and not claims.get("email_verified"):
        assert "assume_email_verified" in quoted(KINDS[kind][1])
    if claims.get("email") == "" and "verified_email" not in "".join(own(client_of(kind))):
        assert KINDS[kind][1] == "none"


@pytest.mark.parametrize("kind", SIGNS_IN)
def test_looking_again_and_signing_out_are_what_the_kind_can(kind: str):
    client, config, (*_, again, leaving) = client_of(kind), BUILTIN[kind], KINDS[kind]
    if again != "never":
        assert has(client, Recheck)
    if "page" in leaving:
        assert client.sign_out_url is not OAuth2.sign_out_url
    if leaving == "revokes" or leaving.endswith(", revokes"):
        fields = config.__struct_fields__
        defaults = dict(
            zip(fields[-len(config.__struct_defaults__) :], config.__struct_defaults__, strict=True)
        )
        assert defaults.get("revoke_at_sign_out", True) is True
