"""Signing in and out, with real sessions, grants and people over the store in memory, and a scripted provider."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Clock, Heartbeats
from vestibule.core.credential import PasswordFile
from vestibule.core.flow import LIFE_S
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, Site, routes_of
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import ClientError, Crowded, FlowError, ProviderRefused, ProviderUnavailable, StoreError
from vestibule.model import Identity, Secret, Session, Tokens
from vestibule.observe.log import Log
from vestibule.providers.base import Answer, SignedIn, Start
from vestibule.providers.kit import Flow
from vestibule.service.basic import Passwords
from vestibule.service.crowd import FEW, WAIT_S, Crowd
from vestibule.service.grants import Grants
from vestibule.service.htpasswd import PasswordFiles
from vestibule.service.outcome import Finished
from vestibule.service.people import People
from vestibule.service.proof import Proofs
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.service.signin import STARTS_MAX, STARTS_WINDOW_S, SignIn
from vestibule.service.visit import Visit
from vestibule.store.memory import Store

BASE = "https://app.example"
RING = KeyRing((Key("k1", b"1" * 32),))
#: `ann` and `bob`, whose password is `correct horse`; no host has a form for them by itself
HASH = "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="
FILE = PasswordFile(name="htpasswd:users", text=Secret(f"ann:{HASH}\nbob:{HASH}"))


class Op:
    """A provider that believes what the code says: `alice` is alice, `error:x` an error, `-` nobody."""

    def __init__(self, name: str, *, issuer: str = "https://op.example", end: str = "") -> None:
        self.name = name
        self.title = name.title()
        self.kind = "oidc"
        self.identifies = True
        self.is_trusted = True
        self.keeps = ""
        self.email_domains: tuple[str, ...] = ()
        self.redirect_url = ""
        self.issuer = issuer
        self.end = end
        self.started: list[Start] = []
        self.finished: list[Answer] = []
        self.revoked: list[str] = []
        self.gate: asyncio.Event | None = None

    def start(self, start: Start) -> Flow[str]:
        yield from ()
        self.started.append(start)
        return f"{self.issuer}/auth?state={quote(start.state)}"

    def finish(self, answer: Answer) -> Flow[SignedIn]:
        self.finished.append(answer)
        if self.gate:
            yield self.gate  # type: ignore[misc]  # the driver below waits for it
        if "error" in answer.params:
            raise ProviderRefused(answer.params["error"])
        who = answer.params["code"]
        if who == "down":
            raise ProviderUnavailable("down")
        identity = (
            None if who == "-" else Identity(client=self.name, issuer=self.issuer, subject=who, name=who)
        )
        number = len(self.finished)
        return SignedIn(identity=identity, tokens=Tokens(access_token=Secret(f"{self.name}-{who}-{number}")))

    def refresh(self, tokens: Tokens, now: float) -> Flow[Tokens]:
        raise NotImplementedError

    def sign_out_url(self, tokens: Tokens, return_to: str) -> Flow[str | None]:
        yield from ()
        if self.end == "down":
            raise ProviderUnavailable("down")
        return f"{self.end}?to={quote(return_to)}" if self.end else None

    def revoke(self, tokens: Tokens, now: float, *, for_good: bool = False) -> Flow[None]:
        yield from ()
        self.revoked.append(tokens.access_token.reveal() + (" for good" if for_good else ""))


class Driver:
    """Runs flows that ask for nothing but to wait."""

    async def run(self, flow: Flow[Any], *, trusted: bool = True, about: str = "") -> Any:
        try:
            ask: Any = next(flow)
            while True:
                await ask.wait()
                ask = flow.send(None)
        except StopIteration as stop:
            return stop.value


class World:
    """One gateway with its store, and the host `app.example`."""

    def __init__(self, clock: Clock, store: Store, changes: Heartbeats) -> None:
        self.clock = clock
        self.store = store
        self.changes = changes
        dice = random.Random(7)
        self.ops = {
            "google": Op("google", end="https://op.example/end"),
            "github": Op("github", issuer="https://github.com"),
            "app.example/drive": Op("app.example/drive", issuer="https://op.example"),
            "app.example/plain": Op("app.example/plain", issuer="https://plain.example"),
        }
        self.sessions = Sessions(
            store.sessions, changes, now=clock.now, mono=clock.mono, random=dice.randbytes
        )
        self.grants = Grants(
            store.grants,
            store.leases,
            self.sessions,
            changes,
            RING,
            refreshers={},
            driver=Driver(),
            now=clock.now,
            mono=clock.mono,
        )
        self.rechecks = Rechecks(self.sessions, self.grants, changes, Driver(), Log(io.StringIO()))
        self.rechecks.use(self.ops)
        self.dice = dice
        self.people = People(store.people, store.invitations, self.sessions, changes, random=dice.randbytes)
        self.files = PasswordFiles([FILE], RING, Log(io.StringIO()))
        proofs = Proofs(self.people.owner_of, changes, now=clock.now, mono=clock.mono)
        self.passwords = Passwords(self.files, proofs, now=clock.now)
        self.signin = self.process()
        route = Route(
            prefix=b"",
            backend=Backend(internal="echo"),
            policy=policy_of(allow=(), sign_in=frozenset({"google"})),
        )
        routes, depth = routes_of([route])
        self.host = Host(
            name=b"app.example",
            title="App",
            clients={
                "google": "google",
                "github": "github",
                "drive": "app.example/drive",
                "plain": "app.example/plain",
            },
            sign_in=("google", "github"),
            routes=routes,
            depth=depth,
        )

    def process(self) -> SignIn:
        """A gateway's process over the same store; it remembers nothing of another's."""
        return SignIn(
            sessions=self.sessions,
            grants=self.grants,
            rechecks=self.rechecks,
            people=self.people,
            marks=self.store.marks,
            parking=self.store.parking,
            keys=RING,
            driver=Driver(),
            passwords=self.passwords,
            providers=self.ops,
            hosts=frozenset({"b.example"}),
            random=self.dice.randbytes,
        )

    async def tokens(self, session: Session, client: str) -> str | None:
        held = await self.grants.tokens_of(session.id, client)
        return held.access_token.reveal() if held else None


class Browser:
    """Keeps cookies, as a browser does."""

    def __init__(self, world: World, *, name: bytes = b"app.example") -> None:
        self.world = world
        self.cookies: dict[str, str] = {}
        self.site = Site(base_url=BASE, cookie="__Host-vestibule", secure=True)

    @property
    def handle(self) -> str | None:
        return self.cookies.get(self.site.cookie)

    @property
    def flow_cookies(self) -> list[str]:
        return [name for name in self.cookies if "-flow-" in name]

    async def visit(self, cookies: Mapping[str, str] | None = None) -> Visit:
        """A request as it leaves the browser now, or with the cookies it had when it left."""
        held = dict(self.cookies if cookies is None else cookies)
        handle = held.pop(self.site.cookie, None)
        session = await self.world.sessions.load(handle) if handle else None
        return Visit(
            host=self.world.host,
            site=self.site,
            session=session,
            address="192.0.2.1",
            user_agent="Browser/1",
            request_id="r1",
            now=self.world.clock.now(),
            cookies=held,
        )

    def take(self, set_cookies: tuple[str, ...]) -> None:
        for line in set_cookies:
            assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(line.split("; "))
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in line:
                del self.cookies[name]

    async def begin(self, client: str = "google", rd: str = "/home", **hints: str) -> str:
        begun = await self.world.signin.begin(await self.visit(), client, rd=rd, hints=hints)
        self.take(begun.set_cookies)
        return dict(parse_qsl(urlsplit(begun.url).query))["state"]

    async def finish(self, state: str, who: str = "alice", client: str = "google", **params: str) -> Finished:
        finished = await self.world.signin.finish(
            await self.visit(), client, {"state": state, "code": who, **params}
        )
        self.take(finished.set_cookies)
        return finished

    async def sign_in(self, who: str = "alice", client: str = "google") -> Session:
        await self.finish(await self.begin(client), who, client)
        return await self.session()

    async def session(self) -> Session:
        session = (await self.visit()).session
        assert session is not None
        return session

    async def has_session(self) -> bool:
        return (await self.visit()).session is not None


@pytest.fixture
def world(clock: Clock, store: Store, changes: Heartbeats) -> World:
    return World(clock, store, changes)


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world)


# Signing in


async def test_a_sign_in_ends_in_a_session_at_the_destination(world: World, browser: Browser) -> None:
    state = await browser.begin(rd="/deep/page?x=1")
    finished = await browser.finish(state, "alice")
    session = await browser.session()
    assert finished.location == "/deep/page?x=1"
    assert [identity.subject for identity in session.identities] == ["alice"]
    assert (session.host, session.clients, bool(session.user_id)) == ("app.example", ("google",), True)
    assert session.device.user_agent == "Browser/1"
    assert await world.tokens(session, "google") == "google-alice-1"
    assert browser.flow_cookies == []


async def test_the_provider_is_given_the_same_verifier_and_nonce_at_both_ends(
    world: World, browser: Browser
) -> None:
    await browser.finish(await browser.begin())
    start, answer = world.ops["google"].started[0], world.ops["google"].finished[0]
    assert (start.verifier, start.nonce) == (answer.verifier, answer.nonce)
    assert start.redirect_uri == answer.redirect_uri == f"{BASE}/@google/callback"


async def test_nothing_is_stored_when_a_sign_in_begins(world: World, browser: Browser) -> None:
    before = repr(world.store.__dict__)
    for _ in range(50):
        await Browser(world).begin()
    assert repr(world.store.__dict__) == before


async def test_no_verifier_or_nonce_reaches_the_browser(world: World, browser: Browser) -> None:
    state = await browser.begin()
    start = world.ops["google"].started[0]
    held = state + "".join(f"{name}{value}" for name, value in browser.cookies.items())
    assert start.verifier.reveal() not in held
    assert start.nonce not in held


async def test_the_session_cookie_lives_as_long_as_the_session(browser: Browser) -> None:
    finished = await browser.finish(await browser.begin())
    assert f"Max-Age={7 * 24 * 3600};" in finished.set_cookies[0]


@pytest.mark.parametrize(
    ("rd", "location"),
    [
        ("", "/"),
        ("/a?b=c", "/a?b=c"),
        (f"{BASE}/a", "/a"),
        ("https://b.example/x", "https://b.example/x"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://app.example@evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("https://b.example.evil.example/", "/"),
        ("/" + "a" * 5000, "/"),
    ],
)
async def test_people_are_sent_to_our_own_hosts_only(browser: Browser, rd: str, location: str) -> None:
    finished = await browser.finish(await browser.begin(rd=rd))
    assert finished.location == location


async def test_a_destination_is_checked_again_at_the_end(world: World, browser: Browser) -> None:
    state = await browser.begin(rd="https://b.example/x")
    world.signin.use(world.ops, frozenset())
    assert (await browser.finish(state)).location == "/"


async def test_hints_are_passed_on_and_other_parameters_are_not(world: World, browser: Browser) -> None:
    await browser.begin(
        login_hint="alice", prompt="login", state="x", redirect_uri="https://evil", client_id="x"
    )
    assert world.ops["google"].started[0].hints == {"login_hint": "alice", "prompt": "login"}
    await browser.begin(login_hint="a\r\nb", prompt="x" * 1000, hd="")
    assert world.ops["google"].started[1].hints == {}


@pytest.mark.parametrize("client", ["nobody", "", "app.example/drive", "../google"])
async def test_a_client_the_host_does_not_have_is_404(world: World, browser: Browser, client: str) -> None:
    for call in (
        world.signin.begin(await browser.visit(), client),
        world.signin.sign_out(await browser.visit(), client),
    ):
        with pytest.raises(ClientError) as caught:
            await call
        assert (caught.value.status, caught.value.code) == (404, "client_unknown")


# What a callback must bring


async def test_another_browsers_callback_makes_no_session(world: World, browser: Browser) -> None:
    """Login CSRF: the attacker's code and state in the victim's browser (attacks.md S2)."""
    attacker = Browser(world)
    state = await attacker.begin()
    with pytest.raises(FlowError) as caught:
        await browser.finish(state, "mallory")
    assert caught.value.code == "flow_other_browser"
    assert not await browser.has_session()
    assert world.ops["google"].finished == []
    await attacker.finish(state, "mallory")  # and its own use isn't spent by that


async def test_a_replayed_callback_leads_to_sign_in_for_others_and_home_for_the_person(
    world: World, browser: Browser
) -> None:
    state = await browser.begin(rd="/home")
    cookies = dict(browser.cookies)
    await browser.finish(state)
    assert (await browser.finish(state)).location == "/home"
    thief = Browser(world)
    thief.cookies = cookies
    with pytest.raises(FlowError) as caught:
        await thief.finish(state)
    assert caught.value.code == "flow_replayed"
    assert len(world.ops["google"].finished) == 1


async def test_a_replay_at_another_process_is_refused_too(world: World, browser: Browser) -> None:
    state = await browser.begin()
    cookies = dict(browser.cookies)
    await browser.finish(state)
    world.signin = world.process()
    thief = Browser(world)
    thief.cookies = cookies
    with pytest.raises(FlowError) as caught:
        await thief.finish(state)
    assert caught.value.code == "flow_replayed"
    browser.cookies |= {name: value for name, value in cookies.items() if "-flow-" in name}
    assert (await browser.finish(state)).location == "/home"
    assert len(world.ops["google"].finished) == 1


async def test_the_same_callback_sent_twice_at_once_is_used_once(world: World, browser: Browser) -> None:
    state = await browser.begin()
    visits = [await browser.visit(), await browser.visit()]
    gate = world.ops["google"].gate = asyncio.Event()
    calls = [
        asyncio.create_task(world.signin.finish(visit, "google", {"state": state, "code": "alice"}))
        for visit in visits
    ]
    await asyncio.sleep(0)
    gate.set()
    both = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(one).__name__ for one in both) == ["Finished", "FlowError"]
    assert len(world.ops["google"].finished) == 1


async def test_a_late_callback_leads_back_to_sign_in(world: World, browser: Browser, clock: Clock) -> None:
    state = await browser.begin(rd="/deep")
    clock.move(601)
    with pytest.raises(FlowError) as caught:
        await browser.finish(state)
    assert caught.value.code == "flow_expired"
    failed = world.signin.failed(await browser.visit(), "google", {"state": state})
    assert failed.again_url == "/@google/signin?rd=%2Fdeep"
    browser.take(failed.set_cookies)
    assert browser.flow_cookies == []


@pytest.mark.parametrize("state", ["", "x", "A" * 71, "x" * 100_000, "\u00e9" * 71])
async def test_a_made_up_state_is_unknown(world: World, browser: Browser, state: str) -> None:
    with pytest.raises(FlowError) as caught:
        await browser.finish(state)
    assert caught.value.code == "flow_unknown"
    assert (
        world.signin.failed(await browser.visit(), "google", {"state": state}).again_url == "/@google/signin"
    )


async def test_a_state_of_one_client_is_unknown_at_another(browser: Browser) -> None:
    state = await browser.begin("google")
    with pytest.raises(FlowError) as caught:
        await browser.finish(state, client="github")
    assert caught.value.code == "flow_unknown"


async def test_refused_sign_ins_are_forgotten_though_nobody_ever_succeeds(
    world: World, browser: Browser
) -> None:
    for _ in range(3):
        state = await browser.begin()
        with pytest.raises(ProviderRefused):
            await browser.finish(state, error="access_denied")
        world.clock.move(LIFE_S + 1)
    assert len(world.signin._arrivals._done) == 1


async def test_what_a_provider_refuses_leaves_the_session_and_leads_back(
    world: World, browser: Browser
) -> None:
    before = await browser.sign_in()
    state = await browser.begin(rd="/deep")
    with pytest.raises(ProviderRefused):
        await browser.finish(state, error="access_denied")
    failed = world.signin.failed(await browser.visit(), "google", {"state": state})
    assert failed.again_url == "/@google/signin?rd=%2Fdeep"
    browser.take(failed.set_cookies)
    assert (await browser.session()).id == before.id
    with pytest.raises(FlowError) as caught:
        await browser.finish(state, "alice")
    assert caught.value.code == "flow_replayed"


async def test_the_way_back_is_there_for_a_client_that_is_gone(world: World, browser: Browser) -> None:
    assert world.signin.failed(await browser.visit(), "gone", {}).again_url == "/@/signin"


async def test_a_store_that_is_away_signs_nobody_in(world: World, browser: Browser) -> None:
    state = await browser.begin()

    async def consume(*_: object) -> bool:
        raise StoreError("away")

    world.store.marks.consume = consume  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        await browser.finish(state)
    assert world.ops["google"].finished == []


class Stuck:
    """Whoever is to get a session waits for the gate."""

    def __init__(self, world: World) -> None:
        self.now_mono = 0.0
        self.gate, self.waiting = asyncio.Event(), asyncio.Semaphore(0)
        self._create = world.store.sessions.create
        world.store.sessions.create = self._slow_create  # type: ignore[method-assign]
        world.signin._arrivals.crowd = Crowd(lambda: self.now_mono)

    async def _slow_create(self, *args: Any) -> None:
        self.waiting.release()
        await self.gate.wait()
        await self._create(*args)


async def test_in_a_crowd_fewer_begin_and_who_is_on_the_way_in_gets_in(world: World) -> None:
    stuck, browsers = Stuck(world), [Browser(world) for _ in range(FEW + 1)]
    states = [await one.begin() for one in browsers]
    entering = [asyncio.create_task(one.finish(at)) for one, at in zip(browsers, states, strict=True)]
    for _ in entering:
        await stuck.waiting.acquire()
    stuck.now_mono += WAIT_S
    await Browser(world).begin()  # one a second may
    with pytest.raises(Crowded):
        await Browser(world).begin()
    stuck.gate.set()
    assert all([(await one).session is not None for one in entering])
    await Browser(world).begin()


async def test_tabs_that_wait_for_each_other_are_no_crowd(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestibule.service.crowd.FEW", 1)
    stuck = Stuck(world)
    states = [await browser.begin(rd=f"/{n}") for n in range(5)]
    entering = [asyncio.create_task(browser.finish(state)) for state in states]
    await stuck.waiting.acquire()
    while len(world.ops["google"].finished) < len(states):
        await asyncio.sleep(0)
    stuck.now_mono += 10 * WAIT_S
    for _ in range(5):
        await Browser(world).begin()
    stuck.gate.set()
    for one in entering:
        await one


# Many tabs


async def test_ten_tabs_one_after_the_other_end_in_one_session(world: World, browser: Browser) -> None:
    states = [await browser.begin(rd=f"/{n}") for n in range(10)]
    places = [(await browser.finish(state)).location for state in random.Random(3).sample(states, 10)]
    assert sorted(places) == [f"/{n}" for n in range(10)]
    assert browser.flow_cookies == []
    assert len(world.store.sessions._kept) == 1
    assert await browser.has_session()


@pytest.mark.parametrize("seed", range(5))
async def test_ten_tabs_at_once_end_in_one_session_whichever_answer_comes_last(
    world: World, browser: Browser, seed: int
) -> None:
    """All ten callbacks leave the browser before the first answer has come, so none carries a session cookie."""
    states = [await browser.begin(rd=f"/{n}") for n in range(10)]
    visits = [await browser.visit() for _ in states]
    gate = world.ops["google"].gate = asyncio.Event()
    calls = [
        asyncio.create_task(world.signin.finish(visit, "google", {"state": state, "code": "alice"}))
        for visit, state in zip(visits, states, strict=True)
    ]
    await asyncio.sleep(0)
    gate.set()
    answers = await asyncio.gather(*calls)
    for answer in random.Random(seed).sample(answers, 10):
        browser.take(answer.set_cookies)
    world.clock.move(3600)
    assert len(world.store.sessions._kept) == 1
    assert await browser.has_session()
    assert browser.flow_cookies == []


async def test_ten_tabs_that_reach_the_store_at_once_take_turns(world: World, browser: Browser) -> None:
    states = [await browser.begin() for _ in range(10)]
    visits = [await browser.visit() for _ in states]
    store = world.store.sessions
    create, by_id = store.create, store.by_id

    async def slow_create(*args: Any) -> None:
        await asyncio.sleep(0)
        await create(*args)

    async def slow_by_id(*args: Any) -> Session | None:
        await asyncio.sleep(0)
        return await by_id(*args)

    store.create, store.by_id = slow_create, slow_by_id  # type: ignore[method-assign]
    answers = await asyncio.gather(
        *(
            world.signin.finish(visit, "google", {"state": state, "code": "alice"})
            for visit, state in zip(visits, states, strict=True)
        )
    )
    assert len({answer.set_cookies[0] for answer in answers}) == 1
    assert len(store._kept) == 1


async def test_tabs_with_several_providers_share_the_session(world: World, browser: Browser) -> None:
    states = [(client, await browser.begin(client)) for client in ("google", "plain", "github")]
    visits = [await browser.visit() for _ in states]
    who = {"google": "alice", "plain": "-", "github": "octocat"}
    answers = [
        await world.signin.finish(visit, client, {"state": state, "code": who[client]})
        for visit, (client, state) in zip(visits, states, strict=True)
    ]
    browser.take(answers[1].set_cookies)
    session = await browser.session()
    assert session.clients == ("google", "app.example/plain", "github")
    assert [identity.client for identity in session.identities] == ["google"]


async def test_a_sibling_that_is_another_person_ends_the_first_ones_session(
    world: World, browser: Browser
) -> None:
    first, second = await browser.begin(), await browser.begin()
    visit = await browser.visit()
    await browser.finish(first, "alice")
    alice = await browser.session()
    finished = await world.signin.finish(visit, "google", {"state": second, "code": "bob"})
    browser.take(finished.set_cookies)
    assert [identity.subject for identity in (await browser.session()).identities] == ["bob"]
    assert await world.sessions.by_id(alice.id) is None


async def test_at_most_sixteen_sign_ins_are_under_way_the_oldest_goes(browser: Browser) -> None:
    states = [await browser.begin() for _ in range(20)]
    assert len(browser.flow_cookies) == 16
    await browser.finish(states[-1])
    await browser.finish(states[4])
    browser.cookies.pop(browser.site.cookie)
    with pytest.raises(FlowError) as caught:
        await browser.finish(states[3])
    assert caught.value.code == "flow_other_browser"


async def test_another_browsers_flow_says_nothing_about_mine(world: World, browser: Browser) -> None:
    """Knowing a flow's id (it stands in `state`) without its signed cookie joins nobody's session."""
    await browser.begin()
    await browser.finish(await browser.begin(), "alice")
    other = Browser(world)
    state = await other.begin()
    other.cookies[f"{other.site.cookie}-flow-AAAAAAAAAAAAAAAAAAAAAA"] = "forged.forged"
    await other.finish(state, "alice")
    assert (await other.session()).id != (await browser.session()).id


# Who is here already


async def test_the_same_person_again_gets_a_new_handle_in_the_same_session(
    world: World, browser: Browser, clock: Clock
) -> None:
    before, old = await browser.sign_in(), browser.handle
    clock.move(60)
    after = await browser.sign_in()
    assert after.id == before.id
    assert browser.handle != old
    assert old is not None
    assert await world.sessions.load(old) is not None  # for requests under way
    clock.move(31)
    assert await world.sessions.load(old) is None
    assert await world.tokens(after, "google") == "google-alice-2"


async def test_every_sign_in_has_a_handle_of_its_own_however_quick(browser: Browser) -> None:
    handles = set()
    for _ in range(5):
        await browser.sign_in()
        handles.add(browser.handle)
    assert len(handles) == 5


async def test_another_person_ends_the_old_session_at_once(world: World, browser: Browser) -> None:
    alice, old = await browser.sign_in("alice"), browser.handle
    bob = await browser.sign_in("bob")
    assert bob.id != alice.id
    assert bob.user_id != alice.user_id
    assert old is not None
    assert await world.sessions.load(old) is None
    assert await world.tokens(alice, "google") is None
    assert await world.tokens(bob, "google") == "google-bob-2"


async def test_credentials_of_another_client_join_the_session_without_an_identity(
    world: World, browser: Browser
) -> None:
    before = await browser.sign_in("alice")
    after = await browser.sign_in("octocat", "github")
    assert after.id == before.id
    assert after.clients == ("google", "github")
    assert (after.user_id, after.identities) == (before.user_id, before.identities)
    assert await world.tokens(after, "github") == "github-octocat-1"
    assert await world.store.people.user_of("https://github.com", "octocat") is None


async def test_another_account_of_the_persons_issuer_is_not_mixed_in(world: World, browser: Browser) -> None:
    before = await browser.sign_in("alice")
    with pytest.raises(ClientError) as caught:
        await browser.sign_in("bob", "drive")
    assert (caught.value.status, caught.value.code) == (403, "other_person")
    assert await browser.session() == before
    assert (await browser.sign_in("alice", "drive")).clients == ("google", "app.example/drive")


async def test_plain_credentials_make_a_session_without_a_person(world: World, browser: Browser) -> None:
    session = await browser.sign_in("-", "plain")
    assert (session.user_id, session.identities, session.clients) == ("", (), ("app.example/plain",))


async def test_a_session_without_a_person_becomes_the_persons_and_its_old_handle_dies_at_once(
    world: World, browser: Browser
) -> None:
    """Session fixation: a handle planted before the sign-in is worth nothing after it (attacks.md S3)."""
    before = await browser.sign_in("-", "plain")
    planted = browser.handle
    after = await browser.sign_in("alice")
    assert after.id == before.id
    assert after.clients == ("app.example/plain", "google")
    assert planted is not None
    assert planted != browser.handle
    assert await world.sessions.load(planted) is None


async def test_a_made_up_handle_is_never_adopted(world: World, browser: Browser) -> None:
    browser.cookies[browser.site.cookie] = "A" * 43
    await browser.sign_in()
    assert browser.handle != "A" * 43


async def test_a_session_that_ended_during_the_sign_in_stays_ended(world: World, browser: Browser) -> None:
    before = await browser.sign_in()
    state = await browser.begin()
    visit = await browser.visit()
    await world.sessions.end(before.id)
    browser.take((await world.signin.finish(visit, "google", {"state": state, "code": "alice"})).set_cookies)
    after = await browser.session()
    assert after.id != before.id
    assert after.user_id == before.user_id


async def test_an_account_that_came_to_belong_to_another_user_is_another_person(
    world: World, browser: Browser
) -> None:
    before = await browser.sign_in("alice")
    await Browser(world).sign_in("bob")
    bob = await world.store.people.user_of("https://op.example", "bob")

    async def user_of(*_: object) -> Any:
        return bob

    world.store.people.user_of = user_of  # type: ignore[method-assign]
    after = await browser.sign_in("alice")
    assert bob is not None
    assert (after.id != before.id, after.user_id) == (True, bob.id)
    assert await world.sessions.by_id(before.id) is None


async def test_the_same_account_is_the_same_person_in_every_browser(world: World, browser: Browser) -> None:
    one = await browser.sign_in("alice")
    two = await Browser(world).sign_in("alice")
    assert one.id != two.id
    assert one.user_id == two.user_id


# The sign-in page


def choices(found: tuple[Any, ...]) -> list[tuple[str, str, str]]:
    return [(choice.client, choice.title, choice.url) for choice in found]


async def test_the_page_has_a_button_for_each_provider_in_order(world: World, browser: Browser) -> None:
    found = world.signin.chooser(await browser.visit(), rd="/a?b", hints={"login_hint": "alice", "x": "y"})
    assert choices(found) == [
        ("google", "Google", "/@google/signin?rd=%2Fa%3Fb&login_hint=alice"),
        ("github", "Github", "/@github/signin?rd=%2Fa%3Fb&login_hint=alice"),
    ]


@pytest.mark.parametrize(
    ("hint", "left"),
    [("github", ["github"]), ("nobody", ["google", "github"]), ("plain", ["google", "github"])],
)
async def test_a_hint_chooses_a_provider_the_host_has(
    world: World, browser: Browser, hint: str, left: list[str]
) -> None:
    found = world.signin.chooser(await browser.visit(), hints={"provider": hint})
    assert [choice.client for choice in found] == left


async def test_a_foreign_destination_never_gets_onto_the_page(world: World, browser: Browser) -> None:
    found = world.signin.chooser(await browser.visit(), rd="https://evil.example/")
    assert found[0].url == "/@google/signin"


# Signing out


async def test_signing_out_ends_the_session_everywhere_and_leads_to_the_providers_page(
    world: World, browser: Browser
) -> None:
    session, handle = await browser.sign_in(), browser.handle
    out = await world.signin.sign_out(await browser.visit())
    browser.take(out.set_cookies)
    await world.signin.close()
    assert out.location == f"https://op.example/end?to={quote(BASE + '/@/signedout')}"
    assert browser.handle is None
    assert handle is not None
    assert await world.sessions.load(handle) is None
    assert await world.tokens(session, "google") is None
    assert world.ops["google"].revoked == ["google-alice-1"]


@pytest.mark.parametrize(
    ("end", "rd", "location"),
    [
        ("", "", "/@/signedout"),
        ("down", "", "/@/signedout"),
        ("", "/bye", "/bye"),
        ("", "//evil.example", "/@/signedout"),
    ],
)
async def test_without_a_providers_page_people_land_on_ours(
    world: World, browser: Browser, end: str, rd: str, location: str
) -> None:
    world.ops["google"].end = end
    await browser.sign_in()
    assert (await world.signin.sign_out(await browser.visit(), rd=rd)).location == location
    await world.signin.close()


async def test_signing_out_without_a_session_clears_the_cookie(world: World, browser: Browser) -> None:
    for client in (None, "google"):
        browser.cookies[browser.site.cookie] = "A" * 43
        out = await world.signin.sign_out(await browser.visit(), client)
        browser.take(out.set_cookies)
        assert browser.handle is None


async def test_signing_out_of_one_client_keeps_the_others(world: World, browser: Browser) -> None:
    await browser.sign_in("alice")
    await browser.sign_in("-", "plain")
    out = await world.signin.sign_out(await browser.visit(), "plain")
    await world.signin.close()
    session = await browser.session()
    assert (out.location, out.set_cookies) == ("/", ())
    assert (session.clients, bool(session.user_id)) == (("google",), True)
    assert await world.tokens(session, "app.example/plain") is None
    assert world.ops["app.example/plain"].revoked == ["app.example/plain---1"]
    assert world.ops["google"].revoked == []


async def test_signing_out_of_the_persons_client_leaves_credentials_without_a_person(
    world: World, browser: Browser
) -> None:
    await browser.sign_in("alice")
    await browser.sign_in("-", "plain")
    await world.signin.sign_out(await browser.visit(), "google")
    await world.signin.close()
    session = await browser.session()
    assert (session.clients, session.identities, session.user_id) == (("app.example/plain",), (), "")


async def test_signing_out_of_the_last_client_ends_the_session(world: World, browser: Browser) -> None:
    session = await browser.sign_in("alice")
    out = await world.signin.sign_out(await browser.visit(), "google", rd="/bye")
    browser.take(out.set_cookies)
    await world.signin.close()
    assert out.location == "/bye"
    assert browser.handle is None
    assert await world.sessions.by_id(session.id) is None


async def test_signing_out_of_a_client_that_is_not_there_changes_nothing(
    world: World, browser: Browser
) -> None:
    session = await browser.sign_in("alice")
    await world.signin.sign_out(await browser.visit(), "github")
    assert await browser.session() == session


async def test_a_provider_that_fails_to_revoke_keeps_nobody_signed_in(world: World, browser: Browser) -> None:
    def revoke(tokens: Tokens, now: float, *, for_good: bool) -> Flow[None]:
        yield from ()
        raise ProviderUnavailable("down")

    session = await browser.sign_in()
    world.ops["google"].revoke = revoke  # type: ignore[method-assign]
    await world.signin.sign_out(await browser.visit())
    await world.signin.close()
    assert await world.sessions.by_id(session.id) is None


@pytest.mark.parametrize(
    ("way", "revoked"),
    [
        ("delete", ["google-alice-1 for good"]),
        ("block", ["google-alice-1"]),
        ("end_sessions", ["google-alice-1"]),
    ],
)
async def test_what_a_person_consented_to_is_taken_back_when_they_are_deleted(
    world: World, browser: Browser, way: str, revoked: list[str]
) -> None:
    user_id, now = (await browser.sign_in()).user_id, world.clock.now()
    if way == "delete":
        await world.people.delete(user_id, now)
    elif way == "block":
        await world.people.set_disabled(user_id, True, now)
    else:
        await world.people.end_sessions(user_id, now)
    assert world.ops["google"].revoked == revoked


@pytest.mark.parametrize("way", ["sign_out", "sign_out_of", "delete", "block", "end_sessions", "end_session"])
async def test_who_signs_in_again_at_once_does_so_after_their_tokens_were_revoked(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # A provider that ends the whole grant would else refuse the code that it gave in between.
    session = await browser.sign_in()
    is_revoked = asyncio.Event()

    async def run(flow: Flow[None], **_: object) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        is_revoked.set()
        flow.close()

    now = world.clock.now()
    monkeypatch.setattr(world.signin._leaving._driver, "run", run)
    match way:
        case "sign_out":
            await world.signin.sign_out(await browser.visit())
        case "sign_out_of":
            await world.signin.sign_out(await browser.visit(), "google")
        case "delete":
            await world.people.delete(session.user_id, now)
        case "block":
            await world.people.set_disabled(session.user_id, True, now)
        case "end_sessions":
            await world.people.end_sessions(session.user_id, now)
        case "end_session":
            await world.people.end_session(session, now)
    assert is_revoked.is_set()


async def test_after_signing_out_the_next_sign_in_is_a_new_session(world: World, browser: Browser) -> None:
    first = await browser.sign_in()
    browser.take((await world.signin.sign_out(await browser.visit())).set_cookies)
    await world.signin.close()
    second = await browser.sign_in()
    assert second.id != first.id
    assert second.user_id == first.user_id


async def test_what_a_provider_can_not_do_without_is_told_again_at_the_callback(world, browser):
    world.ops["google"].keeps = "me"
    state = await browser.begin(me="ann.example", hd="evil.example")
    await browser.finish(state, "alice", me="mallory.example")
    (answer,) = world.ops["google"].finished
    assert answer.kept == "ann.example"
    await browser.finish(await browser.begin("github", me="ann.example"), "bob", "github")
    assert world.ops["github"].finished[-1].kept == ""


async def test_nobody_has_this_gateway_fetch_pages_of_their_choosing_without_end(world):
    world.ops["google"].keeps = "me"
    browser = Browser(world)
    hints, visit = {"me": "ann.example"}, await browser.visit()
    neighbours = [replace(visit, address=f"2001:db8::{number:x}") for number in range(STARTS_MAX + 1)]
    for visits in ([visit] * (STARTS_MAX + 1), neighbours):
        for one in visits[:-1]:
            await world.signin.begin(one, "google", hints=hints)
        with pytest.raises(ClientError) as caught:
            await world.signin.begin(visits[-1], "google", hints=hints)
        assert (caught.value.status, caught.value.code) == (429, "too_many_tries")
    await world.signin.begin(await browser.visit(), "github")
    world.clock.move(STARTS_WINDOW_S)
    await world.signin.begin(await browser.visit(), "google", hints={"me": "ann.example"})
