"""Credentials that sessions hold: masked, or told once it is kept that they were."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from vestibule.core import session as rules
from vestibule.core.call import Applied, Call, Location, Operation, SecretCredential, SessionCredential
from vestibule.core.event import CREDENTIAL_REVEALED
from vestibule.core.listener import ListenAddress
from vestibule.core.route import Host, RouteTable, Server
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import Invalid, NotFound, StoreError
from vestibule.model import Secret, Session, Tokens
from vestibule.observe.log import Log
from vestibule.service.custody import Custody, curl, masked
from vestibule.service.events import Events, acting
from vestibule.service.grants import Grants
from vestibule.service.sessions import Sessions
from vestibule.store.base_events import AuditFilter
from vestibule.store.changes import Changes
from vestibule.store.memory import Store

NOW = 1_800_000_000.0
RING = KeyRing((Key("k1", b"0123456789abcdef0123456789abcdef"),))
ACCESS = "ya29.CANARY-access-token-of-some-length"
TOKENS = Tokens(
    access_token=Secret(ACCESS),
    refresh_token=Secret("CANARY-refresh"),
    id_token=Secret("CANARY-id"),
    expires_at=NOW + 3600,
    scopes=("openid", "email"),
)
TABLE = RouteTable(
    (
        Host(name=b"app.example.com", title="app", clients={"op": "op", "own": "app.example.com/own"}),
        Host(name=b"other.example.com", title="other", clients={"op": "op"}),
    )
)


def call(
    name: str, port: int, client: str, full: str, host: str = "app.example.com", **fields: object
) -> Call:
    credential = SessionCredential(client=client, clients={host: full})
    whole = {
        "id": name,
        "listen": ListenAddress(host="127.0.0.1", port=port),
        "endpoint": Server(host="api.example", port=443, tls=True),
        "authority": "api.example",
        "applied": (Applied(location=Location.HEADER, name="authorization", credential=credential),),
        "hosts": frozenset({host}),
    }
    return Call(**{**whole, **fields})


def secret_call() -> Call:
    credential = SecretCredential(name="key", value=Secret("CANARY-own"))
    return call(
        "secret", 5, "op", "op", applied=(Applied(location=Location.QUERY, name="k", credential=credential),)
    )


CALLS = (
    call("api", 1, "op", "op"),
    call("own", 2, "own", "app.example.com/own"),
    call("elsewhere", 3, "op", "op", host="other.example.com"),
    secret_call(),
)


class NoNetwork:
    async def run(self, flow, *, trusted=True, about=""):
        raise AssertionError("nobody is asked")


@dataclass
class House:
    store: Store = field(default_factory=lambda: Store(ring=RING))
    written: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        changes = Changes()
        self.sessions = Sessions(self.store.sessions, changes, now=lambda: NOW, mono=lambda: NOW)
        self.grants = Grants(
            self.store.grants,
            self.store.leases,
            self.sessions,
            changes,
            RING,
            refreshers={},
            driver=NoNetwork(),
            now=lambda: NOW,
        )
        self.events = Events(Log(self.written), now=lambda: NOW)
        self.events.keep_in(self.store.audit)
        self.custody = Custody(
            sessions=self.sessions,
            grants=self.grants,
            events=self.events,
            calls=CALLS,
            table=lambda: TABLE,
        )

    async def session(self, session_id: str, *clients: str, parent_id: str = "") -> Session:
        session = Session(
            id=session_id,
            host="app.example.com",
            created_at=NOW,
            seen_at=NOW,
            expires_at=NOW + 86400,
            idle_s=86400.0,
            parent_id=parent_id,
        )
        await self.store.sessions.create(session, rules.hash_of(session_id))
        for client in clients:
            await self.grants.keep(session, client, TOKENS, NOW)
        return session

    async def told(self):
        return await self.store.audit.list(AuditFilter(action=CREDENTIAL_REVEALED))


async def test_what_a_session_holds_is_masked() -> None:
    house = House()
    await house.session("s1", "op", "app.example.com/own")
    own, op = await house.custody.held_by("s1")
    assert (op.client, op.owner, op.scopes, op.shown) == ("op", "session", ("openid", "email"), "ya29…")
    assert (op.can_refresh, op.session_id) == (False, "s1")
    assert op.expires_at is not None
    assert own.client == "app.example.com/own"
    assert "CANARY" not in repr((own, op))


async def test_a_command_for_each_calling_interface_that_takes_it_and_no_other() -> None:
    house = House()
    await house.session("s1", "op", "app.example.com/own")
    own, op = await house.custody.held_by("s1")
    assert op.curls == ('curl -H "Proxy-Session: $PROXY_SESSION" http://127.0.0.1:1/',)
    assert own.curls == ('curl -H "Proxy-Session: $PROXY_SESSION" http://127.0.0.1:2/',)


@pytest.mark.parametrize(
    ("made", "command"),
    [
        (
            call("x", 1, "op", "op", listen=ListenAddress(path="/run/a b.sock")),
            "curl --unix-socket '/run/a b.sock' -H \"Proxy-Session: $PROXY_SESSION\" http://localhost/",
        ),
        (
            call(
                "x",
                1,
                "op",
                "op",
                operations=(
                    Operation(id="a", method=b"POST", segments=(b"v1",)),
                    Operation(id="b", method=b"GET", segments=(b"v1", b"")),
                    Operation(id="c", method=b"GET", segments=(b"v1", b"it's $(me)")),
                ),
            ),
            "curl -H \"Proxy-Session: $PROXY_SESSION\" 'http://127.0.0.1:1/v1/it'\"'\"'s $(me)'",
        ),
    ],
    ids=["socket", "operation"],
)
def test_commands_are_for_a_shell(made: Call, command: str) -> None:
    assert curl(made) == command


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("gho_0123456789abcdefghij", "gho_…"),
        ("short", "…"),
        ("0123456789012345678", "…"),
        ("", "…"),
        ("ä" * 40, "…"),
    ],
)
def test_of_a_short_token_nothing_is_shown(token: str, shown: str) -> None:
    assert masked(Secret(token)) == shown


async def test_what_was_handed_on_has_its_parent_s_and_its_own() -> None:
    house = House()
    await house.session("parent", "op", "auth.example.com/inner")
    await house.session("child", "app.example.com/own", parent_id="parent")
    assert [one.client for one in await house.custody.held_by("child")] == ["app.example.com/own", "op"]
    assert (await house.custody.reveal("child", "op", "for a test")).access_token == Secret(ACCESS)


async def test_it_is_told_and_who_was_told_and_why_is_kept() -> None:
    house = House()
    await house.session("s1", "app.example.com/own")
    with acting("token ops", address="192.0.2.7", request_id="r1"):
        told = await house.custody.reveal("s1", "app.example.com/own", "  ticket 4711:   it fails ")
    assert told.access_token == Secret(ACCESS)
    assert told.refresh_token == Secret("CANARY-refresh")
    [event] = await house.told()
    assert (event.actor, event.address, event.request_id) == ("token ops", "192.0.2.7", "r1")
    assert (event.target, event.session_id, event.host) == (
        "credential app.example.com/own",
        "s1",
        "app.example.com",
    )
    assert event.detail == {"client": "app.example.com/own", "owner": "s1", "reason": "ticket 4711: it fails"}
    assert "CANARY" not in house.written.getvalue()


@pytest.mark.parametrize("reason", ["", "  ", "ab", "x" * 501, "a\x00bcd", "bell\x07 rings"])
async def test_without_a_reason_nothing_is_told(reason: str) -> None:
    house = House()
    await house.session("s1", "op")
    with pytest.raises(Invalid):
        await house.custody.reveal("s1", "op", reason)
    assert not await house.told()


async def test_where_it_can_not_be_kept_nothing_is_told() -> None:
    house = House()
    await house.session("s1", "op")

    class Full:
        async def add(self, events, letters=()):
            raise StoreError("the disk is full")

    for audit in (Full(), None):
        house.events.keep_in(audit)
        with pytest.raises(StoreError):
            await house.custody.reveal("s1", "op", "for a test")
    assert CREDENTIAL_REVEALED not in house.written.getvalue()


async def test_what_is_not_there_is_not_found_and_not_told_of() -> None:
    house = House()
    await house.session("s1", "op")
    for session_id, client in (("s1", "google"), ("none", "op"), ("s1", "op\n")):
        with pytest.raises(NotFound):
            await house.custody.reveal(session_id, client, "for a test")
    with pytest.raises(NotFound):
        await house.custody.held_by("none")
    assert not await house.told()


async def test_what_another_ring_has_sealed_is_left_out() -> None:
    house = House()
    await house.session("s1", "op")
    [row] = await house.store.grants.of("s1")
    await house.store.grants.put(replace(row, client="moved"), None)
    assert [one.client for one in await house.custody.held_by("s1")] == ["op"]
