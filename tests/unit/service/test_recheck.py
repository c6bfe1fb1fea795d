"""What a provider says of somebody is asked anew before it is too old, and who was removed is out."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from msgspec.structs import replace

from vestibule.core.domain import Domain
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, routes_of
from vestibule.core.rule import rule
from vestibule.core.seal import Key, KeyRing
from vestibule.core.session import with_client
from vestibule.errors import ClientError, ProviderInvalid, ProviderRefused, ProviderUnavailable, StoreError
from vestibule.model import Device, Identity, Secret, Session, Tokens
from vestibule.observe.log import Log
from vestibule.service.grants import Grants
from vestibule.service.recheck import GRACE_S, RETRY_S, Rechecks
from vestibule.service.sessions import Sessions
from vestibule.store.base import EVERYTHING

RING = KeyRing((Key("k1", b"1" * 32),))
ALICE = Identity(client="op", issuer="https://op.example", subject="alice", orgs=("acme",))
HOUR_S = 3600.0


class Op:
    """A provider that refreshes, and says who somebody is now."""

    name = "op"
    kind = "oidc"
    title = "Op"
    is_trusted = True
    is_restricted = True
    needs_tokens = True

    def __init__(self) -> None:
        self.answer: Identity | Exception = replace(ALICE, orgs=("acme", "other"))
        self.gate = asyncio.Event()
        self.refresh_gate = asyncio.Event()
        self.gate.set()
        self.refresh_gate.set()
        self.asked: list[Secret] = []
        self.refreshes = 0

    def recheck(self, identity: Identity, tokens: Tokens, now: float) -> Any:
        assert identity.subject == "alice"
        self.asked.append(tokens.access_token)
        yield self.gate
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def refresh(self, tokens: Tokens, now: float) -> Any:
        yield self.refresh_gate
        self.refreshes += 1
        return replace(tokens, access_token=Secret(f"at-{self.refreshes}"), expires_at=now + HOUR_S)


class Plain(Op):
    """One that lets everybody in."""

    is_restricted = False


class Driver:
    """Runs flows that ask for nothing but to wait."""

    async def run(self, flow: Any, *, trusted: bool = True, about: str = "") -> Any:
        try:
            ask: Any = next(flow)
            while True:
                await ask.wait()
                ask = flow.send(None)
        except StopIteration as stop:
            return stop.value


class World:
    def __init__(self, clock: Any, store: Any, changes: Any) -> None:
        self.clock = clock
        self.op = Op()
        self.log = io.StringIO()
        self.sessions = Sessions(store.sessions, changes, now=clock.now, mono=clock.mono)
        self.grants = Grants(
            store.grants,
            store.leases,
            self.sessions,
            changes,
            RING,
            refreshers={"op": self.op},
            driver=Driver(),
            now=clock.now,
            mono=clock.mono,
        )
        self.rechecks = Rechecks(
            self.sessions, self.grants, changes, Driver(), Log(self.log), every_s=HOUR_S, now=clock.now
        )
        self.rechecks.use({"op": self.op, "plain": Plain()})

    async def sign_in(self, *, refresh_token: str = "rt") -> Session:
        now = self.clock.now()
        session, _ = await self.sessions.start(
            host="h",
            user_id="",
            identities=(ALICE,),
            clients=("op",),
            device=Device(),
            now=now,
            check_at=now + HOUR_S,
        )
        tokens = Tokens(
            access_token=Secret("at-0"),
            refresh_token=Secret(refresh_token) if refresh_token else None,
            expires_at=now + 8 * HOUR_S,
        )
        await self.grants.keep(session, "op", tokens, now)
        return session

    async def still(self, session: Session) -> Session | None:
        return await self.sessions.by_id(session.id)


@pytest.fixture
def world(clock, store, changes) -> World:
    return World(clock, store, changes)


def host(*rules: str) -> Host:
    found = tuple(rule(*text.split(":", 1)) for text in rules)
    route = Route(prefix=b"", backend=Backend(internal="echo"), policy=policy_of(allow=found))
    routes, depth = routes_of([route])
    return Host(name=b"h", title="", clients={}, routes=routes, depth=depth)


@pytest.mark.parametrize(
    ("client", "rules", "is_checked"),
    [
        ("op", ("email:a@b.example",), True),
        ("plain", ("email:a@b.example",), False),
        ("plain", ("domain:b.example", "anyone"), False),
        ("plain", ("group:admins",), True),
        ("plain", ("email:a@b.example", "claim:team=x"), True),
        ("other", ("group:admins",), False),
    ],
)
def test_it_is_needed_where_somebody_may_be_removed_elsewhere(world, client, rules, is_checked):
    assert world.rechecks.next_at(client, host(*rules), 100.0) == (100.0 + HOUR_S if is_checked else 0.0)


async def test_before_its_time_nobody_is_asked(world):
    session = await world.sign_in()
    world.clock.move(HOUR_S - 1)
    assert await world.rechecks.checked(session) == session
    assert not world.op.asked


async def test_when_its_time_has_come_the_session_has_what_the_provider_says_now(world):
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    found = await world.rechecks.checked(session)
    assert found.identities == (world.op.answer,)
    assert found.check_at == world.clock.now() + HOUR_S
    assert (await world.still(session)).identities == (world.op.answer,)


async def test_the_provider_is_asked_with_tokens_refreshed_just_now(world):
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    await world.rechecks.checked(session)
    assert world.op.asked == [Secret("at-1")]


async def test_without_a_refresh_token_the_living_one_has_to_do(world):
    session = await world.sign_in(refresh_token="")
    world.clock.move(HOUR_S)
    assert await world.rechecks.checked(session) is not None
    assert world.op.asked == [Secret("at-0")]


async def test_nothing_to_ask_with_ends_the_session(world):
    session = await world.sign_in(refresh_token="")
    world.clock.move(9 * HOUR_S)
    assert await world.rechecks.checked(session) is None
    assert await world.still(session) is None


async def test_a_provider_that_asks_by_itself_gets_no_tokens_of_the_persons(world):
    world.op.needs_tokens = False
    session = await world.sign_in(refresh_token="")
    world.clock.move(9 * HOUR_S)
    assert await world.rechecks.checked(session) is not None
    assert world.op.asked == [Secret("")]


@pytest.mark.parametrize(
    "answer",
    [
        ClientError("no longer one of us", code="not_admitted", status=403),
        ProviderRefused("invalid_grant"),
        ProviderRefused("invalid_token"),
    ],
    ids=["not admitted", "the grant is gone", "the token is refused"],
)
async def test_who_was_removed_is_out(world, answer):
    session = await world.sign_in()
    world.op.answer = answer
    world.clock.move(HOUR_S)
    assert await world.rechecks.checked(session) is None
    assert await world.still(session) is None
    assert await world.grants.tokens_of(session.id, "op") is None
    assert "recheck_out" in world.log.getvalue()


@pytest.mark.parametrize("error", [ProviderUnavailable("away"), ProviderInvalid("nonsense")])
async def test_a_provider_that_can_not_be_asked_leaves_things_for_a_while_and_then_nobody_gets_in(
    world, error
):
    session = await world.sign_in()
    world.op.answer = error
    world.clock.move(HOUR_S)
    assert await world.rechecks.checked(session) == await world.still(session)
    world.clock.move(GRACE_S - 1)
    assert await world.rechecks.checked(session) is not None
    world.clock.move(1)
    with pytest.raises(ProviderUnavailable):
        await world.rechecks.checked(session)
    assert await world.still(session) is not None
    world.op.answer = ALICE
    world.clock.move(RETRY_S)
    assert (await world.rechecks.checked(session)).check_at == world.clock.now() + HOUR_S


async def test_who_is_signed_out_while_a_provider_is_waited_for_is_out_though_it_can_not_be_asked(world):
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    world.op.answer = ProviderUnavailable("down")
    world.op.gate.clear()
    request = asyncio.create_task(world.rechecks.checked(session))
    while not world.op.asked:
        await asyncio.sleep(0)
    await world.sessions.end(session.id)
    world.op.gate.set()
    assert await request is None


async def test_it_is_left_alone_for_some_seconds_after_a_failure(world):
    session = await world.sign_in()
    world.op.answer = ProviderUnavailable("away")
    world.clock.move(HOUR_S)
    for _ in range(5):
        await world.rechecks.checked(session)
    assert len(world.op.asked) == 1
    world.clock.move(RETRY_S)
    await world.rechecks.checked(session)
    assert len(world.op.asked) == 2


async def test_however_many_wait_it_is_asked_once(world):
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    world.op.gate.clear()
    waiting = [asyncio.create_task(world.rechecks.checked(session)) for _ in range(50)]
    await asyncio.sleep(0)
    world.op.gate.set()
    found = await asyncio.gather(*waiting)
    assert len(world.op.asked) == 1
    assert all(session.identities == (world.op.answer,) for session in found)


async def test_a_refresh_brings_the_next_look_forward(world, clock):
    session = await world.sign_in()
    world.clock.move(600)
    await world.grants.access_token(session, "op", rejected=Secret("at-0"))
    await asyncio.sleep(0.01)
    due = await world.still(session)
    assert world.rechecks.is_due(due)
    world.op.answer = ClientError("out", code="not_admitted", status=403)
    assert await world.rechecks.checked(due) is None


async def test_refreshes_that_may_have_been_missed_bring_nothing_forward(world):
    world.rechecks.refreshed(EVERYTHING)
    assert not world.rechecks._tasks


async def test_a_look_does_not_bring_the_next_one_forward(world):
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    await world.rechecks.checked(session)
    await asyncio.sleep(0.01)
    assert not world.rechecks.is_due(await world.still(session))


async def test_that_somebody_is_still_welcome_makes_the_providers_session_no_longer(world):
    session = await world.sign_in()
    ends = world.clock.now() + 5 * HOUR_S
    mine = replace(session.identities[0], until=ends)
    session = await world.sessions.update(session.id, lambda s: replace(s, identities=(mine,)))
    world.clock.move(HOUR_S)
    found = await world.rechecks.checked(session)
    assert found.identities == (replace(world.op.answer, until=ends),)


async def test_a_sign_in_meanwhile_is_not_overwritten(world):
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    world.op.gate.clear()
    asking = asyncio.create_task(world.rechecks.checked(session))
    while not world.op.asked:
        await asyncio.sleep(0)
    bob = replace(ALICE, subject="bob", orgs=("bobs",))
    await world.sessions.update(session.id, lambda s: replace(s, identities=(bob,)))
    world.op.gate.set()
    assert (await asking).identities == (bob,)


async def entered(world: World, client: str, *, check_at: float = 0.0) -> Session:
    """A session from the time when nothing restricted that client."""
    now = world.clock.now()
    session, _ = await world.sessions.start(
        host="h",
        user_id="",
        identities=(replace(ALICE, client=client),),
        clients=(client,),
        device=Device(),
        now=now,
        check_at=check_at,
    )
    tokens = Tokens(access_token=Secret("at-0"), refresh_token=Secret("rt"), expires_at=now + HOUR_S)
    await world.grants.keep(session, client, tokens, now)
    return session


class Tightened(Plain):
    """The same provider, of which somebody has written whom it lets in."""

    is_restricted = True


async def test_a_restriction_written_later_holds_for_who_is_in_already(world):
    session = await entered(world, "plain")
    world.rechecks.use({"op": world.op, "plain": Plain()})
    assert not world.rechecks.is_due(session)
    tightened = Tightened()
    tightened.answer = ClientError("not one of us", code="not_admitted", status=403)
    world.rechecks.use({"op": world.op, "plain": tightened})
    assert world.rechecks.is_due(session)
    assert await world.rechecks.checked(session) is None
    assert await world.still(session) is None


async def test_a_rule_on_groups_written_later_is_asked_about_for_who_is_in_already(world):
    session = await entered(world, "plain")
    world.rechecks.use({"plain": Plain()}, [host("email:a@b.example")])
    assert not world.rechecks.is_due(session)
    world.rechecks.use({"plain": Plain()}, [host("group:admins")])
    assert world.rechecks.is_due(session)
    assert not world.rechecks.is_due(replace(session, host="another"))


async def test_a_restriction_that_was_changed_is_asked_about_at_once_and_once(world):
    session = await world.sign_in()
    world.clock.move(60)
    world.rechecks.use({"op": world.op})
    assert not world.rechecks.is_due(session)
    world.rechecks.use({})  # switched off, changed, switched on
    changed = Op()
    changed.answer = ALICE
    world.rechecks.use({"op": changed})
    assert world.rechecks.is_due(session)
    assert not world.rechecks.is_due(await world.rechecks.checked(session))


async def test_a_changed_restriction_that_can_not_be_asked_about_gives_minutes_not_the_hour(world):
    """Whoever can make the provider fail for themselves (a rate limit of their own) stays in no longer by that."""
    session = await world.sign_in()
    world.clock.move(60)
    changed = Op()
    changed.answer = ProviderUnavailable("too many requests")
    world.rechecks.use({"op": changed})
    assert await world.rechecks.checked(session) == session
    world.clock.move(GRACE_S)
    with pytest.raises(ProviderUnavailable):
        await world.rechecks.checked(session)
    # Once it has been asked, a failure at another time costs nobody their minutes.
    changed.answer = ALICE
    world.clock.move(RETRY_S)
    session = await world.rechecks.checked(session)
    changed.answer = ProviderUnavailable("away")
    world.clock.move(HOUR_S)
    assert await world.rechecks.checked(session) == session


# -- what is told to those who keep it --------------------------------------------------------


class Ledger:
    """Keeps what it is told; its store may be away."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, Identity, float | None]] = []
        self.known: tuple[Identity, ...] = ()
        self.is_away = False

    async def vouch(self, user_id: str, identity: Identity, now: float) -> None:
        self._add("vouch", user_id, identity, now)

    async def doubt(self, user_id: str, identity: Identity) -> None:
        self._add("doubt", user_id, identity, None)

    async def known_now(self, user_id: str, now: float) -> tuple[Identity, ...]:
        if self.is_away:
            raise StoreError("The store is away.")
        return self.known

    def _add(self, what: str, user_id: str, identity: Identity, now: float | None) -> None:
        if self.is_away:
            raise StoreError("The store is away.")
        self.told.append((what, user_id, identity, now))


