"""Backends of HTTP/2 that mean harm, or are broken: what they send is bounded, and people are told 502 or 504."""

from __future__ import annotations

import struct

import pytest
from hpack import Encoder

from tests.helpers import frames_h2 as f
from tests.helpers.messages import UnreadableError
from tests.unit.proxy.plane import request
from tests.unit.proxy.test_upstream_h2 import CHUNKED, GET, H2Plane
from vestibule.protocol.h2_frames import BLOCK_LIMIT_BYTES
from vestibule.proxy.relay import REFUSED_MAX
from vestibule.proxy.stream_h2 import INTERIM_MAX
from vestibule.proxy.upstream import ANSWER_DEADLINE_S, SEND_STALL_S
from vestibule.proxy.upstream_h2 import HEAD_DEADLINE_S, IDLE_FRAMES_MAX, TABLE_BYTES, _Encoder

MANY = 2 * IDLE_FRAMES_MAX
OK = ((b":status", b"200"),)
INITIAL_WINDOW_SIZE, HEADER_TABLE_SIZE = 4, 1
WRITTEN_MAX_BYTES = 1 << 20


def goaway(last: int) -> bytes:
    return f.raw(f.GOAWAY, 0, 0, struct.pack(">II", last, 0))


def bomb() -> bytes:
    """A block of some 20 KB that is 60 MB of fields: one that the table holds, named again and again."""
    block = Encoder().encode([(b":status", b"200"), (b"x", b"y" * 4000)])
    return f.raw(f.HEADERS, f.END_HEADERS, 1, block + b"\xbe" * 12_000)


def endless_block() -> bytes:
    pieces = [f.headers(OK, flags=0, ends=False), *[f.raw(f.CONTINUATION, 0, 1, b"")] * 100]
    return b"".join(pieces)


def large_block() -> bytes:
    part = bytes(16_384)
    return f.headers(OK, flags=0) + f.raw(f.CONTINUATION, 0, 1, part) * (BLOCK_LIMIT_BYTES // len(part) + 1)


class Enemy:
    """A backend whose every byte the test says."""

    def __init__(self, loop, *greeting: bytes) -> None:
        self.plane = H2Plane(loop)
        self.plane.peer.look = lambda: None
        self.greeting = greeting or (f.settings(),)

    def asked(self, data: bytes = GET):
        """A client whose request has gone out on a connection of its own."""
        client = self.plane.client().send(data)
        self.greet()
        return client

    def greet(self) -> None:
        self.plane.loop.settle()
        for piece in self.greeting:
            self.line.receive(piece)
        self.plane.loop.settle()

    @property
    def line(self):
        return self.plane.peer.connections[-1]

    def say(self, data: bytes, times: int = 1) -> int:
        """Say it so often, until nobody listens; how often it was said."""
        for number in range(times):
            if self.line.is_closed:
                return number
            self.line.receive(data)
        return times


@pytest.fixture
def enemy(loop) -> Enemy:
    return Enemy(loop)


@pytest.mark.parametrize(
    ("said", "times"),
    [
        (f.settings(), MANY),
        (f.settings((INITIAL_WINDOW_SIZE, 70_000)), MANY),
        (f.settings(*((code, 1) for code in range(0x100, 0x180))), 1),
        (f.raw(f.SETTINGS, f.ACK), MANY),
        (f.raw(f.PING, 0, 0, b"8 bytes!"), MANY),
        (f.raw(f.PING, f.ACK, 0, b"8 bytes!"), MANY),
        (f.priority(3), MANY),
        (f.window(1), MANY),
        (f.window(1, 1), MANY),
        (f.raw(0xFA, 0, 0, b"unknown"), MANY),
        (goaway(0x7FFFFFFF), MANY),
        (endless_block(), 1),
        (large_block(), 1),
        (bomb(), 1),
        (f.raw(f.DATA, 0, 1, length=(1 << 24) - 1), 1),
        (f.raw(f.PUSH_PROMISE, f.END_HEADERS, 1, struct.pack(">I", 2) + f.block(f.GET)), 1),
        (f.headers(OK, 2, ends=False), 1),
        (f.headers(f.GET, 2, ends=False), 1),
        (f.headers(OK, 3), 1),
        (f.data(b"x", 3), 1),
        (f.data(b"x", 1), 1),
        (f.headers(((b":status", b"103"),), ends=False), INTERIM_MAX + 1),
        (f.raw(f.HEADERS, f.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), 1),
        (f.raw(f.WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF)), 1),
        (f.settings((INITIAL_WINDOW_SIZE, 1 << 31)), 1),
        (f.raw(f.SETTINGS, 0, 0, b"odd"), 1),
        (f.raw(f.RST_STREAM, 0, 1, struct.pack(">I", 0)), 1),
        (f.reset(9), MANY),
    ],
    ids=["settings", "windows in settings", "unknown settings", "acknowledgements", "pings", "answers to no pings",
         "priorities", "windows", "windows of the stream", "unknown frames", "goaways", "endless block", "large block",
         "bomb", "huge frame", "push", "a stream of its own", "a request", "an answer to nobody", "a body to nobody",
         "a body first", "interim answers", "no HPACK", "window overflow", "window in settings overflow",
         "broken settings", "reset", "resets of nothing"],
)  # fmt: skip
def test_what_nobody_sends_who_means_well_ends_in_502(enemy, said, times):
    client = enemy.asked()
    before = len(enemy.line.written)
    assert enemy.say(said, times) < MANY
    assert client.answers()[-1].status == 502
    assert len(enemy.line.written) - before < WRITTEN_MAX_BYTES
    # Who asks next is answered, over another connection unless the stream alone was at fault.
    known, again = len(enemy.plane.peer.connections), enemy.plane.client().send(GET)
    is_new = len(enemy.plane.peer.connections) > known
    if is_new:
        enemy.greet()
    enemy.say(f.headers(OK, 1 if is_new else 3))
    assert again.answer().status == 200


