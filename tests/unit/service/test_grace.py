"""What the services keep up while the store is away, and for whom: known sessions, for a while, and nobody else."""

from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError
from vestibule.model import Device, Identity, Secret, Session, Tokens
from vestibule.observe.log import Log
from vestibule.service.grants import GRANT, Grants
from vestibule.service.recheck import RETRY_S, Rechecks
from vestibule.service.sessions import SESSION, Sessions
from vestibule.store.base import EVERYTHING

RING = KeyRing((Key("k1", b"1" * 32),))
ALICE = Identity(client="op", issuer="https://op.example", subject="alice", orgs=("acme",))
HOUR_S = 3600.0


class Op:
    """A provider that says who somebody is now."""

    name = title = "op"
    kind = "oidc"
    is_trusted = is_restricted = needs_tokens = True

    def __init__(self) -> None:
        self.asked = 0
        self.answer = ALICE
        self.then = lambda: None

    def recheck(self, identity, tokens, now):
        self.asked += 1
        self.then()
        return self.answer
        yield

    def refresh(self, tokens, now):
        return replace(tokens, expires_at=now + HOUR_S)
        yield


class Driver:
    async def run(self, flow, *, trusted=True, about=""):
        try:
            next(flow)
        except StopIteration as stop:
            return stop.value
        raise AssertionError


class World:
    def __init__(self, store, away, changes, clock, away_of, *, grace_s: float = 30.0) -> None:
        self.clock, self.changes, self.op = clock, changes, Op()
        self.parts = [away, away_of(store.grants)]
        self.sessions = Sessions(away, changes, now=clock.now, mono=clock.mono, grace_s=grace_s)
        self.grants = Grants(
            self.parts[1],
            store.leases,
            self.sessions,
            changes,
            RING,
            refreshers={"op": self.op},
            driver=Driver(),
            now=clock.now,
            mono=clock.mono,
            grace_s=grace_s,
        )
        self.rechecks = Rechecks(
            self.sessions,
            self.grants,
            changes,
            Driver(),
            Log(io.StringIO()),
            every_s=HOUR_S,
            now=clock.now,
        )
        self.rechecks.use({"op": self.op})

    def away(self, *, is_away: bool = True) -> None:
        """The store is gone, and no heartbeat comes any more."""
        self.changes.is_beating = not is_away
        for part in self.parts:
            part.is_away = is_away

    async def signed_in(self, check_in_s: float = 0.0) -> SimpleNamespace:
        now = self.clock.now()
        session, handle = await self.sessions.start(
            host="h",
            user_id="",
            identities=(ALICE,),
            clients=("op",),
            device=Device(),
            now=now,
            check_at=now + check_in_s if check_in_s else 0.0,
        )
        tokens = Tokens(access_token=Secret("at"), refresh_token=Secret("rt"), expires_at=now + 8 * HOUR_S)
        await self.grants.keep(session, "op", tokens, now)
        await self.sessions.load(handle)
        await self.grants.access_token(session, "op")
        return SimpleNamespace(session=session, handle=handle, tokens=tokens)


@pytest.fixture
def build(store, away, changes, clock):
    def make(**options) -> World:
        return World(store, away, changes, clock, type(away), **options)

    return make


# -- sessions ---------------------------------------------------------------------------------


async def test_without_grace_nobody_is_served_from_then_on(build):
    world = build(grace_s=0.0)
    known = await world.signed_in()
    world.away()
    world.clock.move(1.1)
    with pytest.raises(StoreError):
        await world.sessions.load(known.handle)
    with pytest.raises(StoreError):
        await world.sessions.by_id(known.session.id)
    with pytest.raises(StoreError):
        await world.grants.access_token(known.session, "op")
    world.away(is_away=False)
    assert await world.sessions.load(known.handle) == known.session


async def test_grace_counts_from_when_changes_were_last_heard_and_not_from_when_it_was_read(build):
    world = build()
    known = await world.signed_in()
    world.clock.move(HOUR_S)
    await world.sessions.flush()
    world.away()
    world.clock.move(29)
    assert await world.sessions.load(known.handle) == known.session
    assert await world.grants.access_token(known.session, "op") == known.tokens
    world.clock.move(2)
    with pytest.raises(StoreError):
        await world.sessions.load(known.handle)


