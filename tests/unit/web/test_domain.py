"""The pages of a domain's hosts and of their auth host, over real services, with browsers that keep cookies."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from msgspec.structs import replace

from tests.unit.service.test_handoff import SHARED, Browser, Hall
from tests.unit.web.asgi import Inert, Reply
from tests.unit.web.lobby import FORM, Lobby
from tests.unit.web.test_app import assert_guarded
from vestibule.core.domain import Domain
from vestibule.core.registration import Rules
from vestibule.core.route import Backend
from vestibule.errors import StoreError
from vestibule.model import Device

AUTH, APP = "https://auth.hall.test", "https://app.hall.test"


class House(Lobby):
    """One gateway's control plane for a domain."""

    def __init__(self, domain: Domain | None = None, rules: Rules | None = None) -> None:
        super().__init__(rules)
        self.hall = Hall(self.world, domain) if domain else Hall(self.world)

    async def at(
        self,
        browser: Browser,
        url: str,
        form: Mapping[str, str] | None = None,
        **headers: str,
    ) -> Reply:
        """A navigation to an address of a host, or a form sent there."""
        parts = urlsplit(url)
        name = (parts.hostname or "").partition(".")[0]
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        method, body = ("GET", b"") if form is None else ("POST", urlencode(form).encode())
        own = (
            {"Origin": f"https://{parts.netloc}", "Sec-Fetch-Site": "same-origin", **FORM}
            if form is not None
            else {}
        )
        sent = {"Accept": "text/html", **own, **headers}
        reply = await self.ask(target, method, sent, await browser.visit(name), body)
        browser.take(name, tuple(reply.cookies))
        return reply

    async def signed_in(self, who: str = "alice") -> Browser:
        browser = Browser(self.hall)
        await browser.sign_in(who)
        return browser


@pytest.fixture
def house() -> House:
    return House()


def leads(reply: Reply) -> str:
    assert reply.status == 303, reply.text
    assert_guarded(reply)
    return reply.headers["location"]


# -- at a host --------------------------------------------------------------------------------


async def test_signing_in_on_a_host_leads_to_the_auth_host_and_back(house: House) -> None:
    alice = await house.signed_in()
    to_auth = leads(await house.at(alice, f"{APP}/@/signin?rd=/deep&login_hint=al"))
    assert to_auth.startswith(f"{AUTH}/@/signin?for=app.hall.test&state=")
    back = leads(await house.at(alice, to_auth))
    assert back.startswith(f"{APP}/@/enter?code=")
    assert leads(await house.at(alice, back)) == "/deep"
    assert (await house.at(alice, f"{APP}/@/session")).json["user"]["name"] == "alice"
    # Whoever is signed in is led on at once.
    assert leads(await house.at(alice, f"{APP}/@/signin?rd=/x")) == "/x"
    assert [line["event"] for line in house.logged] == ["entered"]


async def test_the_account_page_leads_back_to_the_host_that_the_person_was_at(house: House) -> None:
    auth = house.hall.hosts["auth"]
    house.hall.hosts["auth"] = replace(
        auth, routes={b"": replace(auth.routes[b""], backend=Backend(internal="account"))}
    )
    alice = await house.signed_in()
    assert f'href="{APP}/"' not in (await house.at(alice, f"{AUTH}/@/account")).text
    to_auth = leads(await house.at(alice, f"{APP}/@/signin?rd=/deep"))
    await house.at(alice, leads(await house.at(alice, to_auth)))
    assert f'href="{APP}/"' in (await house.at(alice, f"{AUTH}/@/account")).text


async def test_no_address_on_the_way_is_told_to_the_next_site(house: House) -> None:
    alice = await house.signed_in()
    for url in (f"{APP}/@/signin", leads(await house.at(alice, f"{APP}/@/signin"))):
        assert (await house.at(alice, url)).headers["referrer-policy"] == "no-referrer"


async def test_who_is_not_signed_in_goes_through_the_provider_first(house: House) -> None:
    browser = Browser(house.hall)
    to_auth = leads(await house.at(browser, f"{APP}/@/signin?rd=/deep&login_hint=al"))
    to_provider = leads(await house.at(browser, to_auth))  # the host has one provider: straight on
    assert to_provider.startswith("https://op.example/auth?state=")
    assert house.world.ops["google"].started[0].hints == {"login_hint": "al"}
    assert house.world.ops["google"].started[0].redirect_uri == f"{AUTH}/@google/callback"
    state = dict(parse_qsl(urlsplit(to_provider).query))["state"]
    again = leads(await house.at(browser, f"{AUTH}/@google/callback?code=alice&state={state}"))
    back = leads(await house.at(browser, f"{AUTH}{again}"))
    assert leads(await house.at(browser, back)) == "/deep"


