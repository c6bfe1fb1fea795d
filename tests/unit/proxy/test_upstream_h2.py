"""Backends of HTTP/2: many requests on few connections, each answer whole or broken off, none in another's way."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes

from tests.helpers.h2_peer import Asked, H2Peer, ok
from tests.helpers.messages import UnreadableError
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.plane import PUBLIC, Plane, host, request, route
from vestibule.core.route import Backend, Server
from vestibule.proxy.pool_h2 import H2ServerPool
from vestibule.proxy.server_pool import IDLE_S
from vestibule.proxy.stream_h2 import INTERIM_MAX, SENT_KEPT_BYTES, WINDOW_BYTES
from vestibule.proxy.upstream import ANSWER_DEADLINE_S, SEND_STALL_S
from vestibule.proxy.upstream_h2 import PING_AFTER_S, PING_DEADLINE_S

ONE, TWO = (Server(host="127.0.0.1", port=port, http2=True) for port in (9001, 9002))
GET = request(b"/a")
POST = request(b"/b", method=b"POST", body=b"hello")
CHUNKED = request(b"/c", b"Transfer-Encoding: chunked", method=b"POST")


class H2Plane(Plane):
    """A gateway in front of a backend of HTTP/2."""

    def __init__(self, loop: FakeLoop, *servers: Server, **settings: int) -> None:
        servers = servers or (ONE,)
        table = (host(b"app.example", route(b"", PUBLIC, backend=Backend(servers=servers))),)
        peers = [H2Peer(loop, **settings) for _ in servers]
        for server, peer in zip(servers, peers, strict=True):
            loop.network[server.host, server.port] = peer
        super().__init__(loop, hosts=table)
        self.backend = self.peer = peers[0]
        self.peers = peers

    @property
    def pool(self) -> H2ServerPool:
        return next(iter(self.pools._pools.values())).servers[0]

    def ask(self, data: bytes = GET):
        client = self.client().send(data)
        self.peer.look()
        return client

    def wait(self, seconds: float) -> None:
        """Time passes, and deadlines are looked at once a second."""
        for _ in range(int(seconds)):
            self.loop.advance(1)
            self.loop.run(self.pools.sweep, self.loop.time())


@pytest.fixture
def plane(loop) -> H2Plane:
    return H2Plane(loop)


def silent(asked: Asked) -> None:
    """No answer yet."""


# -- both ways ---------------------------------------------------------------------------------------------------


def test_a_request_goes_out_as_fields_and_its_answer_comes_back(plane):
    answer = plane.ask(request(b"/a?b=c", b"X-Mine: 1", b"Accept: */*")).answer()
    assert (answer.status, answer.body) == (200, b"from /a?b=c")
    fields = plane.peer.request.fields
    assert [name for name, _ in plane.peer.request.all][:4] == [
        b":method",
        b":scheme",
        b":authority",
        b":path",
    ]
    assert (fields[b":method"], fields[b":scheme"], fields[b":authority"], fields[b":path"]) == (
        b"GET", b"http", b"app.example", b"/a?b=c",
    )  # fmt: skip
    assert (fields[b"x-mine"], fields[b"accept"]) == (b"1", b"*/*")
    assert fields[b"x-forwarded-for"] == b"192.0.2.7"


def test_what_is_of_the_connection_alone_does_not_go_out(plane):
    plane.ask(request(b"/a", b"Connection: close, X-Hop, TE", b"X-Hop: 1", b"Keep-Alive: 5", b"TE: gzip"))
    names = {name for name, _ in plane.peer.request.all}
    assert not names & {
        b"connection",
        b"keep-alive",
        b"x-hop",
        b"te",
        b"host",
        b"transfer-encoding",
        b"upgrade",
    }


@pytest.mark.parametrize(
    ("said", "told"), [(b"trailers", b"trailers"), (b"gzip, trailers;q=1", None), (b"deflate", None)]
)
def test_only_who_takes_trailers_is_said_to(plane, said, told):
    plane.ask(request(b"/a", b"TE: " + said, b"Connection: TE"))
    assert plane.peer.request.fields.get(b"te") == told


@pytest.mark.parametrize(
    ("data", "length"),
    [(POST, b"5"), (CHUNKED + b"5;x=y\r\nhello\r\n0\r\n\r\n", None)],
    ids=["length", "chunked"],
)
def test_a_body_goes_out_in_frames(plane, data, length):
    assert plane.ask(data).answer().status == 200
    asked = plane.peer.request
    assert (asked.body, asked.is_whole, asked.fields.get(b"content-length")) == (b"hello", True, length)


def test_trailers_of_a_request_go_out_less_those_that_decide(plane):
    plane.ask(CHUNKED + b"2\r\nhi\r\n0\r\nChecksum: 1\r\nUser-Id: 7\r\nContent-Type: x\r\n\r\n")
    assert plane.peer.request.trailers == [(b"checksum", b"1")]


def test_a_body_streams_before_it_is_whole(plane):
    client = plane.ask(POST[:-3])
    assert (plane.peer.request.body, plane.peer.request.is_whole) == (b"he", False)
    client.send(b"llo")
    plane.peer.look()
    assert client.answer().status == 200


@pytest.mark.parametrize(("kind", "talks"), [(b"application/grpc+proto", True), (b"text/plain", False)])
def test_both_sides_of_a_call_may_be_silent(plane, kind, talks):
    plane.peer.answers = silent
    plane.ask(request(b"/c", b"Content-Type: " + kind, b"Transfer-Encoding: chunked", method=b"POST"))
    under_way = [each.exchange for each in plane.listener.open]
    assert [exchange.talks for exchange in under_way if exchange is not None] == [talks]


def test_an_answer_streams_before_it_is_whole_and_ends_with_trailers(plane):
    plane.peer.answers = lambda asked: asked.head((b"content-type", b"application/grpc"))
    client = plane.ask()
    client.transport.clear()
    plane.peer.request.data(b"one")
    assert client.transport.clear() == b"3\r\none\r\n"
    plane.peer.request.end((b"grpc-status", b"0"), (b"grpc-message", b"fine"))
    assert client.transport.clear() == b"0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n"
    assert not client.is_ended


@pytest.mark.parametrize(
    "dropped",
    [b"content-length", b"content-type", b"set-cookie", b"cookie", b"host", b"cache-control", b"x-accel-redirect",
     b"trailer", b"user-id", b"authorization"],
)  # fmt: skip
def test_trailers_that_come_too_late_are_dropped(plane, dropped):
    plane.peer.answers = lambda asked: asked.head().data(b"x").end((dropped, b"1"), (b"checksum", b"1"))
    assert plane.ask().answer().trailers == [(b"checksum", b"1")]


def test_an_answer_that_is_nothing_but_a_head_is_whole(plane):
    plane.peer.answers = lambda asked: asked.head((b"grpc-status", b"5"), end=True)
    answer = plane.ask().answer()
    assert (answer.values(b"grpc-status"), answer.body, answer.values(b"content-length")) == (
        [b"5"],
        b"",
        [b"0"],
    )


@pytest.mark.parametrize(
    ("status", "method", "fields"),
    [
        (b"200", b"HEAD", [(b"content-length", b"42")]),
        (b"204", b"GET", []),
        (b"304", b"GET", [(b"content-length", b"42")]),
    ],
)
@pytest.mark.parametrize("is_in_one", [True, False])
def test_head_204_and_304_carry_no_body(plane, status, method, fields, is_in_one):
    def answer(asked):
        asked.head(*fields, status=status, end=is_in_one)
        if not is_in_one:
            asked.line.engine.streams[asked.stream_id]._expected_content_length = None
            asked.data(b"", end=True)

    plane.peer.answers = answer
    client = plane.ask(request(b"/a", method=method))
    got = client.answer(method)
    assert (got.status, got.body) == (int(status), b"")
    plane.peer.answers = ok
    client.send(GET)
    plane.peer.look()
    assert client.answer().status == 200


def test_interim_answers_come_through(plane):
    def answer(asked):
        asked.head((b"link", b"</x>"), status=b"103")
        ok(asked)

    plane.peer.answers = answer
    assert [one.status for one in plane.ask().answers()] == [103, 200]


def test_requests_go_side_by_side_on_one_connection(plane):
    plane.peer.answers = silent
    clients = [plane.ask(request(b"/%d" % number)) for number in range(20)]
    assert len(plane.peer.connections) == 1
    for asked in reversed(plane.peer.asked):
        ok(asked)
    assert [client.answer().body for client in clients] == [b"from /%d" % number for number in range(20)]


def test_secrets_stay_out_of_the_tables_that_requests_share(plane):
    for _ in range(3):
        plane.ask(request(b"/a", b"Authorization: Basic Og==", b"X-Same: 1"))
    table = plane.pool.connections.copy().pop().engine.encoder.header_table.dynamic_entries
    assert {bytes(name) for name, _ in table} >= {b"x-same"}
    assert not {bytes(name) for name, _ in table} & {b"authorization", b"cookie", b"proxy-session"}


# -- what backends answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        [(b"x", b"1"), (b":status", b"200")],
        [(b":status", b"200"), (b":status", b"200")],
        [(b":status", b"099")],
        [(b":status", b"2000")],
        [(b":status", b"101")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b":status", b"200"), (b"X-Upper", b"1")],
        [(b":status", b"200"), (b"x y", b"1")],
        [(b":status", b"200"), (b"", b"1")],
        [(b":status", b"200"), (b"x", b"1\r\nSet-Cookie: a=b")],
        [(b":status", b"200"), (b"x", b"1\n")],
        [(b":status", b"200"), (b"x", b"1\0")],
        [(b":status", b"200"), (b"x", b" 1")],
        [(b":status", b"200"), (b"connection", b"close")],
        [(b":status", b"200"), (b"transfer-encoding", b"chunked")],
        [(b":status", b"200"), (b"upgrade", b"websocket")],
        [(b":status", b"200"), (b"content-length", b"1"), (b"content-length", b"2")],
        [(b":status", b"200"), (b"content-length", b"+1")],
        [(b":status", b"200"), *((b"x-%d" % number, b"1") for number in range(101))],
        [(b":status", b"200"), (b"x", b"y" * 40_000)],
    ],
    ids=["late status", "two", "099", "2000", "101", "path", "upper", "space", "empty", "crlf", "lf", "nul", "blank",
         "connection", "chunked", "upgrade", "lengths", "plus", "many", "large"],
)  # fmt: skip
def test_a_malformed_answer_is_an_error_of_its_stream_alone(plane, fields):
    plane.peer.answers = silent
    other = plane.ask(request(b"/other"))
    bad = plane.ask()
    asked = plane.peer.last
    asked.line.engine.send_headers(asked.stream_id, fields, end_stream=False)
    asked.line.flush()
    plane.peer.look()
    assert bad.answer().status == 502
    assert asked.reset == ErrorCodes.PROTOCOL_ERROR
    ok(plane.peer.asked[0])
    assert other.answer().status == 200


@pytest.mark.parametrize(
    ("length", "pieces"),
    [(b"5", [b"1234567"]), (b"5", [b"123"])],
    ids=["longer", "shorter"],
)
def test_a_body_that_is_not_as_long_as_it_says_is_broken_off(plane, length, pieces):
    def answer(asked):
        asked.head((b"content-length", length))
        for piece in pieces:
            asked.data(piece)
        if not asked.reset:
            asked.end()

    plane.peer.answers = silent
    other = plane.ask(request(b"/other"))
    plane.peer.answers = answer
    bad = plane.ask()
    with pytest.raises(UnreadableError):
        bad.answers()
    assert bad.is_ended
    ok(plane.peer.asked[0])
    assert other.answer().status == 200


def test_an_answer_without_end_of_beginnings_is_given_up(plane):
    def answer(asked):
        for _ in range(INTERIM_MAX + 1):
            asked.head(status=b"103")

    plane.peer.answers = answer
    client = plane.ask()
    assert client.answers()[-1].status == 502
    assert plane.peer.request.reset == ErrorCodes.PROTOCOL_ERROR


def test_trailers_that_are_no_trailers_break_the_answer_off(plane):
    plane.peer.answers = lambda asked: asked.head().data(b"x").end((b":status", b"200"))
    client = plane.ask()
    with pytest.raises(UnreadableError):
        client.answers()
    assert client.is_ended


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64], ids=["http/1.1", "zeros"])
def test_a_server_that_does_not_speak_http_2_is_told_from_one_that_does(plane, data):
    plane.peer.look = lambda: None
    client = plane.client().send(GET)
    plane.peer.connections[0].receive(data)
    assert client.answer().status == 502
    assert "does not speak HTTP/2" in plane.log_text.getvalue()
    assert plane.pool.is_down


def test_a_server_that_says_nothing_is_given_up_in_time(plane):
    client = plane.client().send(GET)
    plane.loop.advance(6)
    assert client.answer().status == 504
    assert plane.peer.connections[0].is_closed


def test_a_server_that_takes_no_streams_is_not_asked_for_ever(loop):
    plane = H2Plane(loop, max_concurrent_streams=0)
    assert plane.ask().answer().status == 502
    assert len(plane.peer.connections) == 1


# -- what breaks ---------------------------------------------------------------------------------------------------


def test_a_connection_that_is_lost_breaks_off_what_was_begun(plane):
    plane.peer.answers = lambda asked: asked.head().data(b"half")
    client = plane.ask()
    plane.peer.connections[0].lose()
    with pytest.raises(UnreadableError):
        client.answers()
    assert client.is_ended


def test_a_get_on_a_connection_that_was_good_before_is_sent_again(plane):
    plane.ask()
    plane.peer.answers = silent
    client = plane.ask(request(b"/again"))
    plane.peer.answers = ok
    plane.peer.connections[0].lose()
    plane.peer.look()
    assert client.answer().body == b"from /again"
    assert len(plane.peer.connections) == 2


def test_a_post_on_a_lost_connection_is_not(plane):
    plane.ask()
    plane.peer.answers = silent
    client = plane.ask(POST)
    plane.peer.connections[0].lose()
    plane.peer.look()
    assert client.answer().status == 502
    assert [asked.path for asked in plane.peer.asked] == [b"/a", b"/b"]


@pytest.mark.parametrize(
    "data", [GET, POST, CHUNKED + b"2\r\nhi\r\n0\r\nChecksum: 1\r\n\r\n"], ids=["get", "post", "chunked"]
)
def test_a_refused_stream_is_sent_again_with_its_body(plane, data):
    plane.peer.answers = lambda asked: asked.refuse(ErrorCodes.REFUSED_STREAM) if asked.is_whole else None
    client = plane.client().send(data)
    plane.loop.settle()
    refused = []

    def answer(asked):
        if asked.is_whole and not refused:
            refused.append(asked)
            asked.refuse(ErrorCodes.REFUSED_STREAM)
        else:
            ok(asked)

    plane.peer.answers = answer
    plane.peer.look()
    assert client.answer().status == 200
    first, second = plane.peer.asked
    assert (first.all, first.body, first.trailers) == (second.all, second.body, second.trailers)


def test_a_body_that_is_still_coming_goes_on_behind_what_is_sent_again(plane):
    plane.peer.answers = lambda asked: None
    client = plane.ask(POST[:-3])
    plane.peer.answers = ok
    plane.peer.last.refuse(ErrorCodes.REFUSED_STREAM)
    client.send(b"llo")
    plane.peer.look()
    assert client.answer().status == 200
    assert plane.peer.last.body == b"hello"


def test_a_stream_that_is_refused_again_and_again_is_an_error(plane):
    plane.peer.answers = lambda asked: asked.refuse(ErrorCodes.REFUSED_STREAM)
    assert plane.ask().answer().status == 502
    assert len(plane.peer.asked) == 4


def test_a_body_too_large_to_keep_is_not_sent_again(plane):
    plane.peer.answers = silent
    body = b"x" * (SENT_KEPT_BYTES + 1)
    client = plane.ask(request(b"/", method=b"POST", body=body))
    assert plane.peer.last.body == body
    plane.peer.last.refuse(ErrorCodes.REFUSED_STREAM)
    plane.peer.look()
    assert client.answer().status == 502
    assert len(plane.peer.asked) == 1


@pytest.mark.parametrize("code", [ErrorCodes.CANCEL, ErrorCodes.INTERNAL_ERROR, ErrorCodes.NO_ERROR, 0x99])
def test_any_other_reset_is_an_error(plane, code):
    plane.peer.answers = lambda asked: asked.refuse(code) if asked.is_whole else None
    assert plane.ask(POST).answer().status == 502
    assert len(plane.peer.connections) == 1


def test_goaway_ends_no_stream_under_way_and_the_next_goes_elsewhere(plane):
    plane.peer.answers = silent
    under_way = plane.ask(request(b"/slow"))
    later = plane.client().send(request(b"/later"))
    line = plane.peer.lines[0]
    line.engine.close_connection(last_stream_id=1)
    goaway = line.engine.data_to_send()
    line.engine.state_machine.state = type(line.engine.state_machine.state).SERVER_OPEN
    line.transport.receive(goaway)
    plane.peer.look()
    assert [asked.path for asked in plane.peer.asked] == [b"/slow", b"/later", b"/later"]
    ok(plane.peer.asked[0])
    ok(plane.peer.asked[2])
    assert (under_way.answer().body, later.answer().body) == (b"from /slow", b"from /later")
    plane.peer.look()
    assert [one.is_closed for one in plane.peer.connections] == [True, False]


def test_who_leaves_resets_its_stream_and_leaves_the_others_alone(plane):
    plane.peer.answers = silent
    first, second = plane.ask(request(b"/1")), plane.ask(request(b"/2"))
    first.transport.lose()
    plane.peer.look()
    assert plane.peer.asked[0].reset == ErrorCodes.CANCEL
    plane.peer.asked[1].head().data(b"x").end()
    assert second.answer().body == b"x"


def test_an_answer_before_the_end_of_the_request_is_taken(plane):
    plane.peer.answers = lambda asked: asked.head((b"content-length", b"2")).data(b"no", end=True)
    client = plane.ask(POST[:-3])
    assert client.answer().body == b"no"
    assert plane.peer.request.reset == ErrorCodes.CANCEL


# -- in step -------------------------------------------------------------------------------------------------------


def test_a_slow_client_holds_up_its_own_answer_alone(plane):
    plane.peer.answers = silent
    slow, quick = plane.ask(request(b"/slow")), plane.ask(request(b"/quick"))
    slow.transport.reads = False
    sent = _send_all(plane.peer.asked[0].head(), 3 * WINDOW_BYTES)
    assert sent == WINDOW_BYTES
    got = _send_all(plane.peer.asked[1].head(), 20 * WINDOW_BYTES)
    assert got == 20 * WINDOW_BYTES
    plane.peer.asked[1].end()
    assert len(quick.answer().body) == got
    slow.transport.reads = True
    slow.transport.take()
    rest = _send_all(plane.peer.asked[0], 2 * WINDOW_BYTES)
    assert rest == 2 * WINDOW_BYTES
    plane.peer.asked[0].end()
    assert len(slow.answer().body) == sent + rest


def _send_all(asked: Asked, size: int) -> int:
    """What the windows let through of so much."""
    sent = 0
    while sent < size:
        asked.line.engine.receive_data(_new(asked))
        room = min(asked.line.engine.local_flow_control_window(asked.stream_id), 16384, size - sent)
        if room <= 0:
            break
        asked.data(b"x" * room)
        sent += room
    return sent


def _new(asked: Asked) -> bytes:
    data = asked.line.transport.written[asked.line.read :]
    asked.line.read = len(asked.line.transport.written)
    return data


def test_a_backend_that_reads_slowly_holds_up_its_client_alone(plane):
    plane.peer.answers = silent
    plane.peer.reads = False
    client = plane.ask(request(b"/big", method=b"POST", body=b"x" * 200_000)[:-200_000])
    client.send(b"x" * 100_000)
    plane.peer.look()
    assert len(plane.peer.asked[0].body) == 65535
    assert not client.transport.is_reading_now
    plane.peer.reads = True
    plane.peer.asked[0].take()
    plane.peer.look()
    assert client.transport.is_reading_now
    client.send(b"x" * 100_000)
    plane.peer.look()
    assert (len(plane.peer.asked[0].body), plane.peer.asked[0].is_whole) == (200_000, True)


def test_a_backend_that_takes_nothing_of_a_body_is_given_up(plane):
    plane.peer.answers = silent
    plane.peer.reads = False
    client = plane.ask(request(b"/big", method=b"POST", body=b"x" * 100_000))
    plane.wait(2 * SEND_STALL_S + 3)
    assert client.answer().status == 504
    plane.peer.look()
    assert plane.peer.asked[0].reset == ErrorCodes.CANCEL


def test_a_transport_that_is_full_holds_up_bodies(plane):
    plane.peer.answers = silent
    plane.ask()
    plane.peer.connections[0].reads = False
    client = plane.client().send(request(b"/big", method=b"POST", body=b"x" * 300_000)[:-300_000])
    client.send(b"x" * 150_000)
    assert not client.transport.is_reading_now
    plane.peer.connections[0].reads = True
    plane.peer.connections[0].take()
    plane.peer.look()
    client.send(b"x" * 150_000)
    plane.peer.look()
    assert len(plane.peer.last.body) == 300_000


# -- connections ---------------------------------------------------------------------------------------------------


def test_where_a_connection_is_full_another_is_made(loop):
    plane = H2Plane(loop, max_concurrent_streams=2)
    plane.peer.answers = silent
    clients = [plane.client().send(request(b"/%d" % number)) for number in range(5)]
    plane.peer.look()
    assert [len(one.streams) for one in plane.pool.connections] in ([2, 2, 1], [1, 2, 2], [2, 1, 2])
    for asked in plane.peer.asked:
        ok(asked)
    assert sorted(client.answer().body for client in clients) == [b"from /%d" % number for number in range(5)]


def test_servers_take_turns(loop):
    plane = H2Plane(loop, ONE, TWO)
    for _ in range(6):
        client = plane.client().send(GET)
        for peer in plane.peers:
            peer.look()
        assert client.answer().status == 200
    assert [len(peer.asked) for peer in plane.peers] == [3, 3]
    assert [len(peer.connections) for peer in plane.peers] == [1, 1]


def test_a_dead_server_is_left_out(loop):
    plane = H2Plane(loop, ONE, TWO)
    plane.peers[0].refuses = True
    for _ in range(4):
        client = plane.client().send(GET)
        plane.peers[1].look()
        assert client.answer().status == 200
    assert len(plane.peers[1].asked) == 4


def test_an_idle_connection_is_closed_in_time(plane):
    plane.ask()
    plane.wait(IDLE_S + 2)
    plane.peer.look()
    assert plane.peer.lines[0].goaway is not None
    assert plane.peer.connections[0].is_closed
    assert plane.ask().answer().status == 200


def test_a_request_nobody_answers_ends_in_time_and_the_server_is_asked_whether_it_is_there(plane):
    plane.peer.answers = silent
    client = plane.ask()
    plane.wait(ANSWER_DEADLINE_S + 2)
    assert client.answer().status == 504
    assert not next(iter(plane.pool.connections)).has_room
    plane.peer.look()
    assert plane.peer.request.reset == ErrorCodes.CANCEL
    assert next(iter(plane.pool.connections)).has_room


def test_a_server_that_has_gone_is_found_out_by_a_ping(plane):
    plane.peer.answers = lambda asked: asked.head().data(b"x")
    client = plane.ask()
    plane.wait(PING_AFTER_S + 2)
    assert not client.is_ended
    plane.wait(PING_DEADLINE_S + 2)
    assert client.is_ended
    assert plane.peer.connections[0].is_closed


def test_a_server_that_is_there_answers_the_ping(plane):
    plane.peer.answers = lambda asked: asked.head().data(b"x")
    client = plane.ask()
    for _ in range(40):
        plane.wait(PING_DEADLINE_S / 2)
        plane.peer.look()
    assert not client.is_ended
    plane.peer.request.end()
    assert client.answer().body == b"x"


def test_closing_breaks_off_what_is_under_way(plane):
    plane.peer.answers = lambda asked: asked.head().data(b"x")
    client = plane.ask()
    plane.loop.run(plane.pools.close)
    assert client.is_ended
    plane.peer.look()
    assert plane.peer.lines[0].goaway is not None


def test_what_no_route_leads_to_any_more_ends_what_it_began_and_keeps_its_deadlines(plane):
    plane.peer.answers = silent
    client = plane.ask()
    plane.loop.run(plane.pools.keep, ())
    plane.wait(2)
    assert not client.is_ended
    assert not plane.peer.connections[0].is_closed
    plane.wait(ANSWER_DEADLINE_S)
    assert client.answer().status == 504
    plane.peer.look()
    assert plane.peer.connections[0].is_closed
    assert not plane.pools._leaving


def test_what_is_idle_towards_it_is_closed_at_once(plane):
    assert plane.ask().answer().status == 200
    plane.loop.run(plane.pools.keep, ())
    plane.wait(1)
    plane.peer.look()
    assert plane.peer.connections[0].is_closed
    plane.wait(1)
    assert not plane.pools._leaving
