"""Apps over every store: codes, refresh tokens and device codes are each good once, whoever is faster, on any node."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from tests.contract.test_steward import HOST, NOW, RING, Desk
from vestibule.core import access
from vestibule.core.access import Access
from vestibule.core.app import App, Apps, Hash
from vestibule.core.assertion import LIFE_S
from vestibule.core.authorize import Give
from vestibule.core.domain import Domain
from vestibule.core.refresh import Refresh, seal
from vestibule.core.route import RouteTable, site_of
from vestibule.core.session import hash_of
from vestibule.errors import ClientError, ProviderUnavailable, TooManyTries
from vestibule.model import Caller, Device, Secret, Session
from vestibule.observe.log import Log
from vestibule.protocol.authorization_server import AuthorizationRequest, OAuthError
from vestibule.service.assertion import Assertions
from vestibule.service.authorizing import Authorizing
from vestibule.service.device_flow import DeviceFlow
from vestibule.service.issuing import Issued, Issuing
from vestibule.service.locker import Locker
from vestibule.service.registered_apps import (
    FROM_MAX,
    UNUSED_S,
    WINDOW_S,
    Registered,
    RegisteredApps,
)
from vestibule.service.tries import SharedTries
from vestibule.service.visit import Visit

VERIFIER = "v" * 43
BASE = f"https://{HOST}"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
LINK = "https://app.example.com/app"
PHONE = Device(user_agent="Forum/1", address="192.0.2.9")
IOS = App(id="ios", hosts=(HOST,), redirects=(LINK,), scopes=("read", "write"))
PARTNER = App(
    id="partner",
    hosts=(HOST,),
    grants=frozenset({"exchange"}),
    scopes=("read",),
    secrets=(Hash(b"x" * 32),),
    access_s=3600.0,
)
SAID = Registered(name="Agent", redirects=("http://localhost:1/cb",), registered_at=NOW)
CLI = App(id="cli", hosts=(HOST,), grants=frozenset({"device", "refresh"}), scopes=("read",))
REQUEST = AuthorizationRequest(
    client_id="ios", redirect_uri=LINK, response_type="code", challenge=CHALLENGE, challenge_method="S256"
)


class Told:
    """Events that were told."""

    def __init__(self) -> None:
        self.actions: list[str] = []

    async def tell(self, *events: Any) -> bool:
        self.actions += [event.action for event in events]
        return True


class Node(Desk):
    """One process with apps."""

    def __init__(self, store: SimpleNamespace) -> None:
        super().__init__(store)
        self.told = Told()
        locker = Locker(store.parking, RING)
        apps = Apps.of((IOS, CLI, PARTNER))
        rechecks = self.steward._rechecks
        self.issuing = Issuing(apps, self.sessions, rechecks, RING, self.told)  # type: ignore[arg-type]
        self.assertions = Assertions(
            store.signing_keys, RING, Log(io.StringIO()), are_wanted=True, now=lambda: self.now
        )
        self.authorizing = Authorizing(
            self.issuing,
            self.sessions,
            locker,
            RING,
            lambda: RouteTable(self.hosts),
            assertions=self.assertions,
        )
        self.registered = RegisteredApps(
            locker,
            SharedTries(store.tries),
            hosts=lambda here: (here.name.decode(),),
            host=lambda name: replace(self.hosts[0], registers=True, registered_scopes=("tools",)),
            events=self.told,  # type: ignore[arg-type]
        )
        self.parking = store.parking
        self.devices = DeviceFlow(self.authorizing, store.parking, locker, RING, SharedTries(store.tries))

    async def browser(self) -> Session:
        """Somebody who is signed in."""
        user = await self.person()
        known = await self.people.known(user, self.now)
        session, _ = await self.sessions.start(
            host=HOST,
            user_id=user.id,
            identities=known.identities,
            clients=(),
            device=Device(),
            now=self.now,
        )
        return session

    def visit(self, session: Session | None, address: str = "192.0.2.1") -> Visit:
        host = self.hosts[0]
        return Visit(
            host=host,
            site=site_of(host, "https", 443),
            session=session,
            address=address,
            user_agent="Browser/1",
            request_id="r",
            now=self.now,
            cookies={},
        )

    async def code(self, session: Session) -> str:
        return await self.authorizing.give(self.visit(session), REQUEST, Give(IOS, HOST, ("read", "write")))

    def take(self, code: str, **more: Any) -> Awaitable[Issued]:
        asked = {"verifier": VERIFIER, "redirect_uri": LINK, "device": PHONE, "now": self.now, **more}
        return self.authorizing.take(asked.pop("app", IOS), code, **asked)

    async def refresh(self, issued: Issued, **more: Any) -> Issued:
        assert issued.refresh_token is not None
        asked = {"scopes": (), "host_of": self.authorizing.host_of(IOS), "now": self.now, **more}
        return await self.issuing.refresh(asked.pop("app", IOS), issued.refresh_token.reveal(), **asked)


async def refused(work: Awaitable[Any]) -> str:
    """The code of the refusal."""
    with pytest.raises(OAuthError) as caught:
        await work
    return caught.value.code


@pytest.fixture
def node(store) -> Node:
    return Node(store)


@pytest.fixture
def other(store) -> Node:
    """Another process."""
    return Node(store)


async def test_a_code_becomes_a_session_of_the_app_on_whichever_node(node, other):
    browser = await node.browser()
    issued = await other.take(await node.code(browser))
    session = await node.sessions.by_id(issued.session.id)
    assert session is not None
    assert (session.app, session.device, session.user_id) == ("ios", PHONE, browser.user_id)
    assert session.scopes == issued.scopes == ("read", "write")
    assert session.signed_in_at == browser.signed_in_at
    assert session.expires_at == NOW + IOS.refresh_s
    assert session in await node.sessions.of_user(browser.user_id)


async def test_of_many_who_show_one_code_at_most_one_is_given_anything(node, other):
    browser = await node.browser()
    code = await node.code(browser)
    tries = [one.take(code) for one in (node, other) for _ in range(5)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, Issued) for one in done) <= 1
    assert all(isinstance(one, Issued | OAuthError) for one in done)
    assert await refused(node.take(code)) == "invalid_grant"
    # It was shown again, so what it gave is over.
    assert [one for one in await node.sessions.of_user(browser.user_id) if one.app] == []


@pytest.mark.parametrize(
    "more",
    [
        {"verifier": "w" * 43},
        {"redirect_uri": LINK + "/"},
        {"app": replace(IOS, id="cli")},
        {"now": NOW + 61},
    ],
    ids=["verifier", "redirect", "app", "late"],
)
async def test_a_code_is_of_no_use_to_anybody_else_or_later(node, more):
    code = await node.code(await node.browser())
    assert await refused(node.take(code, **more)) == "invalid_grant"


async def test_who_signed_out_meanwhile_gives_nothing(node):
    browser = await node.browser()
    code = await node.code(browser)
    await node.sessions.end(browser.id)
    assert await refused(node.take(code)) == "invalid_grant"


async def test_refreshed_by_many_at_once_it_goes_on_by_one_step(node, other):
    issued = await node.take(await node.code(await node.browser()))
    done = await asyncio.gather(*(one.refresh(issued) for one in (node, other) for _ in range(4)))
    session = await node.sessions.by_id(issued.session.id)
    assert session is not None
    assert session.rotation == 1
    await other.refresh(done[-1])
    await node.refresh(done[0])  # the same step: an answer that got lost


async def test_a_refresh_token_that_is_long_past_ends_the_session(node, other):
    first = await node.take(await node.code(await node.browser()))
    second = await node.refresh(first)
    node.now = other.now = NOW + IOS.leeway_s + 1
    assert await refused(other.refresh(first)) == "invalid_grant"
    assert other.told.actions == ["refresh_token.reused"]
    assert await node.sessions.by_id(first.session.id) is None
    assert await refused(node.refresh(second)) == "invalid_grant"


async def test_scopes_only_become_fewer(node):
    issued = await node.take(await node.code(await node.browser()))
    fewer = await node.refresh(issued, scopes=("read",))
    assert fewer.scopes == ("read",)
    assert await refused(node.refresh(fewer, scopes=("admin",))) == "invalid_scope"


async def test_what_can_not_be_had_uses_no_refresh_token_up(node, monkeypatch):
    """Nor does a provider that can't be asked."""
    issued = await node.take(await node.code(await node.browser()))
    for more, code in (
        ({"scopes": ("admin",)}, "invalid_scope"),
        ({"host_of": node.authorizing.host_of(IOS, "other.example")}, "invalid_target"),
        ({"host_of": lambda name: None}, "invalid_grant"),
    ):
        assert await refused(node.refresh(issued, **more)) == code
    rechecks = node.issuing._rechecks

    async def away(session: Session) -> Session:
        raise ProviderUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(rechecks, "is_due", lambda session: True)
        patched.setattr(rechecks, "checked", away)
        with pytest.raises(ProviderUnavailable):
            await node.refresh(issued)
    session = await node.sessions.by_id(issued.session.id)
    assert session is not None
    assert session.rotation == 0
    assert (await node.refresh(issued)).session.rotation == 1


