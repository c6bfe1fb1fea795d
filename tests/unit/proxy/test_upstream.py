"""The backend's side: a request out, an answer in, and when the connection may serve again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.transport import FakeLoop, FakeTransport
from vestibule.errors import BackendError
from vestibule.proxy.upstream import UpstreamConnection

GET = b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


class Origin:
    def __init__(self, loop: FakeLoop) -> None:
        self.now = loop.time
        self.released: list[UpstreamConnection] = []
        self.forgotten: list[UpstreamConnection] = []

    def release(self, connection: UpstreamConnection) -> None:
        self.released.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        self.forgotten.append(connection)


class Asker:
    """Notes what a connection tells the one who sent a request."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status = 0
        self.length: int | None = None
        self.lines: list[bytes] = []
        self.body = b""
        self.raw = b""
        self.trailers: tuple[bytes, ...] = ()
        self.error: BackendError | None = None
        self.answered: bool | None = None
        self.interim: list[int] = []

    def on_interim(self, head) -> None:
        self.interim.append(head.status)

    def on_switched(self, head) -> None:
        self.calls.append("switched")

    def on_whole(self, head, body: bytes, raw: bytes) -> None:
        self.calls += ["head", "end"]
        self.status, self.lines, self.length, self.body, self.raw = (
            head.status,
            head.lines,
            len(body),
            body,
            raw,
        )

    def on_head(self, head, length: int | None) -> None:
        self.calls.append("head")
        self.status, self.lines, self.length = head.status, head.lines, length

    def on_data(self, data: bytes) -> None:
        self.body += data

    def on_end(self, trailers: Sequence[bytes]) -> None:
        self.calls.append("end")
        self.trailers = tuple(trailers)

    def on_lost(self, error: BackendError, *, answered: bool) -> None:
        self.calls.append("lost")
        self.error, self.answered = error, answered

    def on_pause_body(self) -> None:
        self.calls.append("pause")

    def on_resume_body(self) -> None:
        self.calls.append("resume")


class Setting:
    """A connection with a request under way."""

    def __init__(self, loop: FakeLoop, *, is_head: bool = False, body_follows: bool = False) -> None:
        self.loop = loop
        self.origin = Origin(loop)
        self.connection = UpstreamConnection(self.origin)
        self.transport: FakeTransport = loop.connect(self.connection, ("127.0.0.1", 9000))
        self.asker = self.ask(is_head=is_head, body_follows=body_follows)

    def ask(self, *, is_head: bool = False, body_follows: bool = False) -> Asker:
        asker = Asker()
        self.loop.run(lambda: self.connection.send(asker, GET, is_head=is_head, body_follows=body_follows))
        return asker

    def get(self, *pieces: bytes) -> Asker:
        for piece in pieces:
            self.transport.receive(piece)
        return self.asker

    @property
    def is_reusable(self) -> bool:
        assert len(self.origin.released) <= 1
        return bool(self.origin.released) and not self.transport.is_closing()


@pytest.fixture
def at(loop) -> Setting:
    return Setting(loop)


WHOLE = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello", 5, True),
    "length 0": (OK + b"Content-Length: 0\r\n\r\n", b"", 0, True),
    "two equal lengths": (OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", b"hello", 5, True),
    "chunked": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello", None, True),
    "chunked, one by one": (
        OK + b"Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
        b"ab",
        None,
        True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", None, True),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b"", 99, True),
    "close": (OK + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello", b"hello", 5, False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", 5, False),
    "HTTP/1.0 kept": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        5,
        True,
    ),
    "more than announced": (
        OK + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
        b"hello",
        5,
        False,
    ),
    "something behind the last chunk": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nX",
        b"hello",
        None,
        False,
    ),
    "something behind a 204": (b"HTTP/1.1 204 No Content\r\n\r\nX", b"", None, False),
    "no reason phrase": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b"", 0, True),
}


@pytest.mark.parametrize(("data", "body", "length", "reusable"), WHOLE.values(), ids=WHOLE)
def test_a_whole_answer(at, data, body, length, reusable):
    asker = at.get(data)
    assert asker.calls == ["head", "end"]
    assert (asker.body, asker.length) == (body, length)
    assert at.is_reusable is reusable
    assert at.transport.is_closed is not reusable


@pytest.mark.parametrize(("data", "body", "length", "reusable"), WHOLE.values(), ids=WHOLE)
def test_a_whole_answer_byte_by_byte(at, data, body, length, reusable):
    asker = at.get(*(data[i : i + 1] for i in range(len(data))))
    assert asker.calls == ["head", "end"]
    assert (asker.body, asker.length) == (body, length)
    assert not at.is_reusable or reusable


def test_the_answer_to_head_has_a_length_and_no_body(loop):
    at = Setting(loop, is_head=True)
    asker = at.get(OK + b"Content-Length: 500\r\n\r\n")
    assert (asker.calls, asker.length, asker.body) == (["head", "end"], 500, b"")
    assert at.is_reusable


