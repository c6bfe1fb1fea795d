"""What the gateway says of people, and what an organisation's provider may say."""

from __future__ import annotations

import pytest

from vestibule.core.organisation import (
    OWN,
    SLUG,
    Affiliation,
    Organisation,
    confined,
    identity_of,
    issuer_in,
)
from vestibule.model import Identity

ACME = Organisation(id="o1", slug="acme", name="Acme", created_at=0.0, updated_at=0.0)


@pytest.mark.parametrize("slug", ["a", "acme", "a-1", "0", "a" * 40])
def test_slugs(slug):
    assert SLUG.fullmatch(slug)


@pytest.mark.parametrize("slug", ["", "A", "-a", "a-", "a_b", "a/b", "a.b", "é", "a" * 41, "@", "a\n"])
def test_no_slugs(slug):
    assert not SLUG.fullmatch(slug)


def test_who_is_in_nothing_has_no_further_identity():
    assert identity_of(()) is None


def test_all_sources_make_one_list_in_which_nothing_stands_twice():
    found = identity_of(
        (
            Affiliation(kind="group", org="acme", name="ops", source="scim"),
            Affiliation(kind="group", org="acme", name="ops"),
            Affiliation(kind="org", org="beta"),
            Affiliation(kind="org", org="acme", source="provider"),
            Affiliation(kind="role", org="acme", name="admin"),
        )
    )
    assert found == Identity(
        client=OWN,
        issuer="",
        subject="",
        orgs=("acme", "beta"),
        groups=("acme/ops",),
        roles=("acme/admin",),
    )


def test_an_organisations_provider_speaks_of_that_organisation_alone():
    said = Identity(
        client="okta",
        issuer="https://idp.example",
        subject="1",
        name="Ann",
        email="ann@acme.example",
        groups=("admins", "beta/admins"),
        orgs=("beta",),
        teams=("beta/core",),
        projects=("p",),
        repos=("r",),
        roles=("beta/admin",),
        unknown=("orgs", "groups"),
        claims={"team": "ops"},
        sid="s",
    )
    assert confined(said, ACME, ["acme.example"]) == Identity(
        client="okta",
        issuer="org:o1:https://idp.example",
        subject="1",
        name="Ann",
        email="ann@acme.example",
        groups=("acme/admins", "acme/beta/admins"),
        orgs=("acme",),
        teams=("acme/beta/core",),
        projects=("acme/p",),
        repos=("acme/r",),
        roles=("acme/beta/admin",),
        unknown=("groups",),
        sid="s",
    )


@pytest.mark.parametrize("email", ["ann@beta.example", "ann@sub.acme.example", "acme.example", "", "ann@"])
def test_its_word_on_addresses_ends_at_its_verified_domains(email):
    said = Identity(client="okta", issuer="i", subject="1", email=email)
    assert not confined(said, ACME, ["acme.example"]).email


def test_issuers_of_two_organisations_are_two():
    assert issuer_in("o1", "https://idp") != issuer_in("o2", "https://idp")
