"""Connections of HTTP/2: many exchanges at a time, what each may hold, and what nobody may do to the others."""

from __future__ import annotations

import pytest
from hpack import Encoder

from tests.helpers import frames_h2 as f
from tests.helpers.frames_h2 import GET, POST, data, headers, priority, raw, reset, settings, window
from tests.helpers.peer_h2 import PREFACE, errors_of, frames_of
from tests.unit.proxy.client_h2 import H2Client
from tests.unit.proxy.conftest import PlainListener
from vestibule.core.listener import Met
from vestibule.core.tls import ClientCertificate, Handshake
from vestibule.errors import BadRequest
from vestibule.proxy.capacity import Capacity
from vestibule.proxy.downstream_h1 import (
    HEAD_DEADLINE_S,
    IDLE_DEADLINE_S,
    LINGER_LIMIT_BYTES,
    SEND_STALL_S,
)
from vestibule.proxy.downstream_h2 import H2Connection
from vestibule.proxy.engine_h2 import CONNECTION_WINDOW_BYTES, FIRST_WINDOW_BYTES, STREAM_WINDOW_BYTES
from vestibule.proxy.exchange_h2 import OUTBOX_HIGH_BYTES
from vestibule.proxy.sending_h2 import ANSWERED_BYTES

NO_ERROR, PROTOCOL, CANCEL, CALM = 0, 1, 8, 11
HELLO = PREFACE + settings()
OK = b"HTTP/1.1 200 OK"
CONNECT = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"http"),
    (b":path", b"/ws"),
    (b":authority", b"app.example"),
    (b"sec-websocket-version", b"13"),
]


@pytest.fixture
def h2(loop, listener) -> H2Client:
    return H2Client(loop, listener)


@pytest.fixture
def wire(loop, listener) -> Wire:
    return Wire(loop, listener)


class Wire:
    """A client that sends frames as a test makes them."""

    def __init__(self, loop, listener: PlainListener) -> None:
        self.loop = loop
        self.listener = listener
        self.connection = H2Connection(listener)
        self.transport = loop.connect(self.connection)
        self.send(HELLO)

    def send(self, *pieces: bytes) -> Wire:
        for piece in pieces:
            self.transport.receive(piece)
        return self

    @property
    def frames(self) -> list:
        return frames_of(self.transport.written + self.transport.unsent)

    @property
    def errors(self) -> tuple[int | None, dict[int, int]]:
        return errors_of(self.transport.written)

    def bodies(self) -> dict[int, int]:
        """How many body bytes each stream has got."""
        found: dict[int, int] = {}
        for frame in self.frames:
            if frame.type == f.DATA:
                found[frame.stream_id] = found.get(frame.stream_id, 0) + len(frame.data)
        return found

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.loop.advance(1)
            self.loop.run(self.listener.sweep, self.loop.time())


def test_what_the_handshake_told_is_known_of_every_request(loop, listener, handler):
    """Which certificate the client has shown, and which host it wanted: decisions go by it."""
    tls = Handshake(server_name=b"app.example", alpn="h2", client=ClientCertificate(subject="CN=ann"))
    connection = H2Connection(listener, Met("203.0.113.7", tls))
    transport = loop.connect(connection)
    transport.receive(HELLO + headers() + headers(stream_id=3))
    assert [exchange.tls for exchange in handler.exchanges] == [tls, tls]
    assert [exchange.peer for exchange in handler.exchanges] == ["203.0.113.7"] * 2


# -- exchanges -----------------------------------------------------------------------------------------------------


def test_requests_are_answered_in_any_order(h2, handler):
    first, second = h2.peer.ask(GET), h2.peer.ask(GET)
    h2.flush()
    handler.exchanges[1].answer(OK, [b"X-Which: Two"], b"two")
    h2.loop.settle()
    h2.flush()
    assert (h2.peer.streams[second].body, h2.peer.streams[first].is_ended) == (b"two", False)
    assert (b"x-which", b"Two") in h2.peer.streams[second].fields
    handler.exchanges[0].answer(OK, [], b"one")
    h2.loop.settle()
    h2.flush()
    assert h2.peer.streams[first].body == b"one"
    assert handler.ended == handler.exchanges[::-1]


def test_what_belongs_to_a_connection_of_http_1_is_not_in_an_answer(h2, handler):
    stream = h2.peer.ask(GET)
    h2.flush()
    lines = [b"Connection: x", b"Keep-Alive: 5", b"Transfer-Encoding: chunked", b"Upgrade: h2c", b"A: b"]
    handler.exchanges[0].answer(OK, lines, b"")
    h2.loop.settle()
    h2.flush()
    assert h2.peer.streams[stream].fields == [(b":status", b"200"), (b"a", b"b"), (b"content-length", b"0")]


@pytest.mark.parametrize("is_streamed", [False, True], ids=["answer", "finish"])
def test_for_who_answers_it_is_over_once_all_is_said(h2, handler, is_streamed):
    """The control plane takes what is not over then for an application that stopped within its answer."""
    h2.peer.ask(GET)
    h2.flush()
    exchange = handler.exchanges[0]
    if is_streamed:
        exchange.start(OK, [], None)
        exchange.write(b"body")
        assert not exchange.is_over
        exchange.finish()
    else:
        exchange.answer(OK, [], b"body")
    assert (exchange.is_over, handler.ended) == (True, [])
    h2.loop.settle()
    assert handler.ended == [exchange]


