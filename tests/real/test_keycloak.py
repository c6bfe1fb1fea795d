"""Signing in through the whole gateway with the real Keycloak: roles, groups, refresh, and what its admins do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.ports import Ports
from tests.real.api import Api
from tests.real.gateway import Gateway
from tests.real.keycloak import Keycloak, Realm, form_of
from tests.real.visitor import new_visitor

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("keycloak"), pytest.mark.timeout(360)]

HCL = """
gateway {
  http = ["127.0.0.1:{port}"]
}

lifetimes {
  restriction = "RESTRICTION"
}

provider "kc" {
  type          = "keycloak"
  base_url      = "SERVER"
  realm         = "REALM"
  client_id     = "app"
  client_secret = "app-secret"
  MORE
}

host "app.localhost" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["kc"]
  access {
    allow = ["anyone"]
  }
  route "/realm-role/" {
    access {
      allow = ["role:editor"]
    }
  }
  route "/own-role/" {
    access {
      allow = ["role:app:writer"]
    }
  }
  route "/other-role/" {
    access {
      allow = ["role:billing:writer"]
    }
  }
  route "/group/" {
    access {
      allow = ["group:/staff/berlin"]
    }
  }
  route "/not-for-auditors/" {
    access {
      allow = ["anyone"]
      deny  = ["role:auditor"]
    }
  }
}
"""


class Stage:
    """A gateway before an app, a realm of its own, and people with browsers."""

    def __init__(self, gateway: Gateway, realm: Realm, app: Api, visitors: contextlib.AsyncExitStack) -> None:
        self.gateway = gateway
        self.realm = realm
        self.app = app
        self.base = f"http://app.localhost:{gateway.port}"
        self._visitors = visitors

    async def person(self) -> Person:
        """Somebody with a new browser."""
        return Person(
            self, await self._visitors.enter_async_context(new_visitor(secure=self.realm.server.url))
        )


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, stage: Stage, visitor: aiohttp.ClientSession) -> None:
        self.stage = stage
        self.visitor = visitor

    async def get(self, target: str | URL) -> tuple[int, URL, str]:
        """A navigation, followed to its end: status, where that is, and the text."""
        headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
        url = URL(self.stage.base).join(URL(str(target), encoded=True))
        async with self.visitor.get(url, headers=headers) as answer:
            return answer.status, answer.url, await answer.text()

    async def status(self, target: str) -> int:
        """What the page at this path is answered with."""
        return (await self.get(target))[0]

    async def sign_in(
        self, login: str = "alice", rd: str = "/", *, password: str = ""
    ) -> tuple[int, URL, str]:
        """Through Keycloak's own form; where the person ends."""
        _, at, page = await self.get(f"/@kc/signin?rd={rd}")
        assert str(at).startswith(self.stage.realm.issuer), page
        form = {"username": login, "password": password or login}
        async with self.visitor.post(URL(form_of(page), encoded=True), data=form) as answer:
            return answer.status, answer.url, await answer.text()

    async def who(self) -> dict[str, Any] | None:
        """What `/@/session` says; None when nobody is signed in."""
        async with self.visitor.get(f"{self.stage.base}/@/session") as answer:
            return None if answer.status == 401 else dict(await answer.json())


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest,
    keycloak: Keycloak,
    gateway: Callable[..., Gateway],
    api: Callable[..., Any],
    ports: Ports,
) -> AsyncIterator[Stage]:
    settings = {"restriction": "1h", "more": "", **getattr(request, "param", {})}
    port = ports.take()
    base = f"http://app.localhost:{port}"
    realm = keycloak.realm(f"{base}/@kc/callback", f"{base}/@/signedout")
    app = await api()
    text = HCL.replace("SERVER", keycloak.url).replace("REALM", realm.name).replace("BACKEND", str(app.port))
    text = text.replace("RESTRICTION", settings["restriction"]).replace("MORE", settings["more"])
    async with contextlib.AsyncExitStack() as visitors:
        yield Stage(gateway(text, port=port), realm, app, visitors)


def with_settings(**settings: str) -> Any:
    return pytest.mark.parametrize("stage", [settings], indirect=True, ids=[""])


async def test_a_person_signs_in_and_the_app_hears_of_their_groups(stage: Stage) -> None:
    alice = await stage.person()
    status, at, _ = await alice.sign_in("alice", "/deep/page?x=1")
    assert (status, at.path_qs) == (200, "/deep/page?x=1")
    seen = stage.app.seen[-1]
    assert seen.one("User-Email") == "alice@example.com"
    assert seen.one("User-Login") == "alice"
    assert seen.one("User-Groups") == "/staff/berlin"


