"""Assertions as they are signed, and the keys as processes share them."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from msgspec.structs import replace

from vestibule.core.assertion import KEPT_S, PUBLISHED_S, REUSE_S, SIGNS_S, TYPE
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, Telling
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError
from vestibule.model import Caller, Identity, Session
from vestibule.observe.log import Log
from vestibule.protocol.jose import verify
from vestibule.service.assertion import Assertions, is_wanted

RING = KeyRing((Key("k1", b"k" * 32),))
OTHER_RING = KeyRing((Key("k2", b"o" * 32),))
HOST = Host(name=b"app.example", title="App", clients={"google": "google"}, sign_in=("google",))
ADA = Identity(client="google", issuer="https://google", subject="1", email="ada@app.example")
BASE = "https://app.example"


@pytest.fixture
def written() -> io.StringIO:
    """The log."""
    return io.StringIO()


@pytest.fixture
def process(store, clock, written):
    """Another process on the same store."""

    def made(*, ring: KeyRing = RING, are_wanted: bool = True) -> Assertions:
        return Assertions(store.signing_keys, ring, Log(written), are_wanted=are_wanted, now=clock.now)

    return made


@pytest.fixture
async def one(process) -> Assertions:
    made = process()
    await made.begin()
    return made


def session(clock, **fields) -> Session:
    now = clock.now()
    given = {"id": "s1", "user_id": "u1", "identities": (ADA,), **fields}
    return Session(host="app.example", created_at=now, seen_at=now, expires_at=now + 9, idle_s=9, **given)


def keys_of(assertions: Assertions) -> list[dict]:
    return json.loads(assertions.key_set)["keys"]


def read(assertions: Assertions, token: str):
    return verify(token, keys_of(assertions), algorithms=["ES256"])


# -- what is signed -------------------------------------------------------------------------------


async def test_an_assertion_holds_by_the_published_keys(one, clock):
    token, until = one.own(session(clock), HOST, BASE, clock.now())
    assert until == clock.now() + REUSE_S
    found = read(one, token)
    assert found.header == {"alg": "ES256", "typ": TYPE, "kid": keys_of(one)[0]["kid"]}
    assert (found.claims["iss"], found.claims["aud"], found.claims["sub"]) == (BASE, "app.example", "u1")


async def test_pomeriums_holds_by_the_same_keys_and_is_another(one, clock):
    token, _ = one.pomerium(session(clock), HOST, clock.now())
    found = read(one, token)
    assert (found.header["typ"], found.claims["iss"], found.claims["user"]) == (TYPE, "app.example", "u1")
    assert token != one.own(session(clock), HOST, BASE, clock.now())[0]


async def test_a_sessions_own_id_does_not_stand_in_it(one, clock):
    who = session(clock, id="permanent-id-of-the-session")
    claims = read(one, one.own(who, HOST, BASE, clock.now())[0]).claims
    assert who.id not in json.dumps(claims)
    again = read(one, one.pomerium(replace(who, seen_at=1.0), HOST, clock.now())[0]).claims
    assert claims["sid"] == again["sid"]
    elsewhere = read(one, one.own(who, replace(HOST, name=b"b.example"), BASE, clock.now())[0]).claims
    assert claims["sid"] != elsewhere["sid"]


async def test_the_same_one_serves_for_a_minute(one, clock):
    who = session(clock)
    first = one.own(who, HOST, BASE, clock.now())
    clock.move(REUSE_S - 1)
    assert one.own(replace(who, seen_at=clock.now()), HOST, BASE, clock.now()) == first
    clock.move(1)
    assert one.own(who, HOST, BASE, clock.now())[0] != first[0]


@pytest.mark.parametrize(
    ("host", "issuer", "changed"),
    [
        (replace(HOST, name=b"b.example"), BASE, {}),
        (HOST, "https://other.example", {}),
        (HOST, BASE, {"user_id": "u2"}),
        (HOST, BASE, {"id": "s2"}),
    ],
    ids=["host", "issuer", "person", "session"],
)
async def test_another_host_issuer_or_person_gets_another(one, clock, host, issuer, changed):
    who = session(clock)
    first, _ = one.own(who, HOST, BASE, clock.now())
    other, _ = one.own(replace(who, **changed) if changed else who, host, issuer, clock.now())
    claims = read(one, other).claims
    assert other != first
    assert (claims["aud"], claims["iss"]) == (host.name.decode(), issuer)
    assert claims["sub"] == changed.get("user_id", "u1")


async def test_a_caller_is_signed_for_without_a_session(one, clock):
    caller = Caller(id="s1", kind="jwt", identities=(ADA,), scopes=frozenset(("read",)))
    claims = read(one, one.own(caller, HOST, BASE, clock.now())[0]).claims
    assert (claims["email"], claims["scope"]) == ("ada@app.example", "read")
    assert not {"sid", "sub"} & claims.keys()


async def test_nobody_is_not_signed_for(one, clock):
    foreign = replace(ADA, client="elsewhere")
    assert one.own(session(clock, identities=(foreign,)), HOST, BASE, clock.now())[0] == ""


async def test_without_a_key_nothing_is_signed(process, clock):
    with pytest.raises(StoreError):
        process().own(session(clock), HOST, BASE, clock.now())


# -- the keys -------------------------------------------------------------------------------------


async def test_where_nobody_wants_assertions_no_key_is_made(process, store):
    idle = process(are_wanted=False)
    await idle.begin()
    assert (await store.signing_keys.all(), keys_of(idle)) == ((), [])


@pytest.mark.parametrize(
    ("telling", "wanted"),
    [
        (Telling(), False),
        (Telling(families=("vouch",)), False),
        (Telling(families=("vouch", "pomerium")), True),
        (Telling(assertion=True), True),
    ],
)
def test_a_host_wants_them_that_tells_by_them(telling, wanted):
    route = Route(prefix=b"", backend=Backend(), policy=policy_of(allow=()), telling=telling)
    assert is_wanted(replace(HOST, routes={b"": route})) is wanted


async def test_what_is_published_is_public(one, store):
    [key] = keys_of(one)
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    [row] = await store.signing_keys.all()
    assert b"PRIVATE" not in row.sealed


class Slow:
    """Keys that take a moment, so that others come between."""

    def __init__(self, keys) -> None:
        self._keys = keys

    def __getattr__(self, name: str):
        async def call(*args):
            await asyncio.sleep(0)
            return await getattr(self._keys, name)(*args)

        return call


async def test_processes_that_start_at_once_share_one_key(process, store, clock):
    store.signing_keys = Slow(store.signing_keys)
    one, two = process(), process()
    await asyncio.gather(one.begin(), two.begin())
    assert len(await store.signing_keys.all()) == 1
    assert read(two, one.own(session(clock), HOST, BASE, clock.now())[0])


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_after(one, process, store, clock):
    two = process()
    await two.begin()
    who = session(clock)
    [first] = keys_of(one)
    clock.move(SIGNS_S - PUBLISHED_S)
    await one.rotate()
    await two.look()
    published = [key["kid"] for key in keys_of(two)]
    assert published[0] == first["kid"]
    assert len(published) == 2
    signed = [read(two, p.own(who, HOST, BASE, clock.now())[0]).header["kid"] for p in (one, two)]
    assert signed == [first["kid"]] * 2
    clock.move(PUBLISHED_S)
    signed = [read(two, p.own(who, HOST, BASE, clock.now())[0]).header["kid"] for p in (one, two)]
    assert signed == published[1:] * 2  # nobody had to tell them
    clock.move(KEPT_S - 1)
    await one.rotate()
    assert len(keys_of(one)) == 2
    clock.move(1)
    await one.rotate()
    await two.look()
    assert [key["kid"] for key in keys_of(two)] == published[1:]
    assert len(await store.signing_keys.all()) == 1


async def test_a_key_is_bound_to_its_row(one, process, store, clock):
    [row] = await store.signing_keys.all()
    await store.signing_keys.delete(row.number)
    await store.signing_keys.add(replace(row, id="another"))
    two = process(are_wanted=False)
    await two.look()
    assert keys_of(two) == []


async def test_a_key_of_another_ring_is_told_of_once_and_replaced(one, process, written, clock):
    stranger = process(ring=OTHER_RING)
    await stranger.begin()
    await stranger.look()
    assert len(keys_of(stranger)) == 1
    assert read(stranger, stranger.own(session(clock), HOST, BASE, clock.now())[0])
    told = [line for line in written.getvalue().splitlines() if "signing_key_unreadable" in line]
    assert len(told) == 1


async def test_the_log_says_which_key_and_nothing_of_it(one, store, written):
    [row] = await store.signing_keys.all()
    [line] = [line for line in written.getvalue().splitlines() if "signing_key_made" in line]
    assert row.id in line
    assert "PRIVATE" not in line
    assert "PRIVATE" not in repr(vars(one))