@pytest.mark.parametrize(
    "said",
    [
        f.data(b""),
        f.raw(f.DATA, f.PADDED, 1, b"\x05" + bytes(5)),
        f.headers(((b":status", b"103"),), ends=False),
    ],
    ids=["empty data", "padding", "heads"],
)
def test_an_answer_that_goes_on_with_nothing_is_broken_off(enemy, said):
    client = enemy.asked()
    enemy.say(f.headers(OK, ends=False))
    assert enemy.say(said, MANY) < MANY
    with pytest.raises(UnreadableError):
        client.answers()
    assert client.is_ended


@pytest.mark.parametrize(
    "said",
    [f.headers(OK), f.data(b""), f.data(b"x"), f.reset(1)],
    ids=["heads", "empty data", "data", "resets"],
)
def test_what_comes_for_those_who_have_left_is_counted(enemy, said):
    """Threat: each frame is answered by a reset, for as long as the backend likes."""
    enemy.plane.peer.reads = False
    enemy.asked().transport.lose()
    before = len(enemy.line.written)
    assert enemy.say(said, MANY) < MANY
    assert len(enemy.line.written) - before < WRITTEN_MAX_BYTES


def test_a_head_that_never_becomes_whole_ends_in_502_in_time(enemy):
    """Threat: bytes that trickle in look like a server that is there."""
    client = enemy.asked()
    enemy.say(f.headers(OK, flags=0))
    for _ in range(int(HEAD_DEADLINE_S) + 2):
        enemy.say(b"\0")
        enemy.plane.wait(1)
    assert client.answer().status == 502
    assert enemy.line.is_closed


def test_a_window_of_nothing_for_ever_ends_in_504(loop):
    enemy = Enemy(loop, f.settings((INITIAL_WINDOW_SIZE, 0)))
    client = enemy.asked(CHUNKED + b"5\r\nhello\r\n")
    for _ in range(2 * int(SEND_STALL_S) + 2):
        enemy.say(f.settings((INITIAL_WINDOW_SIZE, 0)))
        enemy.plane.wait(1)
    assert client.answer().status == 504


def test_a_server_that_only_pings_ends_in_504(enemy):
    client = enemy.asked()
    for _ in range(int(ANSWER_DEADLINE_S) + 2):
        enemy.say(f.raw(f.PING, 0, 0, b"8 bytes!"))
        enemy.plane.wait(1)
    assert client.answer().status == 504


def test_a_server_that_goes_away_at_each_request_is_asked_a_few_times(loop):
    enemy = Enemy(loop, f.settings(), goaway(0))
    client = enemy.asked()
    for _ in range(REFUSED_MAX + 2):
        if not enemy.line.is_closed:
            enemy.greet()
    assert client.answer().status == 502
    assert len(enemy.plane.peer.connections) <= REFUSED_MAX + 1


def test_no_server_makes_the_table_of_what_was_sent_grow(loop):
    """Threat: every header line of every request is kept, for as long as the connection lasts."""
    enemy = Enemy(loop, f.settings((HEADER_TABLE_SIZE, (1 << 32) - 1)))
    enemy.asked()
    for number in range(100):
        enemy.plane.client().send(request(b"/%d" % number, b"X-A: " + b"%d" % number * 100))
    (connection,) = enemy.plane.pool.connections
    table = connection.engine.encoder.header_table
    assert table.maxsize == TABLE_BYTES
    assert sum(32 + len(name) + len(value) for name, value in table.dynamic_entries) <= TABLE_BYTES


def test_a_smaller_table_is_told_of():
    encoder = _Encoder()
    encoder.header_table_size = 100
    assert encoder.encode([])[:1] == b"\x3f"
    encoder.header_table_size = 1 << 30
    assert encoder.header_table_size == TABLE_BYTES


def test_people_on_one_connection_are_not_hurt_by_what_their_own_traffic_explains(loop):
    """A server may open two windows for each frame of a body, however short the frames are."""
    enemy = Enemy(loop)
    client = enemy.asked(CHUNKED)
    for _ in range(MANY // 16):
        client.send(b"1\r\nx\r\n" * 10)
        enemy.say((f.window(1) + f.window(1, 1)) * 10)
    assert not enemy.line.is_closed
    enemy.say(f.headers(OK))
    assert client.answer().status == 200
