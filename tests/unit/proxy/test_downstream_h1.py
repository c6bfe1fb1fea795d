"""The client's side: bytes of one connection in, exchanges and answers out."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.messages import UnreadableError, read_answers
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.conftest import Client, Noted, NotedHandler, PlainListener
from vestibule.proxy.capacity import Capacity
from vestibule.proxy.downstream_h1 import LINGER_LIMIT_BYTES, PENDING_LIMIT_BYTES

GET = b"GET /a HTTP/1.1\r\nHost: app.example\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK"


def request(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: app.example") -> bytes:
    return b"\r\n".join((first, *([host] if host else []), *lines, b"", b""))


# -- framing: everything that two parsers could read differently ---------------------------------------------

REFUSED = {
    "Content-Length and Transfer-Encoding": (
        request(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        400,
    ),
    "Transfer-Encoding and Content-Length": (
        request(b"Transfer-Encoding: chunked", b"Content-Length: 3"),
        400,
    ),
    "two equal Content-Length": (request(b"Content-Length: 3", b"Content-Length: 3"), 400),
    "two different Content-Length": (request(b"Content-Length: 3", b"content-length: 4"), 400),
    "Content-Length list": (request(b"Content-Length: 3, 3"), 400),
    "Content-Length with plus": (request(b"Content-Length: +3"), 400),
    "Content-Length negative": (request(b"Content-Length: -3"), 400),
    "Content-Length hexadecimal": (request(b"Content-Length: 0x3"), 400),
    "Content-Length with underscore": (request(b"Content-Length: 1_0"), 400),
    "Content-Length empty": (request(b"Content-Length:"), 400),
    "Content-Length fractional": (request(b"Content-Length: 3.0"), 400),
    "Content-Length of 19 digits": (request(b"Content-Length: 1000000000000000000"), 400),
    "Content-Length in other digits": (request("Content-Length: ٣".encode()), 400),
    "Transfer-Encoding gzip": (request(b"Transfer-Encoding: gzip"), 400),
    "Transfer-Encoding gzip, chunked": (request(b"Transfer-Encoding: gzip, chunked"), 400),
    "Transfer-Encoding chunked twice": (
        request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        400,
    ),
    "Transfer-Encoding chunked, chunked": (request(b"Transfer-Encoding: chunked, chunked"), 400),
    "Transfer-Encoding chunked, identity": (request(b"Transfer-Encoding: chunked, identity"), 400),
    "Transfer-Encoding identity": (request(b"Transfer-Encoding: identity"), 400),
    "Transfer-Encoding xchunked": (request(b"Transfer-Encoding: xchunked"), 400),
    "Transfer-Encoding with vertical tab": (request(b"Transfer-Encoding: \x0bchunked"), 400),
    "Transfer-Encoding in quotes": (request(b'Transfer-Encoding: "chunked"'), 400),
    "Transfer-Encoding empty": (request(b"Transfer-Encoding:"), 400),
    "Transfer-Encoding with space before the colon": (request(b"Transfer-Encoding : chunked"), 400),
    "Transfer-Encoding in HTTP/1.0": (request(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"), 400),
    "obs-fold": (request(b"A: b", b" c"), 400),
    "obs-fold by tab": (request(b"A: b", b"\tc"), 400),
    "obs-fold of the first line": (request(b"X: y", host=b" Host: app.example"), 400),
    "bare LF between lines": (b"GET / HTTP/1.1\r\nHost: app.example\nA: b\r\n\r\n", 400),
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: app.example\r\n\r\n", 400),
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: app.example\n\n", 400),
    "bare CR in a value": (request(b"A: b\rc"), 400),
    "bare CR in the request line": (request(first=b"GET /\r HTTP/1.1"), 400),
    "NUL in a value": (request(b"A: b\0c"), 400),
    "NUL in a name": (request(b"A\0: b"), 400),
    "control character in a value": (request(b"A: b\x01c"), 400),
    "DEL in a value": (request(b"A: b\x7fc"), 400),
    "no colon": (request(b"A"), 400),
    "empty name": (request(b": b"), 400),
    "space in a name": (request(b"A B: c"), 400),
    "space before the colon": (request(b"A : b"), 400),
    "non-ASCII name": (request("Ä: b".encode()), 400),
    "parenthesis in a name": (request(b"A(: b"), 400),
    "no Host": (request(host=b""), 400),
    "no Host in HTTP/1.0": (request(host=b"", first=b"GET / HTTP/1.0"), 400),
    "two Hosts": (request(b"Host: app.example"), 400),
    "two different Hosts": (request(b"host: evil.example"), 400),
    "empty Host": (request(host=b"Host:"), 400),
    "Host with userinfo": (request(host=b"Host: evil@app.example"), 400),
    "Host with a path": (request(host=b"Host: app.example/x"), 400),
    "Host list": (request(host=b"Host: app.example, evil.example"), 400),
    "Host with a bad port": (request(host=b"Host: app.example:port"), 400),
    "Host with space": (request(host=b"Host: app.example evil"), 400),
    "absolute target of another host": (request(first=b"GET http://evil.example/ HTTP/1.1"), 400),
    "absolute target of another port": (request(first=b"GET http://app.example:81/ HTTP/1.1"), 400),
    "absolute target with userinfo": (request(first=b"GET http://a@app.example/ HTTP/1.1"), 400),
    "absolute target of another scheme": (request(first=b"GET ftp://app.example/ HTTP/1.1"), 400),
    "raw # in the target": (request(first=b"GET /a#b HTTP/1.1"), 400),
    "raw # in the query": (request(first=b"GET /a?b#c HTTP/1.1"), 400),
    "backslash": (request(first=b"GET /a\\b HTTP/1.1"), 400),
    "encoded backslash": (request(first=b"GET /a%5Cb HTTP/1.1"), 400),
    "encoded slash": (request(first=b"GET /a%2fb HTTP/1.1"), 400),
    "%00": (request(first=b"GET /a%00b HTTP/1.1"), 400),
    "%00 in the query": (request(first=b"GET /a?%00 HTTP/1.1"), 400),
    "bad percent-encoding": (request(first=b"GET /a%zz HTTP/1.1"), 400),
    "cut percent-encoding": (request(first=b"GET /a%2 HTTP/1.1"), 400),
    "overlong UTF-8": (request(first=b"GET /%c0%ae HTTP/1.1"), 400),
    "control character in the target": (request(first=b"GET /a\x01 HTTP/1.1"), 400),
    "tab in the target": (request(first=b"GET /a\tb HTTP/1.1"), 400),
    "raw byte above 0x7f in the target": (request(first="GET /ä HTTP/1.1".encode()), 400),
    "target without a slash": (request(first=b"GET a HTTP/1.1"), 400),
    "authority as target": (request(first=b"GET app.example:80 HTTP/1.1"), 400),
    "asterisk for GET": (request(first=b"GET * HTTP/1.1"), 400),
    "dot segments behind a parameter": (request(first=b"GET /a/..;x/b HTTP/1.1"), 400),
    "double-encoded dot segments": (request(first=b"GET /a/%252e%252e/b HTTP/1.1"), 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "two spaces": (request(first=b"GET  / HTTP/1.1"), 400),
    "space at the end of the request line": (request(first=b"GET / HTTP/1.1 "), 400),
    "space before the method": (request(first=b" GET / HTTP/1.1"), 400),
    "tab for space": (request(first=b"GET\t/\tHTTP/1.1"), 400),
    "lower-case method": (request(first=b"get / HTTP/1.1"), 400),
    "empty method": (request(first=b" / HTTP/1.1"), 400),
    "method with a colon": (request(first=b"GE:T / HTTP/1.1"), 400),
    "lower-case version": (request(first=b"GET / http/1.1"), 505),
    "HTTP/1.2": (request(first=b"GET / HTTP/1.2"), 505),
    "HTTP/2.0": (request(first=b"GET / HTTP/2.0"), 505),
    "HTTP/1.10": (request(first=b"GET / HTTP/1.10"), 505),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "TRACE": (request(first=b"TRACE / HTTP/1.1"), 405),
    "CONNECT": (request(first=b"CONNECT app.example:80 HTTP/1.1"), 405),
    "CONNECT with a path": (request(first=b"CONNECT / HTTP/1.1"), 405),
    "unknown expectation": (request(b"Expect: 200-ok", b"Content-Length: 1"), 417),
    "Connection names Host": (request(b"Connection: close, Host"), 400),
    "101 header fields": (request(*(b"A%d: b" % i for i in range(100))), 431),
    "1,000 header fields": (request(*(b"A%d: b" % i for i in range(1000))), 431),
    "64 KiB of header": (request(b"A: " + b"b" * 65536), 431),
    "a line above 32 KiB": (request(b"A: " + b"b" * 32768), 431),
    "33 KiB of header in small lines": (request(*(b"A%d: " % i + b"b" * 700 for i in range(48))), 431),
    "target above 8 KiB": (request(first=b"GET /" + b"a" * 8192 + b" HTTP/1.1"), 414),
    "target of 64 KiB": (request(first=b"GET /" + b"a" * 65536 + b" HTTP/1.1"), 414),
    "an empty line and no request": (b"\r\nX\r\n\r\n", 400),
    "a bare CR first": (b"\r" + GET, 400),
    "a bare CR before an empty line": (b"\r\r\n" + GET, 400),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_a_request_that_can_be_read_in_two_ways_is_refused_and_the_connection_closed(loop, data, status):
    handler = NotedHandler(echo=True)
    client = Client(loop, PlainListener(handler, loop))
    client.send(data + GET)
    answer = client.answer()
    assert answer.status == status
    assert answer.value(b"connection") == b"close"
    assert client.is_ended
    client.send(GET)
    assert client.transport.clear() == b""
    assert handler.exchanges == []
    other = Client(loop, client.listener).send(GET)
    assert other.answer().body == b"/a"


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_alike_when_the_bytes_come_one_by_one(loop, data, status):
    handler = NotedHandler(echo=True)
    client = Client(loop, PlainListener(handler, loop))
    for at in range(len(data)):
        client.send(data[at : at + 1])
        if client.is_ended:
            break
    assert client.answer().status == status
    assert handler.exchanges == []


ACCEPTED = {
    "100 header fields": request(*(b"A%d: b" % i for i in range(99))),
    "a target of 8 KiB": request(first=b"GET /" + b"a" * 8191 + b" HTTP/1.1"),
    "Content-Length with white space around": request(b"Content-Length: \t0 "),
    "Transfer-Encoding in capitals": request(b"TRANSFER-ENCODING: Chunked") + b"0\r\n\r\n",
    "an empty value": request(b"A:"),
    "obs-text in a value": request(b"A: \xe4"),
    "an absolute target": request(first=b"GET http://APP.example./a HTTP/1.1"),
    "OPTIONS *": request(first=b"OPTIONS * HTTP/1.1"),
    "an empty line first": b"\r\n" + GET,
    "three empty lines first": b"\r\n" * 3 + GET,
    "HTTP/1.0": request(first=b"GET / HTTP/1.0"),
    "PROPFIND": request(first=b"PROPFIND / HTTP/1.1"),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_odd_and_has_one_meaning_is_accepted(loop, data):
    handler = NotedHandler(echo=True)
    client = Client(loop, PlainListener(handler, loop))
    client.send(data)
    assert client.answer().status == 200
    assert handler.refused == []


# -- bodies ------------------------------------------------------------------------------------------------------


def test_a_body_with_a_length_reaches_the_responder(client, handler):
    client.send(POST + b"he", b"llo")
    assert handler.responders[0].calls == ["body", "body", ("end", ())]
    assert handler.responders[0].body == b"hello"


def test_a_request_without_body_ends_at_once(client, handler):
    client.send(GET)
    assert handler.responders[0].calls == [("end", ())]


def test_a_body_waits_until_it_is_wanted(loop):
    handler = NotedHandler(wants=False)
    client = Client(loop, PlainListener(handler, loop)).send(POST + b"he", b"llo")
    assert handler.responders[0].calls == []
    loop.run(handler.exchanges[0].want_body)
    assert handler.responders[0].body == b"hello"
    loop.run(handler.exchanges[0].want_body)
    assert handler.responders[0].calls == ["body", ("end", ())]
    assert not client.is_ended


def test_a_chunked_body_is_taken_apart_with_its_trailers(client, handler):
    client.send(
        CHUNKED + b"5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nChecksum: 7\r\nHost: evil\r\nUser-Id: 1\r\n\r\n"
    )
    assert handler.responders[0].body == b"hello!"
    assert handler.responders[0].calls[-1] == ("end", (b"Checksum: 7",))


BROKEN_CHUNKS = {
    "size 0x5": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size with plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size with space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "size with space after": b"5 \r\nhello\r\n0\r\n\r\n",
    "size with underscore": b"1_0\r\nhello\r\n0\r\n\r\n",
    "empty size": b"\r\nhello\r\n0\r\n\r\n",
    "size of 16 digits": b"0000000000000005\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "bad end of a chunk": b"5\r\nhelloXX0\r\n\r\n",
    "chunk longer than it said": b"4\r\nhello\r\n0\r\n\r\n",
    "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "bare LF in the trailers": b"5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n",
    "endless extension": b"5;" + b"a" * 1000 + b"\r\nhello\r\n0\r\n\r\n",
    "malformed trailer": b"5\r\nhello\r\n0\r\nA b\r\n\r\n",
    "folded trailer": b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
}


@pytest.mark.parametrize("body", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
def test_a_broken_chunk_is_400_and_the_responder_is_told_that_the_client_is_gone(client, handler, body):
    client.send(CHUNKED + body + GET)
    assert client.answer().status == 400
    assert client.is_ended
    assert handler.responders[0].calls[-1] == "gone"
    assert not handler.responders[0].is_whole
    assert len(handler.exchanges) == 1


def test_p9_trailers_without_end_are_refused(client, handler):
    client.send(CHUNKED + b"0\r\n" + b"A: b\r\n" * 200)
    assert client.answer().status == 431
    assert client.is_ended


def test_a_broken_chunk_after_the_answer_began_breaks_the_connection(loop, client, handler):
    client.send(CHUNKED)
    loop.run(handler.exchanges[0].start, OK, [], None)
    client.send(b"zz\r\n")
    assert client.transport.was_aborted
    with pytest.raises(UnreadableError):
        client.answers()


def test_p9_a_chunked_body_above_the_limit_is_413(loop):
    handler = NotedHandler(wants=False)
    client = Client(loop, PlainListener(handler, loop)).send(CHUNKED)
    loop.run(handler.exchanges[0].limit_body, 5)
    loop.run(handler.exchanges[0].want_body)
    client.send(b"5\r\nhello\r\n")
    assert handler.responders[0].body == b"hello"
    client.send(b"1\r\n!\r\n")
    assert client.answer().status == 413
    assert handler.responders[0].calls == ["body", "gone"]
    assert client.is_ended


def test_the_bytes_behind_a_body_are_the_next_request(loop, client, handler):
    client.send(POST + b"hello" + GET)
    assert len(handler.exchanges) == 1
    loop.run(handler.exchanges[0].answer, OK, [], b"1")
    assert handler.exchanges[1].head.target.path == b"/a"
    loop.run(handler.exchanges[1].answer, OK, [], b"2")
    assert [answer.body for answer in client.answers()] == [b"1", b"2"]
    assert not client.is_ended


def test_the_bytes_behind_a_chunked_body_are_the_next_request(loop, client, handler):
    client.send(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n" + GET)
    loop.run(handler.exchanges[0].answer, OK, [], b"1")
    assert handler.exchanges[1].head.target.path == b"/a"


class AtTheLastByte(Noted):
    """Answers from within `on_body`, as soon as it has five bytes."""

    def __init__(self, exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def on_body(self, data: bytes) -> None:
        super().on_body(data)
        if len(self.body) == 5:
            self.exchange.answer(OK, [], b"early")


def test_a_request_behind_a_body_is_served_though_the_answer_came_with_the_last_byte(loop):
    handler = NotedHandler(wants=False)
    client = Client(loop, PlainListener(handler, loop)).send(POST)
    first = handler.exchanges[0]
    first.responder = AtTheLastByte(first)
    loop.run(first.want_body)
    client.send(b"hello" + GET)
    assert client.answer().body == b"early"
    assert [exchange.head.target.path for exchange in handler.exchanges] == [b"/b", b"/a"]


# -- answers -----------------------------------------------------------------------------------------------------


def test_an_answer_has_its_length_and_the_connection_stays(loop, client, handler):
    client.send(GET)
    loop.run(handler.exchanges[0].answer, OK, [b"A: b"], b"hello")
    assert client.transport.clear() == b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello"
    assert handler.ended == handler.exchanges
    assert (handler.exchanges[0].status, handler.exchanges[0].bytes_out) == (200, 5)
    client.send(GET)
    assert len(handler.exchanges) == 2


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_204_and_304_have_neither_body_nor_length(loop, client, handler, status):
    client.send(GET)
    loop.run(handler.exchanges[0].answer, b"HTTP/1.1 " + status, [], b"never")
    assert client.transport.clear() == b"HTTP/1.1 " + status + b"\r\n\r\n"
    assert not client.is_ended


def test_head_gets_the_length_and_no_body(loop, client, handler):
    client.send(GET.replace(b"GET", b"HEAD"))
    loop.run(handler.exchanges[0].answer, OK, [], b"hello")
    assert client.transport.clear() == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert not client.is_ended


def streamed(exchange, length, *pieces, trailers=()):
    exchange.start(OK, [], length)
    for piece in pieces:
        exchange.write(piece)
    exchange.finish(trailers)


def test_a_stream_of_known_length(loop, client, handler):
    client.send(GET)
    loop.run(streamed, handler.exchanges[0], 4, b"ab", b"", b"cd")
    assert client.transport.clear() == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"
    assert not client.is_ended


def test_a_stream_of_unknown_length_is_chunked_with_trailers(loop, client, handler):
    client.send(GET)
    exchange = handler.exchanges[0]
    loop.run(lambda: streamed(exchange, None, b"ab", b"cd", trailers=[b"T: 1"]))
    answer = client.answer()
    assert (answer.body, answer.trailers, answer.value(b"transfer-encoding")) == (
        b"abcd",
        [(b"T", b"1")],
        b"chunked",
    )
    assert not client.is_ended


def test_a_piece_goes_out_when_it_comes(loop, client, handler):
    client.send(GET)
    loop.run(handler.exchanges[0].start, OK, [b"Content-Type: text/event-stream"], None)
    client.transport.clear()
    loop.run(handler.exchanges[0].write, b"data: 1\n\n")
    assert client.transport.clear() == b"9\r\ndata: 1\n\n\r\n"


def test_http_1_0_gets_a_stream_that_ends_with_the_connection(loop, client, handler):
    client.send(request(b"Connection: keep-alive", first=b"GET / HTTP/1.0"))
    loop.run(streamed, handler.exchanges[0], None, b"ab")
    assert client.transport.clear() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab"
    assert client.is_ended


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        pytest.param(request(), True, id="1.1"),
        pytest.param(request(b"Connection: close"), False, id="1.1 close"),
        pytest.param(request(b"Connection: Keep-Alive, CLOSE"), False, id="1.1 both"),
        pytest.param(request(first=b"GET / HTTP/1.0"), False, id="1.0"),
        pytest.param(request(b"Connection: keep-alive", first=b"GET / HTTP/1.0"), True, id="1.0 keep-alive"),
        pytest.param(request(b"Connection: close", first=b"GET / HTTP/1.0"), False, id="1.0 close"),
    ],
)
def test_the_connection_stays_as_the_client_asked(loop, client, handler, data, stays):
    client.send(data)
    loop.run(handler.exchanges[0].answer, OK, [], b"x")
    answer = client.answer()
    assert client.is_ended is not stays
    assert (answer.value(b"connection") == b"close") is not stays
    if stays and data.startswith(b"GET / HTTP/1.0"):
        assert answer.value(b"connection") == b"keep-alive"


def test_more_than_was_announced_breaks_the_connection(loop, client, handler):
    client.send(GET)
    loop.run(streamed, handler.exchanges[0], 3, b"abcd")
    assert client.transport.was_aborted
    with pytest.raises(UnreadableError):
        client.answers()


def test_less_than_was_announced_breaks_the_connection(loop, client, handler):
    client.send(GET)
    loop.run(streamed, handler.exchanges[0], 5, b"abcd")
    assert client.transport.was_aborted


def test_an_abort_is_never_taken_for_the_end(loop, client, handler):
    client.send(GET)
    exchange = handler.exchanges[0]
    loop.run(exchange.start, OK, [], None)
    loop.run(exchange.write, b"ab")
    loop.run(exchange.abort)
    assert client.transport.was_aborted
    with pytest.raises(UnreadableError):
        client.answers()
    assert handler.ended == [exchange]


def test_a_broken_off_exchange_tells_its_responder(loop, client, handler):
    client.send(GET)
    loop.run(handler.exchanges[0].abort)
    assert handler.responders[0].calls == [("end", ()), "gone"]


def test_a_second_answer_is_nothing(loop, client, handler):
    client.send(GET)
    exchange = handler.exchanges[0]
    for answer in (b"1", b"2"):
        loop.run(exchange.answer, OK, [], answer)
    for late in (
        exchange.abort,
        exchange.finish,
        exchange.want_body,
        exchange.pause_body,
        exchange.resume_body,
    ):
        loop.run(late)
    loop.run(exchange.write, b"3")
    loop.run(exchange.inform, b"HTTP/1.1 100 Continue", ())
    assert client.answer().body == b"1"
    assert exchange.is_over
    assert handler.ended == [exchange]
    assert not client.is_ended


def test_interim_answers_come_before_the_answer_only(loop, client, handler):
    client.send(GET)
    exchange = handler.exchanges[0]
    loop.run(exchange.inform, b"HTTP/1.1 103 Early Hints", [b"Link: </a>"])
    loop.run(exchange.start, OK, [], 0)
    loop.run(exchange.inform, b"HTTP/1.1 100 Continue", [])
    loop.run(exchange.finish)
    assert [answer.status for answer in client.answers()] == [103, 200]


def test_http_1_0_gets_no_interim_answers(loop, client, handler):
    client.send(request(first=b"GET / HTTP/1.0"))
    loop.run(handler.exchanges[0].inform, b"HTTP/1.1 100 Continue", [])
    assert client.transport.clear() == b""


# -- early answers, unread bodies, and who leaves ---------------------------------------------------------------


def test_an_answer_before_the_body_closes_and_what_follows_is_no_request(loop, client, handler):
    client.send(POST)
    loop.run(handler.exchanges[0].answer, b"HTTP/1.1 403 Forbidden", [], b"no")
    answer = client.answer()
    assert (answer.status, answer.value(b"connection")) == (403, b"close")
    client.send(GET)
    assert len(handler.exchanges) == 1
    assert not client.transport.is_closed  # what still comes is read and dropped for a moment
    client.wait(4)
    assert client.transport.is_closed


def test_an_answer_that_said_close_is_the_last_though_the_body_came_meanwhile(loop, client, handler):
    client.send(POST)
    exchange = handler.exchanges[0]
    loop.run(exchange.start, OK, [], 2)
    client.send(b"hello" + GET)
    loop.run(exchange.write, b"ok")
    loop.run(exchange.finish)
    assert client.answer().value(b"connection") == b"close"
    assert client.is_ended
    assert len(handler.exchanges) == 1


def test_lingering_has_its_limit(loop, client, handler):
    client.send(POST.replace(b"5", b"50000000"))
    loop.run(handler.exchanges[0].answer, b"HTTP/1.1 403 Forbidden", [], b"no")
    client.send(bytes(LINGER_LIMIT_BYTES), b"x")
    assert client.transport.was_aborted


@pytest.mark.parametrize(
    "data", [GET, POST, POST + b"he"], ids=["asked", "before the body", "within the body"]
)
def test_a_client_that_leaves_stops_its_request(client, handler, data):
    client.send(data)
    client.transport.lose()
    assert handler.responders[0].calls[-1] == "gone"
    assert handler.responders[0].calls.count("gone") == 1
    assert handler.ended == handler.exchanges
    assert handler.exchanges[0].is_over


def test_a_client_that_ends_its_side_stops_its_request(client, handler):
    client.send(POST + b"he")
    client.transport.end()
    assert handler.responders[0].calls[-1] == "gone"
    assert client.transport.is_closed


def test_nothing_is_called_on_a_responder_after_gone(loop, client, handler):
    client.send(POST)
    client.transport.lose()
    client.connection.pause_writing()
    client.connection.resume_writing()
    assert handler.responders[0].calls == ["gone"]


# -- pipelining --------------------------------------------------------------------------------------------------


def test_a_hundred_pipelined_requests_are_answered_in_order(loop):
    handler = NotedHandler(echo=True)
    client = Client(loop, PlainListener(handler, loop))
    client.send(b"".join(GET.replace(b"/a", b"/%d" % i) for i in range(100)))
    assert [answer.body for answer in client.answers()] == [b"/%d" % i for i in range(100)]
    assert not client.is_ended


def test_a_pipelined_request_waits_for_its_turn(loop, client, handler):
    client.send(GET + GET)
    assert len(handler.exchanges) == 1
    client.send(GET)
    assert len(handler.exchanges) == 1
    for at in range(3):
        loop.run(handler.exchanges[at].answer, OK, [], b"%d" % at)
    assert [answer.body for answer in client.answers()] == [b"0", b"1", b"2"]


def test_a_bad_pipelined_request_is_refused_after_the_good_one(loop):
    handler = NotedHandler(echo=True)
    client = Client(loop, PlainListener(handler, loop))
    client.send(GET + b"GET / HTTP/1.1\r\n\r\n" + GET)
    assert [answer.status for answer in client.answers()] == [200, 400]
    assert client.is_ended
    assert len(handler.exchanges) == 1


def test_a_flood_of_pipelined_bytes_stops_reading_until_the_answer_is_out(loop, client, handler):
    client.send(GET)
    client.send(GET * (PENDING_LIMIT_BYTES // len(GET) + 1))
    assert not client.transport.is_reading()
    handler.echo = True
    loop.run(handler.exchanges[0].answer, OK, [], b"")
    assert client.transport.is_reading()
    assert len(client.answers()) == PENDING_LIMIT_BYTES // len(GET) + 2


def test_reading_goes_on_while_the_last_of_a_flood_is_served(loop, client, handler):
    """So that a client that leaves is noticed."""
    client.send(GET)
    client.send(GET.replace(b"\r\n\r\n", b"\r\nA: " + b"b" * 8000 + b"\r\n\r\n") * 9)
    for at in range(9):
        loop.run(handler.exchanges[at].answer, OK, [], b"")
    assert len(handler.exchanges) == 10
    assert client.transport.is_reading()


# -- back-pressure -----------------------------------------------------------------------------------------------


def test_a_slow_client_pauses_the_responder_and_resumes_it(loop, client, handler):
    client.send(GET)
    exchange = handler.exchanges[0]
    loop.run(exchange.start, OK, [], None)
    client.transport.reads = False
    loop.run(exchange.write, bytes(200_000))
    assert handler.responders[0].calls[1:] == ["pause"]
    client.transport.take()
    assert handler.responders[0].calls[1:] == ["pause", "resume"]


def test_a_client_that_takes_nothing_gets_no_second_answer_and_all_of_it_later(loop):
    handler = NotedHandler()
    client = Client(loop, PlainListener(handler, loop))
    client.transport.reads = False
    client.send(GET + GET)
    loop.run(handler.exchanges[0].answer, OK, [], bytes(200_000))
    assert len(handler.exchanges) == 1
    assert not client.transport.is_reading()
    client.transport.take()
    assert len(handler.exchanges) == 2
    loop.run(handler.exchanges[1].answer, OK, [], b"2")
    client.transport.take()
    assert [len(answer.body) for answer in client.answers()] == [200_000, 1]
    assert client.transport.is_reading()


def test_a_paused_body_stops_reading_and_may_be_paused_twice(loop, client, handler):
    client.send(POST + b"h")
    exchange = handler.exchanges[0]
    loop.run(exchange.pause_body)
    loop.run(exchange.pause_body)
    client.send(b"ello")
    assert handler.responders[0].body == b"h"
    loop.run(exchange.resume_body)
    loop.run(exchange.resume_body)
    assert handler.responders[0].body == b"hello"


class Full(Noted):
    """Asks for a pause at the first byte."""

    def __init__(self, exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def on_body(self, data: bytes) -> None:
        super().on_body(data)
        self.exchange.pause_body()


def test_a_pause_asked_for_while_the_first_bytes_are_delivered_holds(loop):
    """Threat: a slow backend and a large upload fill the memory."""
    handler = NotedHandler(wants=False)
    client = Client(loop, PlainListener(handler, loop))
    client.send(POST.replace(b"5", b"5000000"), bytes(PENDING_LIMIT_BYTES + 1))
    exchange = handler.exchanges[0]
    exchange.responder = Full(exchange)
    loop.run(exchange.want_body)
    assert not client.transport.is_reading()


# -- deadlines ---------------------------------------------------------------------------------------------------


def test_empty_lines_behind_a_request_begin_none(loop, client, handler):
    """They may come with its body: the connection is as idle as without them, and for no longer."""
    client.send(GET)
    loop.run(handler.exchanges[0].answer, OK, [], b"")
    client.transport.clear()
    for _ in range(7):
        client.send(b"\r\n", b"\r\n\r\n")
        assert client.connection.is_idle
        client.wait(10)
    assert not client.is_ended
    client.wait(8)
    assert client.transport.is_closed
    assert client.transport.written == b""


@pytest.mark.parametrize("pieces", [[b"\r"], [b"\r", b"\n"], [b"\r\n\r"], [b"\r\nG"]], ids=repr)
def test_what_may_begin_a_request_has_the_time_of_a_head(client, handler, pieces):
    client.send(*pieces)
    assert not client.connection.is_idle
    client.wait(12)
    assert client.answer().status == 408


def test_an_idle_connection_is_closed_without_a_word(client):
    client.wait(74)
    assert not client.is_ended
    client.wait(4)
    assert client.transport.is_closed
    assert client.transport.written == b""


def test_a_head_has_ten_seconds_however_it_drips(client):
    for byte in range(9):
        client.send(GET[byte : byte + 1])
        client.wait(1)
    assert not client.is_ended
    client.send(GET[9:12])
    client.wait(3)
    assert client.answer().status == 408
    assert client.is_ended
    client.wait(4)
    assert client.transport.is_closed


def test_a_pipelined_head_has_ten_seconds_too(loop, client, handler):
    client.send(GET + GET[:9])
    client.wait(60)
    assert not client.is_ended
    loop.run(handler.exchanges[0].answer, OK, [], b"")
    client.transport.clear()
    client.wait(13)
    assert client.answer().status == 408


def test_a_body_that_stalls_is_408(client, handler):
    client.send(POST + b"he")
    client.wait(13)
    assert client.answer().status == 408
    assert handler.responders[0].calls[-1] == "gone"
    assert client.is_ended


def test_a_body_that_drips_is_408(client, handler):
    """Threat: who sends a byte now and then holds thousands of backend connections for nothing."""
    client.send(POST.replace(b"5", b"5000000"))
    for _ in range(7):
        client.send(b"x" * 100)
        client.wait(2)
    assert client.answer().status == 408
    assert handler.responders[0].calls[-1] == "gone"


def test_a_slow_body_that_goes_on_is_not_cut(client, handler):
    client.send(POST.replace(b"5", b"81920"))
    for _ in range(40):
        client.send(bytes(2048))
        client.wait(1)
    assert len(handler.responders[0].body) == 81920
    assert not client.is_ended


def test_a_body_may_drip_where_no_rate_is_asked_for(client, handler, listener):
    listener.capacity.body_bytes_per_s = 0
    client.send(POST)
    for byte in b"hello":
        client.wait(25)
        client.send(bytes((byte,)))
    assert handler.responders[0].body == b"hello"
    assert not client.is_ended


def test_a_body_that_nobody_reads_has_no_rate(loop, client, handler):
    """A backend that takes nothing for a minute is not the client's fault."""
    client.send(POST.replace(b"5", b"5000000") + bytes(100))
    loop.run(handler.exchanges[0].pause_body)
    client.wait(60)
    assert not client.is_ended
    loop.run(handler.exchanges[0].resume_body)
    client.wait(9)
    assert not client.is_ended
    client.wait(4)
    assert client.answer().status == 408


