"""What only the Redis store has to answer for; the rest is in tests/contract."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import trustme
from msgspec.structs import replace

from tests.helpers.vault import VAULT
from tests.ports import Ports
from tests.real.postgres import PATIENT_S
from tests.real.redis import PASSWORD, PRIMARY, QUOTED, USER, Cluster, Guarded, Single, Watched, stopped
from vestibule.core.redis import TIMEOUT_S, Address, parse
from vestibule.errors import StoreError
from vestibule.model import Account, Secret, Session, User
from vestibule.store import migrations, records, split, sqlite
from vestibule.store import redis as store_of
from vestibule.store.base import SealedGrant
from vestibule.store.redis_keys import Keys
from vestibule.store.redis_wire import Broken, Late, Login, Wire

pytestmark = pytest.mark.real

NOW = 1_800_000_000.0
SESSION = Session(id="s1", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW + 1000, idle_s=500.0)
NOBODY = Login("", Secret(""))
KEYS = Keys("vestibule:")


def grant(owner: str = "s1", version: int = 0) -> SealedGrant:
    return SealedGrant(owner=owner, client="google", version=version, sealed=b"box", expires_at=NOW + 1000)


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Opens a Redis by its URL; closed after the test, however that ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_store(url: str, **options: Any) -> Any:
            how = {name: options.pop(name) for name in ("prefix", "timeout_s") if name in options}
            place = replace(parse(url), **{"timeout_s": PATIENT_S, **how})
            store = await store_of.open_store(place, VAULT, **options)
            stack.push_async_callback(store.close)
            return store

        yield open_store


@pytest.fixture
async def with_people(tmp_path, opened) -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    """A Redis with SQLite beside it: the store, and what the database keeps of people."""
    path = tmp_path / "vestibule.db"
    migrations.bring_up(path)
    database, kept = await sqlite.open_store(f"sqlite:{path}", VAULT), records.open_records(path)

    async def open_both(url: str) -> Any:
        return split.Store(await opened(url), database), kept.people

    yield open_both
    await kept.close()
    await database.close()


@pytest.fixture
def own(ports) -> Iterator[Single]:
    """A server of the test's own, to be hurt, which keeps a log of all changes."""
    with stopped(Single(ports, "appendonly yes", "appendfsync always")) as (server,):
        yield server


