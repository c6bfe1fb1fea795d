"""WebSockets to backends of HTTP/2: a stream is to both sides what a switched connection of HTTP/1.1 is."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes

from tests.helpers.h2_peer import Asked, H2Peer, ok
from tests.helpers.transport import FakeLoop, FakeServer
from tests.unit.proxy.plane import ANYONE, FakeBackend, host, request, route, switched
from tests.unit.proxy.test_upstream_h2 import H2Plane, silent
from vestibule.core.route import Backend, RouteTable, Server, Trust
from vestibule.protocol.websocket import accept_of
from vestibule.proxy.stream_h2 import WINDOW_BYTES
from vestibule.proxy.trust import tls_context
from vestibule.proxy.upstream import ANSWER_DEADLINE_S, SEND_STALL_S
from vestibule.proxy.upstream_h2 import PING_AFTER_S, PING_DEADLINE_S

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
)
ASKED = request(b"/chat?room=1", *HANDSHAKE, b"Sec-WebSocket-Protocol: chat, news")
X, MASKED_X = b"\x81\x01x", b"\x81\x81\0\0\0\0x"
PING, PONG = b"\x89\x00", b"\x8a\x80\0\0\0\0"
BYE = b"\x88\x02\x03\xe9"
both_downstreams = pytest.mark.usefixtures("both_downstreams")


def opened(asked: Asked) -> None:
    """A backend that takes every WebSocket, and answers all else."""
    if (b":protocol", b"websocket") in asked.all:
        if not asked.is_whole:
            asked.head()
    else:
        ok(asked)


@pytest.fixture
def plane(loop: FakeLoop) -> H2Plane:
    plane = H2Plane(loop, enable_connect_protocol=1)
    plane.peer.answers = opened
    return plane


def open_one(plane: H2Plane, data: bytes = ASKED):
    client = plane.ask(data)
    assert client.answer().status == 101
    return client


def got(client) -> bytes:
    """What has come to the client since the last time."""
    if not hasattr(client, "peer"):
        return client.transport.clear()
    stream = client.streams[-1] if client.streams else client.peer.streams[client._last]
    body, stream.body = stream.body, b""
    return body


# -- opened --------------------------------------------------------------------------------------------------------


@both_downstreams
def test_it_is_asked_for_as_http_2_does(plane):
    open_one(plane)
    asked = plane.peer.request
    assert asked.all[:5] == [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"http"),
        (b":authority", b"app.example"),
        (b":path", b"/chat?room=1"),
    ]
    assert asked.fields[b"sec-websocket-version"] == b"13"
    assert asked.fields[b"sec-websocket-protocol"] == b"chat, news"
    assert asked.fields[b"x-forwarded-for"] == b"192.0.2.7"
    names = {name for name, _ in asked.all}
    assert not names & {b"sec-websocket-key", b"connection", b"upgrade", b"te", b"content-length"}
    assert not asked.is_whole


def test_a_length_of_nothing_does_not_go_out(plane):
    open_one(plane, request(b"/chat", *HANDSHAKE, b"Content-Length: 0"))
    assert b"content-length" not in plane.peer.request.fields


def test_a_client_of_http_1_1_gets_the_answer_to_its_own_key(plane):
    plane.peer.answers = lambda asked: asked.head((b"sec-websocket-protocol", b"news"), (b"x-mine", b"1"))
    answer = plane.ask(ASKED).answer()
    assert (answer.status, answer.values(b"sec-websocket-accept")) == (101, [accept_of(KEY)])
    assert (answer.values(b"upgrade"), answer.values(b"connection")) == ([b"websocket"], [b"Upgrade"])
    assert (answer.values(b"sec-websocket-protocol"), answer.values(b"x-mine")) == ([b"news"], [b"1"])


@both_downstreams
def test_bytes_and_pings_pass_both_ways_as_they_are(plane):
    client = open_one(plane)
    got(client)
    plane.peer.request.data(PING + X)
    assert got(client) == PING + X
    client.send(PONG + MASKED_X)
    plane.peer.look()
    assert plane.peer.request.body == PONG + MASKED_X


def test_what_comes_with_the_head_is_not_lost(plane):
    plane.peer.answers = lambda asked: asked.head().data(X)
    answer = plane.ask(ASKED).answer()
    assert (answer.status, answer.body) == (101, X)


def test_it_shares_the_connection_with_requests(plane):
    clients = [open_one(plane) for _ in range(3)]
    assert plane.ask().answer().status == 200
    assert len(plane.peer.connections) == 1
    assert not any(client.is_ended for client in clients)


def test_where_a_connection_is_full_another_is_made(loop):
    plane = H2Plane(loop, enable_connect_protocol=1, max_concurrent_streams=2)
    plane.peer.answers = opened
    for _ in range(3):
        open_one(plane)
    assert len(plane.peer.connections) == 2


def test_a_stream_that_is_refused_unseen_is_asked_for_again(plane):
    def once(asked):
        plane.peer.answers = opened
        asked.refuse(ErrorCodes.REFUSED_STREAM)

    plane.peer.answers = once
    open_one(plane)
    assert len(plane.peer.asked) == 2


# -- not opened ----------------------------------------------------------------------------------------------------


@both_downstreams
@pytest.mark.parametrize(
    ("status", "body"), [(b"403", b"no"), (b"302", b""), (b"426", b""), (b"500", b"oh")], ids=repr
)
def test_any_other_answer_is_one_as_any(plane, status, body):
    def refuse(asked):
        if asked.is_whole:
            return
        asked.head((b"x-mine", b"1"), status=status, end=not body)
        if body:
            asked.data(body, end=True)

    plane.peer.answers = refuse
    client = plane.ask(ASKED)
    answer = client.answer()
    assert (answer.status, answer.body, answer.values(b"x-mine")) == (int(status), body, [b"1"])
    plane.peer.look()
    assert plane.peer.request.reset is None
    assert [len(one.streams) for one in plane.pool.connections] == [0]


@pytest.mark.parametrize(
    "fields",
    [
        [(b":status", b"200"), (b"sec-websocket-protocol", b"other")],
        [(b":status", b"101")],
        [(b":status", b"200"), (b"upgrade", b"websocket")],
        [(b":status", b"200"), (b"x", b"1\r\nA: b")],
    ],
    ids=["a protocol nobody offered", "101", "a field of the hop", "a line"],
)
def test_an_answer_nobody_can_use_is_502_and_ends_its_stream_alone(plane, fields):
    other = open_one(plane)
    plane.peer.answers = silent
    client = plane.ask(ASKED)
    asked = plane.peer.last
    asked.line.engine.send_headers(asked.stream_id, fields, end_stream=False)
    asked.line.flush()
    plane.peer.look()
    assert client.answer().status == 502
    assert asked.reset in {ErrorCodes.CANCEL, ErrorCodes.PROTOCOL_ERROR}
    assert not other.is_ended


def test_an_answer_that_does_not_come_is_504(plane):
    plane.peer.answers = silent
    client = plane.ask(ASKED)
    plane.wait(ANSWER_DEADLINE_S + 2)
    assert client.answer().status == 504
    plane.peer.look()
    assert plane.peer.request.reset == ErrorCodes.CANCEL


@both_downstreams
def test_a_backend_whose_http_2_has_none_is_501_and_the_log_says_what_to_do(loop):
    plane = H2Plane(loop)
    for _ in range(2):
        assert plane.ask(ASKED).answer().status == 501
    assert plane.peer.asked == []
    assert len(plane.peer.connections) == 1
    (line, _) = [line for line in plane.log_lines if line["event"] == "refused"]
    assert (line["code"], line["status"]) == ("bad_websocket", 501)
    assert "RFC 8441" in line["detail"]
    assert "http://" in line["detail"]
    assert plane.ask().answer().status == 200


def test_another_server_of_the_list_may_have_them(loop):
    one, two = (Server(host="127.0.0.1", port=port, http2=True) for port in (9001, 9002))
    plane = H2Plane(loop, one, two)
    plane.peers[1].settings = dict.fromkeys([8], 1)
    plane.peers[1].answers = opened
    for _ in range(2):
        client = plane.client().send(ASKED)
        for peer in (*plane.peers, *plane.peers):
            peer.look()
        assert client.answer().status == 101


# -- by HTTP/1.1 ---------------------------------------------------------------------------------------------------

TLS = Server(host="127.0.0.1", port=9001, http2=True, tls=True)


class Forked(FakeServer):
    """A server of TLS, which speaks what it is offered."""

    def __init__(self, h2: H2Peer, h1: FakeBackend) -> None:
        super().__init__()
        self.h2, self.h1 = h2, h1
        self.connections = self

    def append(self, transport) -> None:
        is_h2 = transport.get_extra_info("ssl") is tls_context(True, Trust(), "h2")
        (self.h2 if is_h2 else self.h1).connections.append(transport)


@pytest.fixture
def forked(loop: FakeLoop) -> H2Plane:
    plane = H2Plane(loop, TLS)
    plane.old = FakeBackend(loop)
    plane.old.answers = switched
    loop.network["127.0.0.1", 9001] = Forked(plane.peer, plane.old)
    return plane


def ask_old(plane: H2Plane):
    client = plane.client().send(ASKED)
    plane.peer.look()
    plane.old.look()
    return client


@both_downstreams
def test_where_http_2_has_none_it_is_opened_over_http_1_1(forked):
    client = ask_old(forked)
    assert client.answer().status == 101
    got(client)
    asked = forked.old.request
    assert (asked.first, asked.values(b"upgrade")) == (b"GET /chat?room=1 HTTP/1.1", [b"websocket"])
    forked.old.last.receive(X)
    assert got(client) == X
    client.send(MASKED_X)
    assert forked.old.got.endswith(MASKED_X)


def test_everything_else_goes_by_http_2(forked):
    assert forked.ask().answer().status == 200
    assert forked.old.connections == []
    assert ask_old(forked).answer().status == 101
    assert forked.ask().answer().status == 200
    assert (len(forked.peer.connections), len(forked.old.connections)) == (1, 1)


def test_a_connection_that_was_not_switched_serves_the_next(forked):
    forked.old.answers = lambda _: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    for _ in range(2):
        assert ask_old(forked).answer().status == 403
    assert len(forked.old.connections) == 1
    forked.wait(40)
    assert forked.old.open == []


def test_they_end_with_their_backend(forked):
    client = ask_old(forked)
    assert client.answer().status == 101
    forked.loop.run(forked.pools.keep, ())
    forked.wait(2)
    assert not client.is_ended
    assert forked.pools._leaving
    forked.loop.run(forked.pools.close)
    assert forked.old.open == []


# -- its end -------------------------------------------------------------------------------------------------------


@both_downstreams
def test_a_client_that_vanishes_resets_its_stream(plane):
    client = open_one(plane)
    client.transport.lose(ConnectionResetError())
    plane.peer.look()
    assert plane.peer.request.reset == ErrorCodes.CANCEL
    assert plane.ask().answer().status == 200
    assert len(plane.peer.connections) == 1


@both_downstreams
@pytest.mark.parametrize("how", ["ends", "resets", "breaks"])
def test_a_backend_that_goes_takes_the_client_with_it(plane, how):
    client = open_one(plane)
    asked = plane.peer.request
    if how == "ends":
        asked.data(BYE, end=True)
    elif how == "resets":
        asked.refuse(ErrorCodes.CANCEL)
    else:
        plane.peer.connections[0].lose()
    assert client.is_ended
    plane.peer.look()
    if how == "ends":
        assert got(client).endswith(BYE)
        assert (asked.is_whole, asked.reset) == (True, None)


def test_one_that_is_over_with_its_head_is_over(plane):
    plane.peer.answers = lambda asked: None if asked.is_whole else asked.head(end=True)
    client = plane.ask(ASKED)
    assert client.answer().status == 101
    assert client.is_ended


def test_a_client_that_ends_its_side_ends_it_there(plane):
    client = open_one(plane)
    client.send(MASKED_X)
    client.transport.end()
    plane.peer.look()
    asked = plane.peer.request
    assert (asked.body, asked.is_whole) == (MASKED_X, True)
    asked.data(BYE, end=True)
    assert client.is_ended
    assert [len(one.streams) for one in plane.pool.connections] == [0]


def test_both_sides_are_told_that_the_program_goes(plane):
    client = open_one(plane)
    client.transport.clear()
    plane.loop.run(client.connection.drain)
    assert client.transport.clear() == BYE
    plane.peer.look()
    asked = plane.peer.request
    assert (asked.body[:2], len(asked.body)) == (b"\x88\x82", 8)
    asked.data(BYE, end=True)
    assert client.transport.has_ended_writing


def test_who_does_not_answer_the_goodbye_is_left(plane):
    client = open_one(plane)
    plane.loop.run(client.connection.drain)
    plane.loop.advance(6)
    assert client.transport.has_ended_writing
    plane.peer.look()
    assert plane.peer.request.reset == ErrorCodes.CANCEL


@both_downstreams
def test_it_ends_with_its_session(loop):
    plane = H2Plane(loop, enable_connect_protocol=1)
    plane.peer.answers = opened
    backend = Backend(servers=(Server(host="127.0.0.1", port=9001, http2=True),))
    table = RouteTable((host(b"app.example", route(b"", ANYONE, backend=backend)),))
    loop.run(plane.gateway.use, table)
    cookie = plane.sign_in()
    assert plane.ask(ASKED).answer().status == 401
    assert (
        plane.ask(request(b"/", *HANDSHAKE, b"Origin: https://evil.example", cookie=cookie)).answer().status
        == 403
    )
    assert plane.peer.asked == []
    client = open_one(plane, request(b"/", *HANDSHAKE, cookie=cookie))
    assert b"cookie" not in plane.peer.request.fields
    loop.wait(plane.sessions.end(plane.session.id))
    loop.settle()
    assert client.is_ended
    plane.peer.look()
    assert plane.peer.request.reset == ErrorCodes.CANCEL


# -- in step, and silent -------------------------------------------------------------------------------------------


def test_both_sides_may_be_silent_as_long_as_the_backend_is_there(plane):
    client = open_one(plane)
    for _ in range(int(2 * PING_AFTER_S / 10)):
        plane.wait(10)
        plane.peer.look()
    assert not client.is_ended
    plane.wait(PING_AFTER_S + PING_DEADLINE_S + 3)
    assert client.is_ended


def test_a_slow_client_holds_up_its_own_stream_alone(plane):
    slow, quick = open_one(plane), open_one(plane)
    slow.transport.reads = False
    asked, line = plane.peer.asked[0], plane.peer.lines[0]
    sent = 0
    while room := min(line.engine.local_flow_control_window(asked.stream_id), 16384):
        asked.data(b"x" * room)
        sent += room
        plane.peer.look()
    assert sent == WINDOW_BYTES
    plane.peer.asked[1].data(X)
    assert quick.transport.clear().endswith(X)
    slow.transport.reads = True
    slow.transport.take()
    plane.peer.look()
    assert line.engine.local_flow_control_window(asked.stream_id) >= WINDOW_BYTES // 2


def test_a_backend_that_takes_nothing_holds_up_its_client_and_is_given_up(plane):
    client = open_one(plane)
    plane.peer.reads = False
    client.send(b"\x82\xff" + (1 << 20).to_bytes(8, "big") + b"mask" + b"x" * 100_000)
    plane.peer.look()
    assert not client.transport.is_reading_now
    plane.wait(2 * SEND_STALL_S + 3)
    assert client.is_ended
    plane.peer.look()
    assert plane.peer.request.reset == ErrorCodes.CANCEL


def test_what_a_slow_backend_takes_at_last_is_whole(plane):
    client = open_one(plane)
    plane.peer.reads = False
    client.send(b"x" * 100_000)
    plane.peer.look()
    plane.peer.reads = True
    plane.peer.request.take()
    plane.peer.look()
    assert client.transport.is_reading_now
    assert len(plane.peer.request.body) == 100_000
    plane.wait(2 * SEND_STALL_S + 3)
    assert not client.is_ended
