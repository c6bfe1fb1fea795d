"""What a process says of itself to who asks whether it is ready, in which order; and how it goes."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.errors import StoreError, VestibuleError
from vestibule.readiness import Readiness, drain, stopped
from vestibule.store.memory import Store
from vestibule.store.split import Store as SplitStore


class Away:
    """Sessions that can't be asked."""

    async def by_id(self, session_id, now):
        raise StoreError("it can't be reached")


def ready(**changes) -> Readiness:
    """One where nothing is in the way but what *changes* say."""
    store = Store()
    if changes.get("is_away"):
        store.sessions = Away()
    made = Readiness(
        store,
        is_loaded=lambda: changes.get("is_loaded", True),
        is_whole=lambda: changes.get("is_whole", True),
    )
    made.listens = changes.get("listens", True)
    made.is_draining = changes.get("is_draining", False)
    if "workers" in changes:
        made.workers = lambda: changes["workers"]
    return made


async def code_of(readiness: Readiness) -> str:
    try:
        await readiness.check()
    except VestibuleError as error:
        return error.code
    return ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({}, "", id="ready"),
        pytest.param({"workers": 1}, "", id="one worker will do"),
        pytest.param({"workers": 0}, "workers_absent", id="no worker"),
        pytest.param({"is_loaded": False}, "starting", id="being loaded"),
        pytest.param({"listens": False}, "not_listening", id="not yet listening"),
        pytest.param({"is_whole": False}, "providers_unread", id="providers unread"),
        pytest.param({"is_away": True}, "store_unavailable", id="store away"),
        pytest.param({"is_draining": True}, "draining", id="being stopped"),
        pytest.param(
            {"is_draining": True, "is_away": True, "is_loaded": False},
            "draining",
            id="the way out comes first",
        ),
        pytest.param({"workers": 0, "is_away": True}, "workers_absent", id="workers before the store"),
    ],
)
async def test_the_first_that_is_in_the_way_is_told(changes, code):
    assert await code_of(ready(**changes)) == code


@pytest.mark.parametrize("away", ["", "database", "elsewhere"])
async def test_of_two_stores_both_must_answer(away):
    parts = {"elsewhere": Store(), "database": Store()}
    both = SplitStore(**parts)
    if away == "database":
        parts["database"].sessions = Away()
    elif away:
        both.sessions = Away()
    made = Readiness(both, is_loaded=lambda: True, is_whole=lambda: True)
    made.listens = True
    assert await code_of(made) == ("store_unavailable" if away else "")


class Listener:
    """Notes what it is told; what is under way on it ends after so many looks, and idle connections when told."""

    def __init__(self, name: str, log: list[str], *, answers: int = 0, idle: int = 0) -> None:
        self.name, self.log, self._left, self._idle = name, log, answers, idle

    @property
    def open(self):
        return range(self._left + self._idle)

    @property
    def is_empty(self) -> bool:
        return not self.open

    @property
    def is_busy(self) -> bool:
        self._left -= bool(self._left)
        return self._left > 0

    def stop(self) -> None:
        self.log.append(f"{self.name} stops")

    def close_idle(self) -> None:
        self._idle = 0
        self.log.append(f"{self.name} closes what is idle")

    def abort(self) -> None:
        self.log.append(f"{self.name} aborts")


@pytest.fixture(autouse=True)
def moment(monkeypatch) -> None:
    """The moment for requests on their way is over at once."""
    monkeypatch.setattr("vestibule.readiness.MOMENT_S", 0.0)


async def test_who_looks_after_the_process_is_answered_until_the_others_are_done():
    log: list[str] = []
    readiness = ready()
    await drain([Listener("site", log, answers=2)], [Listener("admin", log)], readiness, 5.0)
    assert log == ["site stops", "site closes what is idle", "site aborts", "admin stops", "admin aborts"]
    assert await code_of(readiness) == "draining"


async def test_connections_without_a_request_go_when_the_last_answer_is_out():
    log: list[str] = []
    sites = [Listener("one", log, answers=3), Listener("other", log, idle=2)]
    await drain(sites, [], ready(), 5.0)
    assert log == [
        "one stops",
        "other stops",
        "one closes what is idle",
        "other closes what is idle",
        "one aborts",
        "other aborts",
    ]


class Shaking(Listener):
    """One handshake under way, which makes a connection after so many looks; that one asks after as many more."""

    handshake, asks = 4, 4

    @property
    def is_empty(self) -> bool:
        return not self.handshake and not self.asks

    @property
    def is_busy(self) -> bool:
        if self.handshake:
            self.handshake -= 1
            return True
        self.asks -= bool(self.asks)
        return False

    def close_idle(self) -> None:
        self.asks = 0
        super().close_idle()


async def test_a_handshake_is_waited_for_and_what_is_asked_after_it():
    log: list[str] = []
    site = Shaking("site", log)
    until_mono = asyncio.get_running_loop().time() + 60.0
    await stopped([site], until_mono, 30.0)
    assert log == ["site stops", "site aborts"]


async def test_who_asks_nothing_after_the_handshake_is_waited_for_no_longer_than_a_moment():
    log: list[str] = []
    site = Shaking("site", log)
    site.asks = 10**9
    await stopped([site], asyncio.get_running_loop().time() + 60.0, 0.0)
    assert log == ["site stops", "site closes what is idle", "site aborts"]


async def test_what_the_loop_has_just_accepted_is_waited_for():
    """It comes to its listener in the loop's next turn, when nothing else may be there any more."""
    log: list[str] = []
    site = Listener("site", log)
    asyncio.get_running_loop().call_soon(setattr, site, "_left", 3)
    await stopped([site], asyncio.get_running_loop().time() + 60.0, 0.0)
    assert site._left == 0


async def test_who_looks_after_the_process_is_waited_for_no_longer_than_a_moment(monkeypatch):
    """Threat: a page of the admin pages that is open, by which a stop takes as long as any drain may."""
    monkeypatch.setattr("vestibule.readiness.LAST_S", 0.0)
    log: list[str] = []
    await drain([Listener("site", log)], [Listener("admin", log, answers=10**9)], ready(), 3600.0)
    assert log[-2:] == ["admin stops", "admin aborts"]


async def test_they_are_given_no_more_than_is_left_of_the_drain(monkeypatch):
    monkeypatch.setattr("vestibule.readiness.LAST_S", 3600.0)
    log: list[str] = []
    await drain(
        [Listener("site", log, answers=10**9)], [Listener("admin", log, answers=10**9)], ready(), 0.05
    )
    assert log == ["site stops", "site aborts", "admin stops", "admin aborts"]


async def test_no_time_is_no_drain():
    log: list[str] = []
    await drain([Listener("site", log, answers=1000)], [Listener("admin", log, answers=1000)], ready(), 0.0)
    assert log == ["site stops", "site aborts", "admin stops", "admin aborts"]


async def test_however_many_ask_at_once_the_store_is_asked_once():
    readiness, asked, answers = ready(), [], asyncio.Event()

    async def by_id(session_id, now):
        asked.append(session_id)
        await answers.wait()

    readiness._store.sessions.by_id = by_id
    waiting = [asyncio.create_task(readiness.check()) for _ in range(50)]
    while not asked:
        await asyncio.sleep(0)
    waiting[0].cancel()  # who came first, and has left, keeps nobody from being answered
    await asyncio.sleep(0)
    answers.set()
    assert await asyncio.gather(*waiting[1:]) == [None] * 49
    assert asked == [""]
    await readiness.check()
    assert asked == ["", ""]
