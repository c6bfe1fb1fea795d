"""One exchange to a backend and back: never half for whole, never twice, never out of step."""

from __future__ import annotations

import base64
import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.messages import UnreadableError, read_answers, read_requests, untraced
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.plane import Plane, ok, request

GET = request(b"/public/a")
POST = request(b"/public/b", method=b"POST", body=b"hello")
CHUNKED = request(b"/public/c", b"Transfer-Encoding: chunked", method=b"POST")


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop)


def silent(plane: Plane) -> None:
    plane.backend.answers = lambda _: None


# -- both ways ---------------------------------------------------------------------------------------------------


def test_a_request_goes_out_and_its_answer_comes_back(plane):
    answer = plane.exchange(GET)
    assert (answer.status, answer.body) == (200, b"from /public/a")
    assert plane.backend.request.first == b"GET /public/a HTTP/1.1"
    assert plane.backend.request.values(b"host") == [b"app.example"]


def test_both_connections_are_used_again(plane):
    client = plane.client()
    for _ in range(4):
        client.send(GET)
        plane.backend.look()
    assert [answer.status for answer in client.answers()] == [200] * 4
    assert len(plane.backend.connections) == 1


def test_a_body_goes_out_with_its_length(plane):
    plane.exchange(POST)
    assert plane.backend.request.body == b"hello"
    assert plane.backend.request.values(b"content-length") == [b"5"]


def test_an_empty_body_is_told(plane):
    plane.exchange(request(b"/public", method=b"POST", body=b""))
    assert plane.backend.request.values(b"content-length") == [b"0"]


def test_a_chunked_body_goes_out_chunked_with_its_trailers(plane):
    plane.exchange(CHUNKED + b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nChecksum: 1\r\nUser-Id: 7\r\n\r\n")
    got = plane.backend.request
    assert (got.body, got.trailers) == (b"hello!", [(b"Checksum", b"1")])
    assert got.values(b"transfer-encoding") == [b"chunked"]


def test_a_body_streams_before_it_is_whole(plane, loop):
    client = plane.client().send(POST[:-3])
    assert plane.backend.got.endswith(b"he")
    client.send(b"llo")
    plane.backend.look()
    assert client.answer().status == 200


def test_an_answer_streams_before_it_is_whole(plane):
    plane.backend.answers = lambda _: b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    client = plane.client().send(GET)
    plane.backend.look()
    client.transport.clear()
    plane.backend.last.receive(b"data: 1\n\n")
    assert client.transport.clear() == b"9\r\ndata: 1\n\n\r\n"
    plane.backend.last.end()
    assert client.transport.clear() == b"0\r\n\r\n"
    assert not client.is_ended


def test_head_204_and_304_carry_no_body(plane):
    plane.backend.answers = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"
    answer = plane.get(b"/public", method=b"HEAD")
    assert answer.values(b"content-length") == [b"42"]
    plane.backend.answers = lambda _: b"HTTP/1.1 204 No Content\r\n\r\n"
    assert plane.exchange(GET).values(b"content-length") == []
    plane.backend.answers = lambda _: b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 42\r\n\r\n'
    answer = plane.exchange(GET)
    assert (answer.value(b"etag"), answer.values(b"content-length")) == (b'"1"', [])
    assert len(plane.backend.connections) == 1


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 2\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"]
)
def test_a_head_request_with_a_body_is_answered_without_one_and_the_next_is_served(plane, framing):
    plane.backend.answers = lambda request: (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" if request.first.startswith(b"HEAD") else ok(b"next")
    )
    client = plane.client()
    client.send(b"HEAD /public HTTP/1.1\r\nHost: app.example\r\n" + framing)
    plane.backend.look()
    client.send(GET)
    plane.backend.look()
    assert [(answer.status, answer.body) for answer in client.answers(b"HEAD", b"GET")] == [
        (200, b""),
        (200, b"next"),
    ]


def test_trailers_of_an_answer_come_through(plane):
    plane.backend.answers = lambda _: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nChecksum: 1\r\n\r\n"
    )
    answer = plane.exchange(GET)
    assert (answer.body, answer.trailers) == (b"hi", [(b"Checksum", b"1")])


