"""Pages that another process answers: what is asked arrives whole, what is answered comes back, nothing waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from vestibule.core.route import Host, Site
from vestibule.errors import StoreError
from vestibule.model import Identity, Session
from vestibule.observe.log import Log
from vestibule.observe.meter import Figures, Meter
from vestibule.observe.metrics import REFRESHES, Metrics
from vestibule.observe.traffic import Kind, Record, Traffic
from vestibule.proxy import remote
from vestibule.proxy.remote import Office, Remote, Reporter
from vestibule.service.visit import Visit

SITE = Site(base_url="https://app.example", cookie="__Host-vestibule", secure=True)
HOST = Host(name=b"app.example", title="app", clients={}, routes={})
SESSION = Session(
    id="s1",
    host="app.example",
    created_at=1.0,
    seen_at=2.0,
    expires_at=3e9,
    idle_s=60.0,
    user_id="u1",
    identities=(Identity(client="op", issuer="i", subject="1", claims={"n": [1, {"a": None}]}),),
    clients=("op",),
)
VISIT = Visit(
    host=HOST,
    site=SITE,
    session=SESSION,
    address="192.0.2.1",
    user_agent="é",
    request_id="r1",
    now=5.0,
    root="/oauth2",
    wanted=("https://app.example/x",),
    cookies={"a": "b"},
)
FIGURES = Figures(name="worker 1", pid=7, started_at=1.0, heard_at=2.0, connections={"127.0.0.1:80": 3})
RECORD = Record(1.0, Kind.HOST, b"h", b"GET", b"/\xff", 200, 0.1, "192.0.2.1", "s", "allow", "r", 3)
SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "https",
    "path": "/@/signin",
    "raw_path": b"/@/signin",
    "query_string": b"rd=/",
    "root_path": "",
    "headers": [(b"accept", b"\xff*/*")],
    "client": ("192.0.2.1", 0),
    "server": ("app.example", 443),
    "state": {"visit": VISIT},
}


class Writer:
    """What is written is read at the other end."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._is_closing = False
        self.transport = self
        self.waiting_bytes = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def write(self, data: bytes) -> None:
        self._reader.feed_data(data)

    async def drain(self) -> None: ...

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._reader.feed_eof()


class Processes:
    """A worker's side and the control process's, joined without a socket."""

    def __init__(self, application: Any) -> None:
        self.traffic = Traffic()
        self.metrics = Metrics(self.traffic, now=lambda: FIGURES.heard_at)
        self.calls: list[dict[str, Any]] = []
        self._application = application
        self.hosts = {HOST.name: HOST}
        self.is_up = True
        self.office = self._office()
        self.remote = Remote(self._connect)
        self._takes: list[asyncio.Task[None]] = []
        self._ends: list[Writer] = []

    def _office(self) -> Office:
        async def ready() -> Any:
            return self._application

        return Office(
            None,
            ready,
            host_of=self.hosts.get,
            traffic=self.traffic,
            metrics=self.metrics,
            log=Log(io.StringIO()),
        )

    async def _connect(self) -> Any:
        if not self.is_up:
            raise ConnectionRefusedError
        here, there = asyncio.StreamReader(), asyncio.StreamReader()
        writers = Writer(there), Writer(here)
        self._ends.append(writers[1])
        self._takes.append(asyncio.create_task(self.office.take(there, writers[1])))
        return here, writers[0]

    def die(self) -> None:
        """The control process is gone."""
        self.is_up = False
        for end in self._ends:
            end.close()

    async def close(self) -> None:
        await self.remote.close()
        await self.office.close()
        await asyncio.gather(*self._takes, return_exceptions=True)


@contextlib.asynccontextmanager
async def processes(application: Any) -> AsyncIterator[Processes]:
    made = Processes(application)
    try:
        yield made
    finally:
        await made.close()


async def asked(made: Processes, body: bytes = b"x=1", leave: asyncio.Event | None = None) -> list[dict]:
    """The ASGI messages that came back."""
    sent: list[dict] = []
    left = leave or asyncio.Event()
    bodies = [body]

    async def receive() -> dict:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        sent.append(message)

    await made.remote(SCOPE, receive, send)
    return sent


async def test_what_is_asked_arrives_as_it_was_and_what_is_answered_too():
    seen: list[Any] = []

    async def application(scope, receive, send):
        seen.append((scope, (await receive())["body"]))
        await send({"type": "http.response.start", "status": 201, "headers": [(b"set-cookie", b"a=\xfe")]})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async with processes(application) as made:
        answer = await asked(made)
    assert answer == [
        {"type": "http.response.start", "status": 201, "headers": [(b"set-cookie", b"a=\xfe")]},
        {"type": "http.response.body", "body": b"one ", "more_body": True},
        {"type": "http.response.body", "body": b"two", "more_body": False},
    ]
    [(scope, body)] = seen
    assert body == b"x=1"
    assert scope["state"]["visit"] == VISIT
    assert {name: scope[name] for name in SCOPE if name != "state"} == {
        name: value for name, value in SCOPE.items() if name != "state"
    }


async def test_many_calls_at_once_get_each_their_own_answer():
    async def application(scope, receive, send):
        body = (await receive())["body"]
        for _ in range(int(body) % 5):
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with processes(application) as made:
        answers = await asyncio.gather(*(asked(made, b"%d" % number) for number in range(50)))
    assert [answer[1]["body"] for answer in answers] == [b"%d" % number for number in range(50)]


