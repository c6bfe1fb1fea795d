# ruff: noqa: PLR0917 - fixtures are asked for by name
"""Credentials of a session, and their one refresh."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from msgspec.structs import replace

from vestibule.core.seal import Key, KeyRing
from vestibule.errors import (
    CredentialGone,
    ProviderInvalid,
    ProviderRefused,
    ProviderUnavailable,
    StoreError,
)
from vestibule.model import Device, Secret, Session, Tokens
from vestibule.providers.kit import Flow, PostForm, Reply
from vestibule.service.grants import GRANT, Grants
from vestibule.service.sessions import Sessions
from vestibule.store.base import EVERYTHING

RING = KeyRing((Key("k1", b"1" * 32),))


class Google:
    """A client that refreshes by posting the refresh token."""

    is_trusted = True

    def refresh(self, tokens: Tokens, now: float) -> Flow[Tokens]:
        form = (("refresh_token", tokens.refresh_token.reveal()),)
        reply = yield PostForm(url="https://op.example/token", form=form)
        told = reply.json
        if "error" in told:
            raise ProviderRefused(told["error"])
        return Tokens(
            access_token=Secret(told["access_token"]),
            refresh_token=Secret(told["refresh_token"]) if "refresh_token" in told else None,
            expires_at=now + told["expires_in"] if "expires_in" in told else None,
        )


class Provider:
    """A token endpoint that rotates: each refresh token is good once. Drives flows against itself."""

    def __init__(self) -> None:
        self.good = "rt-0"
        self.requests: list[str] = []
        self.answers = {"expires_in": 3600}
        self.fault: Exception | None = None
        self.error = ""
        self.rotates = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()

    async def run(self, flow, *, trusted=True, about=""):
        ask = next(flow)
        answer = await self.answer(dict(ask.form)["refresh_token"])
        try:
            flow.send(answer)
        except StopIteration as done:
            return done.value
        raise AssertionError("the flow asked twice")

    async def answer(self, refresh_token: str) -> Reply:
        self.requests.append(refresh_token)
        self.arrived.set()
        if self.fault:
            raise self.fault
        if self.error or refresh_token != self.good:
            body = f'{{"error": "{self.error or "invalid_grant"}"}}'
            return Reply(400, {}, body.encode())
        n = len(self.requests)
        told = {"access_token": f"at-{n}", **self.answers}
        if self.rotates:
            self.good = told["refresh_token"] = f"rt-{n}"
        await self.gate.wait()
        return Reply(200, {}, str(told).replace("'", '"').encode())


class Node:
    """One process: sessions and grants over the shared store and provider."""

    def __init__(self, store, changes, clock, provider, *, grants=None, keys=RING, refreshers=None) -> None:
        self.sessions = Sessions(store.sessions, changes, now=clock.now, mono=clock.mono)
        self.grants = Grants(
            grants or store.grants,
            store.leases,
            self.sessions,
            changes,
            keys,
            refreshers={"google": Google()} if refreshers is None else refreshers,
            driver=provider,
            now=clock.now,
            mono=clock.mono,
            sleep=lambda _: asyncio.sleep(0),
        )


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def node(store, changes, clock, provider) -> Node:
    return Node(store, changes, clock, provider)


@pytest.fixture
async def session(node, clock) -> Session:
    made, _ = await node.sessions.start(
        host="h",
        user_id="",
        identities=(),
        clients=("google", "other"),
        device=Device(),
        now=clock.now(),
    )
    return made


@pytest.fixture
def tokens(clock) -> Tokens:
    return Tokens(
        access_token=Secret("at-0"),
        refresh_token=Secret("rt-0"),
        expires_at=clock.now() + 3600,
        scopes=("a",),
        id_token=Secret("id-0"),
    )


async def clients_of(node: Node, session: Session) -> tuple[str, ...]:
    return (await node.sessions.by_id(session.id)).clients


async def test_live_tokens_are_given_out_without_asking_anybody(node, session, tokens, clock, provider):
    await node.grants.keep(session, "google", tokens, clock.now())
    assert await node.grants.access_token(session, "google") == tokens
    assert await node.grants.tokens_of(session.id, "google") == tokens
    assert provider.requests == []


async def test_the_cache_answers_after_the_first_read_until_the_token_is_due(node, session, tokens, clock):
    await node.grants.keep(session, "google", tokens, clock.now())
    assert node.grants.peek(session.id, "google") is None
    await node.grants.access_token(session, "google")
    assert node.grants.peek(session.id, "google") == tokens
    assert node.grants.peek(session.id, "other") is None
    clock.move(3570)
    assert node.grants.peek(session.id, "google") is None


async def test_no_credentials_is_said_so_and_put_right_in_the_session(node, session):
    with pytest.raises(CredentialGone) as caught:
        await node.grants.access_token(session, "google")
    assert caught.value.code == "no_credential"
    assert await clients_of(node, session) == ("other",)
    assert await node.grants.tokens_of(session.id, "google") is None


async def test_credentials_of_another_session_or_client_are_not_to_be_had(node, session, tokens, clock):
    await node.grants.keep(session, "google", tokens, clock.now())
    with pytest.raises(CredentialGone):
        await node.grants.access_token(replace(session, id="s2"), "google")
    with pytest.raises(CredentialGone):
        await node.grants.access_token(session, "other")


async def test_an_expired_token_is_refreshed_and_the_rotated_one_kept(node, session, tokens, clock, provider):
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    first = await node.grants.access_token(session, "google")
    assert (first.access_token.reveal(), first.refresh_token.reveal()) == ("at-1", "rt-1")
    assert (first.scopes, first.id_token) == (("a",), Secret("id-0"))
    assert await node.grants.tokens_of(session.id, "google") == first
    clock.move(3600)
    assert (await node.grants.access_token(session, "google")).access_token.reveal() == "at-2"
    assert provider.requests == ["rt-0", "rt-1"]


async def test_a_refresh_token_that_is_not_rotated_is_kept(node, session, tokens, clock, provider):
    provider.rotates = False
    await node.grants.keep(session, "google", tokens, clock.now())
    for _ in range(2):
        clock.move(3600)
        await node.grants.access_token(session, "google")
    assert provider.requests == ["rt-0", "rt-0"]


async def test_fifty_callers_at_once_cause_one_refresh(node, session, tokens, clock, provider):
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    got = await asyncio.gather(*(node.grants.access_token(session, "google") for _ in range(50)))
    assert {tokens.access_token.reveal() for tokens in got} == {"at-1"}
    assert provider.requests == ["rt-0"]


async def test_two_processes_with_fifty_callers_cause_one_refresh(
    node, session, tokens, clock, provider, store, changes
):
    await node.grants.keep(session, "google", tokens, clock.now())
    other = Node(store, type(changes)(), clock, provider)
    await other.grants.access_token(session, "google")
    clock.move(3600)
    provider.gate.clear()
    calls = [
        asyncio.create_task(side.grants.access_token(session, "google"))
        for side in itertools.islice(itertools.cycle((node, other)), 50)
    ]
    await provider.arrived.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    provider.gate.set()
    assert {tokens.access_token.reveal() for tokens in await asyncio.gather(*calls)} == {"at-1"}
    assert provider.requests == ["rt-0"]


async def test_who_gets_its_turn_after_another_process_uses_what_that_one_got(
    node, session, tokens, clock, provider, store, changes
):
    """Between its look at the grant and its turn, another one has had theirs."""
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    acquire = store.leases.acquire

    class Late:
        """Leases that are asked for late."""

        async def acquire(self, *asked):
            if not provider.requests:
                await node.grants.access_token(session, "google")
            return await acquire(*asked)

        def __getattr__(self, name):
            return getattr(store.leases, name)

    other = Node(store, type(changes)(), clock, provider)
    other.grants._leases = Late()
    assert (await other.grants.access_token(session, "google")).access_token.reveal() == "at-1"
    assert provider.requests == ["rt-0"]


async def test_who_was_overtaken_before_asking_asks_nobody(node, session, tokens, clock, provider, store):
    """Somebody signs in anew before the intent is written: the old refresh token is not spent."""
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    anew = replace(tokens, access_token=Secret("anew"), expires_at=clock.now() + 3600)
    put, overtaken = store.grants.put, []

    class Overtaken:
        """Grants that somebody else writes first."""

        async def put(self, row, expect_version):
            if expect_version is not None and not overtaken:
                overtaken.append(row)
                await node.grants.keep(session, "google", anew, clock.now())
            return await put(row, expect_version)

        def __getattr__(self, name):
            return getattr(store.grants, name)

    node.grants._store = Overtaken()
    assert (await node.grants.access_token(session, "google")).access_token.reveal() == "anew"
    assert overtaken
    assert provider.requests == []


async def test_refreshes_of_different_sessions_do_not_wait_for_each_other(
    node, session, tokens, clock, provider
):
    provider.rotates = False
    second, _ = await node.sessions.start(
        host="h", user_id="", identities=(), clients=("google",), device=Device(), now=clock.now()
    )
    for each in (session, second):
        await node.grants.keep(each, "google", tokens, clock.now())
    clock.move(3600)
    provider.gate.clear()
    calls = [asyncio.create_task(node.grants.access_token(each, "google")) for each in (session, second)]
    while len(provider.requests) < 2:
        await asyncio.sleep(0)
    provider.gate.set()
    await asyncio.gather(*calls)


async def test_without_expires_in_only_a_rejection_refreshes(node, session, tokens, clock, provider):
    provider.answers = {}
    forever = replace(tokens, expires_at=None)
    await node.grants.keep(session, "google", forever, clock.now())
    clock.move(10**6)
    assert await node.grants.access_token(session, "google") == forever
    fresh = await node.grants.access_token(session, "google", rejected=forever.access_token)
    assert fresh.access_token.reveal() == "at-1"
    assert fresh.expires_at is None


async def test_fifty_rejections_of_one_token_cause_one_refresh(node, session, tokens, clock, provider):
    await node.grants.keep(session, "google", tokens, clock.now())
    rejected = tokens.access_token
    got = await asyncio.gather(
        *(node.grants.access_token(session, "google", rejected=rejected) for _ in range(50))
    )
    late = await node.grants.access_token(session, "google", rejected=rejected)
    assert {tokens.access_token.reveal() for tokens in (*got, late)} == {"at-1"}
    assert provider.requests == ["rt-0"]


async def test_an_api_that_rejects_whatever_it_gets_does_not_flood_the_provider(
    node, session, tokens, clock, provider
):
    await node.grants.keep(session, "google", tokens, clock.now())
    for _ in range(50):
        held = await node.grants.access_token(session, "google")
        await node.grants.access_token(session, "google", rejected=held.access_token)
        clock.move(1)
    assert len(provider.requests) == 5


@pytest.mark.parametrize("error", ["invalid_grant", "bad_refresh_token", "access_denied"])
async def test_a_refusal_drops_the_credential_and_says_so(node, session, tokens, clock, provider, error):
    provider.error = error
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    results = await asyncio.gather(
        *(node.grants.access_token(session, "google") for _ in range(5)), return_exceptions=True
    )
    assert {(type(exc), exc.code) for exc in results} == {(CredentialGone, "credential_gone")}
    assert await clients_of(node, session) == ("other",)
    assert await node.grants.tokens_of(session.id, "google") is None
    with pytest.raises(CredentialGone):
        await node.grants.access_token(session, "google")
    assert provider.requests == ["rt-0"]


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client", "temporarily_unavailable"])
async def test_a_refusal_that_is_not_about_the_grant_changes_nothing(
    node, session, tokens, clock, provider, error
):
    provider.error = error
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    with pytest.raises(ProviderUnavailable):
        await node.grants.access_token(session, "google")
    assert await clients_of(node, session) == ("google", "other")
    provider.error = ""
    assert (await node.grants.access_token(session, "google")).access_token.reveal() == "at-2"


@pytest.mark.parametrize("fault", [ProviderUnavailable("down"), ProviderInvalid("odd")])
async def test_a_provider_that_is_down_changes_nothing(node, session, tokens, clock, provider, fault):
    provider.fault = fault
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    for _ in range(2):
        with pytest.raises(type(fault)):
            await node.grants.access_token(session, "google")
    assert await clients_of(node, session) == ("google", "other")
    assert await node.grants.tokens_of(session.id, "google") == tokens
    provider.fault = None
    assert (await node.grants.access_token(session, "google")).access_token.reveal() == "at-3"


async def test_while_the_provider_is_down_a_token_that_is_merely_due_is_used(
    node, session, tokens, clock, provider
):
    provider.fault = ProviderUnavailable("down")
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3580)
    assert await node.grants.access_token(session, "google") == tokens
    with pytest.raises(ProviderUnavailable):
        await node.grants.access_token(session, "google", rejected=tokens.access_token)


async def test_without_a_refresh_token_it_is_used_to_its_end_and_then_gone(
    node, session, tokens, clock, provider
):
    single = replace(tokens, refresh_token=None)
    await node.grants.keep(session, "google", single, clock.now())
    clock.move(3599)
    assert await node.grants.access_token(session, "google") == single
    assert await node.grants.access_token(session, "google", rejected=single.access_token) == single
    clock.move(1)
    with pytest.raises(CredentialGone):
        await node.grants.access_token(session, "google")
    assert await clients_of(node, session) == ("other",)
    assert provider.requests == []


async def test_a_client_that_can_not_refresh_is_used_to_its_end_and_then_gone(
    store, changes, clock, provider, session, tokens
):
    node = Node(store, changes, clock, provider, refreshers={})
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3599)
    assert await node.grants.access_token(session, "google") == tokens
    clock.move(1)
    with pytest.raises(CredentialGone):
        await node.grants.access_token(session, "google")


async def test_a_client_that_was_taken_away_is_used_to_its_end_and_then_gone(
    node, session, tokens, clock, provider
):
    """As a provider that is deleted while the gateway runs: nothing is refreshed there any more."""
    await node.grants.keep(session, "google", tokens, clock.now())
    node.grants.use({})
    assert await node.grants.access_token(session, "google") == tokens
    clock.move(3601)
    with pytest.raises(CredentialGone):
        await node.grants.access_token(session, "google")
    assert provider.requests == []


async def test_a_client_that_is_taken_away_during_a_refresh_gives_nothing(
    node, session, tokens, clock, provider, store
):
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3601)
    acquire = store.leases.acquire

    async def taken_away(*args):
        node.grants.use({})
        return await acquire(*args)

    store.leases.acquire = taken_away
    with pytest.raises(CredentialGone):
        await node.grants.access_token(session, "google")
    assert provider.requests == []


@pytest.mark.parametrize("how", ["sign out", "drop"])
async def test_a_sign_out_during_a_refresh_wins(node, session, tokens, clock, provider, store, how):
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    provider.gate.clear()
    call = asyncio.create_task(node.grants.access_token(session, "google"))
    await provider.arrived.wait()
    if how == "drop":
        await node.grants.drop(session.id, "google")
    else:
        await node.sessions.end(session.id)
    provider.gate.set()
    with pytest.raises(CredentialGone):
        await call
    assert await store.grants.of(session.id) == ()


async def test_a_sign_out_wins_over_a_refresh_that_fails_while_the_old_token_lives(
    node, session, tokens, clock, provider, store
):
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3580)

    async def answer(_refresh_token: str) -> Reply:
        provider.arrived.set()
        await provider.gate.wait()
        raise ProviderUnavailable("down")

    provider.answer = answer
    provider.gate.clear()
    call = asyncio.create_task(node.grants.access_token(session, "google"))
    await provider.arrived.wait()
    await node.sessions.end(session.id)
    provider.gate.set()
    with pytest.raises(CredentialGone):
        await call
    assert await store.grants.of(session.id) == ()


async def test_a_new_sign_in_during_a_refresh_wins(node, session, tokens, clock, provider):
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    provider.gate.clear()
    call = asyncio.create_task(node.grants.access_token(session, "google"))
    await provider.arrived.wait()
    newer = Tokens(access_token=Secret("new"), refresh_token=Secret("rt-new"))
    await node.grants.keep(session, "google", newer, clock.now())
    provider.gate.set()
    assert await call == newer
    assert await node.grants.tokens_of(session.id, "google") == newer


async def test_a_refusal_takes_nothing_from_a_new_sign_in(node, session, tokens, clock, provider):
    await node.grants.keep(session, "google", tokens, clock.now())
    newer = Tokens(access_token=Secret("new"))

    async def signed_in_meanwhile(_refresh_token):
        await node.grants.keep(session, "google", newer, clock.now())
        return Reply(400, {}, b'{"error": "invalid_grant"}')

    provider.answer = signed_in_meanwhile
    clock.move(3600)
    assert await node.grants.access_token(session, "google") == newer
    assert await clients_of(node, session) == ("google", "other")


async def test_who_stops_waiting_does_not_stop_the_refresh(node, session, tokens, clock, provider):
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    provider.gate.clear()
    call = asyncio.create_task(node.grants.access_token(session, "google"))
    await provider.arrived.wait()
    call.cancel()
    closing = asyncio.create_task(node.grants.close())
    await asyncio.sleep(0)
    provider.gate.set()
    await closing
    assert (await node.grants.tokens_of(session.id, "google")).refresh_token.reveal() == "rt-1"


async def without_a_lease() -> None:
    """There is none to prolong."""


class Crash(BaseException):
    """Stands for kill -9: nothing after it is done."""


class Mortal:
    """A part of a store that can die at its n-th writing call: before it, or right after it."""

    def __init__(self, part, *, die_at=10**9) -> None:
        self._part = part
        self._die_at = die_at
        self._calls = 0

    async def get(self, *args):
        return await self._part.get(*args)

    async def put(self, *args):
        self._calls += 1
        if self._calls > self._die_at:
            raise Crash
        return await self._part.put(*args)

    async def delete(self, *args):
        return await self._part.delete(*args)


async def crashed_after_intent(store, changes, clock, provider, session, tokens) -> Node:
    """A process that died after it asked the provider and before it stored the answer; and its successor."""
    victim = Node(store, changes, clock, provider, grants=Mortal(store.grants, die_at=2))
    await victim.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    with pytest.raises(Crash):
        await victim.grants._refreshed(await victim.grants._read(session.id, "google"), None, without_a_lease)
    clock.move(31)
    return Node(store, type(changes)(), clock, provider)


async def test_the_intent_is_written_before_the_provider_is_asked(
    store, changes, clock, provider, session, tokens
):
    node = Node(store, changes, clock, provider, grants=Mortal(store.grants, die_at=1))
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    with pytest.raises(Crash):
        await node.grants._refreshed(await node.grants._read(session.id, "google"), None, without_a_lease)
    assert provider.requests == []


async def test_after_a_crash_the_old_token_is_tried_once_and_a_refusal_means_sign_in_again(
    store, changes, clock, provider, session, tokens
):
    node = await crashed_after_intent(store, changes, clock, provider, session, tokens)
    assert (await node.grants._read(session.id, "google")).grant.refreshing_since is not None
    for _ in range(2):
        with pytest.raises(CredentialGone):
            await node.grants.access_token(session, "google")
    assert provider.requests == ["rt-0", "rt-0"]
    assert await clients_of(node, session) == ("other",)


async def test_after_a_crash_the_old_token_may_still_be_good(
    store, changes, clock, provider, session, tokens
):
    provider.rotates = False
    node = await crashed_after_intent(store, changes, clock, provider, session, tokens)
    assert (await node.grants.access_token(session, "google")).access_token.reveal() == "at-2"
    assert (await node.grants._read(session.id, "google")).grant.refreshing_since is None


async def test_the_lease_of_a_dead_process_is_waited_for(
    store, changes, clock, provider, session, tokens, node
):
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    await store.leases.acquire(f"refresh:{session.id}:google", "dead", clock.now(), 30)
    node.grants._sleep = clock.sleep
    assert (await node.grants.access_token(session, "google")).access_token.reveal() == "at-1"


async def test_a_lease_that_is_held_for_ever_ends_in_unavailable(
    store, changes, clock, provider, session, tokens, node
):
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    await store.leases.acquire(f"refresh:{session.id}:google", "stuck", clock.now(), 10**6)
    node.grants._sleep = clock.sleep
    with pytest.raises(ProviderUnavailable):
        await node.grants.access_token(session, "google")
    assert provider.requests == []


async def test_a_store_that_stumbles_after_the_refresh_loses_no_rotated_token(
    store, changes, clock, provider, session, tokens
):
    class Stumbling(Mortal):
        async def put(self, *args):
            self._calls += 1
            if 3 <= self._calls <= 5:
                raise StoreError
            return await self._part.put(*args)

    node = Node(store, changes, clock, provider, grants=Stumbling(store.grants))
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    assert (await node.grants.access_token(session, "google")).access_token.reveal() == "at-1"
    assert (await node.grants.tokens_of(session.id, "google")).refresh_token.reveal() == "rt-1"


async def test_nobody_else_spends_a_refresh_token_while_its_outcome_is_being_kept(
    store, changes, clock, provider, session, tokens
):
    name = f"refresh:{session.id}:google"
    was_free: list[bool] = []

    class Slow(Mortal):
        async def put(self, *args):
            self._calls += 1
            if 3 <= self._calls <= 7:
                clock.move(5.0)
                was_free.append(await store.leases.acquire(name, "another", clock.now(), 30) is not None)
                raise StoreError
            return await self._part.put(*args)

    node = Node(store, changes, clock, provider, grants=Slow(store.grants))
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3600)
    provider.gate.clear()
    call = asyncio.create_task(node.grants.access_token(session, "google"))
    await provider.arrived.wait()
    clock.move(19)
    provider.gate.set()
    assert (await call).access_token.reveal() == "at-1"
    assert was_free == [False] * 5


async def test_nothing_is_kept_for_a_session_that_has_ended(node, session, tokens, clock, store):
    await node.sessions.end(session.id)
    await node.grants.keep(session, "google", tokens, clock.now())
    assert await store.grants.of(session.id) == ()


async def test_dropping_is_felt_at_once(node, session, tokens, clock):
    await node.grants.keep(session, "google", tokens, clock.now())
    await node.grants.access_token(session, "google")
    assert await node.grants.drop(session.id, "google")
    assert node.grants.peek(session.id, "google") is None
    assert not await node.grants.drop(session.id, "google")


async def test_ending_the_session_empties_the_cache(node, session, tokens, clock):
    await node.grants.keep(session, "google", tokens, clock.now())
    await node.grants.access_token(session, "google")
    await node.sessions.end(session.id)
    assert node.grants.peek(session.id, "google") is None


async def test_without_heartbeats_cached_tokens_are_good_for_a_second(node, session, tokens, clock, changes):
    await node.grants.keep(session, "google", tokens, clock.now())
    await node.grants.access_token(session, "google")
    changes.is_beating = False
    clock.move(0.9)
    assert node.grants.peek(session.id, "google") is not None
    clock.move(0.2)
    assert node.grants.peek(session.id, "google") is None


async def test_where_changes_may_have_been_missed_cached_tokens_are_read_again(
    node, session, tokens, clock, changes
):
    await node.grants.keep(session, "google", tokens, clock.now())
    await node.grants.access_token(session, "google")
    changes.publish(GRANT, EVERYTHING)
    assert node.grants.peek(session.id, "google") is None
    clock.move(0.001)
    assert await node.grants.access_token(session, "google") == tokens


async def test_tokens_that_may_have_changed_are_used_while_the_store_is_away(
    node, session, tokens, clock, changes, store
):
    await node.grants.keep(session, "google", tokens, clock.now())
    await node.grants.access_token(session, "google")

    async def away(*_args):
        raise StoreError("The store is away.")

    changes.publish(GRANT, EVERYTHING)
    store.grants.get = away
    assert await node.grants.access_token(session, "google") == tokens


async def test_who_drops_credentials_waits_until_all_have_heard(node, session, tokens, clock, changes):
    await node.grants.keep(session, "google", tokens, clock.now())
    assert not changes.settled
    await node.grants.drop(session.id, "google")
    assert changes.settled


async def test_what_is_stored_shows_no_token(node, session, tokens, clock, store):
    await node.grants.keep(session, "google", tokens, clock.now())
    raw = (await store.grants.get(session.id, "google")).sealed
    assert not any(secret in raw for secret in (b"at-0", b"rt-0", b"id-0"))


async def test_rows_that_were_swapped_open_for_nobody(node, session, tokens, clock, store):
    await node.grants.keep(session, "google", tokens, clock.now())
    row = await store.grants.get(session.id, "google")
    await store.grants.put(replace(row, client="other"), None)
    assert await node.grants.tokens_of(session.id, "other") is None
    with pytest.raises(CredentialGone):
        await node.grants.access_token(session, "other")


async def test_an_older_box_in_a_newer_row_does_not_open(node, session, tokens, clock, store):
    await node.grants.keep(session, "google", tokens, clock.now())
    old = await store.grants.get(session.id, "google")
    clock.move(3600)
    await node.grants.access_token(session, "google")
    new = await store.grants.get(session.id, "google")
    await store.grants.put(replace(new, sealed=old.sealed), None)
    assert await node.grants.tokens_of(session.id, "google") is None


async def test_a_rotated_key_ring_still_opens_and_seals_anew(
    node, session, tokens, clock, store, changes, provider
):
    await node.grants.keep(session, "google", tokens, clock.now())
    new = Key("k2", b"2" * 32)
    rotated = Node(store, changes, clock, provider, keys=KeyRing((new, Key("k1", b"1" * 32))))
    assert await rotated.grants.tokens_of(session.id, "google") == tokens
    clock.move(3600)
    fresh = await rotated.grants.access_token(session, "google")
    only_new = Node(store, changes, clock, provider, keys=KeyRing((new,)))
    assert await only_new.grants.tokens_of(session.id, "google") == fresh
    strange = Node(store, changes, clock, provider, keys=KeyRing((Key("k2", b"9" * 32),)))
    assert await strange.grants.tokens_of(session.id, "google") is None


async def test_the_cache_is_bounded(store, changes, clock, provider, tokens, node):
    node.grants._capacity = 10
    made = []
    for _ in range(30):
        session, _ = await node.sessions.start(
            host="h", user_id="", identities=(), clients=("google",), device=Device(), now=clock.now()
        )
        await node.grants.keep(session, "google", tokens, clock.now())
        await node.grants.access_token(session, "google")
        made.append(session.id)
    assert [node.grants.peek(name, "google") is not None for name in made] == [False] * 20 + [True] * 10


class Moving(Google):
    """A client of a row of the database, which may come to lead elsewhere."""

    is_trusted = False

    def __init__(self, place: str) -> None:
        self.place = place


@pytest.mark.parametrize("way", ["refresh", "use", "peek", "tokens"])
async def test_tokens_are_never_shown_to_a_provider_that_took_the_name_of_the_one_that_gave_them(
    node, session, tokens, clock, provider, way
):
    """Whoever may write providers could have people's tokens sent to a server of their own."""
    node.grants.use({"google": Moving("here")})
    await node.grants.keep(session, "google", tokens, clock.now())
    assert (await node.grants.access_token(session, "google")) == tokens
    node.grants.use({"google": Moving("there")})
    if way == "refresh":
        clock.move(3601)
    if way == "peek":
        assert node.grants.peek(session.id, "google") is None
    elif way == "tokens":
        assert await node.grants.tokens_of(session.id, "google") is None
    else:
        with pytest.raises(CredentialGone):
            await node.grants.access_token(session, "google")
    assert provider.requests == []