def test_a_client_of_http_1_0_gets_an_answer_that_ends_with_the_connection(plane):
    plane.backend.answers = lambda _: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    )
    answer = plane.exchange(GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (answer.body, answer.value(b"connection")) == (b"hi", b"close")
    assert plane.backend.request.first.endswith(b" HTTP/1.1")


def test_hop_by_hop_fields_stay_on_their_hop(plane):
    plane.backend.answers = lambda _: ok(
        b"x",
        b"Connection: keep-alive, X-Hop",
        b"Keep-Alive: timeout=5",
        b"X-Hop: 1",
        b"Proxy-Authenticate: Basic",
        b"Upgrade: h2c",
        b"X-End: 2",
    )
    answer = plane.get(
        b"/public",
        b"Connection: close, X-Mine",
        b"X-Mine: 1",
        b"Keep-Alive: 5",
        b"TE: trailers",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authorization: Basic eDp5",
        b"X-End: 3",
    )
    sent = {name.lower() for name, _ in plane.backend.request.fields}
    hop = {
        b"connection",
        b"keep-alive",
        b"te",
        b"proxy-connection",
        b"proxy-authorization",
        b"x-mine",
        b"upgrade",
    }
    assert sent & hop == set()
    assert plane.backend.request.value(b"x-end") == b"3"
    came = {name.lower() for name, _ in answer.fields}
    assert came & {b"keep-alive", b"x-hop", b"proxy-authenticate", b"upgrade"} == set()
    assert answer.value(b"x-end") == b"2"
    assert answer.value(b"connection") == b"close"


SET = b"HTTP/1.1 %b\r\nSet-Cookie: __Host-vestibule=evil; Path=/\r\nset-cookie: VESTIBULE-80=evil\r\nSet-Cookie: own=1\r\n"


@pytest.mark.parametrize(
    "end", [b"Content-Length: 2\r\n\r\nhi", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"]
)
def test_a_backend_never_sets_the_gateways_cookies(plane, end):
    plane.backend.answers = lambda _: SET % b"200 OK" + end
    answer = plane.exchange(GET)
    assert answer.values(b"set-cookie") == [b"own=1"]
    assert answer.body == b"hi"


def test_nor_in_an_interim_answer_nor_in_trailers(plane):
    plane.backend.answers = lambda _: (
        SET % b"103 Early Hints"
        + b"\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nSet-Cookie: __Host-vestibule=evil\r\n\r\n"
    )
    client = plane.client().send(GET)
    plane.backend.look()
    assert b"evil" not in client.transport.written


# -- 1xx ---------------------------------------------------------------------------------------------------------


def test_expect_100_continue_is_the_backends_to_answer(plane):
    plane.backend.answers = lambda _: ok(b"done")
    client = plane.client().send(
        request(b"/public", b"Expect: 100-Continue", b"Content-Length: 5", method=b"PUT")
    )
    assert b"Expect: 100-continue\r\n" in plane.backend.got
    plane.backend.last.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.answer().status == 100
    client.send(b"hello")
    plane.backend.look()
    assert client.answer().body == b"done"


def test_a_refused_expectation_ends_the_connection(plane):
    silent(plane)
    client = plane.client().send(
        request(b"/public", b"Expect: 100-continue", b"Content-Length: 5", method=b"PUT")
    )
    plane.backend.last.receive(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
    assert client.answer().value(b"connection") == b"close"
    assert client.is_ended
    assert plane.backend.last.is_closed
    client.send(GET)
    assert len(plane.backend.connections) == 1


def test_an_expectation_without_a_body_is_not_passed_on(plane):
    plane.get(b"/public", b"Expect: 100-continue")
    assert plane.backend.request.values(b"expect") == []


# -- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [GET, POST, POST[:-2], CHUNKED + b"5\r\nhel"], ids=["get", "post", "half", "chunked"]
)
def test_a_client_that_leaves_stops_the_request_at_the_backend(plane, data):
    silent(plane)
    client = plane.client().send(data)
    assert len(plane.backend.open) == 1
    client.transport.lose()
    assert plane.backend.open == []


def test_a_client_that_leaves_within_the_answer_stops_the_backend(plane):
    plane.backend.answers = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    client = plane.client().send(GET)
    plane.backend.look()
    client.transport.lose()
    assert plane.backend.open == []


def test_a_client_that_leaves_while_a_connection_is_made_leaves_it_for_the_next(plane, loop):
    plane.backend.is_silent = True
    plane.client().send(GET).transport.lose()
    loop.run(plane.backend.gate.set_result, None)
    assert (len(plane.backend.open), plane.backend.got) == (1, b"")
    plane.exchange(GET)
    assert len(plane.backend.connections) == 1


def test_a_client_that_leaves_while_no_connection_can_be_made_costs_nothing(plane, loop):
    plane.backend.is_silent = True
    plane.client().send(GET).transport.lose()
    loop.advance(10)
    assert plane.backend.connections == []
    assert [record.status for record in plane.traffic.ring] == [0]


def test_a_second_answer_behind_the_first_is_nobodys(plane):
    """Threat: response queue poisoning."""
    plane.backend.answers = lambda got: ok(b"own") + ok(b"evil")
    for _ in range(3):
        assert plane.exchange(GET).body == b"own"
    assert len(plane.backend.connections) == 3


def test_more_than_was_announced_in_a_second_piece_is_cut(plane):
    plane.backend.answers = lambda got: b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"
    client = plane.client().send(GET)
    plane.backend.look()
    plane.backend.last.receive(b"cdEVIL")
    assert client.answer().body == b"abcd"
    assert plane.backend.open == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
    ids=["length", "chunked", "broken chunk"],
)
def test_a_backend_that_dies_mid_answer_closes_the_clients_connection(plane, answer):
    plane.backend.answers = lambda _: answer
    client = plane.client().send(GET)
    plane.backend.look()
    plane.backend.last.end()
    assert client.transport.was_aborted
    with pytest.raises(UnreadableError):
        client.answers()


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half a head"])
def test_a_backend_that_dies_before_its_answer_is_502_on_a_fresh_connection(plane, part):
    silent(plane)
    client = plane.client().send(GET)
    if part:
        plane.backend.last.receive(part)
    plane.backend.last.end()
    answer = client.answer()
    assert (answer.status, answer.value(b"code")) == (502, b"backend_broke_off")
    assert not client.is_ended
    assert len(plane.backend.connections) == 1


def test_a_backend_that_refuses_is_502(plane):
    plane.backend.refuses = True
    assert plane.exchange(GET).status == 502


def test_a_backend_that_is_silent_is_504(plane, loop):
    silent(plane)
    client = plane.client().send(GET)
    for _ in range(62):
        loop.advance(1)
        loop.run(plane.pools.sweep, loop.time())
        loop.run(plane.listener.sweep, loop.time())
    assert client.answer().status == 504


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\nContent-Length: 0\r\n\r\n",
        b"garbage\r\n\r\n",
    ],
    ids=["two lengths", "bare LF", "garbage"],
)
def test_an_answer_that_can_be_read_in_two_ways_is_502(plane, answer):
    plane.backend.answers = lambda _: answer
    assert plane.exchange(GET).value(b"code") == b"bad_answer"
    assert plane.backend.open == []


