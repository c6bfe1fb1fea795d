"""Sessions as services handle them, over every store: what is kept, what is found again, who was faster."""

from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from vestibule.core.domain import Domain
from vestibule.core.lifetimes import USUAL, Lifetimes, bound
from vestibule.core.route import Host, RouteTable
from vestibule.core.seal import Key, KeyRing
from vestibule.core.vouched import Standing
from vestibule.errors import ClientError, Conflict, Invalid, NotFound
from vestibule.model import Device, Identity, Secret, User
from vestibule.observe.log import Log
from vestibule.service.grants import Grants
from vestibule.service.people import People
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.service.steward import Change, Steward, Wanted
from vestibule.store.changes import Changes

NOW = 1_800_000_000.0
HOST = "app.example.com"
RING = KeyRing((Key("k1", b"0123456789abcdef0123456789abcdef"),))
ALICE = Identity(client="op", issuer="https://op.example", subject="alice", groups=("staff",))


class NoProvider:
    """A driver that nobody should need."""

    async def run(self, flow: Any, *, trusted: bool = True, about: str = "") -> Any:
        raise AssertionError("a provider was asked")


class Desk:
    """The services of one process."""

    def __init__(self, store: SimpleNamespace, lifetimes: Lifetimes = USUAL) -> None:
        self.now = NOW
        self.hosts: tuple[Host, ...] = (Host(name=HOST.encode(), title="app", clients={}, sign_in=("op",)),)
        changes = Changes()
        clocks = {"now": lambda: self.now, "mono": lambda: self.now}
        self.sessions = Sessions(store.sessions, changes, lifetimes=lifetimes, **clocks)
        self.people = People(store.people, store.invitations, self.sessions, changes)
        self.people.judge_by(Standing(words={"op": "as set up"}))
        grants = Grants(
            store.grants, store.leases, self.sessions, changes, RING, refreshers={}, driver=NoProvider()
        )
        rechecks = Rechecks(
            self.sessions, grants, changes, NoProvider(), Log(io.StringIO()), now=lambda: self.now
        )
        rechecks.tell(self.people)
        self.steward = Steward(
            sessions=self.sessions,
            people=self.people,
            rechecks=rechecks,
            ring=RING,
            table=lambda: RouteTable(self.hosts),
            span=USUAL.span,
        )

    async def person(self) -> User:
        user = await self.people.admit(ALICE, self.now, kind="oidc")
        assert user is not None
        return user

    async def make(self, user: User, **more: Any) -> Any:
        wanted = Wanted(user_id=user.id, host=HOST, made_by="shop", **more)
        return await self.steward.create(wanted, self.now)

    async def introspect(self, bearer: Secret, **more: Any) -> Any:
        return await self.steward.introspect(bearer, asked_by="shop", now=self.now, **more)


@pytest.fixture
def desk(store) -> Desk:
    return Desk(store)


async def test_all_of_it_is_kept(desk, store):
    user = await desk.person()
    attributes = {"cart": [7, 1.5, None, True], "a.b-c": {"ä": "\N{SNOWMAN}", "": {}}, "big": 2**53}
    device = Device(user_agent="Shop/2", address="192.0.2.7")
    made, bearer = await desk.make(user, attributes=attributes, device=device, life_s=600.0, idle_s=60.0)
    other = Desk(store)  # another process
    assert await other.steward.get(made.id) == made
    assert (made.attributes, made.device, made.made_by) == (attributes, device, "shop")
    assert (made.expires_at, made.idle_s, made.identities) == (NOW + 600, 60.0, (replace(ALICE),))
    assert await other.introspect(bearer) == made
    assert await other.steward.list(user.id) == (made,)


async def test_of_writers_at_once_those_who_read_the_old_one_are_told(desk, store):
    made, _ = await desk.make(await desk.person())
    desks = [desk, *(Desk(store) for _ in range(4))]

    async def write(number: int) -> int:
        change = Change(attributes={f"n{number}": number})
        try:
            await desks[number].steward.update(made.id, change, version=made.version, now=NOW)
        except ClientError as error:
            return error.status
        return 200

    told = await asyncio.gather(*map(write, range(5)))
    assert sorted(told) == [200, 412, 412, 412, 412]
    kept = await desk.steward.get(made.id)
    assert kept.attributes == {f"n{told.index(200)}": told.index(200)}
    assert kept.version == made.version + 1


async def test_changes_of_any_version_all_count(desk, store):
    made, _ = await desk.make(await desk.person())
    desks = [desk, *(Desk(store) for _ in range(4))]
    changes = [
        one.steward.update(made.id, Change(attributes={f"n{number}": number}), version=None, now=NOW)
        for number, one in enumerate(desks)
    ]
    await asyncio.gather(*changes)
    assert (await desk.steward.get(made.id)).attributes == {f"n{number}": number for number in range(5)}


