"""People led to their domain's auth host and back, without the pages: the browser keeps each host's cookies."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Clock, Heartbeats
from tests.unit.service.test_signin import RING, Op, World
from vestibule.core import session_token
from vestibule.core.domain import Domain
from vestibule.core.flow import LIFE_S
from vestibule.core.route import Host, RouteTable, site_of
from vestibule.errors import ClientError, FlowError
from vestibule.model import Account, Device, Identity, Session
from vestibule.service.handoff import CODE_S, CODES_MAX, Asked, suffices
from vestibule.service.outcome import Finished
from vestibule.service.visit import Visit
from vestibule.store.memory import Store

DOMAIN = Domain(name="hall.test", auth=b"auth.hall.test")


def host(name: str, *sign_in: str, **more: Any) -> Host:
    found = {"clients": {full.rpartition("/")[2]: full for full in sign_in}, **more}
    return Host(name=f"{name}.hall.test".encode(), title=name, sign_in=sign_in, **found)


class Hall:
    """The hosts of a domain on one gateway."""

    def __init__(self, world: World, domain: Domain = DOMAIN) -> None:
        self.world = world
        hosts = (
            host("auth", "google", "github"),
            host("app", "google"),
            host("wiki", "github"),
            host("both", "google", "github"),
            host("mixed", "google", "mixed.hall.test/drive"),
        )
        world.ops["mixed.hall.test/drive"] = Op("mixed.hall.test/drive", issuer="https://drive.example")
        placed = [replace(one, domain=domain, realm=domain.realm, routes=world.host.routes) for one in hosts]
        self.hosts = {one.title: one for one in placed}
        world.signin.use(world.ops, {one.name.decode() for one in placed}, RouteTable(placed))
        self.handoffs = world.signin.handoffs


class Browser:
    """Keeps cookies by host."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.cookies: dict[str, dict[str, str]] = {name: {} for name in hall.hosts}

    async def visit(self, name: str) -> Visit:
        host = self.hall.hosts[name]
        site = site_of(host, "https", 443)
        held = dict(self.cookies[name])
        handle = held.pop(site.cookie, None)
        session = await self.hall.world.sessions.load(handle) if handle else None
        return Visit(
            host=host,
            site=site,
            session=session,
            address="192.0.2.1",
            user_agent="Browser/1",
            request_id="r1",
            now=self.hall.world.clock.now(),
            cookies=held,
        )

    def take(self, name: str, set_cookies: tuple[str, ...]) -> None:
        for line in set_cookies:
            key, _, value = line.partition(";")[0].partition("=")
            self.cookies[name][key] = value
            if "Max-Age=0" in line:
                del self.cookies[name][key]

    async def lead(self, name: str, rd: str = "/deep", **hints: str) -> dict[str, str]:
        """Sets out from a host; what the auth host is asked."""
        begun = self.hall.world.signin.lead(await self.visit(name), rd=rd, hints=hints)
        self.take(name, begun.set_cookies)
        parts = urlsplit(begun.url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://auth.hall.test/@/signin"
        return dict(parse_qsl(parts.query))

    async def sign_in(self, who: str = "alice", client: str = "google", rd: str = "/") -> Finished:
        """At the auth host."""
        signin = self.hall.world.signin
        begun = await signin.begin(await self.visit("auth"), client, rd=rd)
        self.take("auth", begun.set_cookies)
        state = dict(parse_qsl(urlsplit(begun.url).query))["state"]
        finished = await signin.finish(await self.visit("auth"), client, {"state": state, "code": who})
        self.take("auth", finished.set_cookies)
        return finished

    async def asked(self, params: dict[str, str]) -> Asked:
        return self.hall.handoffs.asked(await self.visit("auth"), params)

    async def code(self, params: dict[str, str]) -> dict[str, str]:
        """What the host is told, of who is signed in at the auth host."""
        visit = await self.visit("auth")
        assert visit.session is not None
        url = urlsplit(await self.hall.handoffs.give(visit, await self.asked(params), visit.session))
        assert (url.netloc, url.path) == (params["for"], "/@/enter")
        return dict(parse_qsl(url.query))

    async def enter(self, name: str, params: dict[str, str]) -> Finished:
        finished = await self.hall.handoffs.enter(await self.visit(name), params)
        self.take(name, finished.set_cookies)
        return finished

    async def go(self, name: str, rd: str = "/deep") -> Finished:
        """All of it, for who is signed in at the auth host."""
        return await self.enter(name, await self.code(await self.lead(name, rd)))

    async def session(self, name: str) -> Session | None:
        return (await self.visit(name)).session


@pytest.fixture
def world(clock: Clock, store: Store, changes: Heartbeats) -> World:
    return World(clock, store, changes)


@pytest.fixture
def hall(world: World) -> Hall:
    return Hall(world)


@pytest.fixture
async def alice(hall: Hall) -> Browser:
    """Signed in at the auth host."""
    browser = Browser(hall)
    await browser.sign_in("alice")
    return browser


async def fails(call: Any) -> str:
    with pytest.raises(FlowError) as caught:
        await call
    return caught.value.code


# -- there and back ---------------------------------------------------------------------------


async def test_a_host_takes_over_who_is_signed_in_at_the_auth_host(alice: Browser) -> None:
    finished = await alice.go("app", "/deep?x=1")
    assert finished.location == "/deep?x=1"
    parent, child = await alice.session("auth"), await alice.session("app")
    assert parent
    assert child
    assert (child.parent_id, child.user_id, child.host) == (parent.id, parent.user_id, "app.hall.test")
    assert [one.subject for one in child.identities] == ["alice"]
    assert alice.cookies["app"]["__Host-vestibule"] != alice.cookies["auth"]["__Host-vestibule"]
    assert not [name for name in alice.cookies["app"] if "-flow-" in name]


async def test_nothing_of_the_destination_or_the_flow_is_told_on_the_way(alice: Browser) -> None:
    asked = await alice.lead("app", "/secret/report")
    assert set(asked) == {"for", "state", "bind"}
    [value] = [value for name, value in alice.cookies["app"].items() if "-flow-" in name]
    assert value not in str(asked)
    assert "secret" not in str(asked)


async def test_only_hints_that_are_known_are_passed_on(alice: Browser) -> None:
    asked = await alice.lead("app", "/", login_hint="al", provider="google", evil="x", prompt="login\r\n")
    assert {name: asked[name] for name in asked if name not in {"for", "state", "bind"}} == {
        "login_hint": "al",
        "provider": "google",
    }
    assert "provider" not in await alice.lead("app", "/", provider="github")


async def test_a_destination_elsewhere_is_none(alice: Browser) -> None:
    assert (await alice.go("app", "https://evil.example/")).location == "/"
    assert (await alice.go("app", "https://wiki.hall.test/x")).location == "https://wiki.hall.test/x"


async def test_ten_tabs_that_come_back_together_end_in_one_session(alice: Browser, store: Store) -> None:
    codes = [await alice.code(await alice.lead("app", f"/{number}")) for number in range(10)]
    visit = await alice.visit("app")
    done = await asyncio.gather(*(alice.hall.handoffs.enter(visit, code) for code in codes))
    assert [one.location for one in done] == [f"/{number}" for number in range(10)]
    assert len({one.session.id for one in done if one.session}) == 1
    assert len(store.sessions._kept) == 2


async def test_coming_again_later_renews_the_handle_of_the_session_that_is_there(
    alice: Browser, clock: Clock
) -> None:
    await alice.go("app")
    first, handle = await alice.session("app"), alice.cookies["app"]["__Host-vestibule"]
    clock.move(60)
    await alice.go("app")
    again = await alice.session("app")
    assert first
    assert again
    assert first.id == again.id
    assert alice.cookies["app"]["__Host-vestibule"] != handle


async def test_another_persons_session_on_the_host_ends(alice: Browser, world: World) -> None:
    await alice.go("app")
    before = await alice.session("app")
    alice.cookies["auth"].clear()
    await alice.sign_in("bob")
    await alice.go("app")
    after = await alice.session("app")
    assert before
    assert after
    assert [one.subject for one in after.identities] == ["bob"]
    assert await world.sessions.by_id(before.id) is None


async def test_credentials_that_a_host_has_already_stay_with_who_is_handed_on(
    alice: Browser, world: World
) -> None:
    visit = await alice.visit("mixed")
    session, handle = await world.sessions.start(
        host="mixed.hall.test",
        user_id="",
        identities=(),
        clients=("mixed.hall.test/drive",),
        device=Device(),
        now=visit.now,
    )
    alice.cookies["mixed"]["__Host-vestibule"] = handle
    await alice.go("mixed")
    child = await alice.session("mixed")
    assert child
    assert (child.id, child.clients) == (session.id, ("google", "mixed.hall.test/drive"))
    assert await world.sessions.load(handle) is None  # from before the sign-in


# -- what is refused --------------------------------------------------------------------------


async def test_another_browsers_code_signs_nobody_in_and_is_used_up(alice: Browser, hall: Hall) -> None:
    code = await alice.code(await alice.lead("app"))
    victim = Browser(hall)
    assert await fails(victim.enter("app", code)) == "flow_other_browser"
    assert await victim.session("app") is None
    assert await fails(alice.enter("app", code)) == "flow_replayed"


async def test_a_code_for_another_cookie_of_the_same_browser_is_none(alice: Browser) -> None:
    """Its hash is another flow's: a code injected into the victim's own sign-in."""
    mine = await alice.lead("app")
    other = await alice.lead("app")
    code = await alice.code({**mine, "bind": other["bind"]})
    assert await fails(alice.enter("app", code)) == "flow_other_browser"


async def test_a_code_is_good_once(alice: Browser, hall: Hall) -> None:
    code = await alice.code(await alice.lead("app"))
    thief = Browser(hall)
    thief.cookies["app"].update(alice.cookies["app"])
    await alice.enter("app", code)
    assert await fails(thief.enter("app", code)) == "flow_replayed"


async def test_who_comes_back_twice_is_led_where_they_were_led(alice: Browser) -> None:
    code = await alice.code(await alice.lead("app", "/there"))
    flow = dict(alice.cookies["app"])
    await alice.enter("app", code)
    alice.cookies["app"] |= flow  # the answer never came
    finished = await alice.enter("app", code)
    assert (finished.location, finished.session) == ("/there", None)


async def test_a_code_is_good_for_its_host(alice: Browser) -> None:
    code = await alice.code(await alice.lead("app"))
    alice.cookies["both"].update(alice.cookies["app"])
    assert await fails(alice.enter("both", code)) == "flow_unknown"
    own = await alice.lead("both")
    assert await fails(alice.enter("both", {"code": code["code"], "state": own["state"]})) == "flow_replayed"
    assert (await alice.enter("app", code)).session is not None


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        pytest.param(CODE_S - 1, "", id="in time"),
        pytest.param(CODE_S + 1, "flow_replayed", id="a second late"),
        pytest.param(LIFE_S + 1, "flow_expired", id="the flow is over, too"),
    ],
)
async def test_a_code_lives_a_minute(alice: Browser, clock: Clock, seconds: float, code: str) -> None:
    given = await alice.code(await alice.lead("app"))
    clock.move(seconds)
    if code:
        assert await fails(alice.enter("app", given)) == code
    else:
        assert (await alice.enter("app", given)).session is not None