async def test_a_fault_of_the_application_is_a_fault_here():
    async def application(scope, receive, send):
        raise ValueError("planted")

    async with processes(application) as made:
        with pytest.raises(RuntimeError, match="planted"):
            await asked(made)


async def test_a_host_that_the_other_process_does_not_have_is_a_fault():
    async def application(scope, receive, send):
        raise AssertionError("never asked")

    async with processes(application) as made:
        made.hosts.clear()
        with pytest.raises(RuntimeError, match="no host"):
            await asked(made)


async def test_who_leaves_is_told_to_the_application():
    told = asyncio.Event()
    begun = asyncio.Event()

    async def application(scope, receive, send):
        await receive()
        begun.set()
        assert (await receive())["type"] == "http.disconnect"
        told.set()

    async with processes(application) as made:
        leave = asyncio.Event()
        call = asyncio.create_task(asked(made, leave=leave))
        await begun.wait()
        leave.set()
        assert await call == []
        await told.wait()


async def test_a_control_process_that_dies_is_a_store_that_is_away_for_who_waits():
    begun = asyncio.Event()

    async def application(scope, receive, send):
        begun.set()
        await asyncio.Event().wait()

    async with processes(application) as made:
        call = asyncio.create_task(asked(made))
        await begun.wait()
        made.die()
        with pytest.raises(StoreError):
            await call


async def test_what_only_reads_is_asked_again_where_the_control_process_died_without_an_answer(monkeypatch):
    monkeypatch.setitem(SCOPE, "method", "GET")
    monkeypatch.setattr(remote, "_AGAIN_S", 0.0)
    calls = 0
    begun = asyncio.Event()

    async def application(scope, receive, send):
        nonlocal calls
        calls += 1
        if calls == 1:
            begun.set()
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with processes(application) as made:
        call = asyncio.create_task(asked(made, b""))
        await begun.wait()
        made.die()
        made.is_up = True
        assert (await call)[0]["status"] == 204
    assert calls == 2


async def test_who_finds_no_control_process_waits_for_it_and_not_for_ever(monkeypatch):
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(remote, "_AGAIN_S", 0.0)
    async with processes(application) as made:
        made.is_up = False
        call = asyncio.create_task(asked(made))
        await asyncio.sleep(0)
        made.is_up = True
        assert (await call)[0]["status"] == 204
    monkeypatch.setattr(remote, "WAIT_S", 0.0)
    async with processes(application) as made:
        made.is_up = False
        with pytest.raises(StoreError):
            await asked(made)


async def test_records_of_requests_come_over_and_wait_while_nobody_takes_them():
    async def application(scope, receive, send): ...

    async with processes(application) as made:
        made.is_up = False
        traffic, meter = Traffic(size=3), Meter()
        reporter = Reporter(traffic, made.remote, lambda: FIGURES, meter)
        for _ in range(5):
            traffic.add(RECORD)
        meter.add(REFRESHES, ("op", "ok"), 2.0)
        reporter.send()
        assert not made.traffic.ring
        made.is_up = True
        while not made.traffic.ring:
            reporter.send()
            await asyncio.sleep(0)
        assert list(made.traffic.ring) == [RECORD] * 3
        assert list(made.metrics.meter.series(REFRESHES)) == [(("op", "ok"), [2.0])]
        assert made.metrics.processes() == (FIGURES,)


async def test_records_stay_where_they_are_while_a_control_process_that_is_there_takes_nothing():
    async def application(scope, receive, send): ...

    async with processes(application) as made:
        traffic, meter = Traffic(), Meter()
        reporter = Reporter(traffic, made.remote, lambda: FIGURES, meter)
        while made.remote._writer is None:
            await asyncio.sleep(0)
        made.remote._writer.waiting_bytes = remote.BEHIND_BYTES + 1
        traffic.add(RECORD)
        reporter.send()
        await asyncio.sleep(0)
        assert not made.traffic.ring
        made.remote._writer.waiting_bytes = 0
        while not made.traffic.ring:
            reporter.send()
            await asyncio.sleep(0)
        assert list(made.traffic.ring) == [RECORD]


def streaming(pieces: list[int]) -> Any:
    """An application that sends pieces until nobody wants them, and puts down how many."""

    async def application(scope, receive, send):
        pieces.append(0)
        await receive()
        left = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not left.done():
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            pieces[-1] += 1
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
        pieces.append(-1)

    return application


async def settled(pieces: list[int]) -> int:
    """How many there are once no more come."""
    before = -1
    while before != pieces[-1]:
        before = pieces[-1]
        for _ in range(50):
            await asyncio.sleep(0)
    return before


async def test_a_stream_that_nobody_reads_waits_where_it_is_made():
    pieces: list[int] = []
    async with processes(streaming(pieces)) as made:
        reads = asyncio.Semaphore(1)
        bodies = [b""]

        async def receive() -> dict:
            if bodies:
                return {"type": "http.request", "body": bodies.pop(), "more_body": False}
            return await asyncio.get_running_loop().create_future()

        async def send(message: dict) -> None:
            await reads.acquire()

        call = asyncio.create_task(made.remote(SCOPE, receive, send))
        while not pieces:
            await asyncio.sleep(0)
        assert await settled(pieces) == remote.WINDOW
        for _ in range(5):
            reads.release()
        assert await settled(pieces) == remote.WINDOW + 5
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        while pieces[-1] != -1:
            await asyncio.sleep(0)