SHARED = Domain(name="example.com", auth=b"auth.example.com", shares_cookie=True)
BOTH = replace(IOS, hosts=("a.example.com", "b.example.com"))


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ("", "b.example.com"),
        ("https://b.example.com/v1", "b.example.com"),
        ("https://a.example.com", "invalid_target"),
        ("https://c.example.com", "invalid_target"),
    ],
    ids=["none", "the same", "another of the app's", "another"],
)
async def test_a_refresh_is_for_the_host_that_the_person_let_the_app_in_at(node, resource, said):
    """Threat: hosts that share a session, of which the person was shown one."""
    browser = await node.browser()
    bare = replace(node.hosts[0], domain=SHARED, realm=SHARED.realm)
    node.hosts = tuple(replace(bare, name=name.encode()) for name in BOTH.hosts)
    give = Give(BOTH, "b.example.com", ("read",))
    issued = await node.take(await node.authorizing.give(node.visit(browser), REQUEST, give), app=BOTH)
    for later in (0, 1):  # rotated, then the answer that got lost
        asked = {"app": BOTH, "host_of": node.authorizing.host_of(BOTH, resource), "now": NOW + later}
        if said == "invalid_target":
            assert await refused(node.refresh(issued, **asked)) == said
        else:
            told = (await node.refresh(issued, **asked)).access_token.reveal()
            assert node.issuing.described(told, issued.session, NOW)["aud"] == said


