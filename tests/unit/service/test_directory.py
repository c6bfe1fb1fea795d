"""What a directory says of people, and what that does to those who are here."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec import structs

from vestibule.core.event import Event
from vestibule.core.organisation import Affiliation, Member, Organisation, issuer_in
from vestibule.core.session import hash_of
from vestibule.errors import UserDisabled
from vestibule.model import Identity, Session, User
from vestibule.protocol import base64url
from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_filter import read_filter, read_place
from vestibule.protocol.scim_patch import PATCH, operations
from vestibule.protocol.scim_schema import GROUPS, USERS
from vestibule.service.directory import MARGIN_S, Directory
from vestibule.service.directory_search import Query, Search
from vestibule.service.people import People
from vestibule.service.sessions import Sessions
from vestibule.store.changes import Changes
from vestibule.store.memory import Store

NOW = 1_800_000_000.0
BASE = "https://auth.example.com/scim/v2"
ORG = Affiliation(kind="org", org="acme", source="scim")


class Desk:
    """Two organisations, and nobody yet."""

    def __init__(self) -> None:
        self.store = Store()
        changes = Changes()
        self.now = NOW
        self.sessions = Sessions(self.store.sessions, changes, now=lambda: self.now, mono=lambda: self.now)
        self.people = People(self.store.people, self.store.invitations, self.sessions, changes)
        self.events: list[Event] = []
        self.directory = Directory(
            self.store.directory,
            self.store.organisations,
            self.people,
            changes,
            self._tell,
            now=lambda: self.now,
        )
        self.search = Search(self.store.directory)

    async def _tell(self, event: Event) -> None:
        self.events.append(event)

    async def person(self, subject: str, *, org: str = "o1", login: str = "", email: str = "") -> User:
        """Somebody who comes by a provider of the organisation."""
        who = self.identity(subject, org=org, login=login, email=email)
        user = await self.people.admit(who, self.now)
        assert user is not None
        return user

    def identity(self, subject: str, *, org: str = "o1", login: str = "", email: str = "") -> Identity:
        issuer = issuer_in(org, "https://idp.example")
        return Identity(client=org, issuer=issuer, subject=subject, login=login, email=email)

    async def arrive(self, subject: str, **more: str) -> User:
        """The same, as the directory is told of it."""
        user = await self.person(subject, **more)
        await self.directory.arrived(more.get("org", "o1"), user, self.identity(subject, **more), self.now)
        return user

    async def session(self, user: User) -> None:
        session = Session(
            id=f"s-{user.id}",
            host="app.example.com",
            created_at=self.now,
            seen_at=self.now,
            expires_at=self.now + 3600,
            idle_s=3600,
            user_id=user.id,
        )
        await self.store.sessions.create(session, hash_of(session.id))

    async def user(self, **more: Any) -> Any:
        return await self.directory.create("o1", USERS, {"userName": "ann", **more}, self.now)

    async def patch(self, entry: Any, *changes: dict[str, Any]) -> Any:
        kind = USERS if entry.kind == "User" else GROUPS
        wanted = operations({"schemas": [PATCH], "Operations": list(changes)})
        return await self.directory.patch("o1", kind, entry.id, wanted, self.now)

    async def affiliations(self, user: User) -> set[Affiliation]:
        return set(await self.store.directory.affiliations_of(user.id))


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    for org_id, slug in (("o1", "acme"), ("o2", "beta")):
        org = Organisation(id=org_id, slug=slug, name=slug, created_at=NOW, updated_at=NOW)
        assert await desk.store.organisations.create(org)
    return desk


OFF = {"op": "Replace", "path": "active", "value": "False"}
ON = {"op": "replace", "value": {"active": True}}


@pytest.mark.parametrize(
    ("rule", "entry", "who", "is_joined"),
    [
        ("subject", {"externalId": "00u1"}, {"subject": "00u1"}, True),
        ("subject", {"userName": "Ann@acme.example"}, {"subject": "ann@ACME.example"}, True),
        ("subject", {"externalId": "00U1"}, {"subject": "00u1"}, False),
        ("subject", {"userName": "ann"}, {"subject": "1", "login": "ann", "email": "ann"}, False),
        ("external_id", {"externalId": "00u1"}, {"subject": "00u1"}, True),
        ("external_id", {"userName": "00u1"}, {"subject": "00u1"}, False),
        ("user_name", {"userName": "ann"}, {"subject": "1", "login": "ANN"}, True),
        ("user_name", {"userName": "ann@acme.example"}, {"subject": "1", "email": "ann@acme.example"}, True),
        ("user_name", {"externalId": "1"}, {"subject": "1", "login": "x"}, False),
    ],
    ids=str,
)
async def test_who_comes_is_who_the_rule_says(desk, rule, entry, who, is_joined):
    await desk.store.directory.set_rule("o1", rule)
    made = await desk.user(**entry)
    user = await desk.arrive(**who)
    assert (await desk.directory.get("o1", USERS, made.id)).user_id == (user.id if is_joined else "")
    assert await desk.affiliations(user) == ({ORG} if is_joined else set())
    assert (await desk.store.organisations.member("o1", user.id) is not None) is is_joined


async def test_who_came_before_is_found_when_they_are_provisioned(desk):
    user = await desk.arrive("00u1")
    assert (await desk.user(externalId="00u1")).user_id == user.id
    assert await desk.affiliations(user) == {ORG}
    other = await desk.arrive("00u2")
    made = await desk.user(userName="bob")
    assert made.user_id == ""
    changed = await desk.patch(made, {"op": "add", "path": "externalId", "value": "00u2"})
    assert changed.user_id == other.id


async def test_nobody_of_another_organisation_is_joined(desk):
    await desk.user(userName="ann@acme.example", externalId="00u1")
    for rule in ("subject", "external_id", "user_name"):
        await desk.store.directory.set_rule("o1", rule)
        await desk.store.directory.set_rule("o2", rule)
        user = await desk.arrive("00u1", org="o2", login="ann@acme.example", email="ann@acme.example")
        assert await desk.affiliations(user) == set()
    later = await desk.directory.create("o2", USERS, {"userName": "x", "externalId": "00u9"}, NOW)
    assert later.user_id == ""


async def test_of_two_who_could_be_meant_nobody_is(desk):
    await desk.user(externalId="00u1")
    await desk.user(userName="bob", externalId="00u1")
    user = await desk.arrive("00u1")
    assert await desk.affiliations(user) == set()


async def test_an_entry_is_whose_it_was_first(desk):
    await desk.store.directory.set_rule("o1", "user_name")
    await desk.user()
    first = await desk.arrive("1", login="ann")
    second = await desk.arrive("2", login="ann")
    assert (await desk.affiliations(first), await desk.affiliations(second)) == ({ORG}, set())


@pytest.mark.parametrize("how", ["patch", "put", "delete", "again"])
async def test_who_is_switched_off_is_out_and_nothing_of_theirs_is_left(desk, how):
    user = await desk.arrive("00u1")
    entry = await desk.user(externalId="00u1")
    group = {"displayName": "Devs", "members": [{"value": entry.id}]}
    await desk.directory.create("o1", GROUPS, group, NOW)
    await desk.store.organisations.set_roles("o1", user.id, ("admin",))
    if how == "again":  # a call that was cut off after the entry was kept
        entry = await desk.patch(entry, OFF)
        await desk.store.organisations.join(Member(org_id="o1", user_id=user.id, created_at=NOW))
        desk.now += 10
    await desk.session(user)
    assert await desk.people.sessions_of(user.id)
    desk.now += 10
    match how:
        case "put":
            body = {"userName": "ann", "externalId": "00u1", "active": False}
            await desk.directory.replace("o1", USERS, entry.id, body, desk.now)
        case "delete":
            await desk.directory.delete("o1", USERS, entry.id, desk.now)
        case _:
            await desk.patch(entry, OFF)
    assert await desk.people.sessions_of(user.id) == ()
    assert (await desk.people.user(user.id)).valid_from == desk.now + MARGIN_S
    assert not (await desk.people.user(user.id)).disabled
    assert await desk.affiliations(user) == set()
    assert await desk.store.organisations.member("o1", user.id) is None
    if how == "delete":
        with pytest.raises(ScimError):
            await desk.directory.get("o1", USERS, entry.id)
    else:
        with pytest.raises(UserDisabled):
            await desk.arrive("00u1")


async def test_who_is_let_in_again_has_what_the_directory_says_and_no_more(desk):
    user = await desk.arrive("00u1")
    entry = await desk.user(externalId="00u1")
    await desk.store.organisations.set_roles("o1", user.id, ("admin",))
    await desk.patch(entry, OFF)
    await desk.patch(entry, ON)
    assert await desk.affiliations(user) == {ORG}
    member = await desk.store.organisations.member("o1", user.id)
    assert member is not None
    assert member.roles == ()
    await desk.arrive("00u1")
    actions = [event.action.removeprefix("directory.") for event in desk.events]
    assert actions == ["user_created", "user_deactivated", "user_activated"]


@pytest.mark.parametrize(
    "change",
    [{"op": "remove", "path": "active"}, {"op": "replace", "path": "title", "value": "x"}],
    ids=str,
)
async def test_nobody_is_let_in_by_what_is_not_said(desk, change):
    entry = await desk.patch(await desk.user(), OFF)
    assert not (await desk.patch(entry, change)).is_active
    assert not (await desk.directory.replace("o1", USERS, entry.id, {"userName": "b"}, NOW)).is_active


async def test_an_inactive_one_who_never_came_is_not_let_in(desk):
    await desk.user(externalId="00u1", active=False)
    with pytest.raises(UserDisabled):
        await desk.arrive("00u1")
    [entry] = (await desk.search.find("o1", USERS, Query(count=9), BASE)).entries
    assert entry.user_id == ""


@pytest.mark.parametrize("how", ["patch", "replace"])
async def test_who_comes_while_they_are_switched_off_is_out(desk, monkeypatch, how):
    entry = await desk.user(externalId="00u1")
    came: list[User] = []
    save = desk.store.directory.save

    async def saved(*args: Any) -> Any:
        if not came:
            came.append(await desk.arrive("00u1"))
            await desk.session(came[0])
        return await save(*args)

    monkeypatch.setattr(desk.store.directory, "save", saved)
    if how == "patch":
        await desk.patch(entry, OFF)
    else:
        off = {"userName": "ann", "externalId": "00u1", "active": False}
        await desk.directory.replace("o1", USERS, entry.id, off, NOW)
    [user] = came
    assert await desk.sessions.of_user(user.id) == ()
    assert await desk.store.organisations.member("o1", user.id) is None


async def test_who_was_active_a_moment_ago_is_not_let_in(desk, monkeypatch):
    entry = await desk.user(externalId="00u1")
    join = desk.store.directory.join

    async def joined(*args: Any) -> bool:
        monkeypatch.undo()
        await desk.patch(entry, OFF)
        return bool(await join(*args))

    monkeypatch.setattr(desk.store.directory, "join", joined)
    with pytest.raises(UserDisabled):
        await desk.arrive("00u1")


async def test_who_is_switched_off_is_so_by_every_provider_of_the_organisation(desk):
    entry = await desk.user(externalId="00u1")
    await desk.arrive("00u1")
    await desk.patch(entry, OFF)
    other = Identity(client="o1.b", issuer=issuer_in("o1", "https://other.example"), subject="00u1")
    user = await desk.people.admit(other, desk.now)
    assert user is not None
    with pytest.raises(UserDisabled):
        await desk.directory.arrived("o1", user, other, desk.now)
    elsewhere = Identity(client="o2.b", issuer=issuer_in("o2", "https://other.example"), subject="00u1")
    user = await desk.people.admit(elsewhere, desk.now)
    assert user is not None
    await desk.directory.arrived("o2", user, elsewhere, desk.now)


async def test_a_filter_that_would_keep_everybody_waiting_is_refused(desk):
    await desk.user()
    text = " or ".join(f'title co "{number}"' for number in range(51))
    with pytest.raises(ScimError) as caught:
        await desk.search.find("o1", USERS, Query(count=9, filter=read_filter(text)), BASE)
    assert (caught.value.status, caught.value.scim_type) == (400, "tooMany")


@pytest.mark.parametrize(
    "place", [[10**400, "x"], [-1, "x"], [1e300, "x"], [1 << 31]], ids=["huge", "negative", "late", "far"]
)
async def test_a_cursor_that_leads_nowhere_is_none_of_ours(desk, place):
    cursor = base64url.encode(json.dumps(place).encode())
    with pytest.raises(ScimError) as caught:
        await desk.search.find("o1", USERS, Query(count=9, cursor=cursor), BASE)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidCursor")


@pytest.mark.parametrize("how", ["patch", "delete"])
async def test_whoever_came_after_the_request_began_is_out_with_the_rest(desk, monkeypatch, how):
    """A request of many takes minutes: who signs in meanwhile, by what is still active, has no session yet."""
    user = await desk.arrive("00u1")
    entry = await desk.user(externalId="00u1")
    save = desk.store.directory.save

    async def slowly(*args: Any) -> Any:
        desk.now += 60
        return await save(*args)

    monkeypatch.setattr(desk.store.directory, "save", slowly)
    if how == "patch":
        await desk.patch(entry, OFF)
    else:
        await desk.directory.delete("o1", USERS, entry.id, desk.now)
    assert not (await desk.people.user(user.id)).lets_live(NOW + 59)


@pytest.mark.parametrize("rule", ["subject", "external_id"])
async def test_who_is_here_and_is_provisioned_as_switched_off_is_out(desk, rule):
    await desk.store.directory.set_rule("o1", rule)
    user, other = await desk.arrive("00u1"), await desk.arrive("00u2")
    known = await desk.user(userName="bob", externalId="00u2")
    await desk.session(user)
    await desk.session(other)
    await desk.store.organisations.join(Member(org_id="o1", user_id=user.id, created_at=NOW))
    entry = await desk.user(externalId="00u1", active=False)
    assert await desk.people.sessions_of(user.id) == ()
    assert await desk.store.organisations.member("o1", user.id) is None
    with pytest.raises(UserDisabled):
        await desk.arrive("00u1")
    assert (await desk.patch(entry, ON)).user_id == user.id
    await desk.user(userName="another", externalId="00u2", active=False)
    assert await desk.people.sessions_of(other.id), "who is another entry, which is active, stays"
    assert (await desk.directory.get("o1", USERS, known.id)).user_id == other.id


async def test_an_organisation_looks_through_all_its_people_once_at_a_time(desk, monkeypatch):
    await desk.user(title="x")
    await desk.directory.create("o2", USERS, {"userName": "bob", "title": "x"}, NOW)
    entries = desk.store.directory.entries
    going: list[str] = []
    most: dict[str, int] = {}
    both = asyncio.Event()

    async def watched(org_id: str, *args: Any, **more: Any) -> Any:
        if more.get("limit", 0) < 100:
            return await entries(org_id, *args, **more)  # the page, which may be read meanwhile
        going.append(org_id)
        most[org_id] = max(most.get(org_id, 0), going.count(org_id))
        if {"o1", "o2"} <= set(going):
            both.set()
        await both.wait()
        for _ in range(9):
            await asyncio.sleep(0)
        going.remove(org_id)
        return await entries(org_id, *args, **more)

    monkeypatch.setattr(desk.store.directory, "entries", watched)
    query = Query(count=9, filter=read_filter('title eq "x"'))
    asked = [desk.search.find(org_id, USERS, query, BASE) for org_id in ("o1", "o1", "o1", "o2")]
    assert [found.total for found in await asyncio.gather(*asked)] == [1, 1, 1, 1]
    assert most == {"o1": 1, "o2": 1}


async def test_pages_of_what_is_looked_for_lead_to_the_last_of_it_whoever_goes_meanwhile(desk, monkeypatch):
    for number in range(5):
        await desk.user(userName=f"u{number}", title="x")
    query = Query(count=2, filter=read_filter('title eq "x"'), sort_by=read_place("userName"), cursor="")
    scanned = desk.search._scanned

    async def overtaken(*args: Any) -> Any:
        ids = await scanned(*args)
        monkeypatch.undo()
        await desk.directory.delete("o1", USERS, ids[1], NOW)
        return ids

    monkeypatch.setattr(desk.search, "_scanned", overtaken)
    seen, total = [], 0
    for _ in range(9):
        found = await desk.search.find("o1", USERS, query, BASE)
        seen += [entry.name for entry in found.entries]
        total = total or found.total
        if not found.next_cursor:
            break
        query = structs.replace(query, cursor=found.next_cursor)
    assert (seen[0], seen[-1], total) == ("u0", "u4", 5)


async def test_nothing_is_kept_that_is_longer_than_a_person_is(desk):
    emails = [{"value": f"{number} " + "x" * 1000} for number in range(70)]
    with pytest.raises(ScimError) as caught:
        await desk.user(emails=emails)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")
    assert (await desk.search.find("o1", USERS, Query(count=9), BASE)).total == 0