async def test_tokens_are_kept_while_a_provider_is_where_it_was(node, session, tokens, clock, provider):
    node.grants.use({"google": Moving("here")})
    await node.grants.keep(session, "google", tokens, clock.now())
    node.grants.use({})
    node.grants.use({"google": Moving("here")})
    clock.move(3601)
    assert (await node.grants.access_token(session, "google")).access_token == Secret("at-1")
    assert provider.requests == ["rt-0"]


async def test_a_provider_that_moves_during_a_refresh_is_not_sent_the_token(
    node, session, tokens, clock, provider, store
):
    node.grants.use({"google": Moving("here")})
    await node.grants.keep(session, "google", tokens, clock.now())
    clock.move(3601)
    acquire, put = store.leases.acquire, store.grants.put

    async def moved(*args):
        node.grants.use({"google": Moving("there")})
        return await put(*args)

    async def leased(*args):
        store.grants.put = moved
        return await acquire(*args)

    store.leases.acquire = leased
    with pytest.raises(CredentialGone):
        await node.grants.access_token(session, "google")
    assert provider.requests == []


# -- what was handed on -----------------------------------------------------------------------


async def test_a_child_holds_its_parents_credentials_and_its_own(node, clock):
    parent, _ = await node.sessions.start(
        host="auth", user_id="", identities=(), clients=("google",), device=Device(), now=clock.now()
    )
    tokens = Tokens(access_token=Secret("top"))
    await node.grants.keep(parent, "google", tokens, clock.now())
    child, _ = await node.sessions.hand_on(parent, host="app", device=Device(), now=clock.now())
    assert (await node.grants.access_token(child, "google")).access_token.reveal() == "top"
    await node.grants.keep(child, "app/google", Tokens(access_token=Secret("own")), clock.now())
    assert (await node.grants.access_token(child, "app/google")).access_token.reveal() == "own"
    assert await node.grants.tokens_of(parent.id, "app/google") is None
    await node.sessions.end(parent.id)
    assert await node.grants.tokens_of(child.id, "app/google") is None


async def test_credentials_that_are_dead_are_gone_from_the_parent_and_so_from_all(node, clock, provider):
    parent, _ = await node.sessions.start(
        host="auth", user_id="", identities=(), clients=("google",), device=Device(), now=clock.now()
    )
    expired = Tokens(access_token=Secret("old"), refresh_token=Secret("wrong"), expires_at=clock.now() - 1)
    await node.grants.keep(parent, "google", expired, clock.now())
    child, _ = await node.sessions.hand_on(parent, host="app", device=Device(), now=clock.now())
    provider.good = "rt"
    with pytest.raises(CredentialGone):
        await node.grants.access_token(child, "google")
    assert (await node.sessions.by_id(child.id)).clients == ()
