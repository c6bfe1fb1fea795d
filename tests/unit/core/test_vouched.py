from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from vestibule.core.vouched import Known, Standing, known
from vestibule.model import Identity, User, Vouched

NOW = 1_800_000_000.0
DAY = 86400.0
USER = User(id="u1", created_at=NOW - 9 * DAY, name="Alice")
ALICE = Identity(
    client="github",
    issuer="https://github.com",
    subject="1",
    login="alice",
    name="Alice",
    email="alice@example.com",
    groups=("staff",),
    orgs=("example",),
    teams=("example/core",),
    projects=("p",),
    repos=("example/r",),
    roles=("admin",),
    unknown=(),
    claims={"plan": "pro"},
)
SAID = Vouched(identity=ALICE, told_at=NOW, word="w1")
STANDING = Standing(words={"github": "w1", "google": "w2"}, holds_s=7 * DAY)
LISTS = ("groups", "orgs", "teams", "projects", "repos", "roles")


def identities(*vouched: Vouched, user: User = USER, now: float = NOW, **standing) -> tuple[Identity, ...]:
    return known(vouched, user, replace(STANDING, **standing), now).identities


@pytest.mark.parametrize("age_s", [0.0, 7 * DAY - 1], ids=str)
def test_what_was_said_holds_as_it_is_for_as_long_as_a_session_may_last(age_s):
    assert known((SAID,), USER, STANDING, NOW + age_s) == Known((ALICE,), NOW + 7 * DAY)


def test_later_it_is_still_them_but_their_lists_and_claims_are_not_known():
    found = known((SAID,), USER, STANDING, NOW + 7 * DAY)
    [faded] = found.identities
    assert (faded.issuer, faded.subject, faded.login, faded.email) == (
        "https://github.com",
        "1",
        "alice",
        "alice@example.com",
    )
    assert all(getattr(faded, name) == () for name in LISTS)
    assert set(faded.unknown) == set(LISTS)
    assert faded.claims == {}
    assert found.until == math.inf


def test_what_would_not_be_said_again_has_faded_at_once():
    [faded] = identities(replace(SAID, told_at=0.0))
    assert faded.groups == ()
    assert "groups" in faded.unknown


def test_whom_a_provider_lets_in_by_a_restriction_must_have_been_let_in_lately():
    restricted = frozenset({"github"})
    assert identities(SAID, now=NOW + DAY, restricted=restricted) == (ALICE,)
    assert identities(SAID, now=NOW + 7 * DAY, restricted=restricted) == ()
    assert identities(replace(SAID, told_at=0.0), restricted=restricted) == ()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param({"github": "w9"}, id="another provider under its ID"),
        pytest.param({"google": "w1"}, id="no provider of its ID"),
        pytest.param({}, id="no provider"),
    ],
)
def test_the_word_of_a_provider_that_is_not_there_any_more_counts_for_nothing(words):
    assert identities(SAID, words=words) == ()


@pytest.mark.parametrize(
    ("domains", "counts"),
    [((), True), (("*",), True), (("example.com",), True), (("example.org",), False)],
    ids=str,
)
def test_an_address_must_be_of_a_domain_that_is_taken(domains, counts):
    assert identities(SAID, domains=domains) == ((ALICE,) if counts else ())


def test_who_has_no_address_is_not_of_the_domains_that_are_taken():
    assert identities(replace(SAID, identity=replace(ALICE, email="")), domains=("example.com",)) == ()


def test_each_account_is_looked_at_on_its_own_and_the_first_to_fade_says_until_when():
    google = replace(SAID, identity=replace(ALICE, client="google"), told_at=NOW - DAY, word="w2")
    old = replace(SAID, identity=replace(ALICE, subject="2"), told_at=NOW - 8 * DAY)
    found = known((SAID, google, old), USER, STANDING, NOW)
    assert [(one.client, one.subject, bool(one.groups)) for one in found.identities] == [
        ("github", "1", True),
        ("google", "1", True),
        ("github", "2", False),
    ]
    assert found.until == NOW + 6 * DAY


def test_a_name_the_person_chose_is_shown():
    chosen = replace(USER, profile={"name": "Al"})
    assert identities(SAID, user=chosen) == (replace(ALICE, name="Al"),)
    assert identities(SAID, user=chosen, now=NOW + 8 * DAY)[0].name == "Al"