async def test_what_the_provider_says_is_told(world):
    world.rechecks.tell(ledger := Ledger())
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    await world.rechecks.checked(session)
    assert ledger.told == [("vouch", "", world.op.answer, world.clock.now())]


@pytest.mark.parametrize(
    "answer",
    [ClientError("not a member", code="not_admitted", status=403), ProviderRefused("x", "gone")],
    ids=["no longer let in", "the provider won't say"],
)
async def test_that_somebody_is_out_is_told(world, answer):
    world.rechecks.tell(ledger := Ledger())
    world.op.answer = answer
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    assert await world.rechecks.checked(session) is None
    assert ledger.told == [("doubt", "", ALICE, None)]


async def test_nothing_is_told_of_a_provider_that_could_not_be_asked(world):
    world.rechecks.tell(ledger := Ledger())
    world.op.answer = ProviderUnavailable("away")
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    await world.rechecks.checked(session)
    assert ledger.told == []


@pytest.mark.parametrize("is_out", [False, True], ids=["still in", "out"])
async def test_a_store_that_is_away_then_changes_nothing_for_the_session(world, is_out):
    world.rechecks.tell(ledger := Ledger())
    ledger.is_away = True
    if is_out:
        world.op.answer = ProviderRefused("x", "gone")
    session = await world.sign_in()
    world.clock.move(HOUR_S)
    assert (await world.rechecks.checked(session) is None) is is_out
    assert (await world.still(session) is None) is is_out
    assert "recheck_untold" in world.log.getvalue()


