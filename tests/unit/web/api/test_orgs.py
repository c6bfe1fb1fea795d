"""Organisations by the API: what operators do, what an organisation's administrator does, and nobody else's."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from tests.unit.web.asgi import Reply
from vestibule.core.organisation import issuer_in
from vestibule.model import Identity
from vestibule.web.api.office import Actor

GONE = 404


def by(api: Any, slug: str, method: str, path: str, value: Any = None) -> Reply:
    """Asked by the administrator of an organisation."""
    body = b"" if value is None else msgspec.json.encode(value)
    scope = api.scope(method, path, body, is_owner=False)
    scope["state"]["actor"] = Actor("user u", org=slug)
    return asyncio.run(api._call(scope, body))


@pytest.fixture
def two(api):
    """Two organisations with a member, a group and a domain each."""
    for number, slug in enumerate(("acme", "beta"), 1):
        assert api.call("POST", "/orgs", {"slug": slug, "name": slug.title()}).status == 201
        user = api.person(number)
        assert api.call("PUT", f"/orgs/{slug}/members/{user.id}", {"roles": ["admin"]}).status == 200
        assert api.call("POST", f"/orgs/{slug}/domains", {"domain": f"{slug}.example"}).status == 201
        group = api.call("POST", f"/orgs/{slug}/groups", {"name": "ops"}).json
        assert api.call("PUT", f"/orgs/{slug}/groups/{group['id']}/members/{user.id}").status == 204
    return api


def test_one_is_made_looked_at_renamed_and_deleted(api):
    made = api.call("POST", "/orgs", {"slug": "acme", "name": "Acme"})
    assert (made.status, made.headers["etag"]) == (201, '"0"')
    assert api.call("POST", "/orgs", {"slug": "acme", "name": "Other"}).json["code"] == "taken"
    assert api.call("GET", "/orgs/acme").json == made.json
    renamed = api.call("PATCH", "/orgs/acme", {"name": "Acme Ltd"}, headers={"if-match": '"0"'})
    assert (renamed.json["name"], renamed.headers["etag"]) == ("Acme Ltd", '"1"')
    late = api.call("PATCH", "/orgs/acme", {"name": "Acme Inc"}, headers={"if-match": '"0"'})
    assert (late.status, late.json["code"]) == (412, "changed")
    assert [one["slug"] for one in api.call("GET", "/orgs").json["items"]] == ["acme"]
    assert api.call("DELETE", "/orgs/acme", headers={"if-match": '"0"'}).status == 412
    assert api.call("DELETE", "/orgs/acme").status == 204
    assert api.call("GET", "/orgs/acme").status == GONE
    assert [what for _, what, _ in api.changes] == ["org.created", "org.updated", "org.deleted"]


@pytest.mark.parametrize("slug", ["", "A", "a/b", "a.b", "-a", "a" * 41])
def test_what_can_be_no_slug_is_refused(api, slug):
    assert api.call("POST", "/orgs", {"slug": slug, "name": "x"}).status == 422


def test_a_domain_counts_once_its_dns_says_so(two):
    added = two.call("GET", "/orgs/acme/domains").json["items"][0]
    assert (added["verified_at"], added["record"]) == (None, "_vestibule-verification.acme.example")
    refused = two.call("POST", "/orgs/acme/domains/acme.example/verify")
    assert (refused.status, refused.json["code"]) == (409, "domain_unproven")
    two.texts[added["record"]] = ("v=spf1 -all", added["text"])
    found = two.call("POST", "/orgs/acme/domains/acme.example/verify").json
    assert (found["verified_by"], found["verified_at"] is None) == ("dns", False)
    taken = two.call("POST", "/orgs/beta/domains", {"domain": "acme.example"})
    assert (taken.status, taken.json["code"]) == (409, "taken")


def test_an_operator_says_whose_a_domain_is(two):
    assert two.call("POST", "/orgs/beta/domains/beta.example/confirm").json["verified_by"] == "operator"
    assert two.call("POST", "/orgs/beta/domains/other.example/confirm").status == GONE
    assert two.call("DELETE", "/orgs/beta/domains/beta.example").status == 204
    assert two.call("DELETE", "/orgs/beta/domains/beta.example").status == GONE


def test_what_somebody_is_in_is_one_list_with_who_says_so(two):
    user = two.call("GET", "/orgs/acme/members").json["items"][0]["user_id"]
    assert two.call("GET", f"/users/{user}/affiliations").json["items"] == [
        {"kind": "group", "name": "acme/ops", "source": "gateway"},
        {"kind": "org", "name": "acme", "source": "gateway"},
        {"kind": "role", "name": "acme/admin", "source": "gateway"},
    ]
    assert two.call("DELETE", f"/orgs/acme/members/{user}").status == 204
    assert two.call("GET", f"/users/{user}/affiliations").json["items"] == []


def test_only_members_are_in_groups_and_only_users_are_members(two):
    group = two.call("GET", "/orgs/acme/groups").json["items"][0]["id"]
    theirs = two.call("GET", "/orgs/beta/members").json["items"][0]["user_id"]
    assert two.call("PUT", f"/orgs/acme/groups/{group}/members/{theirs}").status == GONE
    assert two.call("PUT", f"/orgs/beta/groups/{group}/members/{theirs}").status == GONE
    assert two.call("PUT", "/orgs/acme/members/nobody", {"roles": []}).status == GONE
    assert two.call("DELETE", f"/orgs/acme/groups/{group}").status == 204
    assert two.call("GET", f"/orgs/acme/groups/{group}/members").status == GONE


def test_an_administrator_has_their_own_organisation(two):
    assert by(two, "acme", "GET", "/orgs/acme").status == 200
    assert by(two, "acme", "PATCH", "/orgs/acme", {"name": "New"}).status == 200
    assert by(two, "acme", "POST", "/orgs/acme/groups", {"name": "more"}).status == 201
    member = by(two, "acme", "GET", "/orgs/acme/members").json["items"][0]["user_id"]
    assert by(two, "acme", "PUT", f"/orgs/acme/members/{member}", {"roles": ["admin", "x"]}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "value"),
    [
        ("GET", "/orgs", None),
        ("POST", "/orgs", {"slug": "mine", "name": "Mine"}),
        ("DELETE", "/orgs/acme", None),
        ("POST", "/orgs/acme/domains/acme.example/confirm", None),
        ("GET", "/users", None),
        ("GET", "/identity-providers", None),
        ("GET", "/audit", None),
        ("GET", "/sessions", None),
        ("POST", "/tokens", {"name": "x", "scopes": []}),
    ],
)
def test_what_is_an_operators_is_not_there_for_an_administrator(two, method, path, value):
    assert by(two, "acme", method, path, value).status == GONE


def test_an_administrator_makes_nobody_a_member_whom_they_only_guess(two):
    theirs = two.call("GET", "/orgs/beta/members").json["items"][0]["user_id"]
    assert by(two, "acme", "PUT", f"/orgs/acme/members/{theirs}", {"roles": []}).status == GONE


OKTA = {
    "id": "beta.okta",
    "provider_type": "oidc",
    "email_domains": ["beta.example", "acme.example"],
    "openid_config": {
        "client_id": "c",
        "client_secret": "secret-of-beta",
        "issuer_url": "https://b.okta.com",
    },
}


def test_a_provider_is_one_organisations(two):
    assert by(two, "acme", "POST", "/orgs/acme/identity-providers", OKTA).status == 422
    made = by(two, "beta", "POST", "/orgs/beta/identity-providers", OKTA)
    assert (made.status, "secret-of-beta" in made.text) == (201, False)
    assert [one["id"] for one in by(two, "beta", "GET", "/orgs/beta/identity-providers").json["items"]] == [
        "beta.okta"
    ]
    assert by(two, "acme", "GET", "/orgs/acme/identity-providers").json["items"] == []
    for method, value in (("GET", None), ("PATCH", {"enabled": False}), ("DELETE", None)):
        path = "identity-providers/beta.okta"
        assert by(two, "acme", method, f"/orgs/acme/{path}", value).status == GONE
        assert by(two, "acme", method, f"/orgs/beta/{path}", value).status == GONE
    two.call("POST", "/orgs/beta/domains/beta.example/confirm")
    config = two.registry.offer.configs["beta.okta"]
    assert config.email_domains == ("beta.example",)
    changed = by(two, "beta", "PATCH", "/orgs/beta/identity-providers/beta.okta", {"title": "Work"})
    assert changed.json["title"] == "Work"
    two.call("DELETE", "/orgs/beta/domains/beta.example")
    assert two.registry.offer.configs["beta.okta"].email_domains == ("none.invalid",)
    assert two.call("DELETE", "/orgs/beta").status == 204
    assert "beta.okta" not in two.registry.offer.providers


def test_who_comes_by_a_provider_is_a_member_of_its_organisation_and_of_no_other(two):
    org = two.do(two.store.organisations.by_slug("beta"))
    one = Identity(
        client="beta.okta",
        issuer=issuer_in(org.id, "https://b.okta.com"),
        subject="7",
        email="p1@example.com",  # which is somebody's
        orgs=("beta",),
    )
    user = two.do(two.people.admit(one, two.now, kind="oidc"))
    found = two.call("GET", f"/users/{user.id}/affiliations").json["items"]
    assert found == [{"kind": "org", "name": "beta", "source": "provider"}]
    others = two.call("GET", "/orgs/acme/members").json["items"][0]["user_id"]
    assert user.id != others
    assert two.do(two.people.link(others, one, two.now)) is False
    github = Identity(client="github", issuer="https://github.com", subject="9")
    assert two.do(two.people.link(user.id, github, two.now)) is False
    two.call("PUT", f"/orgs/acme/members/{user.id}", {"roles": ["admin"]})
    own = two.do(two.organisations.identity_of(user.id, (one,)))
    assert (own.orgs, own.roles) == (("beta",), ())


def test_two_organisations_neither_see_nor_touch_each_other(two):
    """A thousand requests of one's administrator with all that is the other's in them."""
    chance = random.Random(10)
    before = {slug: whole(two, slug) for slug in ("acme", "beta")}
    for _ in range(1000):
        own, other = chance.sample(["acme", "beta"], 2)
        theirs = before[other]
        user, group = theirs["members"][0]["user_id"], theirs["groups"][0]["id"]
        slug = chance.choice([other, other, own])
        method, path, value = chance.choice(
            [
                ("GET", "", None),
                ("PATCH", "", {"name": "x"}),
                ("DELETE", "", None),
                ("GET", "/domains", None),
                ("POST", "/domains", {"domain": "new.example"}),
                ("POST", f"/domains/{other}.example/verify", None),
                ("POST", f"/domains/{other}.example/confirm", None),
                ("DELETE", f"/domains/{other}.example", None),
                ("GET", "/members", None),
                ("GET", f"/members/{user}", None),
                ("PUT", f"/members/{user}", {"roles": ["admin"]}),
                ("DELETE", f"/members/{user}", None),
                ("GET", "/groups", None),
                ("POST", "/groups", {"name": "x"}),
                ("DELETE", f"/groups/{group}", None),
                ("GET", f"/groups/{group}/members", None),
                ("PUT", f"/groups/{group}/members/{user}", None),
                ("DELETE", f"/groups/{group}/members/{user}", None),
            ]
        )
        names_theirs = other in path or user in path or group in path
        if slug == own and not names_theirs:
            continue
        answer = by(two, own, method, f"/orgs/{slug}{path}", value)
        assert answer.status == GONE, (own, method, slug, path)
        assert not any(secret in answer.text for secret in (user, group, other.title()))
    assert {slug: whole(two, slug) for slug in ("acme", "beta")} == before


def whole(api: Any, slug: str) -> dict[str, Any]:
    """All there is of an organisation."""
    parts = {
        name: api.call("GET", f"/orgs/{slug}/{name}").json["items"]
        for name in ("members", "groups", "domains")
    }
    inside = [
        api.call("GET", f"/orgs/{slug}/groups/{one['id']}/members").json["items"] for one in parts["groups"]
    ]
    return {"org": api.call("GET", f"/orgs/{slug}").json, "inside": inside, **parts}
