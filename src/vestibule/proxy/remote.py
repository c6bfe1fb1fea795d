"""The control plane in another process: ASGI calls carried as frames (`proxy.frame`) over one Unix socket.

A data worker gives the call to `Remote`, which is an ASGI application; in the control process `Office` takes it and
runs the real one. So nothing before and behind this seam knows how many processes there are. What is carried is what
the gateway made of the request (`service.visit`), never the request's bytes: the other side parses no head again.

The same socket brings the records of a worker's requests (`observe.traffic`) to the control process, which shows all.
Only the gateway's own user can open the socket, so whoever sends frames may say who is signed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from vestibule.core.listener import ListenAddress
from vestibule.core.route import Host
from vestibule.errors import StoreError
from vestibule.observe.log import Log
from vestibule.observe.meter import Figures, Meter
from vestibule.observe.metrics import Metrics
from vestibule.observe.traffic import Record, Traffic
from vestibule.proxy import frame
from vestibule.proxy.asgi import Application
from vestibule.proxy.binding import bound_socket
from vestibule.proxy.frame import Answer, Begin, Body, Fault, Gone, Question, Report, Start, Taken
from vestibule.proxy.listener import UnderWay
from vestibule.proxy.task import Tasks
from vestibule.service.asgi import Message, Receive, Send, receiving
from vestibule.service.visit import Visit

WAIT_S: Final = 5.0
"""How long a request waits for a control process that is being started anew."""
REPORT_EVERY_S: Final = 0.5
_AGAIN_S: Final = 0.05
WINDOW: Final = 16
"""So many pieces of an answer may be on their way to a client that reads slowly; the application waits for more."""
BEHIND_BYTES: Final = 4 << 20
"""So much may wait for a control process that takes nothing, before a worker keeps its records to itself."""
_SAFE: Final = frozenset(("GET", "HEAD"))
_FRAME_LIMIT_BYTES: Final = 64 << 20

HostOf: TypeAlias = Callable[[bytes], Host | None]
Connect: TypeAlias = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
_SCOPE: Final = (
    "type",
    "asgi",
    "http_version",
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "root_path",
    "client",
    "server",
)
"""What of a scope is carried as it is."""


class Remote:
    """An ASGI application that another process answers."""

    def __init__(self, connect: Connect) -> None:
        """`connect` opens a connection to the control process, or raises OSError."""
        self._connect = connect
        self._writer: asyncio.StreamWriter | None = None
        self._is_there = asyncio.Event()
        self._answers: dict[int, asyncio.Queue[Answer | None]] = {}
        self._last_id = 0
        self._task = asyncio.get_running_loop().create_task(self._stay_connected(), name="control process")

    @classmethod
    def at(cls, path: str) -> Remote:
        """The control process whose socket this is."""
        return cls(partial(asyncio.open_unix_connection, path))

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer the call. Raises StoreError when the control process isn't there, or went away meanwhile.

        A call that was sent is sent again only where that is safe (GET, HEAD; RFC 9110 section 9.2.1), nothing of an
        answer came, and once.
        """
        message = await receive()
        if message["type"] != "http.request":
            return
        left = asyncio.ensure_future(receive())
        try:
            if await self._asked(scope, message, left, send, is_last=scope["method"] not in _SAFE):
                await self._asked(scope, message, left, send, is_last=True)
        finally:
            left.cancel()

    async def _asked(
        self,
        scope: MutableMapping[str, Any],
        message: Message,
        left: asyncio.Future[Message],
        send: Send,
        *,
        is_last: bool,
    ) -> bool:
        """Ask, and pass on the answer; True when the other side went away without one, unless this try is the last."""
        writer = await self._connected()
        self._last_id += 1
        call_id, answers = self._last_id, asyncio.Queue[Answer | None]()
        self._answers[call_id] = answers
        carried = {name: scope[name] for name in _SCOPE}
        told = frame.told_of(scope["state"]["visit"])
        frame.write(writer, Begin(call_id, carried, scope["headers"], told, message.get("body", b"")))
        is_left = True
        try:
            asks_again = await self._answer(call_id, left, send, is_last=is_last)
            is_left = left.done()
            return asks_again
        finally:
            del self._answers[call_id]
            if is_left:
                self._say(writer, Gone(call_id))

    def report(self, report: Callable[[], Report]) -> bool:
        """Tell the control process this; False when it isn't there or takes nothing: then the report isn't made."""
        writer = self._writer
        if writer is None or writer.is_closing():
            return False
        if writer.transport.get_write_buffer_size() > BEHIND_BYTES:
            return False
        frame.write(writer, report())
        return True

    async def close(self) -> None:
        """Let go of the connection."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _connected(self) -> asyncio.StreamWriter:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await self._is_there.wait()
        if self._writer is None:
            raise _away("it can't be reached")
        return self._writer

    def _say(self, writer: asyncio.StreamWriter, question: Question) -> None:
        """Tell the other side, if it is still the one that was asked."""
        if self._writer is writer:
            frame.write(writer, question)

    async def _answer(
        self,
        call_id: int,
        left: asyncio.Future[Message],
        send: Send,
        *,
        is_last: bool,
    ) -> bool:
        """Pass on what comes, until it is whole or nobody waits for it; True: nothing came, try it again."""
        answers, writer = self._answers[call_id], self._writer
        more, has_begun = True, False
        while more:
            coming = asyncio.ensure_future(answers.get())
            await asyncio.wait((coming, left), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                return False
            answer = coming.result()
            match answer:
                case None if not is_last and not has_begun:
                    return True
                case None:
                    raise _away("it went away before it had answered")
                case Fault():
                    raise RuntimeError(f"the control process: {answer.error}")
                case Start():
                    has_begun = True
                    await send(
                        {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
                    )
                case Body():
                    more = answer.more
                    await send({"type": "http.response.body", "body": answer.data, "more_body": more})
                    if more and writer is not None:
                        self._say(writer, Taken(call_id))
        return False

    async def _stay_connected(self) -> None:
        """Connect, read until the other side is gone, and again."""
        while True:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                reader, self._writer = await self._connect()
                self._is_there.set()
                try:
                    while (data := await frame.read(reader)) is not None:
                        answer = frame.answer_of(data)
                        if (waits := self._answers.get(answer.id)) is not None:
                            waits.put_nowait(answer)
                finally:
                    self._is_there.clear()
                    self._writer.close()
                    self._writer = None
                    for waits in self._answers.values():
                        waits.put_nowait(None)
            await asyncio.sleep(_AGAIN_S)


class Reporter:
    """Sends a worker's records and figures on, a few times a second."""

    def __init__(
        self, traffic: Traffic, remote: Remote, figures: Callable[[], Figures], meter: Meter
    ) -> None:
        self._traffic = traffic
        self._remote = remote
        self._figures = figures
        self._meter = meter
        self._kept: list[Record] = []
        traffic.subscribe(self._keep)

    def _keep(self, record: Record) -> None:
        self._kept.append(record)

    def send(self) -> None:
        """Send what has come since; while nobody takes it, the latest records and all counts are kept."""
        kept, limit = self._kept, self._traffic.ring.maxlen or 0
        if self._remote.report(lambda: Report(kept[-limit:], self._figures(), self._meter.take())):
            kept.clear()
        del kept[: max(0, len(kept) - limit)]