async def test_a_code_of_a_session_that_has_ended_is_none(alice: Browser, world: World) -> None:
    code = await alice.code(await alice.lead("app"))
    parent = await alice.session("auth")
    assert parent
    await world.sessions.end(parent.id)
    assert await fails(alice.enter("app", code)) == "flow_replayed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"for": "wiki.hall.test"},
        {"for": "auth.hall.test"},
        {"for": "evil.example"},
        {"for": ""},
        {"for": "app.hall.test:443"},
        {"for": "APP.hall.test"},
        {"state": ""},
        {"state": "A" * 71},
        {"bind": ""},
        {"bind": "x" * 42},
        {"bind": "x" * 42 + "="},
    ],
    ids=str,
)
async def test_what_no_host_of_the_domain_has_begun_is_refused(alice: Browser, wrong: dict[str, str]) -> None:
    asked = await alice.lead("app")
    assert await fails(alice.asked({**asked, **wrong})) == "flow_unknown"


async def test_no_other_host_gives_codes(alice: Browser) -> None:
    asked = await alice.lead("app")
    with pytest.raises(FlowError):
        alice.hall.handoffs.asked(await alice.visit("wiki"), asked)


async def test_a_state_of_a_providers_sign_in_is_none_of_a_hand_off(alice: Browser, world: World) -> None:
    begun = await world.signin.begin(await alice.visit("auth"), "google", rd="/")
    state = dict(parse_qsl(urlsplit(begun.url).query))["state"]
    assert await fails(alice.enter("auth", {"code": "c" * 43, "state": state})) == "flow_unknown"


