"""`internal:echo`, and who answers for which backend that is no server."""

from __future__ import annotations

import base64
import json

import pytest

from tests.helpers.exchange import FakeExchange, get
from tests.unit.proxy.plane import PlainAnswers
from vestibule.core.route import Backend
from vestibule.errors import BackendError
from vestibule.proxy.account import Account
from vestibule.proxy.echo import BODY_LIMIT_BYTES, Echo
from vestibule.proxy.internal import Internals

ECHO = Backend(internal="echo")
HANDLE = b"c2VjcmV0LWhhbmRsZS10aGF0LW5vYm9keS1zZWVz"


def echoed(exchange: FakeExchange, *lines: bytes) -> FakeExchange:
    Echo().begin(exchange, ECHO, [*exchange.head.lines, *lines])
    return exchange


def post(length: int, *lines: bytes) -> FakeExchange:
    head = (b"POST /a HTTP/1.1", b"Host: app.example", b"Content-Length: %d" % length, *lines)
    return FakeExchange(b"\r\n".join((*head, b"", b"")))


def test_the_request_as_a_backend_gets_it():
    exchange = echoed(get(b"/a%20b/../c%20d?x=1&y", b"Accept: */*"), b"User-Id: 7", b"User-Name: Zo%C3%AB")
    assert exchange.status == 200
    assert exchange.value(b"content-type") == b"application/json"
    assert exchange.value(b"cache-control") == b"no-store"
    assert json.loads(exchange.body) == {
        "method": "GET",
        "path": "/c%20d",
        "query": "x=1&y",
        "headers": [
            ["Host", "app.example"],
            ["Accept", "*/*"],
            ["User-Id", "7"],
            ["User-Name", "Zo%C3%AB"],
        ],
        "length": 0,
        "body": "",
    }


def test_headers_that_repeat_are_all_shown_in_their_order():
    exchange = echoed(get(b"/", b"A: 1", b"B: 2", b"a: 3"))
    assert json.loads(exchange.body)["headers"][1:] == [["A", "1"], ["B", "2"], ["a", "3"]]


@pytest.mark.parametrize(
    "name",
    [
        *(b"Proxy-Session", b"proxy_session", b"PROXY-SESSION"),
        *(b"Proxy-Assertion", b"X-Pomerium-Jwt-Assertion"),
    ],
)
def test_what_only_the_gateway_can_make_is_masked(name):
    exchange = echoed(get(b"/"), name + b": " + HANDLE)
    assert HANDLE[:6] in exchange.body
    assert HANDLE[6:] not in exchange.body
    assert f"{len(HANDLE)} characters" in exchange.body.decode()


def test_head_has_no_body():
    assert echoed(get(b"/", method=b"HEAD")).body == b""


def test_a_body_is_awaited_and_shown():
    exchange = echoed(post(5))
    assert exchange.status == 0
    exchange.send(b"he")
    exchange.send(b"llo")
    answer = json.loads(exchange.body)
    assert (answer["body"], answer["length"]) == ("hello", 5)
    assert ["Content-Length", "5"] in answer["headers"]


def test_a_chunked_body_and_its_trailers():
    exchange = echoed(FakeExchange(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"))
    exchange.send(b"hello")
    assert exchange.responder is not None
    exchange.responder.on_body_end([b"Digest: x"])
    answer = json.loads(exchange.body)
    assert (answer["body"], answer["trailers"]) == ("hello", [["Digest", "x"]])
    assert ["Transfer-Encoding", "chunked"] in answer["headers"]


def test_a_client_that_waits_for_100_gets_it():
    exchange = echoed(post(1, b"Expect: 100-continue"))
    assert exchange.interim == [b"HTTP/1.1 100 Continue"]
    exchange.send(b"x")
    assert exchange.status == 200


def test_a_body_that_is_not_text_is_shown_in_base64():
    exchange = echoed(post(2))
    exchange.send(b"\xff\x00")
    answer = json.loads(exchange.body)
    assert base64.b64decode(answer["body_base64"]) == b"\xff\x00"
    assert "body" not in answer


@pytest.mark.parametrize("piece", [b"x", "é".encode()], ids=["ASCII", "two bytes a character"])
def test_of_a_long_body_the_beginning_is_kept_and_the_rest_counted(piece):
    data = b"-" + piece * (2 * BODY_LIMIT_BYTES // len(piece))
    exchange = echoed(post(len(data)))
    for at in range(0, len(data), 1000):
        exchange.send(data[at : at + 1000])
    answer = json.loads(exchange.body)
    assert answer["length"] == len(data)
    assert answer["truncated"] is True
    assert data.startswith(answer["body"].encode())
    assert BODY_LIMIT_BYTES - 2 < len(answer["body"].encode()) <= BODY_LIMIT_BYTES


class Noted:
    """A directory that notes who comes."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def begin(self, exchange, backend, lines, way):
        self.asked.append(backend.static_dir)

    def close(self):
        self.asked.append("closed")


def test_each_backend_has_its_own_answer():
    directory = Noted()
    internals = Internals(directory, Echo(), Account(PlainAnswers()))
    exchange = get(b"/")
    internals.begin(exchange, Backend(static_dir="/srv/www"), [])
    assert (directory.asked, exchange.status) == (["/srv/www"], 0)
    internals.begin(exchange, ECHO, [])
    assert exchange.status == 200
    internals.close()
    assert directory.asked == ["/srv/www", "closed"]


def test_an_unknown_application_is_an_error_of_the_backend():
    with pytest.raises(BackendError):
        Internals(Noted(), Echo(), Account(PlainAnswers())).begin(get(b"/"), Backend(internal="other"), [])