# -- once, or safely twice ---------------------------------------------------------------------------------------


def used(plane: Plane, data: bytes):
    """A connection that has served before gets this request, and dies without a byte."""
    plane.exchange(GET)
    plane.backend.requests.clear()
    first = plane.backend.last
    silent(plane)
    client = plane.client().send(data)
    plane.backend.answers = lambda _: ok(b"again")
    first.end()
    plane.backend.look()
    return client


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"PUT"])
def test_an_idempotent_request_is_sent_again_when_a_used_connection_dies(plane, method):
    client = used(plane, request(b"/public/x", method=method))
    assert client.answer(method).status == 200
    assert len(plane.backend.connections) == 2


@pytest.mark.parametrize(
    "data",
    [
        request(b"/public/x", method=b"POST", body=b""),
        request(b"/public/x", method=b"PATCH", body=b""),
        request(b"/public/x", method=b"PUT", body=b"hello"),
        request(b"/public/x", b"Content-Length: 5", method=b"PUT"),
        request(b"/public/x", b"Transfer-Encoding: chunked", method=b"PUT"),
    ],
    ids=["POST", "PATCH", "PUT with its body", "PUT before its body", "PUT chunked"],
)
def test_what_may_have_been_done_is_never_sent_again(plane, data):
    client = used(plane, data)
    assert client.answer().status == 502
    assert len(plane.backend.connections) == 1