async def test_one_session_is_given_so_many_codes_and_no_more(alice: Browser, clock: Clock) -> None:
    asked = await alice.lead("app")
    for _ in range(CODES_MAX):
        await alice.code(asked)
    with pytest.raises(ClientError) as caught:
        await alice.code(asked)
    assert (caught.value.code, caught.value.status) == ("too_many_tries", 429)
    clock.move(CODE_S)
    await alice.code(asked)


async def test_one_who_took_too_long_starts_anew(alice: Browser, clock: Clock) -> None:
    asked = await alice.lead("app")
    clock.move(LIFE_S)
    found = await alice.asked(asked)
    assert (found.is_late, found.start_url) == (True, "https://app.hall.test/@/signin")


# -- the same sign-in on all hosts ------------------------------------------------------------


async def test_signing_out_on_one_host_signs_out_on_all(alice: Browser, world: World) -> None:
    await alice.go("app")
    await alice.go("both")
    done = await world.signin.sign_out(await alice.visit("both"))
    assert done.location.startswith("https://op.example/end")
    assert "auth.hall.test" in done.location
    assert [await alice.session(name) for name in ("auth", "app", "both")] == [None] * 3
    await world.signin.close()
    assert world.ops["google"].revoked == ["google-alice-1"]


async def test_signing_out_of_a_client_is_signing_out_of_it_on_all(alice: Browser, world: World) -> None:
    await alice.sign_in("octocat", "github")  # credentials, beside who is here
    await alice.go("both")
    child = await alice.session("both")
    assert child
    assert child.clients == ("google", "github")
    await world.signin.sign_out(await alice.visit("both"), "github")
    for name in ("both", "auth"):
        session = await alice.session(name)
        assert session
        assert session.clients == ("google",)
    assert await world.tokens(child, "github") is None
    await world.signin.sign_out(await alice.visit("both"), "google")
    assert [await alice.session(name) for name in ("auth", "both")] == [None, None]