async def tried(ask: Callable[[], Awaitable[Any]], *, is_there: bool = True) -> Any:
    """What asking comes to once the store is there, or away."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await ask()
            except StoreError:
                if not is_there:
                    return None
            else:
                if is_there:
                    return answer
            await asyncio.sleep(0.05)


# -- opening ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(ca: trustme.CA, ca_file) -> Iterator[Guarded]:
    """With TLS and one user, who has no more rights than docs/stores.md says; away after the module."""
    with Ports() as ports, stopped(Guarded(ports, ca, ca_file)) as (server,):
        yield server


async def test_a_user_with_the_rights_of_the_manual_does_all_there_is_by_tls(guarded, opened):
    store = await opened(guarded.url)
    await store.sessions.create(replace(SESSION, user_id="u1"), b"h" * 32)
    assert await store.sessions.renew_handle(SESSION, 0, b"i" * 32, old_good_until=NOW + 30)
    assert await store.sessions.save(replace(SESSION, expires_at=NOW + 2000), 1)
    await store.sessions.touch([("s1", NOW + 1)])
    assert (await store.sessions.by_handle(b"i" * 32, NOW + 1)).session.seen_at == NOW + 1
    assert await store.sessions.of_user("u1", NOW) == ()
    assert await store.grants.put(grant(), None)
    assert await store.grants.of("s1") == (grant(),)
    assert await store.grants.delete("s1", "google", 0)
    assert await store.marks.consume("flow", b"1", NOW, NOW + 9)
    assert await store.leases.acquire("job", "a", NOW, 9)
    await store.leases.release("job", "a")
    await store.parking.park("link", b"1", b"box", NOW + 9)
    assert (
        await store.parking.parked("link", b"1", NOW) == await store.parking.take("link", b"1", NOW) == b"box"
    )
    assert await store.tries.add("login", b"1", NOW, 60) == 1
    assert await store.tries.count("login", b"1", NOW) == (1, NOW + 60)
    await store.tries.clear("login", b"1")
    assert await store.sessions.delete_by("google") == ()
    assert await store.sessions.sweep(NOW + 9999) == 1
    for part in (store.grants, store.marks, store.leases, store.parking, store.tries):
        await part.sweep(NOW + 9999)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(("p%40ss", "canary"), "invalid username-password pair.*look at user and password", id="password"),
        pytest.param((f"{USER}:", "canary:"), "invalid username-password pair", id="user"),
        pytest.param((f"{USER}:{QUOTED}@", ""), "NOAUTH.*it wants a password", id="no password"),
        pytest.param(("rediss://", "redis://"), "connection was (lost|closed)|reset", id="without tls"),
    ],
)  # fmt: skip
async def test_a_redis_that_lets_nobody_in_is_told_without_its_password(guarded, opened, change, why):
    url = guarded.url.replace(*change)
    url = url.partition("?")[0] if url.startswith("redis://") else url
    with pytest.raises(
        StoreError, match=rf"The store rediss?://127.0.0.1:\d+ can't be opened: .*({why})"
    ) as caught:
        await opened(url)
    for secret in (PASSWORD, "canary", QUOTED):
        assert secret not in str(caught.value) + caught.value.detail


async def test_a_certificate_of_another_authority_is_not_believed(guarded, opened, tmp_path):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    base = guarded.url.partition("?")[0]
    for query in (f"?ca={other}", ""):
        with pytest.raises(StoreError, match=r"can't be opened: .*certificate verify failed"):
            await opened(base + query)
    with pytest.raises(StoreError, match=r"can't be opened: /none.pem: .*No such file"):
        await opened(f"{base}?ca=/none.pem")


async def test_a_redis_that_asks_for_a_certificate_gets_the_one_that_is_written(
    ports, ca, ca_file, opened, tmp_path
):
    mine = tmp_path / "mine.pem"
    ca.issue_cert("vestibule").private_key_and_cert_chain_pem.write_to_path(str(mine))
    with stopped(Guarded(ports, ca, ca_file, is_mutual=True)) as (server,):
        store = await opened(f"{server.url}&cert={mine}&key={mine}")
        assert await store.sessions.by_id("s1", NOW) is None
        with pytest.raises(StoreError, match="can't be opened"):
            await opened(server.url)


async def test_a_user_who_may_not_is_told_where_to_read_what_they_need(redis, opened):
    redis.server.say("ACL", "SETUSER", "weak", "on", ">pw", "~vestibule:*", "+@all", "-evalsha")
    try:
        with pytest.raises(StoreError, match=r"NOPERM.*docs/stores.md"):
            await opened(redis.url.replace("redis://", "redis://weak:pw@"))
    finally:
        redis.server.say("ACL", "DELUSER", "weak")


async def test_a_redis_of_another_form_than_written_is_told_with_what_to_write(redis, redis_cluster, opened):
    one_of_three = f"redis://127.0.0.1:{redis_cluster.servers[0].port}"

    async def open_until_a_key_is_anothers() -> None:
        for _ in range(50):  # it is tried with another key each time
            await opened(one_of_three)

    with pytest.raises(StoreError, match=r"MOVED.*it is part of a Cluster: redis\+cluster://"):
        await open_until_a_key_is_anothers()
    with pytest.raises(StoreError, match="cluster support disabled"):
        await opened(redis.url.replace("redis://", "redis+cluster://"))
    with pytest.raises(StoreError, match="no Sentinel says where the primary is"):
        await opened(redis.url.replace("redis://", "redis+sentinel://") + "/main")


async def test_keys_of_another_prefix_are_anothers(redis, opened):
    one, other = await opened(redis.url), await opened(redis.url, prefix="b:")
    await one.sessions.create(SESSION, b"h" * 32)
    assert await other.sessions.by_handle(b"h" * 32, NOW) is None
    assert await other.leases.acquire("job", "b", NOW, 9) is not None
    assert await one.leases.acquire("job", "a", NOW, 9) is not None
    assert all(key.startswith((b"vestibule:", b"b:")) for key in redis.server.say("KEYS", "*"))


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        pytest.param(("appendonly yes",), [], id="as it should be"),
        pytest.param(("appendonly no",), ["appendonly yes"], id="no log"),
        pytest.param(("appendonly yes", "maxmemory 100mb", "maxmemory-policy allkeys-lru"), ["noeviction"], id="evicts"),
    ],
)  # fmt: skip
async def test_settings_that_make_it_forget_are_warned_of(ports, opened, settings, warned):
    heard: list[str] = []
    with stopped(Single(ports, *settings)) as (server,):
        await opened(server.url, warn=heard.append)
    assert len(heard) == len(warned)
    assert all(word in said for word, said in zip(warned, heard, strict=True))


# -- what stands there ------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["redis", "redis_cluster"])
async def test_nothing_is_left_of_sessions_that_ended(request, form, opened):
    server = request.getfixturevalue(form)
    store = await opened(server.url)
    parent = replace(SESSION, id="parent", user_id="u1")
    for number, session in enumerate((parent, replace(SESSION, id="child", parent_id="parent"), SESSION)):
        await store.sessions.create(session, bytes([number]) * 32)
        await store.grants.put(grant(session.id), None)
    assert await store.sessions.renew_handle(SESSION, 0, b"n" * 32, old_good_until=NOW + 30)
    assert sorted(await store.sessions.delete("parent")) == ["child", "parent"]
    assert await store.sessions.sweep(NOW + 9999) == 1
    await store.grants.sweep(NOW + 9999)
    servers = [server.server] if form == "redis" else server.servers
    assert [key for one in servers for key in one.say("KEYS", "*")] == []


async def test_a_session_is_nobodys_to_read_or_to_move(redis, opened):
    store = await opened(redis.url, unreadable=(told := []).append)
    await store.sessions.create(replace(SESSION, user_id="zoe@example.com"), b"1" * 32)
    await store.sessions.create(replace(SESSION, id="s2"), b"2" * 32)
    value = redis.server.say("GET", KEYS.session("s1"))
    assert b"zoe" not in value
    redis.server.say("SET", KEYS.session("s2"), value)  # another's record in one's own place
    redis.server.say("SET", KEYS.handle(b"3" * 32), "s1")  # another's session by one's own handle
    assert await store.sessions.by_id("s2", NOW) is None
    assert await store.sessions.by_handle(b"3" * 32, NOW) is None
    redis.server.say("SETRANGE", KEYS.session("s1"), len(value) - 1, b"\0")
    assert await store.sessions.by_handle(b"1" * 32, NOW) is None
    assert told == ["s2", "s1"]


async def test_a_step_that_broke_off_anywhere_leaves_nothing_that_counts(redis, opened):
    """Each of the commands of a create, a renewal and an end in turn is the last one that was done."""
    for allowed in range(16):
        redis.empty()
        store = await opened(redis.url)
        await store.sessions.create(SESSION, b"1" * 32)
        net = store.sessions._server._net
        count, wire = 0, net.wire

        async def break_off(key, *, wire=wire, allowed=allowed):
            nonlocal count
            count += 1
            if count > allowed:
                raise Broken("cut")
            return await wire(key)

        net.wire = break_off
        with contextlib.suppress(StoreError):
            await store.sessions.create(replace(SESSION, id="s2", user_id="u", parent_id="s1"), b"2" * 32)
            await store.sessions.renew_handle(SESSION, 0, b"3" * 32, old_good_until=0.0)
        net.wire = wire
        before, after = [await store.sessions.by_handle(one * 32, NOW) for one in (b"1", b"3")]
        assert (before is None) is not (after is None)
        assert await store.sessions.delete("s1")
        assert await store.sessions.by_handle(b"1" * 32, NOW) is None
        assert await store.sessions.by_handle(b"3" * 32, NOW) is None


async def test_a_redis_without_scripts_in_its_memory_is_sent_them_anew(redis, opened):
    store = await opened(redis.url)
    assert await store.marks.consume("flow", b"1", NOW, NOW + 9)
    redis.server.say("SCRIPT", "FLUSH")
    assert not await store.marks.consume("flow", b"1", NOW, NOW + 9)


async def test_numbers_of_leases_grow_though_redis_forgot_them(redis, opened):
    store, other = await opened(redis.url), await opened(redis.url)
    numbers = [await store.leases.acquire("job", "a", NOW, 9) for _ in range(3)]
    redis.empty()
    numbers.append(await store.leases.acquire("job", "a", NOW - 3600, 9))  # this process knows its own
    redis.empty()
    numbers.append(await other.leases.acquire("job", "b", NOW + 1, 9))  # another one the time
    assert numbers == sorted(set(numbers))


# -- never another's answer -------------------------------------------------------------------


async def test_nobody_gets_anothers_answer_however_many_stop_waiting(redis, ports, fault):
    """CVE-2023-28858: commands that are given up at any moment, behind a network that is slow and comes back."""
    proxy = fault(redis.server.port)
    for number in range(50):
        redis.server.say("SET", f"k{number}", f"v{number}")
    wire = await Wire.connect(Address("127.0.0.1", proxy.port), NOBODY, 5.0)
    proxy.slow(0.02)
    chance = random.Random(1)
    counts = {"answered": 0, "left": 0}

    async def ask(number: int) -> None:
        try:
            async with asyncio.timeout(chance.choice((0.0, 0.01, 0.03, 0.05, 3.0))):
                assert await wire.ask(("GET", f"k{number}")) == f"v{number}".encode()
                counts["answered"] += 1
        except TimeoutError:
            counts["left"] += 1

    for _ in range(20):
        await asyncio.gather(*(ask(number) for number in range(50)))
    assert counts["answered"] > 100
    assert counts["left"] > 100
    proxy.calm()
    assert await asyncio.gather(*(wire.ask(("GET", f"k{n}")) for n in range(50))) == [
        f"v{n}".encode() for n in range(50)
    ]
    wire.end(Broken("done"))
    await wire.ended()


async def test_a_connection_whose_answer_is_late_is_never_used_again(redis, fault):
    proxy = fault(redis.server.port)
    wire = await Wire.connect(Address("127.0.0.1", proxy.port), NOBODY, 1.0)
    proxy.hang()
    given_up = asyncio.ensure_future(wire.ask(("ECHO", "first")))
    given_up.cancel()  # who no longer waits is waited for all the same
    with pytest.raises(Late):
        await wire.ask(("ECHO", "second"))
    proxy.calm()
    with pytest.raises(Late):
        await wire.ask(("ECHO", "third"))
    await wire.ended()


async def test_half_an_answer_is_none(redis, opened, fault):
    store = await opened(redis.url)
    await store.sessions.create(SESSION, b"h" * 32)
    proxy = fault(redis.server.port)
    behind = await opened(redis.url.replace(str(redis.server.port), str(proxy.port)), timeout_s=1.0)
    proxy.half(40)
    with pytest.raises(StoreError):
        await behind.sessions.by_id("s1", NOW)
    proxy.calm()
    assert await tried(lambda: behind.sessions.by_id("s1", NOW)) == SESSION


# -- away and back ----------------------------------------------------------------------------


async def test_a_redis_that_was_killed_is_a_store_error_and_comes_back_with_all_it_had_confirmed(own, opened):
    store = await opened(own.url)
    acknowledged: list[str] = []

    async def sign_in(task: int) -> None:
        number = 0
        while True:
            name = f"s{task}-{number}"
            number += 1
            try:
                await store.sessions.create(replace(SESSION, id=name), name.encode())
                acknowledged.append(name)
            except StoreError:
                await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(sign_in(task)) for task in range(8)]
    for _ in range(3):
        before = len(acknowledged)
        async with asyncio.timeout(60):
            while len(acknowledged) < before + 50:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(own.server.kill)
        with pytest.raises(StoreError):
            await store.sessions.by_id("s", NOW)
        await asyncio.to_thread(own.server.start_again)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await tried(lambda: store.sessions.by_id("s", NOW))
    for name in acknowledged:
        assert await store.sessions.by_handle(name.encode(), NOW) is not None, name


async def test_a_redis_that_hangs_holds_up_a_few_and_the_others_are_told_at_once(own, opened):
    heard: list[tuple[str, str]] = []
    store = await opened(own.url, heard=lambda server, why: heard.append((server, why)), timeout_s=TIMEOUT_S)
    await store.sessions.create(SESSION, b"h" * 32)
    own.server.pause()
    await tried(lambda: store.sessions.by_id("s1", NOW), is_there=False)
    for _ in range(100):
        with pytest.raises(StoreError, match="can't be reached"):
            await store.sessions.by_id("s1", NOW)
    own.server.resume()
    assert await tried(lambda: store.sessions.by_id("s1", NOW)) == SESSION
    name = f"127.0.0.1:{own.server.port}"
    assert [(server, bool(why)) for server, why in heard] == [(name, True), (name, False)]


async def test_closing_does_not_wait_for_a_redis_that_hangs(own):
    store = await store_of.open_store(replace(own.place, timeout_s=TIMEOUT_S), VAULT)
    own.server.pause()
    asking = asyncio.ensure_future(store.sessions.by_id("s1", NOW))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreError):
        await asking


# -- revoked is revoked -----------------------------------------------------------------------


async def test_a_redis_without_a_log_that_comes_back_as_it_was_brings_no_session_back(ports, with_people):
    with stopped(Single(ports, "appendonly no")) as (own,):
        store, people = await with_people(own.url)
        for user_id in ("u1", "u2"):
            account = Account(issuer="https://a", subject=user_id, user_id=user_id, client="google")
            await people.register(User(id=user_id, created_at=NOW), account)
        for number, fields in enumerate(
            (
                {},
                {"user_id": "u1"},
                {"user_id": "u2"},
                {"id": "child", "parent_id": "s0"},
                {"clients": ("okta",)},
                {},
            )
        ):
            await store.sessions.create(
                replace(SESSION, **{"id": f"s{number}", **fields}), bytes([number]) * 32
            )
        own.server.say("SAVE")
        await store.sessions.create(replace(SESSION, id="young"), b"y" * 32)
        assert await store.sessions.delete("s0") == ("s0", "child")
        assert await store.sessions.delete_of("u1") == ("s1",)
        assert await people.save(User(id="u2", created_at=NOW, valid_from=NOW + 1))
        assert await store.sessions.delete_by("okta") == ("s4",)
        await asyncio.to_thread(own.server.kill)
        await asyncio.to_thread(own.server.start_again)
        found = [await tried(lambda n=n: store.sessions.by_handle(bytes([n]) * 32, NOW)) for n in range(6)]
        assert own.server.say("EXISTS", KEYS.session("s0"), KEYS.session("s1"), KEYS.session("s4")) == 3
        assert [held and held.session.id for held in found] == [None, None, None, None, None, "s5"]
        assert [await store.sessions.by_id(name, NOW) for name in ("s0", "s1", "s2", "child", "s4")] == [
            None
        ] * 5
        assert await store.sessions.of_user("u1", NOW) == await store.sessions.of_user("u2", NOW) == ()
        assert await store.sessions.by_handle(b"y" * 32, NOW) is None  # what the snapshot didn't have is lost


async def test_signing_out_while_redis_is_away_is_a_sign_out(own, with_people):
    store, _ = await with_people(own.url)
    await store.sessions.create(SESSION, b"1" * 32)
    await store.sessions.create(replace(SESSION, id="s2"), b"2" * 32)
    await asyncio.to_thread(own.server.kill)
    with pytest.raises(StoreError):
        await store.sessions.delete("s1")
    await asyncio.to_thread(own.server.start_again)
    assert (await tried(lambda: store.sessions.by_handle(b"2" * 32, NOW))).session.id == "s2"
    assert await store.sessions.by_handle(b"1" * 32, NOW) is None


# -- sentinels --------------------------------------------------------------------------------


async def test_when_the_primary_dies_sessions_go_on_and_the_dead_stay_dead(ports, with_people):
    with stopped(Watched(ports)) as (watched,):
        store, _ = await with_people(watched.url)
        before = watched.primary
        for number in range(3):
            await store.sessions.create(replace(SESSION, id=f"s{number}"), bytes([number]) * 32)
        number = await store.leases.acquire("job", "a", NOW, 9)
        before.wait_until(lambda: before.say("WAIT", 1, 1000, password=PASSWORD) == 1, "has a replica")
        replica = next(one for one in watched.servers if one is not before)
        replica.pause()
        before.say("CLIENT", "KILL", "TYPE", "replica", password=PASSWORD)  # what is ended now, it still has
        assert await store.sessions.delete("s1") == ("s1",)
        await asyncio.to_thread(before.kill)
        replica.resume()
        await asyncio.to_thread(watched.failed_over, before)
        assert (await tried(lambda: store.sessions.by_handle(bytes([0]) * 32, NOW))).session.id == "s0"
        assert watched.primary.say("EXISTS", KEYS.session("s1"), password=PASSWORD) == 1
        assert await store.sessions.by_handle(bytes([1]) * 32, NOW) is None
        await store.sessions.create(replace(SESSION, id="new"), b"n" * 32)
        assert await store.sessions.delete("s2") == ("s2",)
        assert await store.leases.acquire("job", "a", NOW, 9) > number
        # The old primary comes back, and is told that it is a replica now: nobody asks it again.
        await asyncio.to_thread(before.start_again)
        before.wait_until(lambda: before.say("ROLE", password=PASSWORD)[0] == b"slave", "is a replica")
        assert (await tried(lambda: store.sessions.by_handle(b"n" * 32, NOW))).session.id == "new"


async def test_a_primary_that_was_replaced_while_it_hung_is_asked_no_more(ports, opened):
    with stopped(Watched(ports)) as (watched,):
        store = await opened(watched.url)
        await store.sessions.create(SESSION, b"1" * 32)
        before = watched.primary
        before.pause()
        await asyncio.to_thread(watched.failed_over, before)
        await tried(lambda: store.sessions.by_id("s1", NOW))
        before.resume()
        await store.sessions.create(replace(SESSION, id="s2"), b"2" * 32)
        assert watched.primary.say("EXISTS", KEYS.session("s2"), password=PASSWORD) == 1


async def test_sentinels_that_know_no_such_primary_say_so_without_passwords(ports, opened):
    with stopped(Watched(ports)) as (watched,):
        with pytest.raises(StoreError, match="knows no primary `other`"):
            await opened(watched.url.replace(f"/{PRIMARY}", "/other"))
        with pytest.raises(StoreError, match=r"can't be opened: no Sentinel says.*WRONGPASS") as caught:
            await opened(watched.url.replace("=watch", "=canary"))
        assert "canary" not in str(caught.value)


# -- cluster ----------------------------------------------------------------------------------


def names_by_owner(cluster: Cluster) -> dict[int, list[str]]:
    """Some ids of sessions, by the port of who has them."""
    found: dict[int, list[str]] = {}
    for number in range(60):
        found.setdefault(cluster.owner(KEYS.session(f"s{number}")).port, []).append(f"s{number}")
    return found


async def test_of_a_cluster_one_server_that_dies_takes_no_other_along(ports, opened):
    with stopped(Cluster(ports, is_partial=True)) as (cluster,):
        store = await opened(cluster.url)
        ids = names_by_owner(cluster)
        for names in ids.values():
            for name in names:
                await store.sessions.create(replace(SESSION, id=name), name.encode())
        dead, *others = cluster.servers[::-1]
        dead.pause()
        await tried(lambda: store.sessions.by_id(ids[dead.port][0], NOW), is_there=False)
        for other in others:
            for name in ids[other.port]:
                assert await store.sessions.by_id(name, NOW) is not None
        dead.resume()
        assert await tried(lambda: store.sessions.by_id(ids[dead.port][0], NOW)) is not None


async def test_of_a_cluster_a_replica_takes_the_place_of_who_died(ports, opened):
    with stopped(Cluster(ports, replicas=True)) as (cluster,):
        store = await opened(cluster.url)
        ids = names_by_owner(cluster)
        dead = cluster.servers[0]
        for name in ids[dead.port]:
            await store.sessions.create(replace(SESSION, id=name), name.encode())
        await asyncio.to_thread(dead.say, "WAIT", 1, 5000)
        await asyncio.to_thread(dead.kill)
        for name in ids[dead.port]:
            assert (await tried(lambda name=name: store.sessions.by_id(name, NOW))).id == name
        assert await tried(lambda: store.sessions.save(replace(SESSION, id=ids[dead.port][0]), 0))


async def test_a_slot_that_moves_is_followed(redis_cluster, opened):
    store = await opened(redis_cluster.url)
    key = KEYS.session("s1")
    source = redis_cluster.owner(key)
    target = next(one for one in redis_cluster.servers if one is not source)
    slot = source.say("CLUSTER", "KEYSLOT", key)
    source_id, target_id = source.say("CLUSTER", "MYID"), target.say("CLUSTER", "MYID")
    await store.sessions.create(SESSION, b"1" * 32)
    target.say("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    source.say("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    try:
        keys = source.say("CLUSTER", "GETKEYSINSLOT", slot, 100)
        source.say("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        assert await store.sessions.by_id("s1", NOW) == SESSION  # ASK
        assert await store.sessions.save(SESSION, 0)
    finally:
        for server in redis_cluster.servers:
            server.say("CLUSTER", "SETSLOT", slot, "NODE", target_id)
    assert (await store.sessions.by_id("s1", NOW)).version == 1  # MOVED
    assert await store.sessions.delete("s1") == ("s1",)
