"""Sessions that end because their provider's did: which, how often, and what is under way meanwhile (attacks.md S6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Away, Clock, Heartbeats
from tests.unit.service.ending import Ender, token, with_ender
from tests.unit.service.test_signin import Browser, World
from vestibule.core.session import with_client
from vestibule.errors import ClientError, FlowError, ProviderUnavailable, StoreError, TooManyTries
from vestibule.model import Device, Secret, Tokens
from vestibule.service.logout import AWAY_S, MISSES_MAX, MISSES_WINDOW_S, NOTED_S, SAME_S
from vestibule.store.memory import Store

ISSUER = "https://op.example"


@pytest.fixture
def world(clock: Clock, store: Store, changes: Heartbeats) -> World:
    return World(clock, store, changes)


@pytest.fixture
def ender(world: World) -> Ender:
    return with_ender(world)


async def signed_in(world: World, who: str) -> Browser:
    browser = Browser(world)
    await browser.sign_in(who)
    return browser


async def told(world: World, raw: Secret | None = None, **says: Any) -> list[str]:
    """The ids of the sessions that ended by this token."""
    raw = raw or token(world, **says)
    ended = await world.signin.logouts.by_token("google", raw, world.clock.now())
    await world.signin.close()
    return [session.id for session in ended]


async def framed(world: World, sid: str, *, issuer: str = ISSUER, address: str = "192.0.2.7") -> int:
    now = world.clock.now()
    return len(await world.signin.logouts.by_frame("google", issuer, sid, address, now))


# -- which ---------------------------------------------------------------------------------------


async def test_the_session_of_that_sid_ends_and_no_other_of_the_same_person(
    world: World, ender: Ender
) -> None:
    laptop, phone = await signed_in(world, "alice@s-1"), await signed_in(world, "alice@s-2")
    session = await laptop.session()
    assert await told(world, sid="s-1", subject="alice") == [session.id]
    assert not await laptop.has_session()
    assert await phone.has_session()
    assert await world.tokens(session, "google") is None
    assert ender.revoked == ["google-alice@s-1-1"]


async def test_without_a_sid_all_of_the_subject_end_and_nobody_elses(world: World, ender: Ender) -> None:
    laptop, phone, bob = [await signed_in(world, who) for who in ("alice@s-1", "alice@s-2", "bob@s-3")]
    assert len(await told(world, subject="alice")) == 2
    assert [await one.has_session() for one in (laptop, phone, bob)] == [False, False, True]
    assert len(ender.revoked) == 2


async def test_a_session_of_which_no_sid_is_known_may_be_the_one(world: World, ender: Ender) -> None:
    nameless, other = await signed_in(world, "alice@"), await signed_in(world, "alice@s-2")
    await told(world, sid="s-1", subject="alice")
    assert not await nameless.has_session()
    assert await other.has_session()


async def test_a_session_that_a_service_made_is_not_the_one(world: World, ender: Ender) -> None:
    made = await (await signed_in(world, "alice@")).session()
    await world.sessions.update(made.id, lambda session: replace(session, made_by="billing"))
    assert await told(world, sid="s-1", subject="alice") == []
    assert await told(world, jti="j-2", subject="alice") == [made.id]


async def test_what_was_handed_on_ends_with_it(world: World, ender: Ender) -> None:
    parent = await (await signed_in(world, "alice@s-1")).session()
    handed = await world.sessions.hand_on(parent, host="wiki", device=Device(), now=world.clock.now())
    assert handed is not None
    await told(world, sid="s-1")
    assert await world.sessions.by_id(handed[0].id) is None


async def test_all_tokens_of_it_and_of_what_was_handed_on_are_revoked(world: World, ender: Ender) -> None:
    parent, now = await (await signed_in(world, "alice@s-1")).session(), world.clock.now()
    handed = await world.sessions.hand_on(parent, host="app.example", device=Device(), now=now)
    assert handed is not None
    own = "app.example/drive"
    child = await world.sessions.update(handed[0].id, lambda one: with_client(one, own))
    assert child is not None
    await world.grants.keep(child, own, Tokens(access_token=Secret("at"), refresh_token=Secret("rt")), now)
    await told(world, sid="s-1")
    assert len(ender.revoked) == 1
    assert len(world.ops[own].revoked) == 1


@pytest.mark.parametrize(
    "says",
    [
        pytest.param({"sid": "s-9"}, id="another session"),
        pytest.param({"subject": "nobody"}, id="nobody's"),
        pytest.param({"sid": "s-1", "issuer": "https://evil.example"}, id="another issuer"),
        pytest.param({"subject": "alice", "issuer": "https://evil.example"}, id="another issuer's subject"),
    ],
)
async def test_what_is_not_here_ends_nothing(world: World, ender: Ender, says: dict[str, str]) -> None:
    browser = await signed_in(world, "alice@s-1")
    assert await told(world, **says) == []
    assert await browser.has_session()


async def test_who_signs_in_again_rests_on_the_new_session_there(world: World, ender: Ender) -> None:
    browser = await signed_in(world, "alice@s-1")
    await browser.sign_in("alice@s-2")
    assert await told(world, sid="s-1") == []
    assert await browser.has_session()
    await told(world, sid="s-2", jti="j-2")
    assert not await browser.has_session()


async def test_what_is_known_of_a_person_without_a_session_names_none(world: World, ender: Ender) -> None:
    session = await (await signed_in(world, "alice@s-1")).session()
    [vouched] = await world.people.vouched_of(session.user_id)
    assert vouched.identity.sid == ""


# -- how often -----------------------------------------------------------------------------------


async def test_a_token_that_comes_again_ends_nothing(world: World, ender: Ender) -> None:
    raw = token(world, subject="alice")
    await signed_in(world, "alice@s-1")
    assert len(await told(world, raw)) == 1
    world.clock.move(SAME_S + 1)
    later = await signed_in(world, "alice@s-2")
    assert await told(world, raw) == []
    assert await later.has_session()


async def test_a_token_that_could_not_be_obeyed_may_come_again(
    world: World, ender: Ender, away: Away
) -> None:
    browser = await signed_in(world, "alice@s-1")
    raw = token(world, sid="s-1")
    world.sessions._store = away  # type: ignore[assignment]  # a store's part that can be away
    away.is_away = True
    with pytest.raises(StoreError):
        await told(world, raw)
    away.is_away = False
    assert len(await told(world, raw)) == 1
    assert not await browser.has_session()


@pytest.mark.parametrize("client", ["github", "app.example/plain", "nobody"])
async def test_a_provider_without_logout_says_so(world: World, ender: Ender, client: str) -> None:
    for call in (
        world.signin.logouts.by_token(client, token(world, sid="s-1"), world.clock.now()),
        world.signin.logouts.by_frame(client, ISSUER, "s-1", "192.0.2.7", world.clock.now()),
        world.signin.logouts.frame_origins(client),
    ):
        with pytest.raises(ClientError) as caught:
            await call
        assert (caught.value.status, caught.value.code) == (501, "no_logout")


async def test_keys_that_cannot_be_had_end_nothing(world: World, ender: Ender) -> None:
    browser = await signed_in(world, "alice@s-1")
    ender.is_down = True
    for _ in range(100):
        with pytest.raises(ProviderUnavailable):
            await told(world, sid="s-1")
    assert ender.asked == 1  # a flood is no reason to ask again and again
    assert await browser.has_session()
    ender.is_down = False
    world.clock.move(AWAY_S)
    assert len(await told(world, sid="s-1")) == 1


# -- a sign-in that is under way -----------------------------------------------------------------


@pytest.mark.parametrize("says", [{"sid": "s-1"}, {"subject": "alice"}], ids=["by sid", "by subject"])
@pytest.mark.parametrize("ended_after_s", [0.0, 1.0, 60.0])
async def test_a_sign_in_that_was_under_way_when_the_logout_came_does_not_survive_it(
    world: World, ender: Ender, says: dict[str, str], ended_after_s: float
) -> None:
    browser = Browser(world)
    state = await browser.begin()
    finish = ender.finish

    def finish_slowly(answer: Any) -> Any:
        """The tokens are made; what they say reaches the store after the logout."""
        result = yield from finish(answer)
        yield gate
        return result

    gate = asyncio.Event()
    ender.finish = finish_slowly  # type: ignore[method-assign]
    finishing = asyncio.create_task(browser.finish(state, "alice@s-1"))
    for _ in range(5):
        await asyncio.sleep(0)
    world.clock.move(ended_after_s)
    assert await told(world, **says) == []
    gate.set()
    with pytest.raises(FlowError) as caught:
        await finishing
    assert caught.value.code == "flow_expired"
    assert not await browser.has_session()
    assert await world.store.sessions.by_sid(ISSUER, "s-1", world.clock.now()) == ()


async def test_of_a_sign_in_without_a_sid_any_of_the_subject_may_be_the_one(
    world: World, ender: Ender
) -> None:
    browser = Browser(world)
    await told(world, sid="s-1", subject="alice")
    with pytest.raises(FlowError):
        await browser.sign_in("alice@")
    assert not await browser.has_session()
    assert await (await signed_in(world, "bob@")).has_session()
    world.clock.move(SAME_S + 1)
    assert await (await signed_in(world, "alice@")).has_session()


async def test_at_another_process_too(world: World, ender: Ender) -> None:
    browser = Browser(world)
    await told(world, sid="s-1")
    world.signin = world.process()
    with pytest.raises(FlowError):
        await browser.sign_in("alice@s-1")


@pytest.mark.parametrize("says", [{"sid": "s-1"}, {"subject": "alice"}], ids=["by sid", "by subject"])
async def test_who_signs_in_after_the_logout_comes_in(
    world: World, ender: Ender, says: dict[str, str]
) -> None:
    await told(world, **says)
    world.clock.move(SAME_S + 1)
    assert await (await signed_in(world, "alice@s-1")).has_session()


async def test_others_who_sign_in_meanwhile_come_in(world: World, ender: Ender) -> None:
    await told(world, sid="s-1", subject="alice")
    assert await (await signed_in(world, "alice@s-2")).has_session()
    assert await (await signed_in(world, "bob@s-3")).has_session()


async def test_an_end_is_noted_no_longer_than_a_sign_in_may_take(world: World, ender: Ender) -> None:
    await told(world, sid="s-1")
    world.clock.move(NOTED_S + 1)
    assert await world.store.parking.sweep(world.clock.now()) == 2


# -- by a frame ----------------------------------------------------------------------------------


async def test_a_frame_ends_the_session_of_that_sid(world: World, ender: Ender) -> None:
    one, other = await signed_in(world, "alice@s-1"), await signed_in(world, "alice@s-2")
    assert await framed(world, "s-1") == 1
    assert [await browser.has_session() for browser in (one, other)] == [False, True]


@pytest.mark.parametrize(
    ("issuer", "sid"),
    [
        pytest.param("", "s-1", id="no issuer"),
        pytest.param("https://evil.example", "s-1", id="another issuer"),
        pytest.param(ISSUER, "", id="no sid"),
        pytest.param(ISSUER, "x" * 256, id="an endless one"),
    ],
)
async def test_a_frame_that_does_not_name_both_ends_nothing(
    world: World, ender: Ender, issuer: str, sid: str
) -> None:
    browser, nameless = await signed_in(world, "alice@s-1"), await signed_in(world, "bob@")
    with pytest.raises(ClientError) as caught:
        await framed(world, sid, issuer=issuer)
    assert (caught.value.status, caught.value.code) == (400, "logout_frame")
    assert await browser.has_session()
    assert await nameless.has_session()


async def test_made_up_sids_write_nothing_and_are_soon_not_looked_up(world: World, ender: Ender) -> None:
    before = repr(world.store.parking.__dict__)
    for number in range(MISSES_MAX):
        assert await framed(world, f"made-up-{number}", address=f"2001:db8::{number:x}") == 0
    assert repr(world.store.parking.__dict__) == before
    with pytest.raises(TooManyTries):
        await framed(world, "s-1", address="2001:db8::ffff")
    assert await framed(world, "s-1", address="2001:db8:1::1") == 0
    world.clock.move(MISSES_WINDOW_S)
    assert await framed(world, "s-1", address="2001:db8::ffff") == 0


async def test_a_sign_in_under_way_does_not_survive_a_frame_either(world: World, ender: Ender) -> None:
    await framed(world, "s-1")
    with pytest.raises(FlowError):
        await (Browser(world)).sign_in("alice@s-1")
    await signed_in(world, "alice@s-2")
    await framed(world, "s-2")
    world.signin = world.process()
    with pytest.raises(FlowError):
        await (Browser(world)).sign_in("alice@s-2")


# -- the way out by the provider's page ----------------------------------------------------------


async def test_who_has_several_identities_is_led_to_the_first_that_has_a_page(world: World) -> None:
    browser = Browser(world)
    session = await browser.sign_in("alice")
    github = replace(session.identities[0], client="github", issuer="https://github.com")
    both = replace(session, identities=(github, *session.identities), clients=("github", "google"))
    tokens = dict.fromkeys(("github", "google"), await world.grants.tokens_of(session.id, "google"))
    leaving = world.signin._leaving
    for end in ("", "down"):
        world.ops["github"].end = end
        url = await leaving.sign_out_url(both, tokens, "https://back.example/", world.clock.now())
        assert url is not None
        assert url.startswith("https://op.example/end?")


async def test_who_leaves_at_the_provider_leaves_all_that_rests_on_that_session(
    world: World, ender: Ender
) -> None:
    here, there, elsewhere = [await signed_in(world, who) for who in ("alice@s-1", "alice@s-1", "alice@s-2")]
    ender.end = ""
    await world.signin.sign_out(await here.visit())
    assert await there.has_session()  # there is no leaving there
    ender.end = "https://op.example/end"
    again = await signed_in(world, "alice@s-1")
    out = await world.signin.sign_out(await again.visit())
    assert out.location.startswith(ender.end)
    assert [await one.has_session() for one in (again, there, elsewhere)] == [False, False, True]