@pytest.mark.parametrize(
    ("path", "alice", "bob"),
    [
        ("/realm-role/", 200, 403),
        ("/own-role/", 200, 403),
        ("/other-role/", 403, 403),
        ("/group/", 200, 403),
        ("/not-for-auditors/", 403, 200),
    ],
)
async def test_roles_and_groups_let_in_and_keep_out(stage: Stage, path: str, alice: int, bob: int) -> None:
    for login, expected in (("alice", alice), ("bob", bob)):
        person = await stage.person()
        assert (await person.sign_in(login))[0] == 200
        assert await person.status(path) == expected


async def test_a_wrong_password_never_leads_back(stage: Stage) -> None:
    alice = await stage.person()
    _, at, _ = await alice.sign_in("alice", password="wrong")
    assert str(at).startswith(stage.realm.issuer)
    assert await alice.who() is None


@with_settings(more='allowed_roles = ["editor", "app:other"]')
async def test_only_those_with_an_allowed_role_are_let_in(stage: Stage) -> None:
    alice, bob = await stage.person(), await stage.person()
    assert (await alice.sign_in("alice"))[0] == 200
    assert (await bob.sign_in("bob"))[0] == 403
    assert await bob.who() is None


@with_settings(more='allowed_groups = ["/guests"]')
async def test_only_members_of_an_allowed_group_are_let_in(stage: Stage) -> None:
    alice, bob = await stage.person(), await stage.person()
    assert (await alice.sign_in("alice"))[0] == 403
    assert await alice.who() is None
    assert (await bob.sign_in("bob"))[0] == 200


@with_settings(restriction="1s")
async def test_a_role_that_is_taken_there_is_missing_here_without_a_new_sign_in(stage: Stage) -> None:
    alice = await stage.person()
    await alice.sign_in("alice")
    assert await alice.status("/realm-role/") == 200
    stage.realm.take_role("alice", "editor")
    await until(alice, "/realm-role/", 403)
    assert await alice.status("/own-role/") == 200


@with_settings(restriction="1s")
async def test_who_leaves_a_group_there_is_out_of_it_here(stage: Stage) -> None:
    alice = await stage.person()
    await alice.sign_in("alice")
    assert await alice.status("/group/") == 200
    stage.realm.leave_group("alice", "staff/berlin")
    await until(alice, "/group/", 403)
    assert await alice.status("/") == 200


@with_settings(restriction="1s", more='allowed_roles = ["editor"]')
async def test_who_loses_the_role_that_lets_in_is_out(stage: Stage) -> None:
    alice = await stage.person()
    await alice.sign_in("alice")
    stage.realm.take_role("alice", "editor")
    await gone(alice)
    assert stage.realm.sessions("alice") == 1  # still signed in there: it is this gateway that says no


@with_settings(restriction="1s")
async def test_a_session_that_is_ended_there_is_over_here(stage: Stage) -> None:
    alice, bob = await stage.person(), await stage.person()
    await alice.sign_in("alice")
    await bob.sign_in("bob")
    stage.realm.end_sessions("alice")
    await gone(alice)
    assert await bob.status("/") == 200


@with_settings(restriction="1s")
async def test_a_key_rotation_disturbs_nobody(stage: Stage) -> None:
    alice, bob = await stage.person(), await stage.person()
    await alice.sign_in("alice")
    before = stage.realm.key_ids()
    stage.realm.rotate_keys()
    assert stage.realm.key_ids() > before
    assert (await bob.sign_in("bob"))[0] == 200
    stage.realm.take_role("alice", "editor")
    await until(alice, "/realm-role/", 403)  # her refreshed tokens are signed with the new key, and believed
    assert await alice.status("/own-role/") == 200


async def test_signing_out_here_signs_out_there(stage: Stage) -> None:
    alice = await stage.person()
    await alice.sign_in("alice")
    assert stage.realm.sessions("alice") == 1
    status, at, _ = await alice.get("/@/signout")
    assert (status, at.path) == (200, "/@/signedout")
    assert await alice.who() is None
    assert stage.realm.sessions("alice") == 0
    _, at, _ = await alice.get("/@kc/signin")
    assert str(at).startswith(stage.realm.issuer)  # the form again, not straight back


async def until(person: Person, path: str, status: int) -> None:
    """Returns once the page is answered with this status."""
    for _ in range(600):
        if await person.status(path) == status:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{path} never came to {status}")


async def gone(person: Person) -> None:
    """Returns once the person isn't signed in any more."""
    for _ in range(600):
        async with person.visitor.get(f"{person.stage.base}/") as answer:  # not a navigation: leads nowhere
            if answer.status == 401:
                assert await person.who() is None
                return
        await asyncio.sleep(0.1)
    raise AssertionError("still signed in")
