"""Sessions in one place, and the last word on them in another: what is done first, and what if half of it fails."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.helpers.vault import VAULT
from vestibule.errors import StoreError
from vestibule.model import Account, Identity, Session, User
from vestibule.store import memory, split

NOW = 1_800_000_000.0
SESSION = Session(id="s1", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW + 100, idle_s=100.0)
THERE = Identity(client="op", issuer="https://op", subject="1", sid="there")
HERS = replace(SESSION, id="s2", user_id="u1", identities=(THERE,))
AWAY = StoreError("away")


class Kept(memory.Sessions):
    """Sessions in memory that can be away, and tell in which order they are asked."""

    def __init__(self, store: memory.Store, told: list[str]) -> None:
        self.__dict__.update(vars(store.sessions))
        self.told = told
        self.is_away = False

    async def kept(self, session_id: str) -> Session | None:
        if self.is_away:
            raise AWAY
        return await super().by_id(session_id, NOW)

    async def kept_of(self, user_id: str) -> tuple[Session, ...]:
        return await super().of_user(user_id, NOW)

    async def delete_all(self, ids) -> tuple[str, ...]:
        return tuple([gone for one in tuple(ids) for gone in await self.delete(one)])

    async def delete(self, session_id: str) -> tuple[str, ...]:
        self.told.append("redis")
        if self.is_away:
            raise AWAY
        return await super().delete(session_id)


class Revocations:
    """Those of a store in memory, which tell when they are asked."""

    def __init__(self, store: memory.Store, told: list[str]) -> None:
        self._revocations = store.revocations
        self.told = told
        self.ends: dict[str, float] = {}
        self.is_away = False

    async def revoke(self, ended):
        self.told.append("database")
        if self.is_away:
            raise AWAY
        self.ends |= dict(ended)
        await self._revocations.revoke(ended)

    async def living(self, sessions):
        if self.is_away:
            raise AWAY
        return await self._revocations.living(sessions)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def store():
    return memory.Store(VAULT)


@pytest.fixture
def kept(store, told):
    return Kept(store, told)


@pytest.fixture
def revocations(store, told):
    return Revocations(store, told)


@pytest.fixture
async def sessions(kept, revocations):
    sessions = split.Sessions(kept, revocations, now=lambda: NOW)
    await sessions.create(SESSION, b"h" * 32)
    return sessions


@pytest.fixture
async def people(store, sessions):
    """Somebody with a session."""
    account = Account(issuer=THERE.issuer, subject=THERE.subject, user_id="u1", client="op")
    await store.people.register(User(id="u1", created_at=0.0), account)
    await sessions.create(HERS, b"i" * 32)


async def test_an_end_is_written_to_the_database_first_for_a_day_longer_than_it_can_matter(
    sessions, revocations, told
):
    assert await sessions.delete("s1") == ("s1",)
    assert told == ["database", "redis"]
    assert revocations.ends == {"s1": SESSION.expires_at + split.MARGIN_S}


async def test_all_of_a_persons_are_ended_in_the_database_first(sessions, people, revocations, told):
    assert await sessions.delete_of("u1") == ("s2",)
    assert told == ["database", "redis"]
    assert revocations.ends == {"s2": HERS.expires_at + split.MARGIN_S}


@pytest.mark.parametrize("find", ["of_user", "by_sid"])
async def test_what_redis_brings_back_is_in_no_list(sessions, people, revocations, find):
    wanted = ("u1", NOW) if find == "of_user" else ("https://op", "there", NOW)
    assert await getattr(sessions, find)(*wanted) == (HERS,)
    await revocations.revoke([("s2", NOW + 100)])
    assert await getattr(sessions, find)(*wanted) == ()


async def test_without_the_database_nothing_is_ended(sessions, revocations, told):
    revocations.is_away = True
    with pytest.raises(StoreError):
        await sessions.delete("s1")
    assert told == ["database"]
    revocations.is_away = False
    assert await sessions.by_id("s1", NOW) == SESSION


async def test_without_redis_a_session_ends_all_the_same_and_whoever_asked_is_told(
    sessions, kept, revocations
):
    kept.is_away = True
    with pytest.raises(StoreError):
        await sessions.delete("s1")
    kept.is_away = False
    assert await sessions.by_id("s1", NOW) is None
    assert await sessions.by_handle(b"h" * 32, NOW) is None
    assert revocations.ends == {"s1": NOW + split.LONGEST_S}


async def test_an_end_holds_though_redis_had_lost_the_session_and_is_brought_back_with_it(
    sessions, kept, revocations
):
    await kept.delete("s1")
    assert await sessions.delete("s1") == ()
    await kept.create(SESSION, b"h" * 32)
    assert await sessions.by_id("s1", NOW) is None
    assert await sessions.by_handle(b"h" * 32, NOW) is None
    assert revocations.ends == {"s1": NOW + split.LONGEST_S}


async def test_no_session_at_all_is_not_remembered(sessions, revocations):
    assert await sessions.delete("") == ()
    assert revocations.ends == {}


async def test_nobody_gets_in_whom_the_database_does_not_vouch_for(sessions, revocations):
    revocations.is_away = True
    for ask in (sessions.by_id("s1", NOW), sessions.by_handle(b"h" * 32, NOW)):
        with pytest.raises(StoreError):
            await ask


async def test_an_unknown_handle_costs_the_database_nothing_and_an_unknown_id_asks_whether_it_is_there(
    sessions, revocations
):
    revocations.is_away = True
    assert await sessions.by_handle(b"x" * 32, NOW) is None
    with pytest.raises(StoreError):
        await sessions.by_id("", NOW)
