"""A machine's token and its keys: for which host and scopes, for how long, and who is told."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from vestibule.core.access import Access, read
from vestibule.core.app import App
from vestibule.core.machine import Machine, Machines, Proven
from vestibule.core.route import Host
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import Conflict, Invalid, NotFound, StoreError
from vestibule.model import Secret
from vestibule.observe.log import Log
from vestibule.protocol.authorization_server import OAuthError
from vestibule.service.app_tokens import CREDENTIAL
from vestibule.service.ended_tokens import EndedTokens
from vestibule.service.events import Events
from vestibule.service.machine_keys import LiveKeys, MachineKeys
from vestibule.service.machines import JWT, Given, MachineTokens, Server, Wish
from vestibule.store.changes import Changes
from vestibule.store.memory import Store

NOW = 1_800_000_000.0
RING = KeyRing((Key("k1", b"k" * 32),))
SERVER = Server("auth.example", "https://auth.example", ("a.example", "b.example"))
DEPLOY = Machine(name="deploy", kind="jwt", hosts=("b.example", "a.example"), scopes=("read", "write"))
ELSEWHERE = Machine(name="elsewhere", kind="jwt", hosts=("c.example",))
BACKUP = Machine(name="backup", kind="key", hosts=("a.example",), token_s=60.0)


class Oracle:
    """Takes everything for the first machine that it is shown."""

    def __init__(self) -> None:
        self.tried: tuple[Machine, ...] = ()
        self.ends_in_s = 3600.0

    async def prove(self, text: str, machines: Iterable[Machine], now: float, *, here: str) -> Proven:
        self.tried = tuple(machines)
        assert here == SERVER.name
        if not self.tried:
            raise OAuthError("invalid_grant")
        return Proven(machine=self.tried[0].name, subject=text, expires_at=now + self.ends_in_s)


class World:
    def __init__(self) -> None:
        self.oracle, self.changes, store = Oracle(), Changes(), Store()
        self.log = io.StringIO()
        self.machines = Machines.of((DEPLOY, ELSEWHERE, BACKUP))
        self.keys = MachineKeys(store.machine_keys, self.changes)
        events = Events(Log(self.log))
        self.ended = EndedTokens(store.parking, self.changes)
        self.tokens = MachineTokens(
            self.machines, {JWT: self.oracle}, self.keys, RING, events, ended=self.ended
        )

    async def given(self, wish: Wish | None = None, text: str = "build 7") -> Given:
        return await self.tokens.by_proof(JWT, text, wish or Wish(), SERVER, NOW)

    async def refused(self, wish: Wish) -> str:
        with pytest.raises(OAuthError) as refused:
            await self.given(wish)
        return refused.value.code

    def read(self, given: Given) -> Access:
        found = read(RING, given.access_token.reveal().encode(), NOW)
        assert isinstance(found, Access)
        return found


@pytest.fixture
def world() -> World:
    return World()


async def test_it_is_for_the_first_host_and_all_that_the_machine_may(world: World) -> None:
    given = await world.given(Wish(name="deploy"))
    found = world.read(given)
    assert (found.host, found.machine, found.subject) == ("b.example", "deploy", "build 7")
    assert (found.scopes, found.expires_at, found.session_id) == (("read", "write"), NOW + 900, "")
    assert given.expires_in_s == 900.0
    told = [(one.name, one.audience) for one in world.oracle.tried]
    assert told == [("deploy", (SERVER.url,))]


@pytest.mark.parametrize(
    ("wish", "host", "scopes"),
    [
        (Wish(resource="a.example", name="deploy"), "a.example", ("read", "write")),
        (Wish(resource="https://a.example", name="deploy"), "a.example", ("read", "write")),
        (Wish(resource="https://a.example:8443/x", name="deploy"), "a.example", ("read", "write")),
        (Wish(scopes=("read",), name="deploy"), "b.example", ("read",)),
    ],
)
async def test_or_for_what_is_asked(world: World, wish: Wish, host: str, scopes: tuple[str, ...]) -> None:
    found = world.read(await world.given(wish))
    assert (found.host, found.scopes) == (host, scopes)


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (Wish(resource="c.example", name="deploy"), "invalid_target"),
        (Wish(resource="https://", name="deploy"), "invalid_target"),
        (Wish(resource="https://[", name="deploy"), "invalid_target"),
        (Wish(scopes=("admin",), name="deploy"), "invalid_scope"),
        (Wish(scopes=("",), name="deploy"), "invalid_scope"),
        (Wish(name="elsewhere"), "invalid_grant"),
        (Wish(name="nobody"), "invalid_grant"),
    ],
)
async def test_but_for_nothing_else(world: World, wish: Wish, code: str) -> None:
    assert await world.refused(wish) == code


async def test_it_ends_no_later_than_what_proved_it(world: World) -> None:
    world.oracle.ends_in_s = 30.0
    given = await world.given(Wish(name="deploy"))
    assert (given.expires_in_s, world.read(given).expires_at) == (30.0, NOW + 30)
    world.oracle.ends_in_s = 0.0
    assert await world.refused(Wish(name="deploy")) == "invalid_grant"


async def test_what_cant_be_a_proof_is_told_so(world: World) -> None:
    for kind, text in (("urn:x", "y"), (JWT, "")):
        with pytest.raises(OAuthError) as refused:
            await world.tokens.by_proof(kind, text, Wish(), SERVER, NOW)
        assert refused.value.code == "invalid_request"


async def test_each_is_told_of_and_never_shown(world: World) -> None:
    given = await world.given(Wish(name="deploy"))
    log = world.log.getvalue()
    assert "machine.token_issued" in log
    assert "build 7" in log
    assert given.access_token.reveal() not in log


async def test_an_app_stands_for_itself(world: World) -> None:
    app = App(id="partner", hosts=("a.example",), scopes=("read",), access_s=300.0)
    found = world.read(await world.tokens.by_app(app, Wish(), SERVER, NOW))
    assert (found.machine, found.app, found.expires_at) == ("partner", "partner", NOW + 300)


# -- keys -------------------------------------------------------------------------------------


async def test_a_key_is_its_machines_until_it_is_revoked_or_ends(world: World) -> None:
    key, text = await world.keys.make(world.machines, "backup", "nas", 600, NOW)
    given = await world.tokens.by_key(text, Wish(name="backup"), SERVER, NOW)
    found = world.read(given)
    assert (found.machine, found.subject, found.key, given.expires_in_s) == ("backup", "nas", key.id, 60.0)
    assert (await world.keys.list())[0].seen_at == NOW
    late = await world.tokens.by_key(text, Wish(name="backup"), SERVER, NOW + 590)
    assert late.expires_in_s == 10.0
    with pytest.raises(OAuthError):
        await world.tokens.by_key(text, Wish(name="backup"), SERVER, NOW + 600)
    assert await world.keys.is_live(key.id, NOW)
    assert await world.keys.revoke(key.id) == replace(key, seen_at=NOW + 590)
    assert not await world.keys.is_live(key.id, NOW)
    with pytest.raises(OAuthError) as refused:
        await world.tokens.by_key(text, Wish(name="backup"), SERVER, NOW)
    assert (refused.value.code, refused.value.status) == ("invalid_client", 401)
    with pytest.raises(NotFound):
        await world.keys.revoke(key.id)


async def test_a_key_is_no_other_machines(world: World) -> None:
    world.machines = Machines.of((BACKUP, replace(BACKUP, name="other")))
    _, text = await world.keys.make(world.machines, "other", "", None, NOW)
    for shown in (text, Secret(""), Secret("vst_mk_"), None):
        with pytest.raises(OAuthError):
            await world.tokens.by_key(shown, Wish(name="backup"), SERVER, NOW)
    with pytest.raises(OAuthError) as refused:
        await world.tokens.by_key(text, Wish(name="deploy"), SERVER, NOW)
    assert refused.value.code == "unauthorized_client"


async def test_what_is_wrong_with_a_wish_for_a_key(world: World) -> None:
    for machine in ("deploy", "nobody"):
        with pytest.raises(NotFound):
            await world.keys.make(world.machines, machine, "", None, NOW)
    with pytest.raises(Invalid):
        await world.keys.make(world.machines, "backup", "a\nb", None, NOW)
    for _ in range(2):
        await world.keys.make(world.machines, "backup", "", None, NOW)
    with pytest.raises(Conflict) as refused:
        await world.keys.make(world.machines, "backup", "", None, NOW)
    assert refused.value.code == "too_many_keys"


class Looked:
    """A store that is asked whether a key lives."""

    def __init__(self) -> None:
        self.live, self.count, self.is_away = {"k1"}, 0, False

    async def __call__(self, key_id: str, _now: float) -> bool:
        self.count += 1
        if self.is_away:
            raise StoreError("away")
        return key_id in self.live


async def test_whether_a_key_lives_is_asked_once_until_something_is_heard_of_it(world: World) -> None:
    mono = 0.0
    looked: Any = Looked()
    keys = LiveKeys(looked, world.changes, mono=lambda: mono, grace_s=30.0)
    assert keys.peek("k1") is None
    assert await keys.load("k1", NOW)
    assert not await keys.load("k2", NOW)
    assert (keys.peek("k1"), keys.peek("k2"), looked.count) == (True, False, 2)
    looked.live = set()
    world.changes.publish("credential", "app_token:k1")
    assert keys.peek("k1") is True
    world.changes.publish("credential", "machine:k1")
    assert keys.peek("k1") is None
    assert not await keys.load("k1", NOW)


async def test_while_the_store_is_away_what_was_known_is_good_for_a_while(world: World) -> None:
    mono = 0.0
    looked: Any = Looked()
    keys = LiveKeys(looked, world.changes, mono=lambda: mono, grace_s=30.0)
    assert await keys.load("k1", NOW)
    looked.is_away = True
    mono = 29.0
    assert await keys.load("k1", NOW)
    mono = 30.0
    with pytest.raises(StoreError):
        await keys.load("k1", NOW)
    with pytest.raises(StoreError):
        await keys.load("k9", NOW)


# -- revoked, and asked about ---------------------------------------------------------------------

BOTH = Host(name=b"b.example", title="B", clients={}, machines={"deploy": frozenset({"read"})})


async def test_a_token_says_what_it_is_until_it_is_revoked(world: World) -> None:
    given, other = await world.given(Wish(name="deploy")), await world.given(Wish(name="deploy"))
    token = world.read(given)
    assert await world.tokens.described(token, BOTH, NOW) == {
        "active": True,
        "client_id": "deploy",
        "sub": "build 7",
        "aud": "b.example",
        "scope": "read",
        "iat": int(NOW),
        "exp": int(NOW + 900),
        "token_type": "Bearer",
    }
    gone = Host(name=b"b.example", title="B", clients={})
    assert await world.tokens.described(token, gone, NOW) == {"active": False}
    heard: list[str] = []
    world.changes.subscribe(CREDENTIAL, heard.append)
    await world.tokens.revoke(token)
    assert await world.tokens.described(token, BOTH, NOW) == {"active": False}
    assert heard == [f"machine:{token.rests_on[0]}"]
    assert (await world.tokens.described(world.read(other), BOTH, NOW))["active"]


async def test_a_process_that_knew_a_token_as_good_hears_that_it_was_revoked(world: World) -> None:
    token = world.read(await world.given(Wish(name="deploy")))
    (name,) = token.rests_on

    async def is_live(asked: str, now: float) -> bool:
        return not await world.ended.is_ended(asked, now)

    keys = LiveKeys(is_live, world.changes, mono=lambda: 0.0)
    assert await keys.load(name, NOW)
    await world.tokens.revoke(token)
    assert not keys.peek(name)
    assert not await keys.load(name, NOW)


async def test_of_a_token_by_a_key_that_is_revoked_nothing_is_told(world: World) -> None:
    key, text = await world.keys.make(world.machines, "backup", "nas", 600, NOW)
    token = world.read(await world.tokens.by_key(text, Wish(name="backup"), SERVER, NOW))
    host = Host(name=b"a.example", title="A", clients={}, machines={"backup": frozenset()})
    assert (await world.tokens.described(token, host, NOW))["active"]
    await world.keys.revoke(key.id)
    assert await world.tokens.described(token, host, NOW) == {"active": False}