async def test_only_what_the_asking_host_has_is_offered(house: House) -> None:
    browser = Browser(house.hall)
    page = await house.at(browser, leads(await house.at(browser, "https://both.hall.test/@/signin")))
    assert page.status == 200
    links = [link for link in Inert(page.text).links if "/signin" in link]
    assert [link.partition("?")[0] for link in links] == ["/@google/signin", "/@github/signin"]
    assert all("rd=%2F%40%2Fsignin%3Ffor%3Dboth.hall.test" in link for link in links)
    wiki = leads(await house.at(browser, leads(await house.at(browser, "https://wiki.hall.test/@/signin"))))
    assert wiki.startswith("https://github.com/auth")


async def test_one_who_is_nobody_there_is_asked_and_one_who_wants_another_account_too(house: House) -> None:
    alice = await house.signed_in()
    wiki = leads(await house.at(alice, leads(await house.at(alice, "https://wiki.hall.test/@/signin"))))
    assert wiki.startswith("https://github.com/auth")
    switch = leads(await house.at(alice, f"{APP}/@/signin?switch"))
    assert "prompt=select_account" in switch
    assert leads(await house.at(alice, switch)).startswith("https://op.example/auth")


async def test_a_client_of_the_top_level_leads_there_and_the_hosts_own_does_not(house: House) -> None:
    browser = Browser(house.hall)
    mixed = "https://mixed.hall.test"
    page = await house.at(browser, f"{mixed}/@/signin")
    links = [link for link in Inert(page.text).links if "/signin" in link]
    assert [link.partition("?")[0] for link in links] == ["/@google/signin", "/@drive/signin"]
    to_auth = leads(await house.at(browser, f"{mixed}/@google/signin?rd=/x"))
    assert to_auth.startswith(f"{AUTH}/@/signin?for=mixed.hall.test")
    assert to_auth.endswith("&provider=google")
    assert leads(await house.at(browser, f"{mixed}/@drive/signin")).startswith("https://drive.example/auth")


async def test_a_made_up_question_gets_a_page_to_start_from(house: House) -> None:
    alice = await house.signed_in()
    page = await house.at(alice, f"{AUTH}/@/signin?for=app.hall.test&state=x&bind=y")
    assert page.status == 400
    assert "/@/signin" in Inert(page.text).links


async def test_a_late_question_starts_anew_on_its_host(house: House) -> None:
    browser = Browser(house.hall)
    to_auth = leads(await house.at(browser, f"{APP}/@/signin"))
    house.world.clock.move(3600)
    assert leads(await house.at(browser, to_auth)) == f"{APP}/@/signin"


# -- coming back ------------------------------------------------------------------------------


async def test_somebody_elses_link_ends_on_a_page_that_starts_anew(house: House) -> None:
    mallory, victim = await house.signed_in("mallory"), Browser(house.hall)
    link = leads(await house.at(mallory, leads(await house.at(mallory, f"{APP}/@/signin?rd=/deep"))))
    page = await house.at(victim, link)
    assert (page.status, page.cookies) == (400, [])
    assert "/@/signin" in Inert(page.text).links
    assert await victim.session("app") is None
    assert [line["code"] for line in house.logged if line["event"] == "refused"] == ["flow_other_browser"]


async def test_a_failed_one_of_ones_own_keeps_the_destination(house: House) -> None:
    alice = await house.signed_in()
    link = leads(await house.at(alice, leads(await house.at(alice, f"{APP}/@/signin?rd=/deep"))))
    house.world.clock.move(61)
    page = await house.at(alice, link)
    assert page.status == 400
    assert "/@/signin?rd=%2Fdeep" in Inert(page.text).links
    assert not [name for name in alice.cookies["app"] if "-flow-" in name]


async def test_while_the_store_is_away_nothing_is_taken_from_the_browser(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await house.signed_in()
    link = leads(await house.at(alice, leads(await house.at(alice, f"{APP}/@/signin"))))

    async def away(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(house.world.store.parking, "parked", away)
    page = await house.at(alice, link)
    assert (page.status, page.cookies) == (503, [])
    monkeypatch.undo()
    assert leads(await house.at(alice, link)) == "/"


async def test_head_takes_nobody_over(house: House) -> None:
    alice = await house.signed_in()
    link = leads(await house.at(alice, leads(await house.at(alice, f"{APP}/@/signin"))))
    parts = urlsplit(link)
    head = await house.ask(f"{parts.path}?{parts.query}", "HEAD", {}, await alice.visit("app"))
    assert head.status == 405
    assert leads(await house.at(alice, link)) == "/"


# -- what the auth host does alone ------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/@/account", "/@/account"),
        ("/@/account/export", "/@/account/export"),
        ("/@/account/register", "/@/account/register"),
        ("/@/account/tokens", "/@/account/tokens"),
        ("/@google/callback?code=a%20b&state=s", "/@google/callback?code=a+b&state=s"),
    ],
)
async def test_a_host_leads_there(house: House, path: str, there: str) -> None:
    assert leads(await house.at(Browser(house.hall), f"{APP}{path}")) == AUTH + there


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/@/account/delete", "/@/account"),
        ("/@/account/link/google", "/@/account"),
        ("/@google/callback", "/@/signin"),
    ],
)
async def test_a_form_that_was_sent_to_the_wrong_host_does_nothing(
    house: House, path: str, there: str
) -> None:
    assert leads(await house.at(Browser(house.hall), f"{APP}{path}", {"code": "x"})) == AUTH + there