# -- what a service made ----------------------------------------------------------------------


@pytest.fixture(params=["made_by", "app"])
def mark(request) -> str:
    return request.param


async def made(world: World, mark: str = "made_by") -> Session:
    """A session without credentials, and so with nothing to ask the provider with: a service's, or an app's."""
    now = world.clock.now()
    session, _ = await world.sessions.start(
        host="h", user_id="", identities=(ALICE,), clients=(), device=Device(), now=now
    )
    marked = await world.sessions.update(
        session.id, lambda one: replace(one, **{mark: "shop"}, check_at=world.rechecks.next_by_word(now))
    )
    assert marked is not None
    return marked


async def test_what_a_service_made_goes_by_what_was_said_of_the_person_last(world, mark):
    world.rechecks.tell(ledger := Ledger())
    session = await made(world, mark)
    assert not world.rechecks.is_due(session)
    moved = replace(ALICE, orgs=("elsewhere",))
    ledger.known = (moved, replace(ALICE, client="another"))
    world.clock.move(HOUR_S)
    session = await world.rechecks.checked(session)
    assert (session.identities, world.rechecks.is_due(session)) == ((moved,), False)
    assert (world.op.asked, ledger.told) == ([], [])


async def test_it_ends_where_nobody_vouches_any_more_and_no_word_is_doubted_for_it(world, mark):
    world.rechecks.tell(ledger := Ledger())
    session = await made(world, mark)
    world.clock.move(HOUR_S)
    assert await world.rechecks.checked(session) is None
    assert await world.still(session) is None
    assert ledger.told == []


