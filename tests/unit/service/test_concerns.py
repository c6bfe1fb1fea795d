"""What an operator is told to see to."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.core.test_certificate import certificate
from vestibule.admin_model import CertificateState, ProviderState, StoreState
from vestibule.config.compile import compile_config
from vestibule.config.load import load
from vestibule.core.certificate import Source, Wanted
from vestibule.core.event import AUDIT_BROKEN, Event
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import StoreError
from vestibule.observe.log import Log
from vestibule.observe.meter import Figures
from vestibule.service.acme_states import Failure, NameState
from vestibule.service.certificate_keeper import CertificateKeeper
from vestibule.service.concerns import KEY_OLD_S, SILENT_S, Concerns, of_shown
from vestibule.service.events import Events
from vestibule.service.in_force import InForce
from vestibule.service.shelf import Shelf
from vestibule.store.base_events import DeadLetter

NOW = 1_800_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)
TEXT = """
host "app.example.com" {
  backend = "127.0.0.1:3000"
  access {
    allow = ["public"]
  }
}
"""
GOOD = StoreState(name="records", kind="sqlite", where="x.db", ok=True, took_ms=0.1)
AWAY = StoreState(name="sessions", kind="redis", where="r:6379", ok=False, detail="refused")
HERE = Figures(name="gateway", pid=1, started_at=NOW, heard_at=NOW)
DEAD = DeadLetter(
    webhook="ops",
    id="e1",
    action="session.created",
    body=b"",
    created_at=1.0,
    died_at=2.0,
    tries=9,
    detail="503",
)


class Running:
    """A program all of which is well."""

    def __init__(self, folder: Path) -> None:
        file = folder / "v.hcl"
        file.write_text(TEXT)
        self.compiled = compile_config(load([file], {}))
        self.compiled.state.mkdir(mode=0o700)
        self.compiled.key_file.touch(0o600)
        self.key = Key("k1", b"0123456789abcdef0123456789abcdef", active_at=NOW)
        self.events = Events(Log(io.StringIO()))
        self.in_force = InForce(self.compiled, {}, rehearse=lambda loaded: None)
        self.dead: tuple[DeadLetter, ...] = ()
        self.broken: tuple[Event, ...] = ()
        self.providers: tuple[ProviderState, ...] = ()
        self.certificates: tuple[CertificateState, ...] = ()
        self.fault: StoreError | None = None
        self.keeper: CertificateKeeper | None = None
        self.orders: tuple[NameState, ...] = ()

    async def list(self, _wanted: object) -> tuple[object, ...]:
        if self.fault is not None:
            raise self.fault
        return self.dead if isinstance(_wanted, int) else self.broken

    async def ordered(self) -> tuple[NameState, ...]:
        if self.fault is not None:
            raise self.fault
        return self.orders

    async def states(self) -> tuple[ProviderState, ...]:
        return self.providers

    async def told(
        self, *stores: StoreState, processes: tuple[Figures, ...] = (HERE,)
    ) -> list[tuple[str, str]]:
        concerns = Concerns(
            self.compiled,
            ring=KeyRing((self.key,)),
            events=self.events,
            audit=self,
            dead=self,
            in_force=self.in_force,
            providers=self.states,
            certificates=lambda: self.certificates,
            keeper=self.keeper,
            orders=self.ordered,
            now=lambda: NOW,
        )
        found = await concerns.all(stores or (GOOD,), processes)
        assert all(one.advice for one in found)
        return [(one.what, one.detail) for one in found]


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


async def test_where_all_is_well_there_is_nothing(running: Running) -> None:
    assert await running.told() == []


async def test_a_store_that_is_away_comes_first_and_its_tables_are_not_asked(running: Running) -> None:
    running.dead = (DEAD,)
    assert await running.told(GOOD, AWAY) == [("a store can't be reached", "sessions: r:6379: refused")]


async def test_messages_given_up_and_a_broken_trail(running: Running) -> None:
    running.dead = (DEAD, DEAD)
    running.broken = (Event(id="1", at=NOW, action=AUDIT_BROKEN),)
    assert [detail for _, detail in await running.told()] == ["seen on 2027-01-15 08:00 UTC", "2 to ops"]
    running.fault = StoreError("away")
    assert await running.told() == []


async def test_processes(running: Running) -> None:
    silent = Figures(name="worker 1", pid=7, started_at=NOW, heard_at=NOW - SILENT_S - 1, log_dropped=4)
    assert await running.told(processes=(HERE, silent)) == [
        ("a process is silent", "worker 1 (process 7) has said nothing for 6 s"),
        ("lines of the log were dropped", "4 by worker 1"),
    ]
    assert await running.told(processes=()) == [("a process is missing", "0 of 1 were heard of lately")]


async def test_modes(running: Running) -> None:
    running.compiled.key_file.chmod(0o640)
    running.compiled.state.chmod(0o770)
    assert [what for what, _ in await running.told()] == [
        "others can read the key file",
        "others can write to the state",
    ]


async def test_an_old_key_and_lost_events(running: Running) -> None:
    running.key = Key("k1", running.key.secret, active_at=NOW - KEY_OLD_S)
    running.events.lost = 3
    assert await running.told() == [
        ("the sealing key is old", "k1 has sealed for 400 days"),
        ("events were not written to the trail", "3 since the start"),
    ]


@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        ({"discovery": "ok", "last_ok_at": AT}, False),
        ({"discovery": "failed"}, True),
        ({"last_error": "x", "last_error_at": AT, "last_ok_at": AT - timedelta(seconds=1)}, True),
        ({"last_error": "x", "last_error_at": AT, "last_ok_at": AT + timedelta(seconds=1)}, False),
        ({"last_error": "openid_config: is missing", "enabled": False}, True),
        ({"enabled": False}, False),
    ],
    ids=["well", "discovery", "wrong", "well again", "faulty", "off"],
)
async def test_providers(running: Running, fields: dict[str, object], is_told: bool) -> None:
    whole = {"id": "op", "type": "oidc", "source": "v.hcl:1", "hosts": (), "enabled": True}
    running.providers = (ProviderState(**{**whole, **fields}),)
    assert len(await running.told()) == is_told


@pytest.mark.parametrize(
    ("days", "what"), [(-1, ["a certificate has expired"]), (20, ["a certificate expires"]), (22, [])]
)
async def test_certificates(running: Running, days: int, what: list[str]) -> None:
    end = AT + timedelta(days=days)
    running.certificates = (
        CertificateState(
            names=("x.example",), issuer="CN=x", expires_at=end, source="ca.pem", detail="trusted"
        ),
    )
    assert [one for one, _ in await running.told()] == what


async def test_certificates_that_browsers_are_shown(running: Running) -> None:
    shelf, folder = Shelf(), running.compiled.state
    broken = Wanted(
        name="b.example",
        source=Source.FILE,
        certificate_path=str(folder / "none"),
        key_path=str(folder / "none"),
    )
    keeper = CertificateKeeper(shelf, Log(io.StringIO()), now=lambda: NOW)
    keeper.begin([broken, Wanted(name="a.example.com", source=Source.ACME)], folder / "local")
    day = 86_400.0
    soon = replace(certificate("a.example.com"), not_before_at=NOW - 85 * day, not_after_at=NOW + 5 * day)
    shelf.put("a.example.com", soon)
    told = [(one.what, one.detail) for one in of_shown(keeper, NOW)]
    assert told == [
        ("a certificate can't be used", f"{folder}/none: {folder}/none: No such file or directory"),
        ("a certificate expires", "a.example.com on 2027-01-20 08:00 UTC"),
        ("a host has no certificate", "nobody can reach b.example by https"),
    ]
    shelf.put("a.example.com", replace(soon, not_after_at=NOW))
    assert of_shown(keeper, NOW)[1].what == "a certificate has expired"


async def test_an_order_that_failed_is_told_with_what_to_do_and_when_it_is_tried_again(
    running: Running,
) -> None:
    keeper = CertificateKeeper(Shelf(), Log(io.StringIO()), now=lambda: NOW)
    failure = Failure(
        code="connection", advice="open port 80", said="refused", directory="https://ca/dir", proof="http-01"
    )
    failed = NameState(
        name="a.example.com",
        is_ordered=False,
        failures=1,
        failed_at=NOW,
        failure=failure,
        next_at=NOW + 60,
        not_after_at=None,
        renew_at=None,
        directory="",
    )
    good = replace(failed, name="b.example.com", failures=0, failed_at=None, failure=None)
    (told,) = of_shown(keeper, NOW, [good, failed])
    assert (told.what, told.detail, told.advice) == (
        "a certificate could not be ordered, and nobody can reach it by https",
        "a.example.com: refused; tried again at 2027-01-15 08:01 UTC",
        "open port 80",
    )
    running.keeper, running.orders = keeper, (replace(failed, not_after_at=NOW + 9 * 86_400),)
    assert [what for what, _ in await running.told()] == ["a certificate could not be ordered"]
    running.fault = StoreError("away")
    assert await running.told() == []


def test_a_host_without_a_certificate_is_told_of_once_and_not_beside_the_order_that_failed() -> None:
    keeper = CertificateKeeper(Shelf(), Log(io.StringIO()), now=lambda: NOW)
    names = ("a.example.com", "b.x.example.com", "c.example.com")
    keeper.wanted = tuple(Wanted(name=name, source=Source.ACME) for name in names)
    failure = Failure(code="dns", advice="add a record", said="", directory="https://ca/dir", proof="dns-01")
    orders = [
        NameState(
            name=name,
            is_ordered=False,
            failures=1,
            failed_at=NOW,
            failure=failure,
            next_at=None,
            not_after_at=None,
            renew_at=None,
            directory="",
        )
        for name in ("a.example.com", "*.x.example.com")
    ]
    assert [(one.what, one.detail) for one in of_shown(keeper, NOW, orders)] == [
        ("a host has no certificate", "nobody can reach c.example.com by https"),
        ("a certificate could not be ordered, and nobody can reach it by https", "a.example.com: dns"),
        ("a certificate could not be ordered, and nobody can reach it by https", "*.x.example.com: dns"),
    ]
