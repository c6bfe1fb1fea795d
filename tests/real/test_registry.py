"""Identity providers that come and go while the gateway runs, with the real oidc-provider: add, change, test, remove."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ports import Ports
from tests.real.openid import OpenId, client
from tests.real.served import Person, Served

pytestmark = pytest.mark.real


class Stage:
    """Two gateways on one database, and a provider that knows them both."""

    def __init__(self, first: Served, second: Served, provider: OpenId) -> None:
        self.first = first
        self.second = second
        self.provider = provider

    def row(self, **more: Any) -> dict[str, Any]:
        """A provider as the admin API takes it."""
        settings = {
            "client_id": "second",
            "client_secret": "second-secret",
            "issuer_url": self.provider.issuer,
            **more.pop("settings", {}),
        }
        return {
            "id": "second",
            "provider_type": "oidc",
            "email_domains": ["example.com"],
            "openid_config": settings,
            **more,
        }

    async def create(self, **more: Any) -> dict[str, Any]:
        status, made = await self.first.api("POST", "/identity-providers", self.row(**more))
        assert status == 201, made
        return dict(made)


async def eventually(check: Callable[[], Any], *, is_true: bool = True) -> None:
    """Returns once it is so; within the second that is promised, and some for a slow machine."""
    for _ in range(1200):
        if bool(await check()) is is_true:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came to be")


@pytest.fixture
def stage(served, openid, ports: Ports, state_dir: Path) -> Stage:
    one, two = ports.take(), ports.take()
    urls = [f"http://localhost:{port}" for port in (one, two)]
    provider = openid(
        client("first", *(f"{url}/@oidc/callback" for url in urls)),
        client("second", *(f"{url}/{path}" for url in urls for path in ("@second/callback", "auth"))),
        client("third", *(f"{url}/auth" for url in urls)),
    )
    environ = {
        "VESTIBULE_ROOT_DOMAIN": "localhost",
        "VESTIBULE_SESSION_KEY": "0123456789abcdefghijklmnopqrstuvwxyz",
        "VESTIBULE_ALLOWED_DOMAINS": "example.com",
        "VESTIBULE_ALLOW_ALL_USERS": "true",
        "VESTIBULE_PROVIDER_TYPE": "oidc",
        "VESTIBULE_CLIENT_ID": "first",
        "VESTIBULE_CLIENT_SECRET": "first-secret",
        "VESTIBULE_ISSUER_URL": provider.issuer,
        "VESTIBULE_STORE_URL": f"sqlite:{state_dir}/both.db",
        # The provider stands on this machine, which rows may not lead to by themselves.
        "VESTIBULE_GATEWAY_FETCH_ALLOW": "127.0.0.0/8",
    }
    return Stage(served(one, environ), served(two, environ), provider)


async def test_a_provider_that_is_added_signs_people_in_at_every_gateway(stage: Stage, people) -> None:
    made = await stage.create(title="Second")
    assert made["redirect_urls"] == [f"{stage.first.base}/@second/callback"]
    assert "second-secret" not in str(made)
    alice: Person = people()
    # In this process at once.
    _, _, page = await alice.get(f"{stage.first.base}/@/signin")
    assert "Second" in page
    status, url, _ = await alice.sign_in(stage.first.base, by="second")
    assert (status, url) == (200, f"{stage.first.base}/@/account")
    assert await alice.who(stage.first.base) == "alice@example.com"
    # In the other within a second.
    bob: Person = people()

    async def offered() -> bool:
        return "Second" in (await bob.get(f"{stage.second.base}/@/signin"))[2]

    await eventually(offered)
    assert (await bob.sign_in(stage.second.base, "bob", by="second"))[0] == 200
    assert await bob.who(stage.second.base) == "bob@example.com"


@pytest.mark.parametrize("way", ["disable", "delete"])
async def test_people_of_a_provider_that_is_taken_away_are_out(stage: Stage, people, way) -> None:
    await stage.create()
    alice, bob = people(), people()

    async def known() -> bool:
        return (await bob.leads(f"{stage.second.base}/@second/signin"))[0] == 303

    await eventually(known)
    await alice.sign_in(stage.first.base, by="second")
    await bob.sign_in(stage.second.base, "bob", by="second")
    assert await alice.leads(f"{stage.first.base}/") == (303, "/@/account")
    assert await bob.leads(f"{stage.second.base}/") == (303, "/@/account")
    if way == "delete":
        status, _ = await stage.first.api("DELETE", "/identity-providers/second")
    else:
        status, _ = await stage.first.api("PATCH", "/identity-providers/second", {"enabled": False})
    assert status in (200, 204)
    assert (await alice.leads(f"{stage.first.base}/"))[0] == 302
    # What belongs to nobody is the backend's, and that is behind the sign-in.
    status, to = await alice.leads(f"{stage.first.base}/@second/signin")
    assert (status, to.startswith(f"{stage.first.base}/@/signin?")) == (302, True)

    async def out() -> bool:
        return (await bob.leads(f"{stage.second.base}/"))[0] == 302

    await eventually(out)


async def test_a_restriction_that_is_changed_holds_for_the_next_sign_in(stage: Stage, people) -> None:
    await stage.create(settings={"allowed_groups": ["admins"], "scopes": ["openid", "email", "groups"]})
    alice, bob = people(), people()
    assert (await alice.sign_in(stage.first.base, by="second"))[0] == 200
    assert (await bob.sign_in(stage.first.base, "bob", by="second"))[0] == 403
    patch = {"openid_config": {"allowed_groups": None}}
    assert (await stage.first.api("PATCH", "/identity-providers/second", patch))[0] == 200
    assert (await bob.sign_in(stage.first.base, "bob", by="second"))[0] == 200


async def test_a_restriction_that_is_written_later_puts_people_out_at_every_gateway(
    stage: Stage, people
) -> None:
    await stage.create(settings={"scopes": ["openid", "email", "groups"]})
    alice, bob = people(), people()

    async def known() -> bool:
        return (await bob.leads(f"{stage.second.base}/@second/signin"))[0] == 303

    await eventually(known)
    assert (await alice.sign_in(stage.second.base, by="second"))[0] == 200
    assert (await bob.sign_in(stage.second.base, "bob", by="second"))[0] == 200
    patch = {"openid_config": {"allowed_groups": ["admins"]}}
    assert (await stage.first.api("PATCH", "/identity-providers/second", patch))[0] == 200

    async def out() -> bool:
        return (await bob.leads(f"{stage.second.base}/"))[0] == 302

    await eventually(out)
    assert await alice.leads(f"{stage.second.base}/") == (303, "/@/account")


async def test_a_provider_is_believed_about_its_own_domains_only(stage: Stage, people) -> None:
    await stage.create(email_domains=["example.org"])
    alice = people()
    # Her address is none of theirs, so she has none here, and no rule lets her in.
    assert (await alice.sign_in(stage.first.base, by="second"))[0] == 403


async def test_providers_that_share_a_redirect_url_are_told_apart_by_the_state(stage: Stage, people) -> None:
    shared = {"redirect_url": f"{stage.first.base.removeprefix('http://')}/auth"}
    await stage.create(settings=shared)
    await stage.create(id="third", settings={**shared, "client_id": "third", "client_secret": "third-secret"})
    for who, by in (("alice", "second"), ("bob", "third")):
        person = people()
        status, url, _ = await person.sign_in(stage.first.base, who, by=by)
        assert (status, url) == (200, f"{stage.first.base}/@/account")
        assert await person.who(stage.first.base) == f"{who}@example.com"
    status, _, page = await people().get(f"{stage.first.base}/auth?code=made-up&state=made-up")
    assert (status, "/@second/signin" in page) == (400, True)


async def test_trying_out_a_provider_says_what_is_wrong(stage: Stage) -> None:
    await stage.create()
    status, tried = await stage.first.api("POST", "/identity-providers/second/test")
    assert status == 200, tried
    assert [finding["what"] for finding in tried["findings"] if not finding["ok"]] == [], tried
    found = {finding["what"]: finding for finding in tried["findings"]}
    assert found["redirect URL"]["detail"] == f"{stage.first.base}/@second/callback"
    assert {"discovery", "PKCE", "keys", "authorization page", "client credentials"} <= set(found)
    wrong = {"openid_config": {"client_secret": "wrong"}}
    assert (await stage.first.api("PATCH", "/identity-providers/second", wrong))[0] == 200
    _, tried = await stage.first.api("POST", "/identity-providers/second/test")
    found = {finding["what"]: finding for finding in tried["findings"]}
    assert (tried["ok"], found["client credentials"]["ok"]) == (False, False)
    assert "invalid_client" in found["client credentials"]["detail"]
    other = {"openid_config": {"redirect_url": f"{stage.first.base}/elsewhere"}}
    assert (await stage.first.api("PATCH", "/identity-providers/second", other))[0] == 200
    _, tried = await stage.first.api("POST", "/identity-providers/second/test")
    found = {finding["what"]: finding for finding in tried["findings"]}
    assert found["redirect URL"]["detail"] == f"{stage.first.base}/elsewhere"
    assert not found["authorization page"]["ok"]
    _, tried = await stage.first.api("POST", "/identity-providers/oidc/test")
    assert tried["ok"], tried


async def test_faults_come_with_their_paths_and_conflicts_say_what_to_do(stage: Stage) -> None:
    status, problem = await stage.first.api(
        "POST",
        "/identity-providers",
        {
            "provider_type": "github",
            "email_domains": ["example.com"],
            "github_config": {"client_id": 1, "allowed_orgs": ["a", 2], "web_url": "https://10.0.0.1"},
        },
    )
    assert status == 422
    text = str(problem)
    for path in ("github_config.client_id", "github_config.allowed_orgs[1]", "github_config.web_url"):
        assert path in text
    status, problem = await stage.first.api("POST", "/identity-providers", stage.row(id="oidc"))
    assert (status, problem["code"]) == (409, "taken"), problem
    assert "give this provider another one" in problem["detail"]
    status, problem = await stage.first.api(
        "POST",
        "/identity-providers",
        stage.row(settings={"client_id": "first", "client_secret": "first-secret"}),
    )
    assert (status, problem["code"]) == (409, "duplicate"), problem


async def test_after_a_restart_they_are_still_there(stage: Stage, people, served) -> None:
    await stage.create()
    alice = people()
    await alice.sign_in(stage.first.base, by="second")
    port = int(stage.first.base.rpartition(":")[2])
    stage.first.process.kill()
    again = Served(stage.first.directory, port, stage.first.environ)
    try:
        again.process.wait_port(port)
        # The first request may come before the rows are read: it waits for them.
        assert await alice.leads(f"{again.base}/") == (303, "/@/account")
    finally:
        again.process.stop()