def test_a_body_behind_the_answer_to_head_ends_the_connection(loop):
    at = Setting(loop, is_head=True)
    assert at.get(OK + b"Content-Length: 5\r\n\r\nhello").calls == ["head", "end"]
    assert not at.is_reusable


def test_an_answer_without_length_ends_with_the_connection(at):
    asker = at.get(OK + b"\r\nhel", b"lo")
    assert asker.calls == ["head"]
    at.transport.end()
    assert (asker.calls, asker.body) == (["head", "end"], b"hello")
    assert at.origin.released == []


def test_an_answer_without_length_that_breaks_is_lost(at):
    asker = at.get(OK + b"\r\nhel")
    at.transport.lose(ConnectionResetError())
    assert asker.calls == ["head", "lost"]


def test_bytes_go_on_as_they_came_only_where_nothing_has_to_change(at):
    verbatim = OK + b"Content-Length: 2\r\nA: b\r\n\r\nhi"
    assert at.get(verbatim).raw == verbatim
    for line in (
        b"Set-Cookie: a=b",
        b"Keep-Alive: 5",
        b"Connection: close",
        b"Upgrade: h2c",
        b"Content-Length: 2",
    ):
        other = Setting(at.loop)
        assert other.get(OK + line + b"\r\nContent-Length: 2\r\n\r\nhi").raw == b"", line