@pytest.mark.parametrize("path", ["/@/signedout", "/@/session", "/@/healthz", "/@/signout"])
async def test_the_rest_is_the_hosts_own(house: House, path: str) -> None:
    reply = await house.at(Browser(house.hall), f"{APP}{path}")
    assert not reply.headers.get("location", "").startswith("https://")


async def test_a_path_that_was_registered_is_the_auth_hosts_too(house: House) -> None:
    browser = Browser(house.hall)
    house.hall.hosts["app"] = replace(house.hall.hosts["app"], callbacks={b"/auth": ("google",)})
    assert leads(await house.at(browser, f"{APP}/auth?state=s&code=c")) == f"{AUTH}/auth?state=s&code=c"
    mixed = replace(house.hall.hosts["mixed"], callbacks={b"/auth": ("drive",)})
    house.hall.hosts["mixed"] = mixed
    assert (await house.at(browser, "https://mixed.hall.test/auth?state=s&code=c")).status == 400


async def test_who_came_by_a_hosts_own_client_has_their_account_there(house: House) -> None:
    browser = Browser(house.hall)
    mixed = "https://mixed.hall.test"
    begun = leads(await house.at(browser, f"{mixed}/@drive/signin"))
    state = dict(parse_qsl(urlsplit(begun).query))["state"]
    assert leads(await house.at(browser, f"{mixed}/@drive/callback?code=zoe&state={state}")) == "/"
    assert (await house.at(browser, f"{mixed}/@/account")).status == 200


async def test_a_newcomer_by_a_hosts_own_client_fills_in_the_form_there() -> None:
    house = House(rules=Rules(registration="form"))
    browser = Browser(house.hall)
    mixed = "https://mixed.hall.test"
    begun = leads(await house.at(browser, f"{mixed}/@drive/signin?rd=/x"))
    state = dict(parse_qsl(urlsplit(begun).query))["state"]
    form = leads(await house.at(browser, f"{mixed}/@drive/callback?code=zoe&state={state}"))
    assert form == "/@/account/register"
    assert (await house.at(browser, mixed + form)).status == 200
    assert leads(await house.at(browser, mixed + form, {"name": "Zoë"})) == "/x"


async def test_a_newcomer_goes_on_to_the_host_they_came_from() -> None:
    """Browsers hold a form's page to where its answer may lead, redirects and all."""
    house = House(rules=Rules(registration="form"))
    browser = Browser(house.hall)
    to_provider = leads(await house.at(browser, leads(await house.at(browser, f"{APP}/@/signin?rd=/deep"))))
    state = dict(parse_qsl(urlsplit(to_provider).query))["state"]
    form = leads(await house.at(browser, f"{AUTH}/@google/callback?code=zoe&state={state}"))
    page = await house.at(browser, AUTH + form)
    assert f"form-action 'self' {APP};" in page.headers["content-security-policy"]
    again = leads(await house.at(browser, AUTH + form, {"name": "Zoë"}))
    back = leads(await house.at(browser, AUTH + again))
    assert leads(await house.at(browser, back)) == "/deep"


# -- one cookie -------------------------------------------------------------------------------


async def test_with_one_cookie_the_way_is_there_and_back() -> None:
    house = House(SHARED)
    browser = Browser(house.hall)
    to_auth = leads(await house.at(browser, f"{APP}/@/signin?rd=/deep"))
    assert to_auth == f"{AUTH}/@/signin?rd=https%3A%2F%2Fapp.hall.test%2Fdeep"
    to_provider = leads(await house.at(browser, to_auth))
    state = dict(parse_qsl(urlsplit(to_provider).query))["state"]
    assert (
        leads(await house.at(browser, f"{AUTH}/@google/callback?code=alice&state={state}")) == f"{APP}/deep"
    )
    assert set(browser.cookies["auth"]) == {
        "X-Hall",
        "__Host-vestibule-device",
        "__Host-vestibule-last",
    }


async def test_signing_out_takes_the_one_cookie_back_and_one_of_its_name_that_was_planted() -> None:
    house = House(SHARED)
    alice = Browser(house.hall)
    reply = await house.at(alice, f"{APP}/@/signout", **{"Sec-Fetch-Site": "same-origin"})
    assert [("Domain=hall.test" in line, line.split("=")[0]) for line in reply.cookies] == [
        (True, "X-Hall"),
        (False, "X-Hall"),
    ]


async def test_who_is_nobody_on_the_host_is_nobody_to_its_programs() -> None:
    house = House(SHARED)
    visit = await Browser(house.hall).visit("wiki")
    session, _ = await house.world.sessions.start(
        host=".hall.test",
        user_id="",
        identities=(),
        clients=("google",),
        device=Device(),
        now=visit.now,
    )
    reply = await house.ask("/@/session", "GET", {}, replace(visit, session=session))
    assert reply.status == 401