async def test_what_providers_say_at_the_auth_host_is_said_on_all(alice: Browser, world: World) -> None:
    await alice.go("app")
    await alice.sign_in("alice")
    parent, child = await alice.session("auth"), await alice.session("app")
    assert parent
    assert child
    assert child.signed_in_at == parent.signed_in_at
    assert child.identities == parent.identities


# -- who is nobody on a host ------------------------------------------------------------------


async def test_an_account_that_the_person_has_too_is_one_more_identity(alice: Browser, world: World) -> None:
    parent = await alice.session("auth")
    assert parent
    account = Account(issuer="https://github.com", subject="octocat", user_id=parent.user_id, client="github")
    assert await world.store.people.link(account)
    asked = await alice.asked(await alice.lead("wiki"))
    assert not suffices(parent, asked.host)
    await alice.sign_in("octocat", "github", rd=asked.again)
    widened = await alice.session("auth")
    assert widened
    assert (widened.id, [one.client for one in widened.identities]) == (parent.id, ["google", "github"])
    await alice.go("wiki")
    assert suffices(await alice.session("wiki"), asked.host)


async def test_somebody_elses_account_is_somebody_else(alice: Browser, world: World) -> None:
    await alice.go("app")
    asked = await alice.asked(await alice.lead("wiki"))
    await alice.sign_in("octocat", "github", rd=asked.again)
    session = await alice.session("auth")
    assert session
    assert [one.subject for one in session.identities] == ["octocat"]
    assert await alice.session("app") is None