async def test_further_credentials_make_nobodys_word_last(world, mark):
    """Threat: a phone that adds credentials elsewhere, so that its session is asked about nowhere, or ends by it."""
    world.rechecks.tell(ledger := Ledger())
    session = await made(world, mark)
    await world.sessions.update(session.id, lambda one: with_client(one, "another"))
    ledger.known = (replace(ALICE, orgs=("elsewhere",)),)
    world.clock.move(HOUR_S)
    assert (await world.rechecks.checked(session)).identities == ledger.known
    ledger.known = ()
    world.clock.move(HOUR_S)
    assert await world.rechecks.checked(await world.still(session)) is None
    assert world.op.asked == []


async def test_a_sign_in_elsewhere_makes_it_no_fresher(world, mark):
    world.rechecks.tell(ledger := Ledger())
    session = await made(world, mark)
    other = replace(ALICE, subject="another", signed_in_at=9e9)
    ledger.known = (replace(ALICE, signed_in_at=9e9, sid="elsewhere", until=9e9), other)
    world.clock.move(HOUR_S)
    session = await world.rechecks.checked(session)
    assert session.identities == (ALICE, replace(other, signed_in_at=0.0))


async def test_an_apps_session_has_no_credentials_of_its_own_whatever_it_says(world):
    """Threat: an app's session that was made of a browser's, and ends for want of what that one has."""
    world.rechecks.tell(ledger := Ledger())
    session = await made(world, "app")
    ledger.known = (replace(ALICE, orgs=("elsewhere",)),)
    await world.sessions.update(session.id, lambda one: with_client(one, ALICE.client))
    world.clock.move(HOUR_S)
    assert (await world.rechecks.checked(session)).identities == ledger.known
    assert world.op.asked == []