@pytest.mark.parametrize(("shared", "is_good"), [(False, True), (True, False)], ids=["host", "shared"])
async def test_a_refresh_token_that_names_no_host_is_for_that_of_its_session_if_it_is_one(
    node, shared, is_good
):
    """From before they named one."""
    browser = await node.browser()
    if shared:
        node.hosts = (replace(node.hosts[0], domain=SHARED, realm=SHARED.realm),)
    issued = await node.take(await node.code(browser))
    older = Refresh(session_id=issued.session.id, app="ios", number=0)
    shown = replace(issued, refresh_token=Secret(seal(RING, older, nonce=b"n" * 12)))
    if is_good:
        assert (await node.refresh(shown)).session.rotation == 1
    else:
        assert await refused(node.refresh(shown)) == "invalid_grant"


async def test_an_app_revokes_its_own_tokens_alone(node, other):
    issued = await node.take(await node.code(await node.browser()))
    await other.issuing.revoke(CLI, issued.access_token.reveal(), NOW)
    assert await node.sessions.by_id(issued.session.id) is not None
    await other.issuing.revoke(IOS, issued.access_token.reveal(), NOW)
    assert await node.sessions.by_id(issued.session.id) is None
    await other.issuing.revoke(IOS, "nonsense", NOW)


@pytest.mark.parametrize("times", [1, 3])
async def test_an_app_that_lost_the_last_answer_ends_its_session_all_the_same(node, other, times):
    """And of no other app; asked about, a refresh token that is past is none."""
    issued = await node.take(await node.code(await node.browser()))
    last = issued
    for _ in range(times):
        last = await other.refresh(last)
    assert issued.refresh_token is not None
    text = issued.refresh_token.reveal()
    assert await node.issuing.introspected(IOS, text, NOW) == {"active": False}
    await other.issuing.revoke(CLI, text, NOW)
    assert await node.sessions.by_id(issued.session.id) is not None
    await other.issuing.revoke(IOS, text, NOW)
    assert await node.sessions.by_id(issued.session.id) is None
    assert await refused(other.refresh(last)) == "invalid_grant"