async def test_what_may_have_changed_unheard_is_as_old_as_the_last_that_was_heard(build):
    world = build()
    known = await world.signed_in()
    world.clock.move(HOUR_S)
    assert world.sessions.peek(known.handle) == known.session
    world.away()
    for _ in range(3):
        world.clock.move(5)
        world.changes.publish(SESSION, EVERYTHING)
        world.changes.is_beating = True
        assert world.sessions.peek(known.handle) is None
    assert await world.sessions.load(known.handle) == known.session
    world.clock.move(16)
    await world.sessions.flush()
    with pytest.raises(StoreError):
        await world.sessions.load(known.handle)


class Slow:
    """A store of one session that answers when it is told to."""

    def __init__(self, part) -> None:
        self._part = part
        self.go_on = asyncio.Event()
        self.asked = 0

    def __getattr__(self, name):
        return getattr(self._part, name)

    async def by_handle(self, handle_hash, now):
        self.asked += 1
        answer = await self._part.by_handle(handle_hash, now)
        await self.go_on.wait()
        return answer


async def test_many_requests_of_one_browser_make_one_look_up(store, changes, clock):
    slow = Slow(store.sessions)
    sessions = Sessions(slow, changes, now=clock.now, mono=clock.mono)
    session, handle = await sessions.start(
        host="h", user_id="", identities=(), clients=(), device=Device(), now=clock.now()
    )
    asking = [asyncio.create_task(sessions.load(handle)) for _ in range(100)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    slow.go_on.set()
    assert await asyncio.gather(*asking) == [session] * 100
    assert slow.asked == 1


async def test_who_comes_after_a_sign_out_shares_no_look_up_from_before_it(store, changes, clock):
    slow = Slow(store.sessions)
    sessions = Sessions(slow, changes, now=clock.now, mono=clock.mono)
    session, handle = await sessions.start(
        host="h", user_id="", identities=(), clients=(), device=Device(), now=clock.now()
    )
    before = asyncio.create_task(sessions.load(handle))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await sessions.end(session.id)
    after = asyncio.create_task(sessions.load(handle))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    slow.go_on.set()
    assert await after is None
    assert await before == session  # it was asked while the session lived
    assert sessions.peek(handle) is None


# -- credentials ------------------------------------------------------------------------------


async def test_live_tokens_are_answered_within_grace(build):
    world = build()
    known = await world.signed_in()
    world.away()
    world.clock.move(29)
    assert await world.grants.access_token(known.session, "op") == known.tokens
    world.clock.move(2)
    with pytest.raises(StoreError):
        await world.grants.access_token(known.session, "op")


@pytest.mark.parametrize("kind", [GRANT, SESSION])
async def test_tokens_that_were_taken_back_here_are_not(build, kind):
    world = build()
    known = await world.signed_in()
    world.away()
    world.changes.publish(kind, known.session.id)
    with pytest.raises(StoreError):
        await world.grants.access_token(known.session, "op")


async def test_tokens_that_an_api_rejected_are_not(build):
    world = build()
    known = await world.signed_in()
    world.away()
    world.clock.move(2)
    with pytest.raises(StoreError):
        await world.grants.access_token(known.session, "op", rejected=known.tokens.access_token)


async def test_tokens_that_ran_out_meanwhile_are_not(build):
    world = build(grace_s=10 * HOUR_S)
    known = await world.signed_in()
    world.away()
    world.clock.move(9 * HOUR_S)
    with pytest.raises(StoreError):
        await world.grants.access_token(known.session, "op")


# -- what providers say -----------------------------------------------------------------------


async def test_a_session_that_is_due_to_be_asked_about_goes_on_and_is_asked_about_after(build):
    world = build(grace_s=HOUR_S)
    known = await world.signed_in(check_in_s=10.0)
    world.clock.move(11)
    world.away()
    for _ in range(5):
        assert await world.rechecks.checked(known.session) == known.session
    world.clock.move(RETRY_S + 1)
    world.away(is_away=False)
    assert (await world.rechecks.checked(known.session)).check_at > world.clock.now()
    assert world.op.asked == 1


@pytest.mark.parametrize("orgs", [("acme",), ()], ids=["as before", "another"])
async def test_what_was_heard_and_cannot_be_kept_lets_in_by_no_older_word(build, orgs):
    world = build(grace_s=HOUR_S)
    known = await world.signed_in(check_in_s=10.0)
    world.clock.move(11)
    world.op.answer = replace(ALICE, orgs=orgs)
    world.op.then = world.away
    if orgs:
        assert await world.rechecks.checked(known.session) == known.session
        return
    for _ in range(3):
        with pytest.raises(StoreError):
            await world.rechecks.checked(known.session)
        world.away(is_away=False)
    world.op.then = lambda: None
    found = await world.rechecks.checked(known.session)
    assert isinstance(found, Session)
    assert found.identities[0].orgs == ()