def test_a_request_is_not_sent_a_third_time(plane):
    plane.exchange(GET)
    silent(plane)
    client = plane.client().send(GET)
    plane.backend.connections[0].end()
    plane.backend.connections[1].end()
    assert client.answer().status == 502
    assert len(plane.backend.connections) == 2


def test_after_a_byte_of_an_answer_nothing_is_sent_again(plane):
    plane.exchange(GET)
    silent(plane)
    client = plane.client().send(GET)
    plane.backend.last.receive(b"HTTP/1.1 200")
    plane.backend.last.end()
    assert client.answer().status == 502
    assert len(plane.backend.connections) == 1


# -- out of step -------------------------------------------------------------------------------------------------


def test_an_early_answer_leaves_no_connection_behind(plane):
    """Threat: the rest of the body is read as the next client's request, its answer as theirs."""
    silent(plane)
    client = plane.client().send(POST[:-3])
    plane.backend.last.receive(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert client.answer().value(b"connection") == b"close"
    assert plane.backend.open == []
    client.send(GET)
    plane.backend.answers = lambda _: ok(b"clean")
    assert plane.exchange(GET).body == b"clean"
    assert len(plane.backend.connections) == 2


def test_an_answer_nobody_asked_for_is_nobodys(plane):
    plane.exchange(GET)
    plane.backend.last.receive(ok(b"evil"))
    assert plane.exchange(GET).body == b"from /public/a"
    assert len(plane.backend.connections) == 2


@pytest.mark.parametrize(
    "data",
    [
        POST.replace(b"5", b"44") + GET,
        CHUNKED + b"0\r\n\r\n" + GET,
        CHUNKED + b"zz\r\n\r\n" + GET,
        POST[:-1] + b"G" + GET[1:],
        request(b"/public", b"Content-Length: 0") + GET,
        request(b"/public", b"Content-Length: 3")
        + b"abc"
        + b"GET /admin HTTP/1.1\r\nHost: app.example\r\n\r\n",
    ],
    ids=[
        "hidden in a body",
        "behind the last chunk",
        "behind a bad chunk",
        "half eaten",
        "length 0",
        "GET with body",
    ],
)
def test_a_clean_request_after_an_attack_gets_its_own_answer(plane, data):
    client = plane.client().send(data)
    plane.backend.look()
    client.transport.lose()
    canary = plane.exchange(request(b"/public/canary"))
    assert canary.body == b"from /public/canary"
    assert [got.target for got in plane.backend.requests].count(b"/public/canary") == 1
    assert b"/admin" not in b"".join(got.target for got in plane.backend.requests)


# -- back-pressure -----------------------------------------------------------------------------------------------


def test_a_slow_client_slows_the_backend(plane):
    plane.backend.answers = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    client = plane.client().send(GET)
    client.transport.reads = False
    plane.backend.look()
    for _ in range(10):
        plane.backend.last.receive(bytes(100_000))
    assert len(client.transport.unsent) <= 300_000
    while not client.is_ended and len(client.transport.written) < 1_000_000:
        assert client.transport.unsent, "stuck"
        client.transport.take(50_000)
    client.transport.take()
    assert len(client.answer().body) == 1_000_000


def test_a_slow_backend_slows_the_client(plane, loop):
    silent(plane)
    client = plane.client().send(request(b"/public", b"Content-Length: 1000000", method=b"POST"))
    backend = plane.backend.last
    backend.reads = False
    for _ in range(10):
        client.send(bytes(100_000))
    assert len(backend.unsent) <= 300_000
    total = 0
    while total < 1_000_000:
        taken = len(backend.take(50_000))
        assert taken, "stuck"
        total += taken
    assert read_requests(backend.written)[0].body == bytes(1_000_000)


def test_a_body_that_waited_for_the_connection_does_not_fill_the_memory(plane, loop):
    plane.backend.is_silent = True
    client = plane.client().send(request(b"/public", b"Content-Length: 1000000", method=b"POST"))
    for _ in range(10):
        client.send(bytes(100_000))
    assert not client.transport.is_reading()
    assert len(client.connection._buffer) <= 200_000


# -- WebSocket ---------------------------------------------------------------------------------------------------

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
HANDSHAKE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\n\r\n"
)