@pytest.mark.parametrize(
    ("of", "is_told"), [("b.example.com", True), ("a.example.com", False), (HOST, False)], ids=str
)
async def test_who_is_told_of_a_token_goes_by_the_host_that_it_is_for(node, of, is_told):
    """Though its session is good at all hosts that share it."""
    browser = await node.browser()
    bare = replace(node.hosts[0], domain=SHARED, realm=SHARED.realm)
    node.hosts = tuple(replace(bare, name=name.encode()) for name in BOTH.hosts)
    give = Give(BOTH, "b.example.com", ("read",))
    issued = await node.take(await node.authorizing.give(node.visit(browser), REQUEST, give), app=BOTH)
    assert issued.refresh_token is not None
    assert issued.session.host == SHARED.realm
    for token in (issued.access_token, issued.refresh_token):
        text = token.reveal()
        assert (await node.issuing.introspected(BOTH, text, NOW))["active"]
        told = await node.issuing.introspected(replace(PARTNER, hosts=(of,)), text, NOW)
        assert told["active"] is is_told
        assert len(told) == 1 or is_told
        assert not (await node.issuing.introspected(replace(CLI, hosts=()), text, NOW))["active"]


async def test_a_blocked_person_has_no_apps(node, other):
    browser = await node.browser()
    issued = await node.take(await node.code(browser))
    await other.people.set_disabled(browser.user_id, True, NOW + 1)
    assert await node.sessions.by_id(issued.session.id) is None
    assert await refused(node.refresh(issued)) == "invalid_grant"


# -- by a code that somebody types ---------------------------------------------------------------


async def begun(node: Node, **more: Any) -> Any:
    asked = {"scopes": ("read",), "resource": "", "device": PHONE, **more}
    return await node.devices.begin(node.visit(None), asked.pop("app", CLI), **asked)


def polled(node: Node, told: Any, *, after_s: float = 0.0) -> Awaitable[Issued]:
    return node.devices.poll(CLI, told.device_code, device=PHONE, now=NOW + after_s)


async def test_who_says_yes_lets_the_program_in_once(node, other):
    told, browser = await begun(node), await node.browser()
    assert await refused(polled(node, told)) == "authorization_pending"
    found = await other.devices.found(other.visit(browser), told.user_code.lower())
    assert found is not None
    asked, app, _, key = found
    assert (asked.address, asked.user_agent, app.id, asked.scopes) == (
        PHONE.address,
        "Forum/1",
        "cli",
        ("read",),
    )
    await other.devices.answer(other.visit(browser), key, is_yes=True)
    issued = await polled(node, told, after_s=5)
    assert (issued.session.app, issued.session.user_id) == ("cli", browser.user_id)
    assert await refused(polled(other, told, after_s=10)) == "expired_token"
    with pytest.raises(ClientError):
        await other.devices.answer(other.visit(browser), key, is_yes=True)