async def test_another_end_is_kept(desk, store):
    made, bearer = await desk.make(await desk.person(), life_s=60.0)
    await desk.steward.update(made.id, Change(expires_at=NOW + 3600), version=None, now=NOW)
    other = Desk(store)
    other.now = NOW + 3599
    assert await other.introspect(bearer) is not None
    other.now = NOW + 3600
    assert await other.introspect(bearer) is None
    with pytest.raises(NotFound):
        await other.steward.get(made.id)


@pytest.mark.parametrize("shares_cookie", [True, False], ids=["one cookie", "handed on"])
async def test_it_lives_no_longer_than_the_auth_host_of_its_domain_says(desk, shares_cookie):
    domain = Domain(name="example.com", auth=b"auth.example.com", shares_cookie=shares_cookie)
    (app,) = (replace(host, domain=domain, realm=domain.realm) for host in desk.hosts)
    short = bound(idle_s=60.0, absolute_s=3600.0, remember_s=None)
    desk.hosts = (app, replace(app, name=domain.auth, span=short))
    user = await desk.person()
    made, _ = await desk.make(user)
    assert (made.expires_at, made.idle_s) == (NOW + 3600, 60.0)
    with pytest.raises(Invalid):
        await desk.make(user, life_s=3601.0)
    with pytest.raises(Invalid):
        await desk.steward.update(made.id, Change(expires_at=NOW + 3601), version=None, now=NOW)


async def test_use_is_kept(desk, store):
    made, bearer = await desk.make(await desk.person(), idle_s=600.0)
    desk.now += 500
    assert (await desk.introspect(bearer, touch=True)).seen_at == NOW + 500
    await desk.sessions.flush()
    other = Desk(store)
    other.now = NOW + 1000
    assert (await other.steward.get(made.id)).seen_at == NOW + 500
    assert await other.introspect(bearer) is not None


async def test_what_has_ended_has_ended_everywhere(desk, store):
    user = await desk.person()
    (one, first), (_, second) = [await desk.make(user) for _ in range(2)]
    await desk.steward.end(one.id, NOW)
    other = Desk(store)
    assert await other.introspect(first) is None
    assert await other.introspect(second) is not None
    assert await other.steward.end_all(user.id, NOW) == 1
    assert await Desk(store).introspect(second) is None
    assert await desk.steward.list(user.id) == ()


async def test_a_person_has_no_more_than_they_may_have(store):
    desk = Desk(store, Lifetimes(sessions_max=2))
    user, bearers = await desk.person(), []
    for _ in range(3):
        bearers.append((await desk.make(user))[1])
        desk.now += 1
    found = [await Desk(store).introspect(bearer) is not None for bearer in bearers]
    assert found == [False, True, True]


async def test_what_was_handed_on_ends_with_the_sign_in_it_came_from(desk, store):
    parent, bearer = await desk.make(await desk.person())
    handed = [
        await desk.sessions.hand_on(parent, host=f"{n}.example.com", device=Device(), now=NOW)
        for n in range(2)
    ]
    other = Desk(store)
    await other.steward.end(handed[0][0].id, NOW)
    for handle in (bearer.reveal(), *(one[1] for one in handed)):
        assert await Desk(store).introspect(Secret(handle)) is None


async def test_the_end_of_a_session_at_the_provider_is_another_s(desk, store):
    user = await desk.people.admit(replace(ALICE, sid="their browser's"), NOW, kind="oidc")
    made, bearer = await desk.make(user)
    desk.now += USUAL.restriction_s
    looked_at = await desk.introspect(bearer)
    assert looked_at.check_at > desk.now
    for session in (made, looked_at):
        assert [one.sid for one in session.identities] == [""]
    assert await store.sessions.by_sid(ALICE.issuer, "their browser's", desk.now) == ()


async def test_who_is_blocked_gets_none_and_loses_those_there_are(desk, store):
    user = await desk.person()
    _, bearer = await desk.make(user)
    await desk.people.set_disabled(user.id, True, NOW)
    assert await Desk(store).introspect(bearer) is None
    with pytest.raises(Conflict) as caught:
        await desk.make(user)
    assert caught.value.code == "user_disabled"


async def test_250_are_listed_the_newest_first(desk):
    user = await desk.person()
    made = []
    for _ in range(250):
        desk.now += 1
        made.append((await desk.make(user))[0].id)
    assert [one.id for one in await desk.steward.list(user.id)] == made[::-1]
