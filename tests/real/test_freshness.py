"""Routes that ask for a fresh sign-in: the provider must prove it, whatever is left out on the way there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from yarl import URL

from tests.ports import Ports
from tests.real.edges import started
from tests.real.gateway import Gateway
from tests.real.house import NAVIGATION
from tests.real.openid import client
from tests.real.realm import HANDOFF, PROVIDER, open_realm
from tests.real.rogue import Later, Rogue
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

BANK = """
host "bank.localhost" {
  backend        = "internal:echo"
  sign_in        = ["op"]
  session_bearer = true
  access { allow = ["anyone"] }
  route "/pay" { max_age = "1h" }
}
"""


@dataclass
class Answer:
    """An answer read to its end."""

    status: int
    url: URL
    headers: aiohttp.typedefs.LooseHeaders
    text: str

    @property
    def location(self) -> URL:
        return self.url.join(URL(self.headers["Location"], encoded=True))


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, base: str, visitor: aiohttp.ClientSession) -> None:
        self.base = base
        self.visitor = visitor

    async def get(self, path: str | URL, *, follow: bool = False, **headers: str) -> Answer:
        return await self._ask("GET", path, follow=follow, headers={**NAVIGATION, **headers})

    async def program(self, path: str, **headers: str) -> Answer:
        return await self._ask("GET", path, headers={"Accept": "application/json", **headers})

    async def post(self, path: str) -> Answer:
        headers = {**NAVIGATION, "Origin": self.base, "Sec-Fetch-Site": "same-origin"}
        return await self._ask("POST", path, headers=headers)

    async def _ask(
        self, method: str, path: str | URL, *, headers: dict[str, str], follow: bool = False
    ) -> Answer:
        url = URL(self.base).join(URL(str(path), encoded=True))
        async with self.visitor.request(method, url, headers=headers, allow_redirects=follow) as answer:
            return Answer(answer.status, answer.url, answer.headers, await answer.text())

    async def user(self) -> str | None:
        async with self.visitor.get(f"{self.base}/@/session") as answer:
            return str((await answer.json())["user"]["id"]) if answer.status == 200 else None


# -- a provider that a test makes say what it wants -------------------------------------------


@dataclass
class Den:
    """A gateway whose provider says of when people signed in what a test wants."""

    person: Person
    rogue: Rogue
    gateway: Gateway

    async def sign_in(self, path: str = "/@op/signin?rd=/", **claims: object) -> Answer:
        self.rogue.claims = claims
        return await self.person.get(path, follow=True)

    @property
    def asked(self) -> dict[str, str]:
        """What the provider was asked last."""
        path = next(path for _, path, _ in reversed(self.rogue.seen) if path.startswith("/authorize"))
        return dict(URL(path, encoded=True).query)


@pytest.fixture
async def den(gateway, ports: Ports) -> AsyncIterator[Den]:
    async with Rogue(ports.take()) as rogue, new_visitor() as visitor:
        running = gateway(PROVIDER.replace("ISSUER", rogue.issuer) + BANK)
        yield Den(Person(f"http://bank.localhost:{running.port}", visitor), rogue, running)


async def test_who_signed_in_long_ago_at_the_provider_did_so_long_ago_here(den: Den) -> None:
    """Threat: somebody at another's desk, who leaves the question out and comes back by the provider's old session."""
    page = await den.sign_in(auth_time=Later(-7200))
    assert page.status == 200
    assert int(den.asked["max_age"]) > 365 * 86400
    assert "prompt" not in den.asked
    to = (await den.person.get("/pay")).location
    assert to.path_qs == "/@/signin?rd=/pay"
    # Led there, the provider is asked for a sign-in of the last hour; it goes by its old session all the same.
    page = await den.sign_in(to, auth_time=Later(-7200))
    assert (page.status, "/@op/signin" in page.text) == (502, True)
    assert (den.asked["max_age"], den.asked["prompt"]) == ("3600", "login")
    assert (await den.person.get("/pay")).status == 302
    assert '"detail":"auth_time does not fit"' in den.gateway.log
    # What was signed in before goes on where nothing is asked.
    assert (await den.person.get("/")).status == 200


async def test_a_provider_that_does_not_say_proves_nothing(den: Den) -> None:
    assert (await den.sign_in(auth_time=...)).status == 502
    assert await den.person.user() is None
    for wrong in ("now", -1, True, Later(7200), [Later(0)]):
        assert (await den.sign_in("/@op/signin?rd=/pay", auth_time=wrong)).status == 502
    assert await den.person.user() is None


async def test_who_signs_in_again_comes_back_to_where_they_were(den: Den) -> None:
    await den.sign_in(auth_time=Later(-7200))
    user = await den.person.user()
    page = await den.sign_in((await den.person.get("/pay?to=ann&much=5")).location, auth_time=Later(0))
    assert (page.status, page.url.path_qs) == (200, "/pay?to=ann&much=5")
    assert await den.person.user() == user


async def test_another_account_at_that_step_is_another_persons_session(den: Den) -> None:
    await den.sign_in(auth_time=Later(-7200))
    user = await den.person.user()
    jar = {one.key: one.value for one in den.person.visitor.cookie_jar}
    den.rogue.userinfo = {"sub": "mallory"}
    page = await den.sign_in("/@/signin?rd=/pay", sub="mallory", auth_time=Later(0))
    assert page.status == 200
    assert await den.person.user() not in (None, user)
    async with new_visitor() as visitor:
        visitor.cookie_jar.update_cookies(jar, URL(den.person.base))
        assert await Person(den.person.base, visitor).user() is None


async def test_a_form_is_not_sent_on_and_a_program_is_told(den: Den) -> None:
    await den.sign_in(auth_time=Later(-7200))
    page = await den.person.post("/pay")
    assert (page.status, "sign in once more" in page.text) == (401, True)
    answer = await den.person.program("/pay")
    assert (answer.status, '"code":"sign_in_too_old"' in answer.text) == (401, True)
    asked = answer.headers["WWW-Authenticate"]
    assert asked.startswith('Bearer realm="bank.localhost", error="insufficient_user_authentication"')
    assert asked.endswith('max_age="3600"')


async def test_a_bearer_is_as_old_as_its_session(den: Den) -> None:
    await den.sign_in(auth_time=Later(-7200))
    name = f"vestibule-{den.gateway.port}"
    (handle,) = (one.value for one in den.person.visitor.cookie_jar if one.key == name)
    async with new_visitor() as visitor:
        phone = Person(den.person.base, visitor)
        shown = {"Authorization": f"Bearer {handle}"}
        assert (await phone.program("/", **shown)).status == 200
        assert handle not in (await phone.program("/", **shown)).text
        answer = await phone.program("/pay", **shown)
        assert (answer.status, '"code":"sign_in_too_old"' in answer.text) == (401, True)


# -- the real oidc-provider -------------------------------------------------------------------


async def test_the_real_provider_asks_people_again(openid, gateway, ports: Ports) -> None:
    port = ports.take()
    base = f"http://bank.localhost:{port}"
    provider = openid(client("app", f"{base}/@op/callback"))
    gateway(PROVIDER.replace("ISSUER", provider.issuer) + BANK, port=port)
    async with new_visitor() as visitor:
        alice = Person(base, visitor)

        def asked() -> int:
            return sum(count for path, count in provider.counts().items() if "/interaction/" in path)

        page = await alice.get("/@/signin?rd=/pay&login_hint=alice", follow=True)
        assert (page.status, page.url.path) == (200, "/pay")
        before = asked()
        # By the provider's own session nobody is asked anything.
        page = await alice.get("/@op/signin?rd=/&login_hint=alice", follow=True)
        assert (page.status, asked()) == (200, before)
        # A program leads them there with less time than has passed: they are asked, and it is proven.
        page = await alice.get("/@/signin?rd=/pay&max_age=0&login_hint=alice", follow=True)
        assert (page.status, page.url.path) == (200, "/pay")
        assert asked() > before
        # Who takes the question out of the address has nothing proven.
        to = (await alice.get("/@/signin?rd=/pay&max_age=0&login_hint=alice")).location
        bare = to.without_query_params("max_age", "prompt")
        page = await alice.get(bare, follow=True)
        assert page.status == 502


async def test_a_domains_auth_host_asks_for_the_host_that_wants_to_know(openid, gateway, ports) -> None:
    async with contextlib.AsyncExitStack() as people:
        pay = """
        host "app.vestibule.localhost" {
          backend = "internal:echo"
          sign_in = ["op"]
          access { allow = ["anyone"] }
          route "/pay" { max_age = "5s" }
        }
        """
        realm = open_realm(openid, gateway, ports, people, pay, HANDOFF)
        alice = await realm.person()
        page = await alice.sign_in("app", path="/")
        assert page.status == 200
        async with asyncio.timeout(60):
            while (turned := await alice.get(realm.url("app", "/pay"))).status == 200:
                await asyncio.sleep(0.1)
        assert turned.location.path == "/@/signin"
        page = await alice.get(turned.location.update_query(login_hint="alice"), follow=True)
        assert (page.status, page.url) == (200, realm.url("app", "/pay"))
        assert "auth.vestibule.localhost/@op/signin" not in page.way  # straight on, for the one provider
        assert any("/interaction/" in path for path in realm.provider.counts())


# -- edges --------------------------------------------------------------------------------------

ASKED = """
gateway {
  http            = ["127.0.0.1:{port}"]
  forward_auth    = "127.0.0.1:ASKED"
  trusted_proxies = ["127.0.0.1"]
}
"""


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_an_edge_leads_people_to_the_provider_and_back(  # noqa: PLR0917 - fixtures
    name: str, gateway, api, ports: Ports, servers, tmp_path
) -> None:
    port, app = ports.take(), await api()
    base = f"http://bank.localhost:{port}"
    host = BANK.replace('"internal:echo"', f'"127.0.0.1:{app.port}"\n  public_url = "{base}"')
    asked = ASKED.replace("ASKED", str(ports.take())) + PROVIDER.partition("}\n")[2]
    async with Rogue(ports.take()) as rogue, new_visitor() as visitor:
        running = gateway(asked.replace("ISSUER", rogue.issuer) + host)
        edge = started(name, running.file, tmp_path / "edge")
        servers.callback(edge.stop)
        edge.wait_port(port)
        den = Den(Person(base, visitor), rogue, running)
        assert (await den.sign_in(auth_time=Later(-7200))).status == 200
        assert (await den.person.get("/")).status == 200
        before = len(app.seen)
        assert (await den.person.program("/pay")).status == 401
        turned = await den.person.get("/pay?to=ann")
        assert (turned.status, turned.location.path) == (302, "/@/signin")
        assert turned.location.query["rd"] == "/pay?to=ann"
        assert len(app.seen) == before
        page = await den.sign_in(turned.location, auth_time=Later(0))
        assert (page.status, page.url.path_qs) == (200, "/pay?to=ann")
        assert (await den.person.program("/pay")).status == 200
        assert app.seen[-1].target == "/pay"