@pytest.mark.parametrize(
    "data",
    [GET, POST + b"hello", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"],
    ids=["no body", "length", "chunked"],
)
def test_a_backend_may_think_as_long_as_it_likes_once_the_request_is_whole(loop, client, handler, data):
    client.send(data)
    client.wait(120)
    assert not client.is_ended
    loop.run(handler.exchanges[0].start, OK, [], None)
    client.wait(120)
    loop.run(handler.exchanges[0].write, b"x")
    loop.run(handler.exchanges[0].finish)
    assert client.answer().body == b"x"


def test_a_body_in_pieces_leaves_no_deadline_behind(loop, client, handler):
    client.send(POST, b"he", b"llo")
    client.wait(120)
    loop.run(handler.exchanges[0].answer, OK, [], b"x")
    assert client.answer().status == 200


def test_a_body_paused_by_the_backend_has_no_deadline(loop, client, handler):
    client.send(POST + b"h")
    loop.run(handler.exchanges[0].pause_body)
    client.wait(120)
    assert not client.is_ended
    loop.run(handler.exchanges[0].resume_body)
    client.send(b"ello")
    assert handler.responders[0].body == b"hello"


def stalled(loop, client, handler, size=500_000):
    """An answer is on its way to a client that takes nothing."""
    client.send(GET)
    client.transport.reads = False
    loop.run(handler.exchanges[0].start, OK, [], None)
    loop.run(handler.exchanges[0].write, bytes(size))


def test_a_client_that_takes_nothing_for_a_minute_is_given_up(loop, client, handler):
    stalled(loop, client, handler)
    client.wait(59)
    assert not client.is_ended
    client.wait(64)
    assert client.transport.was_aborted
    assert handler.responders[0].calls[-1] == "gone"


def test_a_client_that_takes_little_by_little_is_not_cut(loop, client, handler):
    stalled(loop, client, handler)
    for _ in range(8):
        client.wait(50)
        client.transport.take(10_000)
    assert not client.is_ended


def test_a_client_that_took_all_once_may_be_slow_again(loop, client, handler):
    stalled(loop, client, handler, 100_000)
    client.wait(50)
    client.transport.take(80_000)
    client.wait(15)  # a look at what is left
    client.transport.take()
    loop.run(handler.exchanges[0].write, bytes(400_000))
    for _ in range(4):
        client.wait(50)
        client.transport.take(10_000)
    assert not client.is_ended


def test_the_last_answer_of_a_connection_is_not_cut_while_it_is_read_slowly(loop, client, handler):
    client.send(request(b"Connection: close"))
    client.transport.reads = False
    loop.run(handler.exchanges[0].answer, OK, [], bytes(200_000))
    for _ in range(8):
        client.wait(40)
        client.transport.take(20_000)
    assert not client.transport.is_closed
    client.transport.take()
    assert len(client.answer().body) == 200_000
    client.wait(65)
    assert client.transport.is_closed


def test_a_finished_answer_that_is_not_taken_is_given_up(loop, client, handler):
    client.send(GET)
    client.transport.reads = False
    loop.run(handler.exchanges[0].answer, OK, [], bytes(200_000))
    client.wait(130)
    assert client.transport.is_closed


# -- tunnels -----------------------------------------------------------------------------------------------------


def switched(loop, client, handler):
    client.send(UPGRADE)
    loop.run(handler.exchanges[0].upgrade, b"HTTP/1.1 101 Switching Protocols", [b"Upgrade: websocket"])
    return handler.exchanges[0], handler.responders[0]


def test_a_tunnel_carries_bytes_as_they_are(loop, client, handler):
    exchange, responder = switched(loop, client, handler)
    assert client.answer().status == 101
    client.send(GET, b"\0\xff")
    assert responder.body == GET + b"\0\xff"
    loop.run(exchange.write, b"\x81\0")
    assert client.transport.clear() == b"\x81\0"
    assert len(handler.exchanges) == 1


def test_bytes_before_the_switch_are_the_tunnels(loop, client, handler):
    client.send(UPGRADE + b"early")
    assert handler.responders[0].body == b""
    loop.run(handler.exchanges[0].upgrade, b"HTTP/1.1 101 Switching Protocols", [])
    assert handler.responders[0].body == b"early"


def test_either_side_ends_a_tunnel(loop, client, handler):
    exchange, responder = switched(loop, client, handler)
    client.transport.end()
    assert responder.is_whole
    assert not client.transport.is_closed
    loop.run(exchange.write, b"bye")
    loop.run(exchange.close_tunnel)
    assert client.is_ended
    assert handler.ended == [exchange]


def test_a_tunnel_has_no_deadline_even_after_a_slow_minute(loop, client, handler):
    exchange, responder = switched(loop, client, handler)
    client.wait(200)
    client.transport.reads = False
    loop.run(exchange.write, bytes(200_000))
    client.transport.take()
    client.transport.reads = True
    client.wait(200)
    assert not client.is_ended
    assert responder.calls[-2:] == ["pause", "resume"]


def test_a_broken_off_tunnel_tells_its_responder(loop, client, handler):
    exchange, responder = switched(loop, client, handler)
    loop.run(exchange.abort)
    assert client.transport.is_closed
    assert responder.calls[-1] == "gone"
    assert handler.ended == [exchange]


# -- draining ----------------------------------------------------------------------------------------------------


def test_draining_lets_answers_end_and_keeps_what_is_idle_for_a_moment(loop, client, handler):
    busy = Client(loop, client.listener).send(GET)
    client.listener.draining = True
    for connection in (client.connection, busy.connection):
        loop.run(connection.drain)
        loop.run(connection.close_idle) if connection is busy.connection else None
    assert not client.is_ended
    assert not busy.is_ended
    loop.run(handler.exchanges[0].answer, OK, [], b"x")
    assert busy.answer().value(b"connection") == b"close"
    assert busy.is_ended
    assert "drain" in handler.responders[0].calls
    loop.run(client.connection.close_idle)
    assert client.transport.is_closed


def test_a_request_that_is_on_its_way_when_the_program_goes_is_answered(loop, client, handler):
    client.listener.draining = True
    loop.run(client.connection.drain)
    client.send(GET[:10])
    loop.run(client.connection.close_idle)
    client.send(GET[10:])
    loop.run(handler.exchanges[0].answer, OK, [], b"x")
    assert client.answer().value(b"connection") == b"close"
    assert client.is_ended


# -- any split ---------------------------------------------------------------------------------------------------

CONVERSATION = (
    b"\r\n"
    + GET
    + POST
    + b"hello"
    + CHUNKED
    + b"3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"
    + b"\r\n"
    + GET.replace(b"GET", b"HEAD")
    + request(b"Connection: close")
    + GET
)


class Echoing(Noted):
    def __init__(self, exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def on_body_end(self, trailers):
        self.exchange.answer(OK, list(trailers), self.exchange.head.target.full + b" " + self.body)


class EchoHandler(NotedHandler):
    def handle(self, exchange):
        self.exchanges.append(exchange)
        exchange.responder = Echoing(exchange)
        exchange.want_body()


def conversation(pieces: list[bytes]) -> tuple[bytes, list[bytes]]:
    loop = FakeLoop()
    try:
        handler = EchoHandler()
        client = Client(loop, PlainListener(handler, loop)).send(*pieces)
        return client.transport.written, [exchange.head.target.full for exchange in handler.exchanges]
    finally:
        loop.close()


def test_the_conversation_in_one_piece():
    written, targets = conversation([CONVERSATION])
    answers = read_answers(written, b"GET", b"POST", b"POST", b"HEAD", b"GET")
    assert [answer.body for answer in answers] == [b"/a ", b"/b hello", b"/c abc0123456789", b"", b"/ "]
    assert targets == [b"/a", b"/b", b"/c", b"/a", b"/"]


@given(st.sets(st.integers(1, len(CONVERSATION) - 1)))
def test_any_split_of_the_bytes_gives_the_same_answers(cuts):
    at = [0, *sorted(cuts), len(CONVERSATION)]
    pieces = [CONVERSATION[begin:end] for begin, end in itertools.pairwise(at)]
    assert conversation(pieces) == conversation([CONVERSATION])


def test_every_single_cut_gives_the_same_answers():
    whole = conversation([CONVERSATION])
    for cut in range(1, len(CONVERSATION)):
        assert conversation([CONVERSATION[:cut], CONVERSATION[cut:]]) == whole, cut


def test_byte_by_byte_gives_the_same_answers():
    pieces = [CONVERSATION[at : at + 1] for at in range(len(CONVERSATION))]
    assert conversation(pieces) == conversation([CONVERSATION])


def test_the_connection_is_an_asyncio_protocol(client):
    assert isinstance(client.connection, asyncio.Protocol)


# -- when there is no room ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "goes_on"),
    [
        pytest.param(GET, True, id="a page"),
        pytest.param(POST + b"hello", False, id="a body, of which nothing was read"),
        pytest.param(GET + GET, False, id="two at once"),
        pytest.param(GET[:-2] + b"Connection: close\r\n\r\n", False, id="the last one"),
        pytest.param(GET[:-2] + b"Transfer-Encoding: chunked\r\n\r\n", False, id="a body in pieces"),
    ],
)
def test_a_request_too_many_is_503_and_the_next_one_may_come(listener, client, handler, data, goes_on):
    listener.capacity = Capacity(requests=1)
    listener.capacity.begun()
    client.send(data)
    answer = client.answer()
    assert answer.status == 503
    assert answer.value(b"retry-after") == b"2"
    assert handler.exchanges == []
    assert client.is_ended is not goes_on
    if goes_on:
        listener.capacity.ended()
        client.transport.clear()
        client.send(data)
        assert len(handler.exchanges) == 1


def test_requests_under_way_are_counted_until_they_are_over(loop, listener, client, handler):
    client.send(GET)
    assert listener.capacity.requests == 1
    loop.run(handler.exchanges[0].answer, OK, [], b"")
    assert listener.capacity.requests == 0
    client.send(GET)
    assert listener.capacity.requests == 1
    loop.run(client.connection.abort)
    loop.settle()
    assert listener.capacity.requests == 0


def test_a_connection_too_many_takes_the_place_of_the_one_that_is_idle_for_longest(loop, handler):
    listener = PlainListener(handler, loop)
    listener.capacity = Capacity(connections=2)
    listener.capacity.everyone = lambda: (listener.open,)
    first = Client(loop, listener)
    first.wait(2)
    second = Client(loop, listener)
    second.send(GET)
    third = Client(loop, listener)
    loop.settle()
    assert first.transport.is_closed
    assert not second.is_ended
    assert not third.is_ended
    third.send(GET)
    fourth = Client(loop, listener)
    assert fourth.answer().status == 503
    assert fourth.is_ended