async def test_of_many_polls_one_gets_in(node, other):
    told, browser = await begun(node), await node.browser()
    found = await node.devices.found(node.visit(browser), told.user_code)
    assert found is not None
    await node.devices.answer(node.visit(browser), found[3], is_yes=True)
    done = await asyncio.gather(*(polled(one, told) for one in (node, other)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["Issued", "OAuthError"]


async def test_who_says_no_gives_nothing(node, other):
    told, browser = await begun(node), await node.browser()
    found = await node.devices.found(node.visit(browser), told.user_code)
    assert found is not None
    await node.devices.answer(node.visit(browser), found[3], is_yes=False)
    assert await refused(polled(other, told)) == "access_denied"


async def test_a_question_is_one_persons(node):
    told, browser = await begun(node), await node.browser()
    found = await node.devices.found(node.visit(browser), told.user_code)
    assert found is not None
    with pytest.raises(ClientError):
        await node.devices.answer(node.visit(replace(browser, id="another")), found[3], is_yes=True)
    assert await node.devices.found(node.visit(browser), told.user_code) is None


async def test_a_program_that_asks_too_often_is_slowed_down_more_and_more(node):
    told = await begun(node)
    assert await refused(polled(node, told)) == "authorization_pending"
    assert await refused(polled(node, told, after_s=1)) == "slow_down"
    assert await refused(polled(node, told, after_s=6)) == "slow_down"
    assert await refused(polled(node, told, after_s=22)) == "authorization_pending"
    assert await refused(polled(node, told, after_s=601)) == "expired_token"


async def test_it_is_slowed_down_on_whichever_node_it_asks(node, other):
    told = await begun(node)
    assert await refused(polled(node, told)) == "authorization_pending"
    assert await refused(polled(other, told, after_s=1)) == "slow_down"
    assert await refused(polled(node, told, after_s=6)) == "slow_down", (
        "it has to wait ten seconds from there on"
    )
    assert await refused(polled(other, told, after_s=30)) == "authorization_pending"
    assert await refused(polled(node, told, after_s=40)) == "slow_down"


async def test_of_codes_that_are_none_nothing_is_kept(node):
    unknown = replace(await begun(node), device_code="A" * 43)
    for after_s in (0, 100):
        assert await refused(polled(node, unknown, after_s=after_s)) == "expired_token"
    assert await node.parking.parked("device pace", hash_of("A" * 43), NOW) is None


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"app": IOS}, "unauthorized_client"),
        ({"scopes": ("write",)}, "invalid_scope"),
        ({"resource": "other.example"}, "invalid_target"),
    ],
    ids=["app", "scope", "target"],
)
async def test_only_what_an_app_may_can_be_asked_for(node, more, code):
    assert await refused(begun(node, **more)) == code