def test_an_answer_to_head_has_a_length_and_no_body(h2, handler):
    stream = h2.peer.ask([(b":method", b"HEAD"), *GET[1:]])
    h2.flush()
    handler.exchanges[0].answer(OK, [], b"12345")
    h2.loop.settle()
    h2.flush()
    got = h2.peer.streams[stream]
    assert (got.is_ended, got.body, dict(got.fields)[b"content-length"]) == (True, b"", b"5")


@pytest.mark.parametrize("code", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_a_body_says_no_length(h2, handler, code):
    stream = h2.peer.ask(GET)
    h2.flush()
    handler.exchanges[0].answer(b"HTTP/1.1 " + code, [], b"x")
    h2.loop.settle()
    h2.flush()
    assert (h2.peer.streams[stream].is_ended, len(h2.peer.streams[stream].fields)) == (True, 1)


def test_a_streamed_answer_ends_with_its_trailers(h2, handler):
    stream = h2.peer.ask(GET)
    h2.flush()
    exchange = handler.exchanges[0]
    exchange.inform(b"HTTP/1.1 103 Early Hints", [b"Link: </a.css>"])
    exchange.start(OK, [b"Content-Type: application/grpc"], None)
    exchange.write(b"some")
    exchange.finish([b"grpc-status: 0"])
    h2.loop.settle()
    h2.flush()
    got = h2.peer.streams[stream]
    assert got.informed == [[(b":status", b"103"), (b"link", b"</a.css>")]]
    assert (got.body, got.trailers, got.is_ended) == (b"some", [(b"grpc-status", b"0")], True)


def test_an_answer_of_another_length_than_announced_is_broken_off(h2, handler):
    streams = [h2.peer.ask(GET), h2.peer.ask(GET)]
    h2.flush()
    for exchange, body in zip(handler.exchanges, (b"too long", b"sho"), strict=True):
        exchange.start(OK, [], 4)
        exchange.write(body)
        exchange.finish()
    h2.loop.settle()
    h2.flush()
    assert [h2.peer.streams[one].reset for one in streams] == [2, 2]
    assert handler.ended == handler.exchanges


def test_who_breaks_off_leaves_the_others_alone(h2, handler):
    first, second = h2.peer.ask(GET), h2.peer.ask(GET)
    h2.flush()
    handler.exchanges[0].abort()
    handler.exchanges[1].answer(OK, [], b"fine")
    h2.loop.settle()
    h2.flush()
    assert h2.peer.streams[first].reset is not None
    assert h2.peer.streams[second].body == b"fine"
    assert handler.responders[0].calls == [("end", ()), "gone"]


def test_a_client_that_resets_ends_its_exchange_alone(h2, handler):
    first, _second = h2.peer.ask(GET), h2.peer.ask(GET)
    h2.flush()
    h2.peer.engine.reset_stream(first)
    h2.flush()
    assert [responder.calls[-1] == "gone" for responder in handler.responders] == [True, False]
    assert handler.ended == handler.exchanges[:1]


def test_a_lost_connection_ends_all(h2, handler):
    h2.peer.ask(GET)
    h2.peer.ask(GET)
    h2.flush()
    h2.transport.lose()
    assert [responder.calls[-1] for responder in handler.responders] == ["gone", "gone"]
    assert h2.listener.open == set()
    assert h2.listener.capacity.requests == 0


# -- heads ---------------------------------------------------------------------------------------------------------


def test_cookies_in_crumbs_are_one(h2, handler):
    h2.peer.ask([*GET, (b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d; e=f")])
    h2.flush()
    assert handler.exchanges[0].head.cookies == [b"cookie: a=b; c=d; e=f"]


REFUSED = {
    "a path that ends above the root and back": ((b":path", b"/a/..%2fb"), 400, "bad_request"),
    "a raw #": ((b":path", b"/a#b"), 400, "bad_request"),
    "TRACE": ((b":method", b"TRACE"), 405, "method_not_allowed"),
    "CONNECT": ((b":method", b"CONNECT"), 405, "method_not_allowed"),
    "a lower-case method": ((b":method", b"get"), 400, "bad_method"),
    "an address of 9 KiB": ((b":path", b"/" + b"a" * 9000), 414, "target_too_long"),
    "another scheme": ((b":scheme", b"https"), 400, "bad_target"),
    "an authority with a user": ((b":authority", b"a@app.example"), 400, "bad_request"),
    "an empty authority": ((b":authority", b""), 400, "bad_request"),
}


@pytest.mark.parametrize(("field", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_what_http_1_refuses_is_refused(h2, handler, field, status, code):
    stream = h2.peer.ask([field if name == field[0] else (name, value) for name, value in GET])
    h2.flush()
    assert h2.peer.streams[stream].status == status
    assert (handler.refused[0].code, handler.exchanges) == (code, [])
    h2.peer.ask(GET)
    h2.flush()
    assert len(handler.exchanges) == 1


LARGE = {
    "101 fields": [(b"a%d" % at, b"b") for at in range(97)],
    "33 KiB in small fields": [(b"a%d" % at, b"b" * 700) for at in range(48)],
    "a field of 33 KiB": [(b"a", b"b" * 33 * 1024)],
}


@pytest.mark.parametrize("fields", LARGE.values(), ids=LARGE)
def test_a_head_that_is_too_large_is_431(h2, handler, fields):
    stream = h2.peer.ask([*GET, *fields])
    h2.flush()
    assert h2.peer.streams[stream].status == 431
    assert handler.exchanges == []
    assert not h2.is_ended


def test_an_hpack_bomb_ends_the_connection_before_it_is_unpacked(wire, handler):
    """Threat: one table entry of 4 KiB, and 16,000 references to it of one byte each."""
    encoder = Encoder()
    large = encoder.encode([*GET, (b"a", b"b" * 4000)], huffman=False)
    wire.send(raw(f.HEADERS, f.END_HEADERS | 1, 1, large))
    assert len(handler.exchanges) == 1
    wire.send(raw(f.HEADERS, f.END_HEADERS | 1, 3, f.block(GET) + b"\xbe" * 16000))
    assert wire.errors[0] == CALM
    assert len(handler.exchanges) == 1


# -- floods --------------------------------------------------------------------------------------------------------

CONTINUATIONS = raw(f.HEADERS, 1, 1, f.block(GET)) + b"".join(
    raw(f.CONTINUATION, 0, 1, b"") for _ in range(40)
)
FLOODS = {
    "PING": raw(f.PING, 0, 0, bytes(8)) * 1200,
    "answers to PING": raw(f.PING, f.ACK, 0, bytes(8)) * 1200,
    "SETTINGS": settings() * 1200,
    "SETTINGS, few and full": settings(*((99, 1),) * 2700) * 5,
    "PRIORITY": priority(0, 3) * 1200,
    "WINDOW_UPDATE": window(1) * 1200,
    "unknown frames": raw(0x77, 0, 0, b"") * 1200,
    "unknown frames, few and full": raw(0x77, 0, 0, bytes(16384)) * 5,
    "empty DATA": headers(POST, ends=False) + data() * 1200,
    "small DATA for a stream that is over": headers(POST, ends=False) + reset(1) + data(b"x") * 1200,
    "DATA of padding alone": headers(POST, ends=False)
    + raw(f.DATA, f.PADDED, 1, b"\xff" + bytes(255)) * 1200,
    "CONTINUATION, empty": CONTINUATIONS,
    "CONTINUATION, full": raw(f.HEADERS, 1, 1, f.block(GET)) + raw(f.CONTINUATION, 0, 1, bytes(16384)) * 5,
    "RST_STREAM on one stream": headers() + reset() * 1200,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_frames_that_carry_nothing_ends_the_connection(wire, flood):
    wire.send(*(flood[at : at + 65536] for at in range(0, len(flood), 65536)))
    assert wire.errors[0] == CALM
    assert wire.transport.has_ended_writing


def test_as_many_over_time_are_none(wire):
    for _ in range(12):
        wire.send(raw(f.PING, 0, 0, bytes(8)) * 100)
        wire.wait(2)
    assert wire.errors == (None, {})


def test_windows_that_are_opened_for_what_is_sent_are_no_flood(wire, handler):
    wire.send(window(1 << 30), headers())
    exchange = handler.exchanges[0]
    exchange.start(OK, [], None)
    for _ in range(3000):
        exchange.write(b"x" * 1024)
        wire.loop.settle()
        wire.send(window(1024, 1))
    assert wire.errors == (None, {})
    assert wire.bodies()[1] >= 3000 * 1024 - 65535


def test_two_hundred_resets_end_the_connection(wire, handler):
    """Threat: rapid reset, CVE-2023-44487."""
    for at in range(1, 501, 2):
        wire.send(headers(stream_id=at) + reset(at))
    assert wire.errors[0] == CALM
    assert len(handler.exchanges) <= 202
    assert all(responder.calls[-1] == "gone" for responder in handler.responders)


MADE = {
    "a window that overflows": lambda at: headers(POST, at, ends=False) + window(0x7FFFFFFF, at),
    "a body that is too long": lambda at: (
        headers((*POST, (b"content-length", b"1")), at, ends=False) + headers([(b"a", b"b")], at)
    ),
    "trailers that are malformed": lambda at: headers(POST, at, ends=False) + headers([(b"A", b"b")], at),
    "a head that is malformed": lambda at: headers([*GET, (b"A", b"b")], at),
    "DATA on a half-closed stream": lambda at: headers(POST, at) + data(b"x", at),
}


@pytest.mark.parametrize("attack", MADE.values(), ids=MADE)
def test_resets_that_a_client_makes_us_send_count(wire, handler, attack):
    """Threat: MadeYouReset, CVE-2025-8671."""
    for at in range(1, 501, 2):
        wire.send(attack(at))
    assert wire.errors[0] == CALM
    assert len(handler.exchanges) <= 202
    assert all(responder.calls[-1] == "gone" for responder in handler.responders)


def test_a_browser_that_leaves_a_page_now_and_then_is_no_attack(wire, handler):
    stream = 1
    for _ in range(10):
        for _ in range(60):
            wire.send(headers(stream_id=stream))
            stream += 2
        for exchange in handler.exchanges[-60:-30]:
            exchange.answer(OK, [], b"")
        wire.loop.settle()
        wire.send(b"".join(reset(at) for at in range(stream - 60, stream, 2)))
    assert wire.errors == (None, {})


def test_streams_beyond_what_may_be_open_end_the_connection(wire, handler):
    wire.send(b"".join(headers(POST, at, ends=False) for at in range(1, 201, 2)))
    assert (len(handler.exchanges), wire.errors) == (100, (None, {}))
    wire.send(headers(stream_id=201))
    assert wire.errors[0] == PROTOCOL
    assert len(handler.exchanges) == 100


# -- bodies --------------------------------------------------------------------------------------------------------


def test_a_body_comes_once_it_is_wanted(h2, handler):
    handler.wants = False
    stream = h2.peer.ask(POST, ends=False)
    h2.peer.send(stream, b"hello")
    h2.peer.send(stream, b" you", ends=True)
    h2.flush()
    exchange, responder = handler.exchanges[0], handler.responders[0]
    assert (exchange.head.chunked, exchange.head.content_length) == (True, None)
    assert responder.calls == []
    exchange.want_body()
    assert (responder.body, responder.calls[-1]) == (b"hello you", ("end", ()))


def test_a_body_pauses_and_goes_on(h2, handler):
    stream = h2.peer.ask([*POST, (b"content-length", b"6")], ends=False)
    h2.flush()
    exchange, responder = handler.exchanges[0], handler.responders[0]
    h2.peer.send(stream, b"ab")
    h2.flush()
    exchange.pause_body()
    exchange.pause_body()
    h2.peer.send(stream, b"cdef", ends=True)
    h2.flush()
    assert responder.body == b"ab"
    exchange.resume_body()
    assert (responder.body, responder.is_whole) == (b"abcdef", True)


def test_trailers_pass_but_what_may_not_come_late(h2, handler):
    stream = h2.peer.ask(POST, ends=False)
    h2.peer.send(stream, b"x")
    h2.peer.engine.send_headers(
        stream, [(b"checksum", b"1"), (b"user-id", b"root"), (b"content-length", b"1")], True
    )
    h2.flush()
    assert handler.responders[0].calls[-1] == ("end", (b"checksum: 1",))


def test_a_body_above_the_limit_is_413_and_nobody_else_is_hurt(h2, handler):
    stream, other = h2.peer.ask(POST, ends=False), h2.peer.ask(GET)
    h2.flush()
    handler.exchanges[0].limit_body(4)
    h2.peer.send(stream, b"hello")
    h2.flush()
    h2.loop.settle()
    h2.flush()
    assert h2.peer.streams[stream].status == 413
    assert handler.responders[0].calls[-1] == "gone"
    handler.exchanges[1].answer(OK, [], b"fine")
    h2.loop.settle()
    h2.flush()
    assert h2.peer.streams[other].body == b"fine"


def test_a_body_that_came_before_its_limit_was_known_is_measured_by_it(h2, handler):
    handler.wants = False
    stream = h2.peer.ask(POST, ends=False)
    h2.peer.send(stream, b"hello", ends=True)
    h2.flush()
    exchange, responder = handler.exchanges[0], handler.responders[0]
    exchange.limit_body(4)
    exchange.want_body()
    h2.loop.settle()
    h2.flush()
    assert h2.peer.streams[stream].status == 413
    assert (responder.body, responder.calls) == (b"", ["gone"])


def test_an_answer_before_the_body_is_whole_stops_the_body(h2, handler):
    stream = h2.peer.ask(POST, ends=False)
    h2.flush()
    handler.exchanges[0].answer(OK, [], b"enough")
    h2.loop.settle()
    h2.flush()
    got = h2.peer.streams[stream]
    assert (got.body, got.is_ended) == (b"enough", True)
    assert not h2.is_ended


def test_what_nobody_wants_stays_within_the_first_window(wire, handler):
    handler.wants = False
    wire.send(
        headers(POST, ends=False),
        data(bytes(16384)),
        data(bytes(16384)),
        data(bytes(16384)),
        data(bytes(16383)),
    )
    assert handler.exchanges[0].held_bytes == FIRST_WINDOW_BYTES
    assert [frame for frame in wire.frames if frame.type == f.WINDOW_UPDATE and frame.stream_id] == []
    wire.send(data(b"x"))
    assert wire.errors[0] == 3
    assert handler.exchanges[0].held_bytes == 0


def test_a_connection_holds_no_more_than_its_window(wire, handler):
    handler.wants = False
    streams = range(1, 101, 2)
    wire.send(b"".join(headers(POST, at, ends=False) for at in streams))
    sent = 0
    for at in streams:
        for _ in range(3):
            if wire.errors[0] is None:
                wire.send(data(bytes(16384), at))
                sent += 16384
    assert wire.errors[0] == 3
    assert sent <= CONNECTION_WINDOW_BYTES + 16384


def test_a_body_that_somebody_wants_gets_a_larger_window_and_it_is_opened_again(wire, handler):
    wire.send(headers(POST, ends=False))
    for _ in range(64):
        wire.send(data(bytes(16384)))
    assert len(handler.responders[0].body) == 64 * 16384
    opened = [
        frame.window_increment
        for frame in wire.frames
        if frame.type == f.WINDOW_UPDATE and frame.stream_id == 1
    ]
    assert opened[0] == STREAM_WINDOW_BYTES - FIRST_WINDOW_BYTES
    assert 64 * 16384 - sum(opened[1:]) <= STREAM_WINDOW_BYTES


def test_a_body_nobody_takes_holds_up_no_other(wire, handler):
    wire.send(headers(POST, ends=False), headers(POST, 3, ends=False))
    handler.exchanges[0].pause_body()
    for _ in range(16):
        wire.send(data(bytes(16384 - 1)))
    for _ in range(200):
        wire.send(data(bytes(16384), 3))
    assert (handler.responders[0].body, len(handler.responders[1].body)) == (b"", 200 * 16384)
    assert wire.errors == (None, {})


# -- answers that wait for their client ----------------------------------------------------------------------------


def test_streams_take_turns(wire, handler):
    wire.send(window(1 << 20), headers(), headers(stream_id=3))
    for exchange in handler.exchanges:
        exchange.start(OK, [], None)
        exchange.write(b"x" * 65535)
    wire.loop.settle()
    order = [frame.stream_id for frame in wire.frames if frame.type == f.DATA]
    assert order == [1, 3, 1, 3, 1, 3, 1, 3]


def test_a_stream_whose_window_is_shut_holds_up_no_other(wire, handler):
    wire.send(window(1 << 20), headers(), headers(stream_id=3))
    slow, fast = handler.exchanges
    slow.start(OK, [], None)
    slow.write(b"x" * 200_000)
    assert handler.responders[0].calls[-1] == "pause"
    wire.loop.settle()
    assert wire.bodies() == {1: 65535}
    fast.answer(OK, [], b"y" * 1000)
    wire.loop.settle()
    assert wire.bodies() == {1: 65535, 3: 1000}
    wire.send(window(1 << 20, 1))
    assert wire.bodies()[1] == 200_000
    assert handler.responders[0].calls[-1] == "resume"


def test_an_answer_larger_than_the_window_is_whole_in_the_end(h2, handler):
    stream = h2.peer.ask(GET)
    h2.flush()
    body = bytes(range(256)) * 4096
    handler.exchanges[0].answer(OK, [], body)
    for _ in range(10):
        h2.loop.settle()
        h2.flush()
    assert h2.peer.streams[stream].body == body
    assert h2.peer.streams[stream].is_ended


def test_a_client_that_reads_nothing_is_asked_nothing_more_and_given_up(wire, handler):
    wire.send(window(1 << 30), settings((4, 1 << 30)), headers())
    wire.transport.reads = False
    exchange = handler.exchanges[0]
    exchange.start(OK, [], None)
    for _ in range(8):
        exchange.write(b"x" * 65536)
        wire.loop.settle()
    assert "pause" in handler.responders[0].calls
    assert not wire.transport.is_reading_now
    assert len(wire.transport.unsent) < 4 * 65536
    wire.wait(SEND_STALL_S * 2 + 2)
    assert wire.transport.was_aborted
    assert handler.responders[0].calls[-1] == "gone"


def test_a_window_that_stays_shut_gives_the_stream_up(wire, handler):
    wire.send(settings((4, 0)), headers(), headers(POST, 3, ends=False))
    handler.exchanges[0].answer(OK, [], b"nobody takes this")
    wire.loop.settle()
    wire.wait(SEND_STALL_S + 2)
    assert wire.errors[1][1] == CANCEL
    assert handler.exchanges[0] in handler.ended
    assert wire.errors[0] is None


def held_back(wire: Wire) -> None:
    """Let the client take nothing: no window is open."""
    wire.send(settings((4, 0)))


def answered(wire: Wire, number: int, body: bytes) -> list:
    """So many more exchanges, each answered by this body at once."""
    exchanges, first = wire.listener.handler.exchanges, len(wire.listener.handler.exchanges)
    wire.send(*(headers(stream_id=2 * at + 1) for at in range(first, first + number)))
    for exchange in exchanges[first:]:
        exchange.answer(OK, [], body)
    wire.loop.settle()
    return exchanges[first:]


@pytest.mark.parametrize("is_streamed", [False, True], ids=["answer", "finish"])
def test_an_answer_that_is_made_and_not_taken_is_no_request_under_way(wire, handler, is_streamed):
    """Threat: a few connections whose windows stay shut would be all the requests there may be."""
    held_back(wire)
    wire.send(headers())
    (exchange,), capacity = handler.exchanges, wire.listener.capacity
    if is_streamed:
        exchange.start(OK, [], None)
        exchange.write(b"nobody takes this")
        wire.loop.settle()
        assert capacity.requests == 1
        exchange.finish()
    else:
        exchange.answer(OK, [], b"nobody takes this")
    wire.loop.settle()
    assert (capacity.requests, handler.ended) == (0, [])
    wire.send(window(100, 1))
    assert wire.bodies() == {1: len(b"nobody takes this")}
    assert (capacity.requests, handler.ended) == (0, [exchange])


def test_what_is_not_taken_yet_holds_a_drain_and_is_not_closed_as_idle(wire, handler):
    held_back(wire)
    (exchange,) = answered(wire, 1, b"whole")
    assert (wire.connection.is_idle, list(wire.connection.under_way())) == (False, [exchange])
    wire.loop.run(wire.connection.drain)
    wire.wait(3)
    wire.loop.run(wire.connection.close_idle)
    assert not wire.transport.has_ended_writing
    wire.send(window(100, 1))
    assert wire.bodies() == {1: 5}
    assert wire.transport.has_ended_writing


def test_an_answer_that_a_client_who_reads_nothing_waits_for_is_no_request_under_way(wire, handler):
    wire.send(window(1 << 30), settings((4, 1 << 30)))
    wire.transport.reads = False
    last = answered(wire, 8, b"x" * 65536)[-1]
    assert wire.transport.unsent
    assert (last.is_closed, wire.listener.capacity.requests) == (False, 0)


def test_a_refused_websocket_that_is_not_taken_is_no_connection(wire, handler):
    held_back(wire)
    wire.send(headers(CONNECT, flags=f.END_HEADERS))
    assert wire.listener.capacity.connections == 2
    handler.exchanges[0].answer(b"HTTP/1.1 403 Forbidden", [], b"no")
    wire.loop.settle()
    assert (wire.listener.capacity.connections, wire.listener.capacity.requests) == (1, 0)


def test_a_connection_holds_so_much_of_answers_and_of_the_others_the_places_stay_taken(wire, handler):
    held_back(wire)
    body = b"x" * (ANSWERED_BYTES // 8)
    answered(wire, 6, body)
    assert wire.listener.capacity.requests == 0
    exchanges = answered(wire, 6, body)
    assert wire.listener.capacity.requests == 4
    held = [one for one in wire.listener.handler.exchanges if one.place is None]
    assert sum(one.outbox_bytes for one in held) == ANSWERED_BYTES
    wire.send(window(len(body), exchanges[0].stream_id))
    assert wire.listener.capacity.requests == 4
    wire.transport.lose()
    assert wire.listener.capacity.requests == 0


def test_who_lets_many_streams_wait_until_they_are_given_up_is_sent_away(wire, handler):
    held_back(wire)
    answered(wire, 100, b"nobody takes this")
    wire.wait(SEND_STALL_S + 2)
    assert wire.errors[0] == CALM
    assert wire.transport.has_ended_writing
    assert len(handler.ended) == 100


def test_who_lets_a_few_wait_goes_on(wire, handler):
    held_back(wire)
    answered(wire, 10, b"nobody takes this")
    wire.wait(SEND_STALL_S + 2)
    assert wire.errors == (None, dict.fromkeys(range(1, 20, 2), CANCEL))


def test_memory_of_a_paused_answer_is_what_was_written(wire, handler):
    wire.send(headers())
    exchange = handler.exchanges[0]
    exchange.start(OK, [], None)
    while handler.responders[0].calls[-1] != "pause":
        exchange.write(b"x" * 1000)
    assert exchange.outbox_bytes <= OUTBOX_HIGH_BYTES + 1000


# -- WebSocket (RFC 8441) ------------------------------------------------------------------------------------------


def test_connect_is_announced(wire):
    first = next(frame for frame in wire.frames if frame.type == f.SETTINGS)
    assert first.settings[8] == 1
    assert first.settings[3] == 100


def test_a_websocket_is_a_get_with_an_upgrade_to_whoever_answers(h2, handler):
    stream = h2.peer.ask(CONNECT, ends=False)
    h2.peer.send(stream, b"early")
    h2.flush()
    exchange, responder = handler.exchanges[0], handler.responders[0]
    head = exchange.head
    assert (head.method, head.target.full, head.upgrade, head.has_body) == (
        b"GET",
        b"/ws",
        b"websocket",
        False,
    )
    assert len(head.value(b"sec-websocket-key")) == 24
    exchange.want_body()
    assert responder.body == b""
    exchange.upgrade(
        b"HTTP/1.1 101 Switching Protocols", [b"Upgrade: websocket", b"Sec-WebSocket-Accept: x", b"A: b"]
    )
    exchange.write(b"from the backend")
    h2.loop.settle()
    h2.flush()
    got = h2.peer.streams[stream]
    assert (got.fields, got.body) == ([(b":status", b"200"), (b"a", b"b")], b"from the backend")
    assert responder.body == b"early"
    assert exchange.lasts
    h2.peer.send(stream, b" and late", ends=True)
    h2.flush()
    assert (responder.body, responder.calls[-1]) == (b"early and late", ("end", ()))
    exchange.close_tunnel()
    h2.loop.settle()
    h2.flush()
    assert got.is_ended


def test_the_key_is_another_each_time_and_never_the_clients(h2, handler):
    for _ in range(2):
        h2.peer.ask([*CONNECT, (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")], ends=False)
    h2.flush()
    first, second = (exchange.head.value(b"sec-websocket-key") for exchange in handler.exchanges)
    assert len({first, second, b"dGhlIHNhbXBsZSBub25jZQ=="}) == 3


def test_an_answer_that_is_no_websocket_is_never_taken_for_one(h2, handler):
    """Threat: over HTTP/2 every 2xx opens the tunnel; a backend that didn't upgrade must not."""
    streams = [
        h2.peer.ask(CONNECT, ends=False),
        h2.peer.ask(CONNECT, ends=False),
        h2.peer.ask(CONNECT, ends=False),
    ]
    h2.flush()
    handler.exchanges[0].answer(OK, [], b"a page")
    handler.exchanges[1].start(OK, [], None)
    handler.exchanges[1].write(b"a stream")
    handler.exchanges[2].answer(b"HTTP/1.1 403 Forbidden", [], b"no")
    h2.loop.settle()
    h2.flush()
    assert [h2.peer.streams[one].status for one in streams] == [502, 502, 403]
    assert all(h2.peer.streams[one].is_ended for one in streams)
    assert handler.responders[1].calls[-1] == "gone"


def test_cut_ends_a_tunnel_and_nothing_else(h2, handler):
    stream, other = h2.peer.ask(CONNECT, ends=False), h2.peer.ask(GET)
    h2.flush()
    handler.exchanges[0].upgrade(b"HTTP/1.1 101 Switching Protocols", [])
    h2.loop.settle()
    h2.flush()
    handler.exchanges[0].cut()
    handler.exchanges[1].answer(OK, [], b"fine")
    h2.loop.settle()
    h2.flush()
    assert h2.peer.streams[stream].reset == CANCEL
    assert h2.peer.streams[other].body == b"fine"
    assert handler.responders[0].calls[-1] == "gone"


def test_cut_ends_an_event_stream_as_streams_end(h2, handler):
    stream = h2.peer.ask(GET)
    h2.flush()
    handler.exchanges[0].start(OK, [b"Content-Type: text/event-stream"], None)
    handler.exchanges[0].write(b"data: 1\n\n")
    handler.exchanges[0].cut()
    h2.loop.settle()
    h2.flush()
    got = h2.peer.streams[stream]
    assert (got.body, got.is_ended, got.reset) == (b"data: 1\n\n", True, None)


def test_another_protocol_than_websocket_is_not_spoken(h2, handler):
    stream = h2.peer.ask(
        [(name, b"connect-udp" if name == b":protocol" else value) for name, value in CONNECT]
    )
    h2.flush()
    assert h2.peer.streams[stream].status == 405
    assert handler.exchanges == []


# -- deadlines -----------------------------------------------------------------------------------------------------


def test_a_client_that_doesnt_begin_is_given_up(loop, listener):
    connection = H2Connection(listener)
    transport = loop.connect(connection)
    transport.receive(PREFACE[:10])
    for _ in range(int(HEAD_DEADLINE_S) + 2):
        loop.advance(1)
        loop.run(listener.sweep, loop.time())
    assert transport.has_ended_writing
    assert errors_of(transport.written)[0] == NO_ERROR


def test_a_header_block_that_takes_too_long_ends_the_connection(wire):
    wire.send(raw(f.HEADERS, 1, 1, f.block(GET)))
    wire.wait(HEAD_DEADLINE_S + 2)
    assert wire.errors[0] == CALM


def test_a_frame_of_a_head_that_trickles_in_ends_the_connection(wire):
    wire.send(headers()[:12])
    wire.wait(HEAD_DEADLINE_S + 2)
    assert wire.errors[0] == CALM


def test_an_idle_connection_is_closed_and_a_busy_one_isnt(loop, listener, handler):
    idle, busy = Wire(loop, listener), Wire(loop, listener)
    busy.send(headers())
    idle.wait(IDLE_DEADLINE_S + 2)
    assert idle.errors[0] == NO_ERROR
    assert idle.transport.has_ended_writing
    assert busy.errors[0] is None
    handler.exchanges[0].answer(OK, [], b"")
    loop.settle()
    busy.wait(IDLE_DEADLINE_S + 2)
    assert busy.errors[0] == NO_ERROR


def test_pings_keep_nothing_alive(wire):
    for _ in range(4):
        wire.send(raw(f.PING, 0, 0, bytes(8)))
        wire.wait(IDLE_DEADLINE_S / 4 + 1)
    assert wire.errors[0] == NO_ERROR


def test_a_body_that_stops_is_408_and_the_connection_goes_on(wire, handler):
    wire.send(headers(POST, ends=False), data(b"x"))
    wire.wait(40)
    assert handler.responders[0].calls[-1] == "gone"
    assert handler.refused[0].status == 408
    assert wire.errors[0] is None
    wire.send(headers(stream_id=3))
    assert len(handler.exchanges) == 2


def test_two_sides_that_talk_may_be_silent(wire, handler):
    """As by gRPC: the answer has begun, and the body goes on when there is something to say."""
    wire.send(headers(POST, ends=False), data(b"x"))
    handler.exchanges[0].start(OK, [b"Content-Type: application/grpc"], None)
    wire.loop.settle()
    wire.wait(200)
    wire.send(data(b"y"))
    assert handler.responders[0].body == b"xy"
    assert wire.errors == (None, {})


def test_a_call_may_be_silent_before_its_answer_begins_too(wire, handler):
    wire.send(headers(POST, ends=False), data(b"x"))
    handler.exchanges[0].talks = True
    wire.wait(200)
    wire.send(data(b"y"))
    assert handler.responders[0].body == b"xy"
    assert wire.errors == (None, {})


def test_a_body_that_nobody_wants_yet_may_wait(wire, handler):
    handler.wants = False
    wire.send(headers(POST, ends=False), data(b"x"))
    wire.wait(200)
    assert handler.refused == []
    assert wire.errors == (None, {})


# -- the end -------------------------------------------------------------------------------------------------------


def goaways(wire: Wire) -> list[int]:
    return [frame.last_stream_id for frame in wire.frames if frame.type == f.GOAWAY]


def test_a_drain_serves_what_is_under_way_and_on_its_way(wire, handler):
    wire.send(headers())
    wire.loop.run(wire.connection.drain)
    assert goaways(wire) == [0x7FFFFFFF]
    wire.send(headers(stream_id=3))
    ping = next(frame for frame in wire.frames if frame.type == f.PING)
    wire.send(raw(f.PING, f.ACK, 0, ping.opaque_data))
    assert goaways(wire) == [0x7FFFFFFF, 3]
    wire.send(headers(stream_id=5))
    assert wire.errors[1] == {5: 7}
    assert len(handler.exchanges) == 2
    for exchange in handler.exchanges:
        assert not wire.transport.has_ended_writing
        exchange.answer(OK, [], b"whole")
        wire.loop.settle()
    assert wire.bodies() == {1: 5, 3: 5}
    assert wire.transport.has_ended_writing


def test_whoever_answers_is_told_of_a_drain(wire, handler):
    wire.send(headers(CONNECT, flags=f.END_HEADERS), headers(stream_id=3))
    wire.loop.run(wire.connection.drain)
    assert [responder.calls.count("drain") for responder in handler.responders] == [1, 1]


def test_a_drain_waits_no_longer_than_a_moment_for_who_answers_no_ping(wire):
    wire.loop.run(wire.connection.drain)
    wire.wait(3)
    assert goaways(wire)[:2] == [0x7FFFFFFF, 0]
    assert wire.transport.has_ended_writing


def test_who_comes_while_the_program_goes_is_served_once_and_told_to_ask_elsewhere(wire, handler):
    """Its handshake had begun before."""
    wire.connection.listener.draining = True
    late = Wire(wire.loop, wire.connection.listener)
    late.send(headers())
    assert goaways(late) == [0x7FFFFFFF]
    ping = next(frame for frame in late.frames if frame.type == f.PING)
    late.send(raw(f.PING, f.ACK, 0, ping.opaque_data))
    handler.exchanges[0].answer(OK, [], b"whole")
    late.loop.settle()
    assert late.bodies() == {1: 5}
    assert late.transport.has_ended_writing


def test_a_clients_goaway_ends_nothing_that_is_under_way(wire, handler):
    wire.send(headers(), raw(f.GOAWAY, 0, 0, bytes(8)))
    assert not wire.transport.has_ended_writing
    handler.exchanges[0].answer(OK, [], b"whole")
    wire.loop.settle()
    assert wire.bodies() == {1: 5}
    assert wire.transport.has_ended_writing


def test_what_comes_after_the_end_is_read_past_for_a_while_only(wire, handler):
    wire.send(data(b"x", 0))
    assert wire.errors[0] == PROTOCOL
    wire.send(headers())
    assert handler.exchanges == []
    wire.wait(4)
    assert wire.transport.is_closed


def test_who_goes_on_after_the_end_is_cut_off(wire):
    wire.send(data(b"x", 0))
    assert wire.errors[0] == PROTOCOL
    for _ in range(LINGER_LIMIT_BYTES // 16_000):
        wire.send(data(bytes(16_000)))
    assert not wire.transport.was_aborted
    wire.send(data(bytes(16_000)), data(bytes(16_000)))
    assert wire.transport.was_aborted


# -- room ----------------------------------------------------------------------------------------------------------


def test_a_request_beyond_what_can_be_carried_is_503(loop, listener, handler):
    listener.capacity = Capacity(requests=1)
    h2 = H2Client(loop, listener)
    first, second = h2.peer.ask(GET), h2.peer.ask(GET)
    h2.flush()
    got = h2.peer.streams[second]
    assert (got.status, dict(got.fields)[b"retry-after"]) == (503, b"2")
    handler.exchanges[0].answer(OK, [], b"")
    loop.settle()
    h2.flush()
    assert h2.peer.streams[first].status == 200
    assert listener.capacity.requests == 0


def test_a_websocket_is_no_request_under_way_and_takes_the_place_of_a_connection(loop, listener, handler):
    listener.capacity = capacity = Capacity(connections=2, requests=1)
    h2 = H2Client(loop, listener)
    tunnel = h2.peer.ask(CONNECT, ends=False)
    h2.flush()
    assert (capacity.connections, capacity.requests) == (2, 1)
    handler.exchanges[0].upgrade(b"HTTP/1.1 101 Switching Protocols", [b"Upgrade: websocket"])
    assert (capacity.connections, capacity.requests) == (2, 0)
    again, other = h2.peer.ask(CONNECT, ends=False), h2.peer.ask(GET)
    h2.flush()
    assert h2.peer.streams[again].status == 503
    handler.exchanges[1].answer(OK, [], b"")
    loop.settle()
    h2.flush()
    assert (h2.peer.streams[tunnel].status, h2.peer.streams[other].status) == (200, 200)
    handler.exchanges[0].close_tunnel()
    h2.peer.send(tunnel, b"", ends=True)
    loop.settle()
    h2.flush()
    assert (capacity.connections, capacity.requests, capacity.refused) == (1, 0, 1)


def test_a_connection_beyond_what_there_may_be_is_sent_away(loop, listener):
    listener.capacity = Capacity(connections=1)
    Wire(loop, listener).send(headers())
    second = Wire(loop, listener)
    assert errors_of(second.transport.written)[0] == CALM


def test_the_handlers_refusal_is_the_answer(h2, handler):
    stream = h2.peer.ask([*GET[:2], (b":path", b"/a%zz"), *GET[3:]])
    h2.flush()
    assert isinstance(handler.refused[0], BadRequest)
    assert h2.peer.streams[stream].body == b"no"
