"""What only the PostgreSQL store has to answer for; the rest is in tests/contract."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import SimpleNamespace

import pytest
import trustme
from msgspec.structs import replace

from tests.helpers.vault import VAULT
from tests.real.postgres import Cluster
from vestibule.core.postgres import Postgres, parse
from vestibule.errors import StoreError
from vestibule.model import Account, Session, User
from vestibule.observe.log import Log
from vestibule.store import postgres as store_of
from vestibule.store import records
from vestibule.store import server as server_of
from vestibule.store.base import Page
from vestibule.store.guard import Guarded
from vestibule.store.server import Server

pytestmark = pytest.mark.real

NOW = 1_800_000_000.0
SESSION = Session(id="s1", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW + 100, idle_s=100.0)
ZOE = User(id="u1", created_at=NOW)
ACCOUNT = Account(issuer="https://a", subject="1", user_id="u1", client="google")


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[Postgres], Awaitable[SimpleNamespace]]]:
    """Opens all that is kept in a database; closed after the test, however that ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_both(place: Postgres) -> SimpleNamespace:
            store, kept = await store_of.open_store(place, VAULT), records.open_records(place)
            stack.push_async_callback(store.close)
            stack.push_async_callback(kept.close)
            return SimpleNamespace(store=store, records=kept)

        yield open_both


@pytest.fixture
async def parts(opened, postgres) -> SimpleNamespace:
    found = await opened(postgres.place)
    found.database = postgres
    return found


@pytest.fixture
def cluster(ports, ca) -> Iterator[Cluster]:
    """A server of the test's own, to be hurt."""
    cluster = Cluster(ports.take(), ca, is_durable=True)
    yield cluster
    cluster.resume()
    cluster.stop()


async def tried(ask, *, until: type[Exception] | None) -> None:
    """Returns once asking ends so: with an answer (None), or with this error."""
    async with asyncio.timeout(60):
        while True:
            try:
                await ask()
            except StoreError:
                if until is StoreError:
                    return
            else:
                if until is None:
                    return
            await asyncio.sleep(0.05)


# -- opening ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"password": "wrong"}, "password authentication failed"),
        ({"name": "nowhere"}, 'database "nowhere" does not exist'),
        ({"port": 1}, "refused|Connect call failed"),
    ],
    ids=["password", "database", "port"],
)
async def test_a_database_that_cannot_be_opened_is_told_without_its_password(postgres, change, why):
    password = type(postgres.place.password)(change.pop("password", "p@ss/word"))
    place = replace(postgres.place, password=password, **change)
    with pytest.raises(
        StoreError, match=rf"The store postgresql://127.0.0.1:\d+/\w+ can't be opened: .*({why})"
    ) as caught:
        await store_of.open_store(place, VAULT)
    assert password.reveal() not in str(caught.value) + caught.value.detail
    kept = records.open_records(place)
    with pytest.raises(StoreError) as caught:
        await kept.people.user("u1")
    assert password.reveal() not in str(caught.value) + caught.value.detail
    await kept.close()


@pytest.mark.parametrize(
    ("query", "opens"),
    [
        pytest.param("", True, id="loopback"),
        pytest.param("sslmode=disable", True, id="disable"),
        pytest.param("sslmode=require", True, id="require"),
        pytest.param("sslmode=require&sslrootcert={ca}", True, id="require, signed by the authority"),
        pytest.param("sslmode=verify-ca&sslrootcert={ca}", True, id="verify-ca"),
        pytest.param("sslmode=verify-full&sslrootcert={ca}", True, id="verify-full"),
        pytest.param("sslmode=verify-full", False, id="verify-full, unknown authority"),
        pytest.param("sslmode=require&sslrootcert={other}", False, id="require, another authority"),
        pytest.param("sslmode=verify-ca&sslrootcert={other}", False, id="verify-ca, another authority"),
        pytest.param("sslmode=verify-full&sslrootcert=/none.pem", False, id="no file of authorities"),
    ],
)
async def test_the_server_is_believed_as_far_as_sslmode_says(postgres, ca_file, tmp_path, query, opens):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    place = parse(f"{postgres.url}?{query.format(ca=ca_file, other=other)}" if query else postgres.url)
    with contextlib.nullcontext() if opens else pytest.raises(StoreError, match="can't be opened"):
        server = await Server.open(place)
        row = await server.row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert row[0] is (place.sslmode != "disable")
        await server.close()