async def test_a_further_account_that_nobody_wants_is_credentials(alice: Browser) -> None:
    asked = await alice.asked(await alice.lead("both"))
    await alice.sign_in("octocat", "github", rd=asked.again)
    session = await alice.session("auth")
    assert session
    assert ([one.client for one in session.identities], session.clients) == (["google"], ("google", "github"))


GOOGLE = Identity(client="google", issuer="i", subject="1")


@pytest.mark.parametrize(
    ("identities", "clients", "sign_in", "provider", "expected"),
    [
        pytest.param((GOOGLE,), ("google",), ("google",), "", True, id="one of the host's"),
        pytest.param((GOOGLE,), ("google",), ("github",), "", False, id="none of the host's"),
        pytest.param((GOOGLE,), ("google",), ("google",), "google", True, id="the wanted one"),
        pytest.param((GOOGLE,), ("google",), ("google",), "github", False, id="not the wanted one"),
        pytest.param((GOOGLE,), ("google", "github"), ("google",), "github", True, id="its credentials"),
        pytest.param((GOOGLE,), ("google",), ("google",), "nobody", True, id="one that isn't there"),
        pytest.param((), ("google",), ("google",), "", False, id="credentials, where a person is needed"),
        pytest.param((), ("google",), (), "", True, id="credentials, where they do"),
        pytest.param((), ("x/drive",), (), "", False, id="credentials of other hosts"),
    ],
)
def test_who_is_somebody_on_a_host(
    identities: tuple[Identity, ...],
    clients: tuple[str, ...],
    sign_in: tuple[str, ...],
    provider: str,
    *,
    expected: bool,
) -> None:
    session = Session(
        id="s",
        host="h",
        created_at=0,
        seen_at=0,
        expires_at=9,
        idle_s=9,
        identities=identities,
        clients=clients,
    )
    there = host("x", *sign_in, clients={"google": "google", "github": "github"})
    assert suffices(session, there, provider) is expected
    assert not suffices(None, there, provider)


# -- one cookie -------------------------------------------------------------------------------

SHARED = Domain(name="hall.test", auth=b"auth.hall.test", shares_cookie=True, cookie="X-Hall", is_token=True)


async def test_with_one_cookie_people_are_led_there_with_their_whole_destination(world: World) -> None:
    browser = Browser(Hall(world, SHARED))
    assert await browser.lead("app", "/deep") == {"rd": "https://app.hall.test/deep"}
    assert browser.cookies["app"] == {}


async def test_the_one_cookie_is_set_for_the_domain_and_the_session_is_the_domains(world: World) -> None:
    browser = Browser(Hall(world, SHARED))
    finished = await browser.sign_in(rd="https://app.hall.test/deep")
    assert finished.location == "https://app.hall.test/deep"
    assert finished.session is not None
    assert finished.session.host == ".hall.test"
    line = finished.set_cookies[0]
    assert {"Domain=hall.test", "Secure", "HttpOnly", "SameSite=Lax"} <= set(line.split("; "))
    token = line.partition(";")[0].removeprefix("X-Hall=")
    handle = session_token.read(RING, token.encode(), domain="hall.test")
    assert handle is not None
    assert await world.sessions.load(handle) == finished.session


async def test_where_a_person_goes_says_for_which_host_they_sign_in(world: World) -> None:
    browser = Browser(Hall(world, SHARED))
    visit = await browser.visit("auth")
    destination = browser.hall.handoffs.destination
    assert destination(visit, "https://wiki.hall.test/x").title == "wiki"
    for rd in (
        "/",
        "",
        "https://evil.example/",
        "https://auth.hall.test/",
        "https://[::1/",
        "/@/signin?for=x",
    ):
        assert destination(visit, rd) is visit.host
    elsewhere = await browser.visit("app")
    assert destination(elsewhere, "https://wiki.hall.test/x") is elsewhere.host
