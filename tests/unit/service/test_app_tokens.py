"""Tokens that people make for their programs: what they are good for, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Away, Clock
from vestibule.core import app_token
from vestibule.core.app_token import DAY_S, Wish
from vestibule.core.policy import decide, policy_of
from vestibule.core.route import Backend, Host, Route, routes_of
from vestibule.core.rule import rule
from vestibule.core.vouched import Standing
from vestibule.errors import ClientError, Conflict, Invalid, NotFound, StoreError
from vestibule.model import Asker, Bounds, Caller, Deny, Identity
from vestibule.service.app_tokens import AT_MOST, FAILURES_MAX, WINDOW_S, AppTokens, Bearers
from vestibule.service.people import KNOWN, People
from vestibule.service.sessions import USER, Sessions
from vestibule.service.tries import SharedTries
from vestibule.store.base import EVERYTHING

ALICE = Identity(
    client="google", issuer="https://a", subject="1", email="alice@example.com", groups=("staff",)
)
AT_GITHUB = Identity(client="github", issuer="https://b", subject="9", login="alice")
STANDING = Standing(words={"google": "g1", "github": "h1"}, holds_s=7 * DAY_S)
ADDRESS = "192.0.2.1"
WISH = Wish(
    name="laptop",
    host="git.example.com",
    prefixes=("/alice/repo",),
    methods=("GET", "HEAD"),
    life_s=30 * DAY_S,
)


def host(name: str = "git.example.com", *sign_in: str, app_tokens: bool = True) -> Host:
    policy = policy_of(allow=(), sign_in=frozenset(sign_in or ("google",)))
    routes, depth = routes_of([Route(prefix=b"", backend=Backend(internal="echo"), policy=policy)])
    return Host(
        name=name.encode(),
        title=name,
        clients={},
        sign_in=sign_in or ("google",),
        routes=routes,
        depth=depth,
        app_tokens=app_tokens,
    )


GIT = host()


class World:
    """Services on one store, whose app tokens can be away."""

    def __init__(self, clock: Clock, store: Any, changes: Any) -> None:
        self.clock = clock
        self.changes = changes
        self.kept = store.app_tokens
        self.away = Away(store.app_tokens)
        sessions = Sessions(store.sessions, changes, now=clock.now, mono=clock.mono)
        self.people = People(store.people, store.invitations, sessions, changes)
        self.people.judge_by(STANDING)
        self.tokens = AppTokens(self.away, self.people, changes)
        self.bearers = Bearers(self.tokens.find, changes, now=clock.now, mono=clock.mono)

    async def user(self, identity: Identity = ALICE) -> str:
        user = await self.people.admit(identity, self.clock.now())
        assert user is not None
        return user.id

    async def made(self, wish: Wish = WISH, identity: Identity = ALICE) -> tuple[str, str, bytes]:
        """A user's id, their new token's id, and the header that shows it."""
        user_id = await self.user(identity)
        token, text = await self.tokens.mint(user_id, wish, self.clock.now())
        return user_id, token.id, b"Bearer " + text.reveal().encode()

    async def load(self, shown: bytes, at: Host = GIT, address: str = ADDRESS) -> Caller:
        return await self.bearers.load(at, shown, address, self.clock.now())

    async def refused(self, shown: bytes, at: Host = GIT, address: str = ADDRESS) -> tuple[int, str]:
        with pytest.raises(ClientError) as caught:
            await self.load(shown, at, address)
        assert self.bearers.peek(at, shown) is None
        return caught.value.status, caught.value.code


@pytest.fixture
def world(clock, store, changes) -> World:
    return World(clock, store, changes)


INVALID = (401, "invalid_token")


def wrong(number: int) -> bytes:
    """A token of the right form that nobody has made."""
    return b"Bearer " + app_token.written(number.to_bytes(32)).encode()


# -- making -----------------------------------------------------------------------------------


async def test_a_token_is_kept_as_it_was_asked_for_and_by_its_hash(world):
    user_id = await world.user()
    token, text = await world.tokens.mint(user_id, WISH, world.clock.now())
    assert app_token.is_token(text.reveal())
    assert (token.user_id, token.name, token.host) == (user_id, "laptop", "git.example.com")
    assert (token.prefixes, token.methods, token.scopes) == (("/alice/repo",), ("GET", "HEAD"), ())
    assert token.expires_at == world.clock.now() + 30 * DAY_S
    assert await world.tokens.of_user(user_id) == (token,)
    assert text.reveal() not in repr(vars(world.kept))


async def test_what_is_wrong_with_a_wish_is_told_by_field(world):
    user_id = await world.user()
    with pytest.raises(Invalid) as caught:
        await world.tokens.mint(user_id, replace(WISH, name="", life_s=366 * DAY_S), world.clock.now())
    assert dict(caught.value.faults) == {"name": "missing", "days": "invalid"}
    assert await world.tokens.of_user(user_id) == ()


async def test_nobody_has_more_than_so_many(world):
    user_id = await world.user()
    for _ in range(AT_MOST):
        await world.tokens.mint(user_id, WISH, world.clock.now())
    with pytest.raises(Conflict) as caught:
        await world.tokens.mint(user_id, WISH, world.clock.now())
    assert caught.value.code == "too_many_tokens"


async def test_expired_ones_are_listed_for_a_month(world):
    user_id, _, _ = await world.made(replace(WISH, life_s=DAY_S))
    world.clock.move(30 * DAY_S)
    assert await world.tokens.sweep(world.clock.now(), 9) == 0
    world.clock.move(DAY_S + 1)
    assert await world.tokens.sweep(world.clock.now(), 9) == 1
    assert await world.tokens.of_user(user_id) == ()


# -- showing ----------------------------------------------------------------------------------


async def test_whoever_shows_a_token_is_the_person_who_made_it_within_its_bounds(world):
    user_id, token_id, shown = await world.made()
    assert world.bearers.takes(GIT, shown)
    assert await world.load(shown) == Caller(
        id=token_id,
        kind="app_token",
        identities=(ALICE,),
        user_id=user_id,
        expires_at=world.clock.now() + 30 * DAY_S,
        bounds=Bounds(
            host="git.example.com", prefixes=(b"/alice/repo",), methods=frozenset({b"GET", b"HEAD"})
        ),
    )


@pytest.mark.parametrize(
    "shown",
    [
        b"",
        b"Bearer",
        b"Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
        b"Bearer ghp_0123456789",
        b"Digest vst_app_x",
        b"Basic !!!",
        b"Bearer vst_admin_x",
        b"Basic dnN0X2FwcF94Og==",
    ],
    ids=str,
)
def test_what_does_not_look_like_one_is_left_to_others(world, shown):
    assert not world.bearers.takes(GIT, shown)


async def test_what_looks_like_one_is_never_left_to_the_backend(world):
    _, _, shown = await world.made()
    closed = host(app_tokens=False)
    assert world.bearers.takes(closed, shown)
    assert await world.refused(shown, closed) == INVALID
    assert world.bearers.takes(closed, b"Bearer vst_app_mistyped")
    # It stays good where it is good.
    assert await world.load(shown)


async def test_a_host_believes_its_own_clients_only(world):
    user_id, _, shown = await world.made()
    await world.people.link(user_id, AT_GITHUB, world.clock.now())
    assert (await world.load(shown)).identities == (ALICE,)
    assert (await world.load(shown, host("b.example", "github"))).identities == (AT_GITHUB,)
    nobody = await world.load(shown, host("c.example", "other"))
    assert (nobody.identities, nobody.user_id) == ((), "")


async def test_the_same_bearer_is_the_same_value_while_nothing_changes(world, changes):
    _, _, shown = await world.made()
    caller = await world.load(shown)
    assert world.bearers.peek(GIT, shown) is caller
    assert await world.load(shown) is caller


# -- ending -----------------------------------------------------------------------------------


async def test_a_revoked_one_is_refused_at_once(world):
    user_id, token_id, shown = await world.made()
    await world.load(shown)
    await world.tokens.revoke(user_id, token_id)
    assert world.bearers.peek(GIT, shown) is None
    assert await world.refused(shown) == INVALID


async def test_nobody_revokes_anothers(world):
    _, token_id, shown = await world.made()
    other = await world.user(replace(ALICE, subject="2"))
    with pytest.raises(NotFound):
        await world.tokens.revoke(other, token_id)
    assert await world.load(shown)


async def test_an_expired_one_is_refused(world):
    _, _, shown = await world.made(replace(WISH, life_s=60.0))
    await world.load(shown)
    world.clock.move(59.0)
    assert world.bearers.peek(GIT, shown)
    world.clock.move(1.0)
    assert await world.refused(shown) == INVALID


async def test_a_blocked_users_tokens_are_dead_and_stay_so(world):
    user_id, _, shown = await world.made()
    await world.load(shown)
    world.clock.move(1.0)
    await world.people.set_disabled(user_id, True, world.clock.now())
    assert await world.refused(shown) == INVALID
    await world.people.set_disabled(user_id, False, world.clock.now())
    world.clock.move(WINDOW_S)
    assert await world.refused(shown) == INVALID


async def test_a_deleted_users_tokens_are_gone(world):
    user_id, _, shown = await world.made()
    await world.load(shown)
    await world.people.delete(user_id, world.clock.now())
    assert await world.refused(shown) == INVALID


async def test_signing_out_everywhere_leaves_tokens(world):
    user_id, _, shown = await world.made()
    await world.people.end_sessions(user_id, world.clock.now())
    assert await world.load(shown)


async def test_a_new_sign_in_changes_who_the_bearer_is_at_once(world):
    _, _, shown = await world.made()
    await world.load(shown)
    now_in = replace(ALICE, groups=("admins",))
    await world.user(now_in)
    assert world.bearers.peek(GIT, shown) is None
    assert (await world.load(shown)).identities == (now_in,)


async def test_groups_are_not_known_once_nobody_has_said_them_for_too_long(world):
    _, _, shown = await world.made()
    world.clock.move(7 * DAY_S - 1)
    assert (await world.load(shown)).identities == (ALICE,)
    world.clock.move(1.0)
    assert world.bearers.peek(GIT, shown) is None
    [faded] = (await world.load(shown)).identities
    assert (faded.groups, faded.email) == ((), "alice@example.com")
    assert "groups" in faded.unknown
    assert world.bearers.peek(GIT, shown).identities == (faded,)


async def test_other_providers_in_force_make_it_ask_again(world):
    _, _, shown = await world.made()
    await world.load(shown)
    world.people.judge_by(Standing(words={"google": "g2"}))
    world.bearers.forget()
    assert world.bearers.peek(GIT, shown) is None
    assert (await world.load(shown)).identities == ()


async def test_without_heartbeats_it_is_read_again_after_a_second(world):
    _, _, shown = await world.made()
    await world.load(shown)
    world.changes.is_beating = False
    assert world.bearers.peek(GIT, shown)
    world.clock.move(1.0)
    assert world.bearers.peek(GIT, shown) is None
    assert await world.load(shown)
    assert world.bearers.peek(GIT, shown)


@pytest.mark.parametrize("kind", [KNOWN, USER])
async def test_where_changes_may_have_been_missed_it_is_read_again_unless_the_store_is_away(world, kind):
    _, _, shown = await world.made()
    caller = await world.load(shown)
    world.changes.publish(kind, EVERYTHING)
    assert world.bearers.peek(GIT, shown) is None
    world.away.is_away = True
    assert await world.load(shown) is caller
    world.away.is_away = False
    world.clock.move(0.001)
    await world.load(shown)
    assert world.bearers.peek(GIT, shown)


async def test_who_revokes_one_waits_until_all_have_heard(world):
    user_id, token_id, _ = await world.made()
    await world.tokens.revoke(user_id, token_id)
    assert world.changes.settled


async def test_what_was_changed_while_it_was_read_is_not_kept(world):
    user_id, _, shown = await world.made()
    find = world.tokens.find

    async def slow(token_hash: bytes, now: float):
        found = await find(token_hash, now)
        await world.people.vouch(user_id, replace(ALICE, groups=()), now)
        return found

    bearers = Bearers(slow, world.changes, now=world.clock.now, mono=world.clock.mono)
    await bearers.load(GIT, shown, ADDRESS, world.clock.now())
    assert bearers.peek(GIT, shown) is None


# -- the store is away ------------------------------------------------------------------------


async def test_who_was_known_a_moment_ago_is_served_while_the_store_is_away(world):
    _, _, shown = await world.made()
    caller = await world.load(shown)
    world.changes.is_beating = False
    world.away.is_away = True
    world.clock.move(29.0)
    assert await world.load(shown) is caller
    world.clock.move(1.0)
    with pytest.raises(StoreError):
        await world.load(shown)


async def test_nobody_new_is_served_then(world):
    _, _, shown = await world.made()
    world.away.is_away = True
    with pytest.raises(StoreError):
        await world.load(shown)
    world.away.is_away = False
    assert await world.load(shown)


# -- wrong ones -------------------------------------------------------------------------------


async def test_a_mistyped_one_is_refused_without_asking_the_store(world):
    world.away.is_away = True
    assert await world.refused(b"Bearer vst_app_" + b"0" * 49) == INVALID


async def test_who_tries_too_many_is_not_listened_to_for_a_while(world):
    for number in range(FAILURES_MAX):
        assert await world.refused(wrong(number)) == INVALID
    asked = len(world.away.calls)
    assert await world.refused(wrong(99)) == (429, "too_many_tries")
    assert len(world.away.calls) == asked
    assert await world.refused(wrong(99), address="192.0.2.2") == INVALID
    world.clock.move(WINDOW_S)
    assert await world.refused(wrong(98)) == INVALID


async def test_one_who_has_many_addresses_is_one(world):
    for number in range(FAILURES_MAX):
        assert await world.refused(wrong(number), address=f"2001:db8::{number:x}") == INVALID
    assert await world.refused(wrong(99), address="2001:db8::ffff") == (429, "too_many_tries")
    assert await world.refused(wrong(99), address="2001:db8:0:1::1") == INVALID


async def test_who_is_known_already_is_served_at_such_an_address(world):
    _, _, shown = await world.made()
    await world.load(shown)
    for number in range(FAILURES_MAX):
        await world.refused(wrong(number))
    assert await world.load(shown)


async def test_a_forgotten_script_locks_nobody_out(world):
    for _ in range(FAILURES_MAX + 5):
        assert await world.refused(wrong(1)) == INVALID
        world.clock.move(1.0)
    assert world.away.calls.count("by_hash") == 1
    _, _, shown = await world.made()
    assert await world.load(shown)


# -- bounds of memory -------------------------------------------------------------------------


async def test_the_cache_is_bounded(world):
    bearers = Bearers(
        world.tokens.find, world.changes, now=world.clock.now, mono=world.clock.mono, capacity=2
    )
    shown = [(await world.made())[2] for _ in range(3)]
    for one in shown:
        await bearers.load(GIT, one, ADDRESS, world.clock.now())
    assert [bearers.peek(GIT, one) is not None for one in shown] == [False, True, True]
    assert sum(map(len, bearers._of_user.values())) == 2


# -- last used --------------------------------------------------------------------------------


async def test_when_it_was_used_is_written_now_and_then(world):
    user_id, _, shown = await world.made()
    used_at = world.clock.now()
    await world.load(shown)
    world.clock.move(30.0)
    world.bearers.peek(GIT, shown)
    await world.bearers.flush(world.tokens.seen)
    [token] = await world.tokens.of_user(user_id)
    assert token.seen_at == used_at
    await world.bearers.flush(world.tokens.seen)
    assert world.away.calls.count("seen") == 1
    world.clock.move(30.0)
    world.bearers.peek(GIT, shown)
    await world.bearers.flush(world.tokens.seen)
    [token] = await world.tokens.of_user(user_id)
    assert token.seen_at == used_at + 60.0


async def test_what_could_not_be_written_is_written_the_next_time(world):
    user_id, _, shown = await world.made()
    await world.load(shown)
    world.away.is_away = True
    with pytest.raises(StoreError):
        await world.bearers.flush(world.tokens.seen)
    world.away.is_away = False
    await world.bearers.flush(world.tokens.seen)
    [token] = await world.tokens.of_user(user_id)
    assert token.seen_at == world.clock.now()


async def test_a_refused_one_was_not_used(world):
    user_id, token_id, shown = await world.made()
    await world.tokens.revoke(user_id, token_id)
    await world.refused(shown)
    await world.bearers.flush(world.tokens.seen)
    assert "seen" not in world.away.calls


async def test_a_bearer_for_whom_nobody_vouches_meets_no_rule_of_a_person_nor_stays_in_the_cache(world):
    user_id, token_id, shown = await world.made()
    there = host("c.example", "other")
    caller = await world.load(shown, there)
    asker = Asker(caller.identities, caller.user_id, ADDRESS, caller.scopes)
    for one in (rule("anyone"), rule("user", user_id)):
        policy = policy_of(allow=(one,), sign_in=frozenset({"other"}))
        assert isinstance(decide(policy, b"GET", asker), Deny)
    await world.tokens.revoke(user_id, token_id)
    assert world.bearers.peek(there, shown) is None


async def test_wrong_tokens_at_two_processes_are_one_count(world, store):
    bearers = [
        Bearers(
            world.tokens.find,
            world.changes,
            now=world.clock.now,
            mono=world.clock.mono,
            shared=SharedTries(store.tries),
        )
        for _ in range(2)
    ]
    codes = []
    for number in range(FAILURES_MAX + 1):
        one = bearers[number % 2 if number < FAILURES_MAX else 1]
        with pytest.raises(ClientError) as caught:
            await one.load(GIT, wrong(number), ADDRESS, world.clock.now())
        codes.append(caught.value.code)
    assert codes == ["invalid_token"] * FAILURES_MAX + ["too_many_tries"]
    _, _, shown = await world.made()
    assert await bearers[1].load(GIT, shown, "198.51.100.1", world.clock.now())