async def test_a_certificate_for_another_name_opens_verify_ca_only(postgres, ca_file):
    """The server's is for 127.0.0.1, not for `localhost`."""
    at_localhost = postgres.url.replace("127.0.0.1", "localhost")
    server = await Server.open(parse(f"{at_localhost}?sslmode=verify-ca&sslrootcert={ca_file}"))
    await server.close()
    with pytest.raises(StoreError, match="can't be opened"):
        await Server.open(parse(f"{at_localhost}?sslmode=verify-full&sslrootcert={ca_file}"))


# -- while it runs ----------------------------------------------------------------------------


async def test_what_may_be_lost_does_not_wait_for_the_disk_and_all_else_does(parts):
    server = parts.store._server
    [(durable,)] = await server.rows("SHOW synchronous_commit")
    [(relaxed,)] = await server.rows("SHOW synchronous_commit", is_durable=False)
    assert (durable, relaxed) == ("on", "off")


@pytest.mark.parametrize("sql", ["_BY_ID", "_BY_HANDLE", "_OF_USER"])
async def test_a_session_is_found_by_index_alone(parts, sql):
    first = "''::bytea" if sql == "_BY_HANDLE" else "'x'"
    text = getattr(store_of, sql).replace("$1", first).replace("$2", "1.0")
    plan = parts.database.execute(f"SET enable_seqscan = off; EXPLAIN {text}")
    assert not [line for (line, *_) in plan if "Seq Scan" in line]


async def test_a_text_that_cannot_be_stored_is_nobodys(parts):
    assert await parts.store.sessions.by_id("s\0", NOW) is None
    assert await parts.records.people.user("u\0") is None
    assert await parts.records.people.users(Page(), text="\0") == ()
    with pytest.raises(StoreError):
        await parts.records.people.register(replace(ZOE, name="\0"), ACCOUNT)
    assert await parts.records.people.register(ZOE, ACCOUNT) == ZOE


@pytest.fixture
def impatient(monkeypatch):
    """Statements may take no time at all."""
    monkeypatch.setattr(server_of.connecting, "__kwdefaults__", {"statement_s": 0.2})


async def test_a_statement_that_waits_too_long_is_undone_and_hurts_no_other(postgres, impatient, opened):
    store = (await opened(postgres.place)).store
    for name in ("s1", "s2"):
        await store.sessions.create(replace(SESSION, id=name), name.encode())
    other = await server_of.connected(postgres.place, statement_s=60.0)
    async with other.transaction():
        await other.execute("SELECT 1 FROM sessions WHERE id = 's1' FOR UPDATE")
        with pytest.raises(StoreError) as caught:
            await store.sessions.save(SESSION, 0)
        assert "statement timeout" in caught.value.detail
        assert await store.sessions.by_id("s2", NOW) is not None
    await other.close()
    assert (await store.sessions.by_id("s1", NOW)).version == 0


async def test_two_that_touch_the_same_sessions_in_another_order_both_get_through(parts):
    names = [f"s{n}" for n in range(50)]
    for name in names:
        await parts.store.sessions.create(replace(SESSION, id=name), name.encode())
    for turn in range(1, 10):
        seen = [(name, NOW + turn) for name in names]
        await asyncio.gather(
            parts.store.sessions.touch(seen),
            parts.store.sessions.touch(seen[::-1]),
            *(parts.store.sessions.delete(name) for name in names[-turn:]),
        )
    assert (await parts.store.sessions.by_id("s0", NOW + 9)).seen_at == NOW + 9


async def test_of_two_processes_each_sees_what_the_other_wrote(parts, opened):
    other = (await opened(parts.database.place)).store
    await parts.records.people.register(ZOE, ACCOUNT)
    await parts.store.sessions.create(replace(SESSION, user_id="u1"), b"h")
    assert await other.sessions.by_handle(b"h", NOW) is not None
    assert await parts.records.people.save(replace(ZOE, disabled=True))
    assert await other.sessions.by_handle(b"h", NOW) is None


# -- away and back ----------------------------------------------------------------------------


async def test_a_server_that_was_killed_is_a_store_error_and_comes_back_by_itself(cluster, opened):
    place = cluster.database().place
    parts = await opened(place)
    store, kept = parts.store, parts.records
    await kept.people.register(ZOE, ACCOUNT)
    await store.sessions.create(SESSION, b"h")
    cluster.kill()
    with pytest.raises(StoreError):
        await store.sessions.by_handle(b"h", NOW)
    with pytest.raises(StoreError):
        await kept.people.user("u1")
    with pytest.raises(StoreError):
        await kept.people.seen(ZOE, ACCOUNT)
    cluster.start_again()
    await tried(lambda: store.sessions.by_handle(b"h", NOW), until=None)
    assert (await store.sessions.by_handle(b"h", NOW)).session == SESSION
    await tried(lambda: kept.people.user("u1"), until=None)
    assert await kept.people.user("u1") == ZOE
    assert await store.leases.acquire("job", "a", NOW, 1) is not None
    await store.sessions.touch([("s1", NOW + 1)])