async def test_ten_thousand_guesses_from_a_hundred_addresses_find_nothing_and_are_slowed(node):
    told, browser = await begun(node), await node.browser()
    looked_at = slowed = 0
    for number in range(10_000):
        person = replace(browser, id=f"s{number}", user_id=f"u{number % 500}")
        visit = node.visit(person, address=f"192.0.2.{number % 100}")
        text = "".join("BCDFGHJKLMNPQRSTVWXZ"[number // 20**place % 20] for place in range(8))
        try:
            assert (
                text[:4] + "-" + text[4:] == told.user_code or await node.devices.found(visit, text) is None
            )
            looked_at += 1
        except TooManyTries:
            slowed += 1
    assert looked_at <= 1000
    assert looked_at + slowed == 10_000


# -- exchanged for less ---------------------------------------------------------------------------


async def narrowed(node: Node, issued: Issued, app: App = PARTNER, **more: Any) -> Issued:
    asked = {"resource": "", "scopes": (), "here": node.hosts[0], "now": node.now, **more}
    text = asked.pop("text", issued.access_token.reveal())
    return await node.authorizing.narrowed(app, text, **asked)


def is_exchanged(issued: Issued) -> bool:
    """What the token says of itself."""
    found = access.read(RING, issued.access_token.reveal().encode(), NOW)
    assert isinstance(found, Access)
    return found.exchanged


async def test_an_exchanged_token_says_less_is_over_no_later_and_ends_with_the_session(node, other):
    issued = await node.take(await node.code(await node.browser()))
    node.now = other.now = NOW + 60
    narrow = await narrowed(other, issued)
    assert (narrow.scopes, narrow.expires_in_s, narrow.refresh_token) == (("read",), IOS.access_s - 60, None)
    text = narrow.access_token.reveal()
    assert [is_exchanged(one) for one in (narrow, issued)] == [True, False]
    assert node.issuing.described(text, issued.session, node.now)["client_id"] == "partner"
    assert await refused(narrowed(node, narrow, scopes=("write",))) == "invalid_scope"
    assert await other.issuing.session_of(text, node.now) is not None
    await other.issuing.revoke(PARTNER, text, node.now)
    assert await other.issuing.session_of(text, node.now) is not None
    await other.issuing.revoke(IOS, issued.access_token.reveal(), node.now)
    assert await node.issuing.session_of(text, node.now) is None
    assert await refused(narrowed(node, issued)) == "invalid_request"


@pytest.mark.parametrize(
    ("app", "more", "code"),
    [
        (CLI, {}, "invalid_request"),
        (replace(PARTNER, hosts=("other.example",)), {}, "invalid_request"),
        (PARTNER, {"resource": "https://other.example"}, "invalid_target"),
        (PARTNER, {"resource": "https://[bad"}, "invalid_target"),
        (PARTNER, {"scopes": ("write",)}, "invalid_scope"),
        (PARTNER, {"text": "vst_at_x"}, "invalid_request"),
        (PARTNER, {"now": NOW + IOS.access_s}, "invalid_request"),
    ],
    ids=["public", "elsewhere", "target", "no URL", "scope", "no token", "late"],
)
async def test_what_is_exchanged_for_nothing(node, app, more, code):
    issued = await node.take(await node.code(await node.browser()))
    assert await refused(narrowed(node, issued, app, **more)) == code


async def test_a_refresh_token_is_no_subject(node):
    issued = await node.take(await node.code(await node.browser()))
    assert issued.refresh_token is not None
    assert await refused(narrowed(node, issued, text=issued.refresh_token.reveal())) == "invalid_request"


async def asserted(node: Node, session: Session, *, scopes: frozenset[str] | None = None) -> str:
    """What a backend is sent when this session asks it."""
    await node.assertions.begin()
    return node.assertions.own(session, node.hosts[0], BASE, node.now, scopes=scopes)[0]


async def by_assertion(node: Node, text: str, app: App = PARTNER, **more: Any) -> Issued:
    await node.assertions.begin()
    asked = {"issuer": BASE, "resource": "", "scopes": (), "here": node.hosts[0], "now": node.now, **more}
    return await node.authorizing.by_assertion(app, text, **asked)


async def test_an_assertion_is_exchanged_for_a_token_of_the_session_that_asked(node, other):
    session = await node.browser()
    text = await asserted(node, session)
    node.now = other.now = NOW + 60
    issued = await by_assertion(other, text)
    assert (issued.scopes, issued.refresh_token) == (("read",), None)
    assert issued.expires_in_s <= LIFE_S - 60, "it is over when the assertion is"
    assert issued.session.id == session.id
    token = issued.access_token.reveal()
    told = node.issuing.described(token, session, node.now)
    assert (told["client_id"], told["sub"], told["aud"]) == ("partner", session.user_id, HOST)
    await node.issuing.revoke(PARTNER, token, node.now)
    assert await node.issuing.session_of(token, node.now) is not None, "the person's own session goes on"
    narrower = await narrowed(other, issued)
    assert is_exchanged(issued)
    assert is_exchanged(narrower)
    assert await other.issuing.session_of(narrower.access_token.reveal(), node.now) is not None
    await node.sessions.end(session.id)
    for one in (issued, narrower):
        assert await other.issuing.session_of(one.access_token.reveal(), node.now) is None
    assert await refused(by_assertion(other, text)) == "invalid_request"


@pytest.mark.parametrize(
    ("app", "more", "code"),
    [
        (replace(PARTNER, secrets=()), {}, "unauthorized_client"),
        (replace(PARTNER, hosts=("other.example",)), {}, "invalid_request"),
        (PARTNER, {"issuer": "https://other.example"}, "invalid_request"),
        (PARTNER, {"now": NOW + LIFE_S}, "invalid_request"),
        (PARTNER, {"text": "a.b.c"}, "invalid_request"),
        (PARTNER, {"resource": "https://other.example"}, "invalid_target"),
        (PARTNER, {"scopes": ("write",)}, "invalid_scope"),
    ],
    ids=["public", "elsewhere", "issuer", "late", "no token", "target", "scope"],
)
async def test_what_no_assertion_is_exchanged_for(node, app, more, code):
    asked = {"text": await asserted(node, await node.browser()), **more}
    assert await refused(by_assertion(node, app=app, **asked)) == code


@pytest.mark.parametrize("kind", ["another key's", "pomerium's", "a machine's"])
async def test_what_is_signed_otherwise_is_exchanged_for_nothing(node, kind):
    session = await node.browser()
    text = await asserted(node, session)
    if kind == "another key's":
        text = text[:-8] + ("AAAAAAAA" if not text.endswith("AAAAAAAA") else "BBBBBBBB")
    elif kind == "pomerium's":
        text, _ = node.assertions.pomerium(session, node.hosts[0], node.now)
    else:
        caller = Caller(id="1", kind="jwt", identities=session.identities, user_id=session.user_id)
        text, _ = node.assertions.own(caller, node.hosts[0], BASE, node.now)
    assert await refused(by_assertion(node, text)) == "invalid_request"


@pytest.mark.parametrize(
    ("came_with", "gets"), [({"read"}, ("read",)), ({"write"}, ()), (set(), ())], ids=str
)
async def test_an_assertion_is_no_way_to_more_than_an_app_came_with(node, came_with, gets):
    issued = await node.take(await node.code(await node.browser()))
    text = await asserted(node, issued.session, scopes=frozenset(came_with))
    found = await by_assertion(node, text)
    assert found.scopes == gets
    assert await node.issuing.session_of(found.access_token.reveal(), node.now) is not None
    if not gets:
        assert await refused(by_assertion(node, text, scopes=("read",))) == "invalid_scope"


# -- registered by themselves -----------------------------------------------------------------------


async def known(node: Node, client_id: str, at: float = NOW) -> App | None:
    here = node.hosts[0]
    return (await node.registered.among(Apps(), client_id, here, at)).by_id.get(client_id)


async def test_an_app_that_registers_itself_is_known_on_every_node_until_it_was_of_no_use(node, other):
    client_id = await node.registered.register(node.visit(None), SAID)
    app = await known(other, client_id)
    assert app is not None
    assert (app.name, app.redirects, app.hosts, app.scopes) == ("Agent", SAID.redirects, (HOST,), ("tools",))
    assert (app.is_public, app.is_registered, app.grants) == (True, True, {"code", "refresh"})
    assert await known(other, client_id, NOW + UNUSED_S) is None
    await other.registered.keep(app, other.hosts[0], NOW + 60)
    assert await known(node, client_id, NOW + app.refresh_s) is not None
    assert await known(node, client_id, NOW + 60 + app.refresh_s + UNUSED_S) is None


async def test_it_is_known_where_it_registered_and_by_its_whole_id(node):
    client_id = await node.registered.register(node.visit(None), SAID)
    elsewhere = replace(node.hosts[0], name=b"other.example")
    assert not (await node.registered.among(Apps(), client_id, elsewhere, NOW)).by_id
    assert await known(node, client_id[:-1]) is None
    assert await known(node, client_id[:-1] + ("A" if client_id[-1] != "A" else "B")) is None


async def test_one_address_registers_so_many_over_all_nodes(store, node, other):
    for number in range(FROM_MAX):
        await (node, other)[number % 2].registered.register(node.visit(None), SAID)
    fresh = Node(store)
    with pytest.raises(TooManyTries):
        await fresh.registered.register(node.visit(None), SAID)
    await fresh.registered.register(node.visit(None, address="198.51.100.1"), SAID)
    fresh.now = NOW + WINDOW_S + 1
    await fresh.registered.register(fresh.visit(None), SAID)