async def test_it_is_neither_used_nor_ended_while_that_can_t_be_known(world, mark):
    session = await made(world, mark)
    world.clock.move(HOUR_S)
    with pytest.raises(StoreError):
        await world.rechecks.checked(session)
    world.rechecks.tell(ledger := Ledger())
    ledger.is_away = True
    with pytest.raises(StoreError):
        await world.rechecks.checked(session)
    assert await world.still(session) is not None


# -- what is handed on ------------------------------------------------------------------------


async def handed(world: World) -> tuple[Session, Session]:
    parent = await world.sign_in()
    found = await world.sessions.hand_on(parent, host="app", device=Device(), now=world.clock.now())
    assert found is not None
    return parent, found[0]


async def test_a_child_is_looked_at_with_its_parent_and_the_provider_asked_once(world):
    parent, child = await handed(world)
    other = await world.sessions.hand_on(parent, host="wiki", device=Device(), now=world.clock.now())
    assert not world.rechecks.is_due(child)
    world.clock.move(HOUR_S)
    assert world.rechecks.is_due(child)
    found = await asyncio.gather(*(world.rechecks.checked(one) for one in (child, parent, other[0])))
    assert [one.identities[0].orgs for one in found] == [("acme", "other")] * 3
    assert [world.rechecks.is_due(one) for one in found] == [False] * 3
    assert len(world.op.asked) == 1


async def test_who_is_out_is_out_as_a_child_too(world):
    parent, child = await handed(world)
    world.op.answer = ClientError("no", code="not_member", status=403)
    world.clock.move(HOUR_S)
    assert await world.rechecks.checked(child) is None
    assert await world.still(parent) is None
    assert await world.still(child) is None


async def test_a_host_with_such_rules_has_its_auth_hosts_people_looked_at(world):
    domain = Domain(name="h", auth=b"auth.h")
    auth, plain = replace(host(), name=b"auth.h", domain=domain), replace(host(), name=b"x.h", domain=domain)
    assert world.rechecks.next_at("plain", auth, 5.0) == 0.0
    world.rechecks.use({"op": world.op, "plain": Plain()}, [replace(host("group:a"), domain=domain)])
    assert world.rechecks.next_at("plain", auth, 5.0) == 5.0 + HOUR_S
    assert world.rechecks.next_at("plain", plain, 5.0) == 5.0 + HOUR_S