BROKEN = {
    "two different lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length and chunked": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length list": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "negative length": OK + b"Content-Length: -5\r\n\r\nhello",
    "unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "bare LF": OK + b"A: b\nSet-Cookie: x=y\r\nContent-Length: 0\r\n\r\n",
    "bare CR": OK + b"A: b\rSet-Cookie: x=y\r\nContent-Length: 0\r\n\r\n",
    "NUL": OK + b"A: b\0\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK + b"Content-Length : 5\r\n\r\nhello",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status 600": b"HTTP/1.1 600 Odd\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "101 fields": OK + b"A: b\r\n" * 101 + b"\r\n",
    "an endless head": OK + b"A: " + b"b" * 40_000,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_can_be_read_in_two_ways_is_none(at, data):
    asker = at.get(data)
    assert asker.calls == ["lost"]
    assert (asker.error.code, asker.answered) == ("bad_answer", True)
    assert at.transport.is_closed
    assert at.origin.released == []


@pytest.mark.parametrize("body", [b"0x5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"5\nhello\r\n"])
def test_a_broken_chunk_breaks_the_answer(at, body):
    asker = at.get(OK + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert asker.calls == ["head", "lost"]
    assert at.transport.is_closed


@pytest.mark.parametrize(
    ("data", "answered"),
    [
        (b"", False),
        (b"HTTP/1.1 200", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True),
    ],
    ids=["nothing", "half a head", "an interim answer"],
)
def test_a_connection_that_ends_before_the_answer(at, data, answered):
    if data:
        at.get(data)
    at.transport.end()
    assert at.asker.calls == ["lost"]
    assert at.asker.answered is answered
    assert at.origin.forgotten == [at.connection]


@pytest.mark.parametrize(
    "data",
    [OK + b"Content-Length: 5\r\n\r\nhell", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    ids=["length", "chunked"],
)
def test_a_connection_that_ends_within_the_answer_is_never_its_end(at, data):
    at.get(data)
    at.transport.end()
    assert at.asker.calls == ["head", "lost"]


def test_interim_answers_come_before_the_answer(at):
    asker = at.get(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        + OK
        + b"Content-Length: 0\r\n\r\n"
    )
    assert asker.interim == [100, 103]
    assert asker.status == 200
    assert at.is_reusable


def test_an_early_answer_ends_the_connection(loop):
    """Threat: the rest of the body would be the next request."""
    at = Setting(loop, body_follows=True)
    asker = at.get(OK + b"Content-Length: 2\r\n\r\nno")
    assert asker.calls == ["head", "end"]
    assert not at.is_reusable
    assert at.transport.is_closed


def test_an_answer_after_the_whole_body_keeps_the_connection(loop):
    at = Setting(loop, body_follows=True)
    loop.run(at.connection.send_body, b"hello")
    loop.run(at.connection.end_body)
    at.get(OK + b"Content-Length: 0\r\n\r\n")
    assert at.is_reusable
    assert at.transport.written == GET + b"hello"


def test_an_answer_before_all_of_the_body_was_taken_ends_the_connection(loop):
    at = Setting(loop, body_follows=True)
    at.transport.reads = False
    loop.run(at.connection.send_body, b"hello")
    loop.run(at.connection.end_body)
    at.get(OK + b"Content-Length: 0\r\n\r\n")
    assert not at.is_reusable


def test_bytes_nobody_asked_for_end_the_connection(at):
    at.get(OK + b"Content-Length: 0\r\n\r\n")
    at.transport.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert at.transport.is_closed
    assert at.asker.calls == ["head", "end"]


def test_a_second_request_on_the_same_connection_starts_anew(at):
    at.get(OK + b"Content-Length: 3\r\n\r\none")
    first, at.asker = at.asker, at.ask()
    at.get(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\nT: 1\r\n\r\n")
    assert (first.body, at.asker.body, at.asker.trailers) == (b"one", b"two", (b"T: 1",))


def test_an_answer_that_broke_after_one_of_known_length_is_not_taken_for_whole(at):
    at.get(OK + b"Content-Length: 3\r\n\r\none")
    at.origin.released.clear()
    asker = at.asker = at.ask()
    at.get(OK + b"\r\nunti")
    at.transport.end()
    assert asker.calls == ["head", "end"]
    assert at.origin.released == []


def test_pause_and_resume_may_be_repeated(loop, at):
    at.get(OK + b"Content-Length: 4\r\n\r\nab")
    loop.run(at.connection.pause)
    loop.run(at.connection.pause)
    at.get(b"cd")
    assert at.asker.body == b"ab"
    loop.run(at.connection.resume)
    loop.run(at.connection.resume)
    assert at.asker.body == b"abcd"
    assert at.is_reusable


def test_a_connection_paused_at_its_end_reads_again_for_the_next(loop, at):
    at.get(OK + b"Content-Length: 4\r\n\r\nab")
    loop.run(at.connection.pause)
    loop.run(at.connection.data_received, b"cd")
    assert at.transport.is_reading()
    assert at.is_reusable


def test_a_slow_backend_pauses_the_body(loop):
    at = Setting(loop, body_follows=True)
    at.transport.reads = False
    loop.run(at.connection.send_body, bytes(200_000))
    assert at.asker.calls == ["pause"]
    at.transport.take()
    assert at.asker.calls == ["pause", "resume"]


def test_a_request_has_a_deadline_from_its_last_byte_to_the_answer(loop, at):
    assert at.connection.deadline == loop.time() + 60
    at.get(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert at.connection.deadline
    loop.run(at.connection.expire)
    assert (at.asker.calls, at.asker.error.status, at.asker.error.code) == (["lost"], 504, "backend_timeout")
    assert at.transport.is_closed


def test_a_route_may_give_the_answer_another_time(loop, at):
    connection = at.connection
    connection.send(at.asker, GET, is_head=False, body_follows=False, answer_s=5.0)
    assert connection.deadline == loop.time() + 5
    connection.send(at.asker, GET, is_head=False, body_follows=True, answer_s=7.0)
    connection.end_body()
    assert connection.deadline == loop.time() + 7
    connection.send(at.asker, GET, is_head=False, body_follows=False)
    assert connection.deadline == loop.time() + 60


def test_a_body_under_way_has_no_deadline_for_the_answer(loop):
    at = Setting(loop, body_follows=True)
    assert not at.connection.deadline
    loop.advance(100)
    loop.run(at.connection.end_body)
    assert at.connection.deadline == loop.time() + 60


def test_a_backend_that_takes_nothing_of_a_body_is_given_up(loop):
    at = Setting(loop, body_follows=True)
    at.transport.reads = False
    loop.run(at.connection.send_body, bytes(200_000))
    for _ in range(2):
        assert at.connection.deadline == loop.time() + 60
        loop.advance(61)
        loop.run(at.connection.expire)
    assert at.asker.calls == ["pause", "lost"]
    assert at.asker.error.code == "backend_timeout"


def test_a_backend_that_takes_a_body_little_by_little_is_not_cut(loop):
    at = Setting(loop, body_follows=True)
    at.transport.reads = False
    loop.run(at.connection.send_body, bytes(200_000))
    for _ in range(5):
        loop.advance(61)
        at.transport.take(1000)
        loop.run(at.connection.expire)
    assert at.asker.calls == ["pause"]
    at.transport.take()
    assert not at.connection.deadline
    loop.run(at.connection.end_body)
    assert at.connection.deadline == loop.time() + 60


def test_an_answer_under_way_has_no_deadline(at):
    at.get(OK + b"Content-Length: 4\r\n\r\nab")
    assert not at.connection.deadline


def test_after_close_nothing_is_told(loop, at):
    loop.run(at.connection.close)
    assert at.asker.calls == []
    assert at.origin.forgotten == [at.connection]


def test_a_switched_connection_carries_raw_bytes_until_it_ends(loop, at):
    at.get(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst",
        b"\0\xff",
    )
    assert (at.asker.calls, at.asker.body) == (["switched"], b"first\0\xff")
    assert not at.connection.deadline
    loop.run(at.connection.end_raw)
    assert at.transport.has_ended_writing
    at.transport.end()
    assert at.asker.calls == ["switched", "end"]
    assert at.origin.released == []


ANSWERS = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    + OK
    + b"A: b\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n00A\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"
)


@given(st.sets(st.integers(1, len(ANSWERS) - 1)))
def test_any_split_of_the_bytes_is_the_same_answer(cuts):
    loop = FakeLoop()
    try:
        at = Setting(loop)
        ends = [0, *sorted(cuts), len(ANSWERS)]
        asker = at.get(*(ANSWERS[a:b] for a, b in pairwise(ends)))
        assert (asker.interim, asker.status, asker.lines) == ([103], 200, [b"A: b"])
        assert (asker.body, asker.trailers) == (b"abc0123456789", (b"T: 1",))
        assert at.is_reusable
    finally:
        loop.close()
