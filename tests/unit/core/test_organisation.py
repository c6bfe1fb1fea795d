"""What the gateway says of people, and what an organisation's provider may say."""

from __future__ import annotations

import pytest

from vestibule.core.organisation import (
    OWN,
    SLUG,
    Affiliation,
    Organisation,
    confined,
    counting,
    identity_of,
    is_providers_id,
    is_run_by,
    issuer_in,
    slug_of,
    told_subject,
)
from vestibule.core.rule import questions_of, rule
from vestibule.model import Asker, Identity

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
        client="acme.okta",
        issuer="https://idp.example",
        subject="1",
        login="root",
        name="Ann",
        email="ann@acme.example",
        groups=("admins", "beta/admins"),
        orgs=("beta",),
        teams=("beta/core",),
        projects=("p",),
        repos=("r",),
        roles=("beta/admin",),
        unknown=("orgs", "groups", "teams"),
        claims={"team": "ops"},
        sid="s",
    )
    assert confined(said, ACME, ["acme.example"]) == Identity(
        client="acme.okta",
        issuer="org:o1:https://idp.example",
        subject="1",
        login="ann@acme.example",
        name="Ann",
        email="ann@acme.example",
        groups=("acme/admins", "acme/beta/admins"),
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


@pytest.mark.parametrize(
    ("login", "email", "told"),
    [
        ("ann", "ann@acme.example", "ann@acme.example"),
        ("ann", "", "acme/ann"),
        ("root@beta.example", "root@beta.example", "acme/root@beta.example"),
        ("", "", ""),
    ],
)
def test_a_login_is_the_address_that_counts_or_begins_with_the_slug(login, email, told):
    said = Identity(client="acme.okta", issuer="i", subject="1", login=login, email=email)
    assert confined(said, ACME, ["acme.example"]).login == told


def test_what_it_calls_a_team_or_a_repository_is_none_of_a_code_hosts():
    said = Identity(client="acme.okta", issuer="i", subject="1", teams=("core",), repos=("web",))
    known = [confined(said, ACME, ())]
    for kind, value in (("team", "acme/core"), ("repo", "acme/web")):
        (question,) = questions_of((rule(kind, value),))
        assert question.ask(question, known, Asker()) is False


def test_whether_somebody_is_a_member_is_the_gateways_to_say():
    known = confined(Identity(client="acme.okta", issuer="i", subject="1", orgs=("acme",)), ACME, ())
    (question,) = questions_of((rule("org", "acme"),))
    assert question.ask(question, [known], Asker()) is False
    member = identity_of((Affiliation(kind="org", org="acme"),))
    assert member is not None
    assert question.ask(question, [known, member], Asker())


def test_who_has_come_by_one_organisation_is_of_that_one_whatever_else_they_are_in():
    both = (Affiliation(kind="org", org="acme"), Affiliation(kind="org", org="beta"))
    came = confined(Identity(client="acme.okta", issuer="i", subject="1"), ACME, ())
    assert counting(both, [came]) == both[:1]
    operators = Identity(client="acme.okta", issuer="https://idp", subject="1")
    assert counting(both, [operators]) == both
    assert (slug_of(came), slug_of(operators)) == ("acme", "")
    assert (told_subject(came), told_subject(operators)) == ("acme/1", "1")


@pytest.mark.parametrize("name", ["acme", "acme.", "acmes.okta", "beta.okta", ".okta", "", "acme/okta"])
def test_what_an_organisations_provider_can_not_be_called(name):
    assert not is_providers_id("acme", name)
    assert is_providers_id("acme", "acme.okta")


@pytest.mark.parametrize(
    ("own", "runs"),
    [
        ({"orgs": ("acme",), "roles": ("acme/admin",)}, True),
        ({"orgs": ("acme", "beta"), "roles": ("acme/admin",)}, True),
        ({"orgs": ("acme",), "roles": ("beta/admin",)}, False),
        ({"orgs": ("acme",), "roles": ("admin", "acme/admins", "acme/x/admin", "acme/")}, False),
        ({"orgs": ("acme",), "groups": ("acme/admin",)}, False),
        ({"orgs": ("beta",), "roles": ("acme/admin",)}, False),
        ({"orgs": ("acme",), "roles": ("acme/admin",), "client": "acme"}, False),
    ],
)
def test_who_runs_an_organisation_has_its_role_by_the_gateways_own_word(own, runs):
    assert is_run_by("acme", Identity(**{"client": OWN, "issuer": "", "subject": "", **own})) is runs
