"""Organisations by people's own sessions: who runs one reaches that one, and whatever else is asked for isn't there."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.web.api.desk import HOST, ApiDesk
from tests.unit.web.asgi import Reply
from vestibule.core.organisation import ORGS_PATH, issuer_in
from vestibule.core.route import Site
from vestibule.errors import StoreError
from vestibule.model import Identity, Session, User
from vestibule.service.visit import Visit
from vestibule.web.api.org_door import Beside

OWN = replace(HOST, own_paths=frozenset({ORGS_PATH.encode()}))
BASE = "https://app.example.com"
SITE = Site(base_url=BASE, cookie="vestibule", secure=True)
GOOGLE = Identity(client="google", issuer="https://a.example", subject="1")
REQUESTS = 1000


class Door:
    """The door, with two organisations behind it: acme is run by one person, beta by another."""

    def __init__(self, api: ApiDesk) -> None:
        self.api = api
        self.people: dict[str, User] = {}
        for number, slug in enumerate(("acme", "beta"), 1):
            api.call("POST", "/orgs", {"slug": slug, "name": slug.title()})
            self.people[slug] = api.person(number)
            self.join(slug, self.people[slug], ["admin"])
        self.office: Any = api.app
        self.app = Beside(self._own, api.app, self.office._office)
        self.led_on: list[str] = []

    async def _own(self, scope: Any, _receive: Any, send: Any) -> None:
        self.led_on.append(scope["path"])
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def join(self, slug: str, user: User, roles: list[str]) -> None:
        assert self.api.call("PUT", f"/orgs/{slug}/members/{user.id}", {"roles": roles}).status == 200

    def ask(self, user: User | None, method: str, path: str, value: Any = None, **options: Any) -> Reply:
        """What a page of the host is told, at which they are signed in; None: nobody is."""
        api = self.api
        identities = options.pop("identities", (GOOGLE,))
        session = None if user is None else session_of(user, identities)
        body = b"" if value is None else msgspec.json.encode(value)
        headers = options.pop("headers", {"origin": BASE})
        scope = api.scope(method, path, body, headers=headers)
        scope["state"] = {"visit": visit_of(session, api.now, options.pop("host", OWN))}
        before, api.app = api.app, self.app
        try:
            return asyncio.run(api._call(scope, body))
        finally:
            api.app = before


def session_of(user: User, identities: tuple[Identity, ...]) -> Session:
    return Session(
        id="s1",
        host="app.example.com",
        created_at=user.created_at,
        seen_at=user.created_at,
        expires_at=user.created_at + 9e5,
        idle_s=9e5,
        user_id=user.id,
        identities=identities,
    )


def visit_of(session: Session | None, now: float, host: Any) -> Visit:
    return Visit(
        host=host,
        site=SITE,
        session=session,
        address="192.0.2.1",
        user_agent="test",
        request_id="req-0123",
        now=now,
        cookies={},
    )


@pytest.fixture
def door(api: ApiDesk) -> Door:
    return Door(api)


def test_they_reach_their_own_and_the_trail_names_them(door: Door) -> None:
    ann = door.people["acme"]
    assert door.ask(ann, "GET", "/orgs/acme").json["name"] == "Acme"
    assert door.ask(ann, "POST", "/orgs/acme/groups", {"name": "ops"}).status == 201
    assert door.api.changes[-1] == (f"user {ann.id}", "org.group_created", "org acme")


def test_the_others_is_not_there_nor_is_one_that_does_not_exist(door: Door) -> None:
    ann = door.people["acme"]
    for slug in ("beta", "gamma", "", "acme%2f", "ACME"):
        told = door.ask(ann, "GET", f"/orgs/{slug}")
        assert (told.status, told.json["detail"]) == (404, "There is no such thing here.")
    assert door.ask(ann, "GET", "/orgs").status == 404


@pytest.mark.parametrize(
    "identities",
    [
        pytest.param((), id="nobody vouches"),
        pytest.param((replace(GOOGLE, client="github"),), id="who vouches counts elsewhere"),
    ],
)
def test_who_is_nobody_at_the_host_is_told_to_sign_in(door: Door, identities: tuple[Identity, ...]) -> None:
    told = door.ask(door.people["acme"], "GET", "/orgs/acme", identities=identities)
    assert (told.status, told.json["code"]) == (401, "sign_in_required")
    assert told.headers["www-authenticate"] == 'Vestibule realm="sign-in"'
    assert door.ask(None, "GET", "/orgs/acme").status == 401


def test_who_came_by_another_organisations_provider_runs_none_but_that(door: Door) -> None:
    ann = door.people["acme"]
    theirs = replace(GOOGLE, client="beta", issuer=issuer_in("b", "https://a.example"), orgs=("beta",))
    told = door.ask(ann, "GET", "/orgs/acme", identities=(GOOGLE, theirs))
    assert told.status == 404


def test_a_member_without_the_role_is_refused(door: Door) -> None:
    bob = door.people["beta"]
    door.join("acme", bob, ["admins"])
    assert door.ask(bob, "GET", "/orgs/acme").json["code"] == "org_admin"
    door.join("acme", bob, ["admin"])
    assert door.ask(bob, "GET", "/orgs/acme").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "http://app.example.com"},
        {"origin": "null"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_other_site_changes_anything(door: Door, method: str, headers: dict[str, str]) -> None:
    told = door.ask(door.people["acme"], method, "/orgs/acme", {"name": "x"}, headers=headers)
    assert (told.status, told.json["code"]) == (403, "cross_origin")
    assert door.api.call("GET", "/orgs/acme").json["name"] == "Acme"


def test_while_it_cannot_be_known_nobody_runs_anything(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(door.api.organisations, "identity_of", away)
    assert door.ask(door.people["acme"], "GET", "/orgs/acme").status == 503


def test_other_paths_and_hosts_without_it_are_led_on(door: Door) -> None:
    ann = door.people["acme"]
    for path in ("/users", "/openapi.json", "/orgsx/acme"):
        assert door.ask(ann, "GET", path).status == 299
    assert door.ask(ann, "GET", "/orgs/acme", host=HOST).status == 299
    assert len(door.led_on) == 4


def test_whatever_is_asked_of_the_others_nothing_is_told_or_changed(door: Door) -> None:
    """Two organisations, and what one of them asks for at random of the other's."""
    dice, ann, bob = random.Random(10), door.people["acme"], door.people["beta"]
    group = door.ask(bob, "POST", "/orgs/beta/groups", {"name": "secret-group"}).json["id"]
    token = door.ask(bob, "POST", "/orgs/beta/directory/tokens", {"name": "secret-token"}).json["id"]
    assert door.ask(bob, "POST", "/orgs/beta/domains", {"domain": "secret.example"}).status == 201
    places = (
        "",
        "/members",
        f"/members/{bob.id}",
        "/groups",
        f"/groups/{group}",
        f"/groups/{group}/members",
        f"/groups/{group}/members/{bob.id}",
        "/domains",
        "/domains/secret.example",
        "/domains/secret.example/verify",
        "/domains/secret.example/confirm",
        "/directory",
        "/directory/tokens",
        f"/directory/tokens/{token}",
        "/identity-providers",
        "/identity-providers/beta.x",
    )
    values = (None, {"name": "mine"}, {"roles": []}, {"domain": "secret.example"}, {"join_by": "subject"}, {})

    def kept() -> list[bytes]:
        parts = ("", "/members", "/groups", f"/groups/{group}/members", "/domains", "/directory/tokens")
        return [door.api.call("GET", f"/orgs/beta{part}").body for part in parts]

    before = kept()
    for _ in range(REQUESTS):
        method = dice.choice(("GET", "POST", "PUT", "PATCH", "DELETE"))
        slug = dice.choice(("acme", "beta", "beta"))
        value = None if method in {"GET", "DELETE"} else dice.choice(values)
        place = dice.choice(places[1:] if slug == "acme" else places)
        told = door.ask(ann, method, f"/orgs/{slug}{place}", value)
        assert slug == "acme" or told.status in {404, 405}, (method, slug, place, told.status)
        assert bob.id.encode() not in told.body
        assert b"secret-" not in told.body
    assert kept() == before
