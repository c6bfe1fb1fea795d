"""`service.events`: whatever happens is told, and nobody waits or is turned away for it."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from msgspec.structs import replace

from tests.helpers.virtual import run
from tests.unit.service.conftest import Away, Clock
from vestibule.core.event import (
    KEYS_ROTATED,
    SESSION_CREATED,
    SESSION_ENDED,
    SESSION_REVOKED_ALL,
    SIGN_IN_REFUSED,
    Event,
)
from vestibule.core.webhook import Webhook
from vestibule.model import Device, Secret, Session
from vestibule.observe.log import Log
from vestibule.service import events as service
from vestibule.service.events import Events, acting, because
from vestibule.store.base_events import AuditFilter
from vestibule.store.memory_events import Audit, Outbox

NOW = 1_800_000_000.0
SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
SESSION = Session(
    id="s1",
    host="app.example",
    created_at=NOW,
    seen_at=NOW,
    expires_at=NOW + 60,
    idle_s=60.0,
    user_id="u1",
    device=Device(user_agent=FIREFOX, address="192.0.2.7"),
)


class Ledger:
    """Events over sinks in memory."""

    def __init__(self, *webhooks: Webhook) -> None:
        self.clock = Clock()
        self.outbox = Outbox()
        self.rows = Away(Audit(self.outbox))
        self.out = io.StringIO()
        dice = iter(range(100_000))
        self.events = Events(
            Log(self.out),
            webhooks,
            now=self.clock.now,
            random=lambda count: next(dice).to_bytes(count, "big"),
        )
        self.woken = 0
        self.events.keep_in(self.rows)
        self.events.wake(self._woke)

    def _woke(self) -> None:
        self.woken += 1

    async def kept(self) -> list[str]:
        return [event.action for event in reversed(await self.rows.list(AuditFilter(limit=99_999)))]

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def said(self) -> list[str]:
        return [line["event"] for line in self.lines]


def event(action: str = SESSION_CREATED) -> Event:
    return Event(id="", at=0.0, action=action)


async def test_what_happens_to_a_session_is_told_with_who_does_it():
    ledger = Ledger()
    with acting("user u1", address="192.0.2.9", request_id="r1"):
        await ledger.events.began(SESSION)
        with because("user_disabled"):
            await ledger.events.ended_all("u1", (SESSION,))
    everything, ended, made = await ledger.rows.list(AuditFilter())
    assert [one.action for one in (made, ended, everything)] == [
        SESSION_CREATED,
        SESSION_ENDED,
        SESSION_REVOKED_ALL,
    ]
    assert (made.user_id, made.session_id, made.host) == ("u1", "s1", "app.example")
    assert (made.actor, made.address, made.device, made.request_id) == (
        "user u1",
        "192.0.2.7",
        "Firefox on Linux",
        "r1",
    )
    assert ended.detail == {"reason": "user_disabled"}
    assert (ended.actor, ended.address) == ("user u1", "192.0.2.9")
    assert everything.detail == {"reason": "user_disabled", "sessions": 1}
    assert len({made.id, ended.id, everything.id}) == 3


async def test_nobody_acts_where_the_program_does():
    ledger = Ledger()
    await ledger.events.ended((SESSION,))
    (ended,) = await ledger.rows.list(AuditFilter())
    assert (ended.actor, ended.request_id) == ("", "")


async def test_it_stands_in_the_log_with_its_id():
    ledger = Ledger()
    await ledger.events.began(SESSION)
    (made,) = await ledger.rows.list(AuditFilter())
    (line,) = ledger.lines
    assert line["event"] == SESSION_CREATED
    assert line["event_id"] == made.id
    assert (line["user"], line["session"]) == ("u1", "s1")


async def test_each_webhook_is_owed_what_it_wants():
    every = Webhook(id="every", url="https://a.example", secrets=(SECRET,))
    ends = Webhook(id="ends", url="https://b.example", secrets=(SECRET,), events=frozenset({SESSION_ENDED}))
    ledger = Ledger(every, ends)
    await ledger.events.tell(event(SESSION_CREATED), event(SESSION_ENDED))
    made, ended = await ledger.outbox.due("every", NOW, 9)
    assert json.loads(made.body)["type"] == SESSION_CREATED
    assert [one.id for one in await ledger.outbox.due("ends", NOW, 9)] == [ended.id]
    assert ledger.woken == 1


async def test_those_who_come_together_are_written_together():
    ledger = Ledger()
    await asyncio.gather(*(ledger.events.tell(event()) for _ in range(50)))
    assert len(await ledger.kept()) == 50
    assert ledger.rows.calls.count("add") < 5


async def test_while_rows_cannot_be_written_nobody_is_turned_away_and_they_are_written_later():
    ledger = Ledger()
    ledger.rows.is_away = True
    await ledger.events.tell(event(SESSION_CREATED))
    await ledger.events.tell(event(SESSION_ENDED))
    assert ledger.said().count("events_not_written") == 1
    await ledger.events.flush()
    ledger.rows.is_away = False
    await ledger.events.flush()
    assert await ledger.kept() == [SESSION_CREATED, SESSION_ENDED]
    assert "events_written_again" in ledger.said()


async def test_the_next_one_to_come_writes_what_waits_too():
    ledger = Ledger()
    ledger.rows.is_away = True
    await ledger.events.tell(event(SESSION_CREATED))
    ledger.rows.is_away = False
    await ledger.events.tell(event(SESSION_ENDED))
    await ledger.events.close()
    assert await ledger.kept() == [SESSION_CREATED, SESSION_ENDED]


async def test_a_fault_nobody_foresaw_turns_nobody_away_either():
    class Broken:
        async def add(self, *_: object) -> None:
            raise RuntimeError("odd")

    ledger = Ledger()
    ledger.events.keep_in(Broken())
    await ledger.events.tell(event())
    assert "events_not_written" in ledger.said()


def test_a_slow_store_holds_nobody_for_long():
    async def scene() -> None:
        class Slow:
            async def add(self, *_: object) -> None:
                await asyncio.sleep(3600)

        ledger = Ledger()
        ledger.events.keep_in(Slow())
        before = asyncio.get_running_loop().time()
        await ledger.events.tell(event())
        assert asyncio.get_running_loop().time() - before == service.WAIT_S
        await ledger.events.close()

    run(scene())


async def test_what_happens_before_there_is_a_place_for_rows_is_written_then():
    ledger = Ledger()
    early = Events(Log(ledger.out), now=ledger.clock.now)
    await early.tell(event())
    early.keep_in(ledger.rows)
    await early.flush()
    assert await ledger.kept() == [SESSION_CREATED]


async def test_too_many_that_wait_are_the_logs_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service, "WAITING_MAX", 3)
    ledger = Ledger()
    ledger.rows.is_away = True
    for _ in range(5):
        await ledger.events.tell(event(SESSION_CREATED))
    assert ledger.events.lost == 2
    assert ledger.said().count("events_lost") == 1
    ledger.rows.is_away = False
    await ledger.events.flush()
    assert len(await ledger.kept()) == 3


async def test_more_than_one_batch_is_written_before_anybody_is_answered():
    ledger = Ledger()
    await ledger.events.ended([SESSION] * (service.BATCH * 2 + 1))
    assert len(await ledger.kept()) == service.BATCH * 2 + 1


async def test_a_key_that_seals_in_place_of_another_is_told_once_by_all_processes():
    ledger, other = Ledger(), Ledger()
    other.events.keep_in(ledger.rows)
    for events in (ledger.events, other.events):
        for key_id in ("k1", "k1", "k2", "k2"):
            await events.seals_by(key_id)
    (event,) = await ledger.rows.list(AuditFilter())
    assert (event.id, event.action, event.target) == ("evt_key_k2", KEYS_ROTATED, "key k2")


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::{:x}"], ids=["one address", "one network"])
async def test_who_is_turned_away_without_end_fills_no_table(address: str):
    ledger = Ledger()
    for number in range(2 * service.REFUSALS_MAX):
        await ledger.events.refuse(replace(event(SIGN_IN_REFUSED), at=NOW, address=address.format(number)))
    assert len(await ledger.kept()) == service.REFUSALS_MAX
    await ledger.events.refuse(replace(event(SIGN_IN_REFUSED), at=NOW, address="2001:db8:0:1::1"))
    assert len(await ledger.kept()) == service.REFUSALS_MAX + 1


async def test_nothing_is_nothing():
    ledger = Ledger()
    await ledger.events.tell()
    assert ledger.lines == []
