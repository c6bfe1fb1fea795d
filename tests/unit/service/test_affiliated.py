"""What people are affiliated with, on their sessions: at once when it changes, and for nothing where there is nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vestibule.core.organisation import OWN, Affiliation
from vestibule.core.policy import asker_of, decide, policy_of
from vestibule.core.rule import qualified, rule
from vestibule.errors import StoreError
from vestibule.model import Allow, Deny, Device, Identity
from vestibule.service.affiliated import AFFILIATION, ORGANISATION, Affiliated, all_of
from vestibule.service.sessions import Sessions
from vestibule.store.base import EVERYTHING
from vestibule.store.changes import Changes
from vestibule.store.memory import Store

NOW = 1_800_000_000.0
ANN = Identity(client="github", issuer="https://github.com", subject="1")
OPS = Affiliation(kind="group", org="acme", name="ops")


class World:
    """Sessions, and somebody who says what people are in."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.are_any = True
        self.is_away = False
        self.of: dict[str, tuple[Affiliation, ...]] = {}
        self.asked: list[str] = []
        self.affiliated = Affiliated(self._find, self._any, self.changes, mono=lambda: NOW)
        self.sessions = Sessions(
            Store().sessions,
            self.changes,
            now=lambda: NOW,
            mono=lambda: NOW,
            affiliated=self.affiliated.identity_of,
        )

    async def _any(self) -> bool:
        self.asked.append("any")
        if self.is_away:
            raise StoreError("away")
        return self.are_any

    async def _find(self, user_id: str) -> tuple[Affiliation, ...]:
        self.asked.append(user_id)
        return self.of.get(user_id, ())

    async def sign_in(self, user_id: str = "") -> str:
        _, handle = await self.sessions.start(
            host="app", user_id=user_id, identities=(ANN,), clients=(), device=Device(), now=NOW
        )
        return handle


@pytest.fixture
def world() -> World:
    return World()


def said(session: Any) -> tuple[str, ...]:
    return session.affiliated.groups if session.affiliated is not None else ()


async def test_a_process_asks_once_whether_there_are_any(world):
    world.are_any = False
    for _ in range(3):
        assert await world.affiliated.identity_of("u1") is None
    assert world.asked == ["any"]
    world.are_any = True
    world.of["u1"] = (OPS,)
    world.changes.publish(ORGANISATION, "o1")
    found = await world.affiliated.identity_of("u1")
    assert found == Identity(client=OWN, issuer="", subject="", groups=("acme/ops",))
    assert world.asked == ["any", "any", "u1"]


async def test_who_has_asked_when_it_began_asks_for_no_request(world):
    world.are_any = False
    await world.affiliated.begin()
    assert await world.affiliated.identity_of("u1") is None
    assert world.asked == ["any"]
    world.are_any = True
    world.of["u1"] = (OPS,)
    world.changes.publish(ORGANISATION, "o1")
    assert await world.affiliated.identity_of("u1") is not None


async def test_who_could_not_ask_when_it_began_asks_again(world):
    world.is_away = True
    with pytest.raises(StoreError):
        await world.affiliated.begin()
    with pytest.raises(StoreError):
        await world.affiliated.identity_of("u1")
    world.is_away = False
    world.of["u1"] = (OPS,)
    assert await world.affiliated.identity_of("u1") is not None


async def test_where_there_are_any_beginning_keeps_nothing_back(world):
    await world.affiliated.begin()
    world.of["u1"] = (OPS,)
    assert await world.affiliated.identity_of("u1") is not None


async def test_what_may_have_gone_untold_is_asked_for_anew(world):
    world.are_any = False
    await world.affiliated.identity_of("u1")
    world.changes.publish(ORGANISATION, EVERYTHING)
    world.are_any = True
    world.of["u1"] = (OPS,)
    assert await world.affiliated.identity_of("u1") is not None


async def test_nobody_is_asked_about_nobody(world):
    assert await world.affiliated.identity_of("") is None
    assert not world.asked


async def test_a_change_read_half_way_is_read_again(world):
    async def late() -> bool:
        world.changes.publish(ORGANISATION, "o1")
        return False

    affiliated = Affiliated(world._find, late, world.changes, mono=lambda: NOW)
    assert await affiliated.identity_of("u1") is None
    assert affiliated._none_mono is None


