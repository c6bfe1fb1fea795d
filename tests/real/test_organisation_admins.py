"""Who runs an organisation manages it by their session, through the whole gateway: that one, and nothing else."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from yarl import URL

from tests.real.house import CONFIGURATION, Browser, House, build
from vestibule.admin_link import TIMEOUT_S, Link

pytestmark = pytest.mark.real

NOBODY = "0" * 22


@dataclasses.dataclass
class Told:
    """An answer of the API."""

    status: int
    headers: Any
    json: Any

    @property
    def code(self) -> str:
        """The status and the code of an error, which is a problem as RFC 9457 has it."""
        assert self.headers["content-type"] == "application/problem+json", self.json
        return f"{self.status} {self.json['code']}"


class Runner:
    """Somebody at a browser, whose pages ask the API."""

    def __init__(self, browser: Browser, user_id: str = "") -> None:
        self.browser = browser
        self.user_id = user_id

    async def ask(
        self, method: str, path: str, value: Any = None, *, headers: dict[str, str] | None = None
    ) -> Told:
        """The answer below `/api/v1`."""
        house = self.browser.house
        sent = {"Origin": house.origin, "Content-Type": "application/json"} if headers is None else headers
        async with self.browser.session.request(
            method,
            URL(f"{house.origin}/api/v1{path}", encoded=True),
            data=b"" if value is None else msgspec.json.encode(value),
            headers=sent,
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            is_json = "json" in answer.headers.get("content-type", "")
            return Told(answer.status, answer.headers, msgspec.json.decode(body) if is_json else body)


@pytest.fixture
async def house(request, ports, api, openid, gateway) -> House:
    text = CONFIGURATION.replace('  sign_in = ["op"]', '  sign_in = ["op", "*"]\n  organisations = true')
    workers = (
        f'gateway {{\n  fetch_allow = ["127.0.0.0/8"]\n  workers = {getattr(request, "param", 1)}\n  http ='
    )
    return await build(
        ports=ports,
        api=api,
        openid=openid,
        gateway=gateway,
        configuration=text.replace("gateway {\n  http =", workers, 1),
    )


@pytest.fixture
def operator(house: House) -> Link:
    """The operator, at the socket, who has made two organisations."""
    link = Link(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}", timeout_s=TIMEOUT_S)
    for slug in ("acme", "beta"):
        link.call("POST", "/orgs", {"slug": slug, "name": slug.title()})
    return link


@pytest.fixture
async def people(house: House, operator: Link) -> AsyncIterator[dict[str, Runner]]:
    """alice runs acme, bob beta."""
    async with house.browser() as alice, house.browser() as bob:
        found = {}
        for slug, browser, name in (("acme", alice, "alice"), ("beta", bob, "bob")):
            await browser.sign_in(name)
            who = await browser.who()
            assert who is not None
            operator.call("PUT", f"/orgs/{slug}/members/{who['user']['id']}", {"roles": ["admin"]})
            found[name] = Runner(browser, who["user"]["id"])
        yield found


async def test_they_manage_all_of_their_own(house: House, operator: Link, people: dict[str, Runner]) -> None:
    alice = people["alice"]
    assert (await alice.ask("GET", "/orgs/acme")).json["name"] == "Acme"
    renamed = await alice.ask("PATCH", "/orgs/acme", {"name": "Acme Ltd"})
    assert (renamed.status, renamed.json["name"]) == (200, "Acme Ltd")

    assert (await alice.ask("POST", "/orgs/acme/domains", {"domain": "acme.example"})).status == 201
    [domain] = (await alice.ask("GET", "/orgs/acme/domains")).json["items"]
    assert (domain["domain"], domain["verified_at"]) == ("acme.example", None)

    group = await alice.ask("POST", "/orgs/acme/groups", {"name": "ops"})
    place = f"/orgs/acme/groups/{group.json['id']}/members/{alice.user_id}"
    assert (await alice.ask("PUT", place)).status == 204
    roles = {"roles": ["admin", "deploy"]}
    assert (await alice.ask("PUT", f"/orgs/acme/members/{alice.user_id}", roles)).status == 200
    [member] = (await alice.ask("GET", "/orgs/acme/members")).json["items"]
    assert (member["user_id"], member["roles"]) == (alice.user_id, ["admin", "deploy"])

    made = await alice.ask("POST", "/orgs/acme/directory/tokens", {"name": "Okta"})
    assert made.json["token"].startswith("vst_scim_")
    assert (await alice.ask("PUT", "/orgs/acme/directory", {"join_by": "user_name"})).status == 200
    document = {
        "id": "acme.login",
        "provider_type": "oidc",
        "email_domains": ["acme.example"],
        "openid_config": {
            "client_id": "acme",
            "client_secret": "acme-secret",
            "issuer_url": house.provider.issuer,
        },
    }
    added = await alice.ask("POST", "/orgs/acme/identity-providers", document)
    assert added.status == 201, added.json
    assert "acme-secret" not in str(added.json)
    assert (await alice.ask("DELETE", "/orgs/acme/identity-providers/acme.login")).status == 204

    wanted = {
        "org.updated",
        "org.domain_added",
        "org.group_created",
        "org.group_joined",
        "org.member_changed",
        "directory.token_created",
        "provider.created",
        "provider.deleted",
    }
    async with asyncio.timeout(60):
        while not wanted <= told_of(operator, alice.user_id):
            await asyncio.sleep(0.05)


def told_of(operator: Link, user_id: str) -> set[str]:
    """What the trail says that they have done."""
    rows = msgspec.json.decode(operator.call("GET", f"/audit?actor=user%20{user_id}&limit=100"))["items"]
    return {row["action"] for row in rows}


WITHIN = (
    ("GET", "", None),
    ("PATCH", "", {"name": "Mine"}),
    ("GET", "/domains", None),
    ("POST", "/domains", {"domain": "x.example"}),
    ("GET", "/members", None),
    ("GET", f"/members/{NOBODY}", None),
    ("PUT", f"/members/{NOBODY}", {"roles": []}),
    ("GET", "/groups", None),
    ("POST", "/groups", {"name": "x"}),
    ("GET", "/identity-providers", None),
    ("POST", "/identity-providers", {"id": "beta.x", "provider_type": "oidc"}),
    ("GET", "/directory", None),
    ("PUT", "/directory", {"join_by": "subject"}),
    ("GET", "/directory/tokens", None),
    ("POST", "/directory/tokens", {}),
    ("DELETE", f"/directory/tokens/{NOBODY}", None),
)


def kept_of(operator: Link, slug: str) -> list[bytes]:
    """All that an operator sees of an organisation."""
    places = ("", "/domains", "/members", "/groups", "/identity-providers", "/directory", "/directory/tokens")
    return [operator.call("GET", f"/orgs/{slug}{place}") for place in places]


async def test_two_organisations_do_not_see_each_other(operator: Link, people: dict[str, Runner]) -> None:
    alice, bob = people["alice"], people["bob"]
    theirs = await bob.ask("POST", "/orgs/beta/groups", {"name": "ops"})
    token = await bob.ask("POST", "/orgs/beta/directory/tokens", {})
    before = kept_of(operator, "beta")
    answers = [await alice.ask(method, f"/orgs/beta{path}", value) for method, path, value in WITHIN]
    nowhere = [await alice.ask(method, f"/orgs/gamma{path}", value) for method, path, value in WITHIN]
    assert {told.code for told in (*answers, *nowhere)} == {"404 not_found"}
    assert {told.json["detail"] for told in (*answers, *nowhere)} == {"There is no such thing here."}
    # by a path of their own, what is the other's
    assert (await alice.ask("PUT", f"/orgs/acme/members/{bob.user_id}", {"roles": []})).status == 404
    assert (await alice.ask("DELETE", f"/orgs/acme/groups/{theirs.json['id']}")).status == 404
    place = f"/orgs/acme/groups/{theirs.json['id']}/members/{alice.user_id}"
    assert (await alice.ask("PUT", place)).status == 404
    assert (await alice.ask("DELETE", f"/orgs/acme/directory/tokens/{token.json['id']}")).status == 404
    assert kept_of(operator, "beta") == before


async def test_nothing_else_of_the_api_is_there(house: House, people: dict[str, Runner]) -> None:
    alice = people["alice"]
    for method, path in (
        ("GET", "/orgs"),
        ("POST", "/orgs"),
        ("GET", "/orgs/"),
        ("DELETE", "/orgs/acme"),
        ("POST", "/orgs/acme/domains/acme.example/confirm"),
        ("GET", "/orgs/acme/nothing"),
        ("GET", "/orgs/acme%2fmembers"),
    ):
        told = await alice.ask(method, path, {"slug": "gamma", "name": "x"} if method == "POST" else None)
        assert told.status in {400, 404}, (path, told.json)
    for path in ("/users", "/sessions", "/openapi.json", "/audit", "/orgsx/acme"):
        seen = len(house.app.seen)
        await alice.ask("GET", path)
        assert len(house.app.seen) == seen + 1, f"{path} is the app's"


@pytest.mark.parametrize("house", [1, 2], indirect=True)
async def test_who_does_not_run_it_is_told_no_more_than_that(
    house: House, operator: Link, people: dict[str, Runner]
) -> None:
    alice = people["alice"]
    async with house.browser() as browser:
        nobody = Runner(browser)
        told = await nobody.ask("GET", "/orgs/acme")
        assert (told.code, told.headers["www-authenticate"]) == (
            "401 sign_in_required",
            'Vestibule realm="sign-in"',
        )
        assert (await nobody.ask("GET", "/orgs/gamma")).code == "401 sign_in_required"
        await browser.sign_in("mallory")
        who = await browser.who()
        assert who is not None
        assert (await nobody.ask("GET", "/orgs/acme")).code == "404 not_found"
        operator.call("PUT", f"/orgs/acme/members/{who['user']['id']}", {"roles": ["admins"]})
        assert (await nobody.ask("GET", "/orgs/acme")).code == "403 org_admin"
        assert (await nobody.ask("POST", "/orgs/acme/groups", {"name": "x"})).code == "403 org_admin"
        # given by who runs it, and taken: both hold at the next request
        for _ in range(3):
            await alice.ask("PUT", f"/orgs/acme/members/{who['user']['id']}", {"roles": ["admin"]})
            assert (await nobody.ask("GET", "/orgs/acme")).status == 200
            await alice.ask("PUT", f"/orgs/acme/members/{who['user']['id']}", {"roles": []})
            assert (await nobody.ask("GET", "/orgs/acme")).code == "403 org_admin"
        # a token is nobody's way in, whoever's cookie comes along
        bearer = {"Authorization": "Bearer vst_admin_x", "Origin": house.origin}
        assert (await nobody.ask("GET", "/orgs/acme", headers=bearer)).status in {401, 403}


async def test_no_other_site_acts_with_their_cookie(house: House, people: dict[str, Runner]) -> None:
    alice = people["alice"]
    kind = {"Content-Type": "application/json"}
    for origin in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": house.origin.replace("http:", "https:")},
    ):
        told = await alice.ask("POST", "/orgs/acme/groups", {"name": "x"}, headers={**kind, **origin})
        assert told.code == "403 cross_origin"
    form = {"Origin": house.origin, "Content-Type": "text/plain"}
    assert (await alice.ask("POST", "/orgs/acme/groups", {"name": "x"}, headers=form)).code == "415 body_type"
    assert (await alice.ask("GET", "/orgs/acme/groups")).json["items"] == []
    told = await alice.ask("GET", "/orgs/acme", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in told.headers
    assert told.headers["cache-control"] == "no-store"
