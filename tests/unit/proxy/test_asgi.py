"""The adapter to the control plane: an exchange in, an ASGI call, an answer out."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.proxy.plane import NOW_AT, Plane, request
from vestibule.errors import ProviderUnavailable
from vestibule.proxy.asgi import BODY_LIMIT_BYTES, Control

ONE_MIB = BODY_LIMIT_BYTES


class App:
    """The application: does what the test says, notes what it got."""

    def __init__(self) -> None:
        self.scopes: list[dict] = []
        self.messages: list[dict] = []
        self.ended = 0
        self.act = self.hello

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        try:
            await self.act(scope, receive, send)
        finally:
            self.ended += 1

    async def hello(self, scope, receive, send):
        self.messages.append(await receive())
        headers = [(b"content-type", b"text/plain"), (b"Content-Length", b"99"), (b"connection", b"upgrade")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})

    async def stream(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        for piece in (b"a" * 100_000, b"b" * 100_000, b"c" * 100_000):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"d" * 100_000})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def plane(loop, app) -> Plane:
    plane = Plane(loop)

    async def application():
        return app

    loop.call_soon(lambda: setattr(plane.gateway, "_control", Control(application())))
    loop.settle()
    return plane


def test_an_answer_is_whole_with_its_own_framing(plane):
    answer = plane.get(b"/@/signin")
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.first == b"HTTP/1.1 200 OK"
    assert answer.value(b"content-type") == b"text/plain"
    assert answer.value(b"content-length") == b"5"
    assert answer.values(b"connection") == []


def test_the_scope_is_made_of_the_canonical_head(plane, app):
    handle = plane.sign_in()
    plane.get(b"/x/../@/signin?a=%20b", b"X-A: b", b"User-Id: evil", b"Cookie: c=d", cookie=handle)
    [scope] = app.scopes
    assert (scope["type"], scope["method"], scope["path"], scope["raw_path"]) == (
        "http",
        "GET",
        "/@/signin",
        b"/@/signin",
    )
    assert (scope["query_string"], scope["scheme"], scope["client"]) == (b"a=%20b", "http", ("192.0.2.7", 0))
    assert scope["headers"] == [(b"host", b"app.example"), (b"x-a", b"b")]
    visit = scope["state"]["visit"]
    assert (visit.session, visit.now, visit.cookies) == (plane.session, NOW_AT, {"c": "d"})


def test_a_body_is_given_whole(plane, app):
    client = plane.client().send(request(b"/@/signout", method=b"POST", body=b"hello")[:-3])
    assert app.messages == []
    client.send(b"llo")
    assert client.answer().status == 200
    assert app.messages == [{"type": "http.request", "body": b"hello", "more_body": False}]


def test_a_chunked_body_too(plane, app):
    plane.exchange(
        request(b"/@/signout", b"Transfer-Encoding: chunked", method=b"POST") + b"2\r\nhi\r\n0\r\n\r\n"
    )
    assert app.messages[0]["body"] == b"hi"


def test_a_body_above_a_mebibyte_is_413(plane, app):
    client = plane.client().send(
        request(b"/@/signout", b"Content-Length: %d" % (ONE_MIB + 1), method=b"POST")
    )
    assert client.answer().status == 413
    assert client.is_ended
    client = plane.client().send(request(b"/@/signout", b"Transfer-Encoding: chunked", method=b"POST"))
    client.send(b"%x\r\n" % (ONE_MIB + 1) + bytes(ONE_MIB + 1) + b"\r\n")
    assert client.answer().status == 413
    assert app.messages in ([], [{"type": "http.disconnect"}])


def test_expect_is_met_here(plane):
    client = plane.client().send(
        request(b"/@/signout", b"Expect: 100-continue", b"Content-Length: 2", method=b"POST")
    )
    assert client.answer().status == 100
    client.send(b"hi")
    assert client.answer().status == 200


def test_a_stream_comes_whole_and_as_slowly_as_it_is_read(plane, app):
    app.act = app.stream
    client = plane.client()
    client.transport.reads = False
    client.send(request(b"/@/static/app.js"))
    assert len(client.transport.unsent) < 250_000
    while client.transport.unsent:
        client.transport.take(60_000)
    assert len(client.answer().body) == 400_000
    assert app.ended == 1


@pytest.mark.parametrize("act", ["hello", "stream"])
def test_the_answer_to_head_has_no_body(plane, app, act):
    app.act = getattr(app, act)
    client = plane.client().send(request(b"/@/signin", method=b"HEAD"))
    assert client.answer(b"HEAD").status == 200
    client.send(request(b"/@/signin", method=b"HEAD"))
    assert client.answer(b"HEAD").status == 200
    assert app.ended == 2


def test_requests_wait_for_an_application_still_on_its_way(loop, app):
    plane = Plane(loop)
    coming = loop.create_future()
    loop.run(lambda: setattr(plane.gateway, "_control", Control(coming)))
    clients = [plane.client().send(request(b"/@/signin")) for _ in range(2)]
    leaving = plane.client().send(request(b"/@/signin"))
    leaving.transport.lose()
    assert [client.answers() for client in clients] == [[], []]
    loop.run(coming.set_result, app)
    assert [client.answer().body for client in clients] == [b"hello", b"hello"]


def test_an_application_that_can_not_be_had_is_500_each_time(loop):
    plane = Plane(loop)
    coming = loop.create_future()
    loop.run(lambda: setattr(plane.gateway, "_control", Control(coming)))
    client = plane.client().send(request(b"/@/signin"))
    loop.run(coming.set_exception, ImportError("no module"))
    assert client.answer().status == 500
    assert plane.get(b"/@/signin").status == 500
    assert plane.get(b"/public").status == 200


def test_an_error_before_the_answer_is_a_page(plane, app):
    async def broken(scope, receive, send):
        raise ProviderUnavailable("down")

    app.act = broken
    assert plane.get(b"/@/signin").status == 503


def test_no_answer_is_a_fault(plane, app):
    async def nothing(scope, receive, send):
        pass

    app.act = nothing
    assert plane.get(b"/@/signin").status == 500


@pytest.mark.parametrize("raises", [True, False], ids=["by an error", "by returning"])
def test_an_application_that_stops_within_its_answer_breaks_the_connection(plane, app, raises):
    async def half(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if raises:
            raise RuntimeError("half way")

    app.act = half
    client = plane.client().send(request(b"/@/signin"))
    assert client.transport.was_aborted


def test_a_client_that_leaves_is_a_disconnect(plane, app):
    got = []

    async def waits(scope, receive, send):
        got.append(await receive())
        got.append(await receive())

    app.act = waits
    client = plane.client().send(request(b"/@/signin"))
    assert [message["type"] for message in got] == ["http.request"]
    client.transport.lose()
    assert got[-1] == {"type": "http.disconnect"}
    assert app.ended == 1


def test_a_body_cut_off_is_a_disconnect_not_a_body(plane, app):
    client = plane.client().send(request(b"/@/signout", method=b"POST", body=b"hello")[:-1])
    client.transport.lose()
    assert app.messages == [{"type": "http.disconnect"}]


def test_a_client_that_leaves_within_a_stream_ends_the_application(plane, app):
    app.act = app.stream
    client = plane.client()
    client.transport.reads = False
    client.send(request(b"/@/static/app.js"))
    client.transport.lose()
    assert app.ended == 1


@pytest.mark.parametrize(
    ("kind", "is_ended"),
    [
        pytest.param(b"text/event-stream; charset=utf-8", True, id="events"),
        pytest.param(b"text/csv", False, id="a file"),
    ],
)
def test_events_end_when_the_process_is_about_to_and_files_go_on(plane, app, kind, is_ended):
    async def act(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", kind)]})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await receive()

    app.act = act
    client = plane.client().send(request(b"/@/signin"))
    plane.gateway.end_streams()
    plane.loop.settle()
    assert client.transport.clear().endswith(b"1\r\nx\r\n" + b"0\r\n\r\n" * is_ended)
    assert app.ended == is_ended


def test_asyncio_is_the_loop_under_it(loop):
    assert isinstance(loop, asyncio.AbstractEventLoop)