async def test_a_session_has_it_until_a_change_is_told_and_it_is_never_stored(world):
    # The store in memory asks for users; this session is nobody's there, so it is looked at by what is made of it.
    store = Store()
    from vestibule.model import Account, User  # noqa: PLC0415

    user = User(id="u1", created_at=NOW - 1)
    await store.people.register(user, Account(issuer="i", subject="s", user_id="u1", client="github"))
    sessions = Sessions(
        store.sessions,
        world.changes,
        now=lambda: NOW,
        mono=lambda: NOW,
        affiliated=world.affiliated.identity_of,
    )
    world.of["u1"] = (OPS,)
    _, handle = await sessions.start(
        host="app", user_id="u1", identities=(ANN,), clients=(), device=Device(), now=NOW
    )
    assert said(await sessions.load(handle)) == ("acme/ops",)
    assert said(sessions.peek(handle)) == ("acme/ops",)
    world.of["u1"] = ()
    world.changes.publish(AFFILIATION, "u1")
    assert sessions.peek(handle) is None
    assert said(await sessions.load(handle)) == ()
    world.of["u1"] = (OPS,)
    world.changes.publish(AFFILIATION, "u1")
    updated = await sessions.update((await sessions.load(handle)).id, lambda one: one)
    assert said(updated) == ("acme/ops",)
    assert (await store.sessions.by_id(updated.id, NOW)).affiliated is None


async def test_nobody_is_let_in_while_it_cannot_be_known(world):
    world.is_away = True
    with pytest.raises(StoreError):
        await world.affiliated.identity_of("u1")


async def test_one_source_that_is_silent_silences_all():
    async def good(_user: str) -> tuple[Affiliation, ...]:
        return (OPS,)

    async def bad(_user: str) -> tuple[Affiliation, ...]:
        raise StoreError("away")

    one, other = SimpleNamespace(affiliations_of=good), SimpleNamespace(affiliations_of=bad)
    assert await all_of((one,), "u1") == (OPS,)
    with pytest.raises(StoreError):
        await all_of((one, other), "u1")


def decided(text: str, identities: tuple[Identity, ...], own: Identity | None, *, deny: str = "") -> Any:
    """What rules written so say of somebody."""
    clients = {"github": "github", "okta": "okta"}
    rules = [qualified(rule(*one.split(":", 1), text=one), clients) for one in (text, deny) if one]
    policy = policy_of(allow=(rules[0],), deny=tuple(rules[1:]), sign_in=frozenset({"github"}))
    session = SimpleNamespace(identities=identities, user_id="u1", affiliated=own)
    asker = asker_of(session, policy, "")  # type: ignore[arg-type]  # what of a caller or session is looked at
    return decide(policy, b"GET", asker)


OWN_WORD = Identity(
    client=OWN, issuer="", subject="", orgs=("acme",), groups=("acme/ops",), roles=("acme/admin",)
)


@pytest.fixture(autouse=True)
def _as_sessions(monkeypatch):
    monkeypatch.setattr("vestibule.core.policy.Session", SimpleNamespace)


@pytest.mark.parametrize(
    "text",
    [
        "group:acme/ops",
        "org:acme",
        "org:ACME",
        "role:acme/admin",
        "group:@/acme/ops",
        "org:@/acme",
        "role:@/acme/admin",
    ],
)
def test_rules_hold_by_it(text):
    assert isinstance(decided(text, (ANN,), OWN_WORD), Allow)
    assert isinstance(decided(text, (ANN,), None), Deny)


@pytest.mark.parametrize("text", ["group:ops", "group:github/acme/ops", "org:acme/ops", "group:beta/ops"])
def test_rules_on_something_else_do_not(text):
    assert isinstance(decided(text, (ANN,), OWN_WORD), Deny)


def test_what_a_provider_says_is_not_what_the_gateway_says():
    claims = Identity(client="github", issuer="i", subject="2", orgs=("acme",), groups=("acme/ops",))
    for text in ("org:@/acme", "group:@/acme/ops"):
        assert isinstance(decided(text, (claims,), None), Deny)


def test_it_counts_only_beside_somebody_whose_word_counts():
    stranger = Identity(client="okta", issuer="i", subject="2")
    assert not isinstance(decided("group:acme/ops", (stranger,), OWN_WORD), Allow)
    assert not isinstance(decided("anyone:", (), OWN_WORD), Allow)


def test_a_deny_on_it_wins():
    assert isinstance(decided("org:acme", (ANN,), OWN_WORD, deny="group:acme/ops"), Deny)