def test_a_websocket_is_a_tunnel_both_ways(plane):
    plane.backend.answers = lambda _: SWITCH + b"\x81\x02hi"
    client = plane.client().send(request(b"/public", *HANDSHAKE))
    plane.backend.look()
    answer = client.answer()
    assert (answer.status, answer.body) == (101, b"\x81\x02hi")
    assert plane.backend.request.values(b"upgrade") == [b"websocket"]
    plane.backend.last.clear()
    client.send(b"\x82\x00" + GET)
    assert plane.backend.last.clear() == b"\x82\x00" + GET
    client.transport.end()
    assert plane.backend.last.has_ended_writing
    plane.backend.last.end()
    assert client.is_ended
    assert plane.backend.open == []


@pytest.mark.parametrize(
    "switch",
    [
        SWITCH.replace(ACCEPT, b"x" * 28),
        SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        SWITCH.replace(b"Connection: Upgrade\r\n", b""),
        SWITCH.replace(b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n", b""),
    ],
    ids=["wrong accept", "another protocol", "no Connection", "no accept"],
)
def test_a_switch_that_is_none_is_502(plane, switch):
    plane.backend.answers = lambda _: switch + b"raw"
    client = plane.client().send(request(b"/public", *HANDSHAKE))
    plane.backend.look()
    assert client.answer().status == 502
    assert plane.backend.open == []


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        ),
    ],
    ids=["nothing asked", "h2c asked"],
)
def test_a_switch_nobody_asked_for_is_502(plane, lines):
    plane.backend.answers = lambda _: SWITCH
    assert plane.get(b"/public", *lines).status == 502
    assert plane.backend.open == []


@pytest.mark.parametrize("upgrade", [b"h2c", b"h2c, websocket", b"TLS/1.0", b"websocket, h2c"])
def test_nothing_but_websocket_is_upgraded(plane, upgrade):
    answer = plane.get(
        b"/public", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + upgrade, b"HTTP2-Settings: AAA"
    )
    assert answer.status == 200
    names = {name.lower() for name, _ in plane.backend.request.fields}
    assert names & {b"upgrade", b"connection", b"http2-settings"} == set()


def test_a_refused_handshake_is_an_answer_as_any(plane):
    plane.backend.answers = lambda _: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    client = plane.client().send(request(b"/public", *HANDSHAKE))
    plane.backend.look()
    assert client.answer().body == b"no"
    client.send(GET)
    plane.backend.look()
    assert client.answer().status == 403


@pytest.mark.parametrize("side", ["client", "backend"])
def test_a_tunnel_that_breaks_on_one_side_ends_on_the_other(plane, side):
    plane.backend.answers = lambda _: SWITCH
    client = plane.client().send(request(b"/public", *HANDSHAKE))
    plane.backend.look()
    (client.transport if side == "client" else plane.backend.last).lose(ConnectionResetError())
    assert client.is_ended
    assert plane.backend.open == []


# -- the program goes --------------------------------------------------------------------------------------------

BYE = b"\x88\x02\x03\xe9"