async def test_nobody_waits_for_a_server_that_hangs_and_it_is_in_use_again_when_it_is_back(cluster, opened):
    place = cluster.database().place
    store = Guarded((await opened(place)).store, log=Log(io.StringIO()))
    await store.sessions.create(SESSION, b"h")
    cluster.pause()
    asked = await asyncio.gather(
        *(store.sessions.by_handle(b"h", NOW) for _ in range(100)), return_exceptions=True
    )
    assert {type(answer) for answer in asked} == {StoreError}
    for _ in range(100):
        with pytest.raises(StoreError) as caught:
            await store.sessions.by_handle(b"h", NOW)
        assert "found away" in caught.value.detail
    cluster.resume()
    await tried(lambda: store.sessions.by_handle(b"h", NOW), until=None)
    assert not store.breaker.is_away
    await store.breaker.close()


async def test_nobody_waits_for_records_of_a_server_that_hangs(cluster, opened):
    kept = (await opened(cluster.database().place)).records
    await kept.people.register(ZOE, ACCOUNT)
    cluster.pause()
    for ask in (lambda: kept.people.user("u1"), lambda: kept.people.seen(ZOE, ACCOUNT)):
        with pytest.raises(StoreError):
            await ask()
    for _ in range(100):
        with pytest.raises(StoreError) as caught:
            await kept.people.user("u1")
        assert "found away" in caught.value.detail
    cluster.resume()
    await tried(lambda: kept.people.user("u1"), until=None)
    await kept.people.seen(ZOE, ACCOUNT)


async def test_an_answer_that_comes_late_is_nobodys(opened, postgres, fault):
    """Each asks for a session of their own while answers come late, in halves and not at all."""
    network = fault(postgres.place.port)
    store = (await opened(replace(postgres.place, port=network.port))).store
    for n in range(20):
        await store.sessions.create(replace(SESSION, id=f"s{n}"), b"%d" % n)

    async def ask(n: int, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                held = await store.sessions.by_handle(b"%d" % n, NOW)
        except (StoreError, TimeoutError):
            return False
        assert held.session.id == f"s{n}"
        return True

    for hurt in (
        lambda: network.slow(0.03),
        network.hang,
        lambda: network.half(50),
        lambda: network.half(700, cut=True),
    ):
        hurt()
        await asyncio.gather(*(ask(n, 0.02 + n / 100) for n in range(20)))
        network.calm()
        await asyncio.gather(*(ask(n, 5.0) for n in range(20)))
    async with asyncio.timeout(60):
        while not all(await asyncio.gather(*(ask(n, 30.0) for n in range(20)))):
            await asyncio.sleep(0.1)


async def test_closing_does_not_wait_for_a_server_that_hangs_and_writes_nothing(cluster, opened, capfd):
    place = cluster.database().place
    parts = await opened(place)
    store, kept = parts.store, parts.records
    await kept.people.user("u1")
    cluster.pause()
    async with asyncio.timeout(60):
        await kept.close()
        await store.close()
    assert capfd.readouterr() == ("", "")


# -- kill -9 ----------------------------------------------------------------------------------


async def test_no_acknowledged_session_is_lost_when_the_server_is_killed(cluster, opened):
    place = cluster.database().place
    store = (await opened(place)).store
    acknowledged: list[str] = []
    fences: list[int] = []

    async def sign_in(task: int) -> None:
        number = 0
        while True:
            name = f"s{task}-{len(acknowledged)}-{number}"
            number += 1
            try:
                await store.sessions.create(replace(SESSION, id=name), name.encode())
                acknowledged.append(name)
                fences.append(await store.leases.acquire(name, "a", NOW, 30) or 0)
                await store.sessions.touch([(name, NOW + 1)])
            except StoreError:
                await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(sign_in(task)) for task in range(8)]
    for _ in range(3):
        before = len(acknowledged)
        async with asyncio.timeout(60):
            while len(acknowledged) < before + 50:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(cluster.kill)
        await asyncio.to_thread(cluster.start_again)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await tried(lambda: store.sessions.by_id("s", NOW), until=None)
    for name in acknowledged:
        assert await store.sessions.by_id(name, NOW) is not None, name
    assert len(set(fences)) == len(fences)
