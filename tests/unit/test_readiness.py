"""What a process says of itself to who asks whether it is ready, in which order; and how it goes."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.errors import StoreError, VestibuleError
from vestibule.readiness import Readiness, drain
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
    """Notes what it is told; its connections end when they are counted."""

    def __init__(self, name: str, log: list[str], answers: int = 0) -> None:
        self.name, self.log, self._left = name, log, answers

    @property
    def open(self):
        self._left -= 1
        return range(max(0, self._left + 1))

    def stop(self) -> None:
        self.log.append(f"{self.name} stops")

    def abort(self) -> None:
        self.log.append(f"{self.name} aborts")


async def test_who_looks_after_the_process_is_answered_until_the_others_are_done():
    log: list[str] = []
    readiness = ready()
    await drain([Listener("site", log, answers=2)], [Listener("admin", log)], readiness, 5.0)
    assert log == ["site stops", "site aborts", "admin stops", "admin aborts"]
    assert await code_of(readiness) == "draining"


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