def websocket(plane):
    plane.backend.answers = lambda _: SWITCH
    client = plane.client().send(request(b"/public", *HANDSHAKE))
    plane.backend.look()
    client.transport.clear()
    plane.backend.last.clear()
    return client


def test_both_sides_of_a_websocket_are_told_that_the_program_goes(plane, loop):
    client = websocket(plane)
    loop.run(client.connection.drain)
    assert client.transport.clear() == BYE
    told = plane.backend.last.clear()
    assert (told[:2], len(told)) == (b"\x88\x82", 8)
    client.send(b"\x81\x80mask")
    plane.backend.last.receive(b"\x81\x01x")
    assert (client.transport.clear(), plane.backend.last.clear()) == (b"", b"")
    plane.backend.last.receive(b"\x88\x02\x03\xe9")
    plane.backend.last.lose(ConnectionResetError())
    assert client.transport.has_ended_writing
    assert plane.backend.open == []


def test_a_message_under_way_is_whole_before_the_goodbye(plane, loop):
    client = websocket(plane)
    plane.backend.last.receive(b"\x81\x04ab")
    client.send(b"\x82\x82ma")
    loop.run(client.connection.drain)
    assert (client.transport.clear(), plane.backend.last.clear()) == (b"\x81\x04ab", b"\x82\x82ma")
    plane.backend.last.receive(b"cd\x81\x01x")
    client.send(b"skxy\x81\x80mask")
    assert client.transport.clear() == b"cd" + BYE
    told = plane.backend.last.clear()
    assert (told[:6], told[6:8], len(told)) == (b"skxy\x88\x82"[:6], told[6:8], 12)


def test_who_does_not_answer_the_goodbye_is_left(plane, loop):
    client = websocket(plane)
    loop.run(client.connection.drain)
    loop.advance(6)
    assert client.transport.has_ended_writing
    assert plane.backend.open == []


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"


def test_an_event_stream_ends_as_streams_end(plane, loop):
    plane.backend.answers = lambda _: STREAM
    client = plane.client().send(GET)
    plane.backend.look()
    loop.run(client.connection.drain)
    answer = client.answer()
    assert (answer.status, answer.body) == (200, b"data: 1\n\n")
    assert plane.backend.open == []


@pytest.mark.parametrize(
    ("asked", "answered"),
    [(POST, STREAM), (GET, STREAM.replace(b"text/event-stream", b"text/plain"))],
    ids=["of a POST", "no event stream"],
)
def test_what_has_an_end_of_its_own_goes_on(plane, loop, asked, answered):
    plane.backend.answers = lambda _: answered
    client = plane.client().send(asked)
    plane.backend.look()
    loop.run(client.connection.drain)
    plane.backend.last.receive(b"data: 2\n\n")
    plane.backend.last.end()
    assert client.answer().body == b"data: 1\n\ndata: 2\n\n"


# -- any split ---------------------------------------------------------------------------------------------------

TALK = (
    GET
    + POST
    + CHUNKED
    + b"3;x\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
    + request(b"/public", b"Connection: close")
)
REPLY = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"


def talk(pieces: list[bytes]) -> tuple[list, list]:
    loop = FakeLoop()
    try:
        plane = Plane(loop)
        plane.backend.answers = lambda _: REPLY
        client = plane.client()
        for piece in pieces:
            client.send(piece)
            plane.backend.look()
        answers = [(answer.status, answer.body) for answer in read_answers(client.transport.written)]
        return answers, [(got.first, untraced(got), got.body, got.trailers) for got in plane.backend.requests]
    finally:
        loop.close()


def test_the_talk_in_one_piece():
    answers, requests = talk([TALK])
    assert answers == [(200, b"abcd")] * 4
    assert [got[2] for got in requests] == [b"", b"hello", b"abcde", b""]


@given(st.sets(st.integers(1, len(TALK) - 1), max_size=40))
def test_any_split_of_the_bytes_is_the_same_to_backend_and_client(cuts):
    at = [0, *sorted(cuts), len(TALK)]
    assert talk([TALK[begin:end] for begin, end in pairwise(at)]) == talk([TALK])