class _Call:
    """One call that is being answered."""

    __slots__ = ("gone", "is_over", "room")

    lasts = False

    def __init__(self) -> None:
        self.is_over = False
        self.gone = asyncio.Event()
        """Nobody waits for the answer any more."""
        self.room = asyncio.Semaphore(WINDOW)

    def leave(self) -> None:
        """Whoever made it has left: the application, too, need not wait for them."""
        self.gone.set()
        self.room.release()


class Office:
    """The control process's side: takes calls from all workers, each in a task of its own."""

    def __init__(
        self,
        address: ListenAddress,
        application: Callable[[], Awaitable[Application]],
        *,
        host_of: HostOf,
        traffic: Traffic,
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`host_of`: the host of a name, as it is in force now."""
        self._address = address
        self._application = application
        self._host_of = host_of
        self._traffic = traffic
        self._metrics = metrics
        self._log = log
        self._tasks = Tasks()
        self._under_way: set[_Call] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def connected(self) -> int:
        """How many workers are there."""
        return len(self._writers)

    def under_way(self) -> Iterator[UnderWay]:
        """What is being answered."""
        return iter(tuple(self._under_way))

    async def start(self, bound: socket.socket | None = None) -> None:
        """Listen. Raises ConfigError when the socket can't be made."""
        taken = bound or bound_socket(self._address)
        self._server = await asyncio.start_unix_server(self.take, sock=taken, limit=_FRAME_LIMIT_BYTES)

    async def close(self) -> None:
        """Stop; what is under way is broken off."""
        if self._server is not None:
            self._server.close()
        self._tasks.cancel()
        for writer in tuple(self._writers):
            writer.close()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what one worker asks on this connection, until it ends."""
        calls: dict[int, _Call] = {}
        self._writers.add(writer)
        try:
            while (data := await frame.read(reader)) is not None:
                question = frame.question_of(data)
                match question:
                    case Begin():
                        calls[question.id] = _Call()
                        self._tasks.spawn(self._run(question, writer, calls), "call of a worker")
                    case Gone():
                        if (left := calls.get(question.id)) is not None:
                            left.leave()
                    case Taken():
                        if (read := calls.get(question.id)) is not None:
                            read.room.release()
                    case Report():
                        self._keep(question.records)
                        self._metrics.hear(question.figures, question.grown, len(question.records))
        except (OSError, msgspec.DecodeError) as error:
            self._log.warning("worker_lost", error=repr(error))
        finally:
            self._writers.discard(writer)
            writer.close()
            for call in calls.values():
                call.leave()

    def _keep(self, records: Iterable[Record]) -> None:
        for record in records:
            self._traffic.add(record)

    async def _run(self, begin: Begin, writer: asyncio.StreamWriter, calls: dict[int, _Call]) -> None:
        """One call of the application."""
        call = calls[begin.id]

        async def left() -> Message:
            await call.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                frame.write(writer, Start(begin.id, message["status"], list(message.get("headers", ()))))
                return
            more = message.get("more_body", False)
            if more and not call.gone.is_set():
                await call.room.acquire()
            frame.write(writer, Body(begin.id, bytes(message.get("body", b"")), more))
            with contextlib.suppress(OSError):
                await writer.drain()

        try:
            application = await self._application()
            await application(self._scope(begin), receiving(begin.body, left), send)
        except Exception as error:  # noqa: BLE001 - the boundary of the application; the worker logs it with the request's id
            frame.write(writer, Fault(begin.id, repr(error)))
        finally:
            call.is_over = True
            self._under_way.discard(call)
            calls.pop(begin.id, None)

    def _scope(self, begin: Begin) -> dict[str, Any]:
        told = begin.told
        host = self._host_of(told.host)
        if host is None:
            raise LookupError(f"no host {told.host!r} in the control process")
        visit = Visit(
            host=host,
            site=told.site,
            session=told.session,
            address=told.address,
            user_agent=told.user_agent,
            request_id=told.request_id,
            now=told.now,
            root=told.root,
            wanted=told.wanted,
            cookies=told.cookies,
        )
        scope = {**begin.scope, "headers": begin.headers, "state": {"visit": visit}}
        return {**scope, "client": tuple(scope["client"]), "server": tuple(scope["server"])}


def _away(why: str) -> StoreError:
    return StoreError("Please try again in a moment.", detail=f"the control process: {why}")
