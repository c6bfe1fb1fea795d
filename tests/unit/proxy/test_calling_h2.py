"""Calls to APIs of HTTP/2, those of gRPC among them: the same checks, the same credentials, trailers and deadlines kept."""

from __future__ import annotations

import pytest

from tests.helpers.h2_peer import Asked, H2Peer, ok
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.client_h2 import H2Client
from tests.unit.proxy.conftest import Client
from tests.unit.proxy.plane import request
from tests.unit.proxy.test_calling import BEARER, IN_QUERY, OWN, SECRET, Api
from tests.unit.proxy.test_upstream_h2 import silent
from vestibule.core.route import Server

GRPC = (b"Content-Type: application/grpc+proto", b"TE: trailers")
MESSAGE = b"\0\0\0\0\x02hi"
CLIENTS = {"h1": Client, "h2": H2Client}


class H2Api(Api):
    """A calling interface with an API of HTTP/2 behind it."""

    def __init__(self, loop: FakeLoop, *applied, client: type[Client | H2Client] = H2Client) -> None:
        super().__init__(loop, *applied, endpoint=Server(host="api.example", port=443, tls=True, http2=True))
        self.api = loop.network["api.example", 443] = H2Peer(loop)
        self.client_type = client

    def send(self, data: bytes) -> Client | H2Client:
        client = self.client_type(self.loop, self.listener, ("127.0.0.1", 5000)).send(data)
        self.api.look()
        return client

    def call(self, *lines: bytes, body: bytes | None = MESSAGE):
        """A call of gRPC of one message, answered as far as the API does."""
        path = b"/pkg.Service/Method"
        lines = (*GRPC, *lines, b"Proxy-Session: " + self.handle)
        return self.send(request(path, *lines, method=b"POST", body=body, host=b"127.0.0.1:7001"))


@pytest.fixture(params=CLIENTS)
def api(loop, request) -> H2Api:
    return H2Api(loop, client=CLIENTS[request.param])


def answered(status: bytes, *, in_head: bool = False):
    """An API that answers each call with this status."""

    def answer(asked: Asked) -> None:
        if not asked.is_whole:
            return
        if in_head:
            asked.head((b"content-type", b"application/grpc"), (b"grpc-status", status), end=True)
        else:
            asked.head((b"content-type", b"application/grpc")).data(MESSAGE).end((b"grpc-status", status))

    return answer


def test_a_call_goes_out_with_the_credential_and_comes_back_with_its_trailers(api):
    api.api.answers = answered(b"0")
    answer = api.call(b"X-Meta: 1").answer(b"POST")
    assert (answer.status, answer.body, answer.trailers) == (200, MESSAGE, [(b"grpc-status", b"0")])
    asked = api.api.request
    assert asked.body == MESSAGE
    fields = asked.fields
    assert (fields[b":scheme"], fields[b":authority"], fields[b":path"]) == (
        b"https", b"api.example", b"/pkg.Service/Method",
    )  # fmt: skip
    assert (fields[b"authorization"], fields[b"te"], fields[b"x-meta"]) == (
        b"Bearer token-1",
        b"trailers",
        b"1",
    )
    assert b"proxy-session" not in fields


def test_calls_share_a_connection_and_none_of_their_credentials_is_kept_on_it(loop):
    api = H2Api(loop, BEARER, SECRET, IN_QUERY)
    for _ in range(3):
        assert api.get(b"/v1?a=b").status == 200
    assert len(api.api.connections) == 1
    assert api.api.last.path == b"/v1?a=b&access_token=token-1"
    assert api.api.last.fields[b"x-api-key"] == b"s3cret"
    (connection,) = api.calling._pool.servers[0].connections
    kept = b" ".join(
        b"".join(map(bytes, field)) for field in connection.engine.encoder.header_table.dynamic_entries
    )
    assert b":authority" in kept
    assert b"s3cret" not in kept
    assert b"token-1" not in kept


def test_nobody_sets_a_credential_behind_the_body(loop):
    api = H2Api(loop, SECRET)
    lines = (*GRPC, b"Transfer-Encoding: chunked")
    body = b"2\r\nhi\r\n0\r\nX-Api-Key: mine\r\nX-Mine: 1\r\n\r\n"
    client = api.client_type(loop, api.listener, ("127.0.0.1", 5000))
    client.send(request(b"/v1", *lines, method=b"POST", host=b"localhost"), body)
    api.api.look()
    assert api.api.request.trailers == [(b"x-mine", b"1")]


# -- refused here ----------------------------------------------------------------------------------------------------


def test_a_call_without_a_handle_is_told_as_grpc_tells_and_nothing_goes_out(api):
    api.handle = b"nonsense"
    answer = api.call(body=None).answer(b"POST")
    assert (answer.status, answer.values(b"grpc-status")) == (200, [b"16"])
    assert b"handle_invalid" in answer.values(b"grpc-message")[0]
    assert api.api.connections == []


def test_a_page_may_not_call(api):
    answer = api.call(b"Origin: https://evil.example", body=None).answer(b"POST")
    assert answer.values(b"grpc-status") == [b"7"]
    assert api.api.connections == []


def test_no_websocket_is_opened(api):
    """Threat: a 2xx of the API would be one to a client of HTTP/2."""
    lines = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    client = api.send(request(b"/v1", *lines, b"Proxy-Session: " + api.handle, host=b"localhost"))
    assert client.answer().status == 501
    assert api.api.connections == []


# -- how long --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("timeout", "after_s"), [(b"50m", 1), (b"2S", 3), (b"1M", 61)])
def test_a_deadline_is_kept_and_the_api_is_told(api, timeout, after_s):
    api.api.answers = silent
    client = api.call(b"grpc-timeout: " + timeout)
    assert api.api.request.fields[b"grpc-timeout"] == timeout
    for _ in range(after_s):
        api.loop.advance(1)
    assert client.answer(b"POST").values(b"grpc-status") == [b"4"]
    api.api.look()
    assert api.api.request.reset is not None


# -- a token that is refused -----------------------------------------------------------------------------------------


def refusing(asked: Asked) -> None:
    """An API that takes no first token."""
    if asked.is_whole and asked.fields.get(b"authorization") == b"Bearer token-1":
        asked.head((b"content-length", b"0"), status=b"401", end=True)
    else:
        ok(asked)


@pytest.mark.parametrize("applied", [BEARER, OWN], ids=["a person's", "the app's own"])
def test_a_call_that_may_be_made_again_is_with_a_fresh_token(loop, applied):
    api = H2Api(loop, applied)
    api.api.answers = refusing
    client = api.send(request(b"/v1", b"Proxy-Session: " + api.handle, host=b"localhost"))
    api.api.look()
    assert (client.answer().status, api.grants.refreshes) == (200, 1)
    assert [asked.fields[b"authorization"] for asked in api.api.asked] == [
        b"Bearer token-1",
        b"Bearer token-2",
    ]
    assert len(api.api.connections) == 1


@pytest.mark.parametrize(
    "answers",
    [refusing, answered(b"16"), answered(b"16", in_head=True)],
    ids=["401", "in trailers", "in the head"],
)
def test_one_with_a_body_is_not_but_the_next_has_the_fresh_token(api, answers):
    api.api.answers = answers
    first = api.call().answer(b"POST")
    assert first.status == 401 or b"16" in (*first.values(b"grpc-status"), *dict(first.trailers).values())
    api.loop.settle()
    assert (len(api.api.asked), api.grants.refreshes) == (1, 1)
    api.api.answers = answered(b"0")
    assert api.call().answer(b"POST").trailers == [(b"grpc-status", b"0")]
    assert api.api.last.fields[b"authorization"] == b"Bearer token-2"


@pytest.mark.parametrize("status", [b"0", b"5", b"7", b"161", b"x"])
@pytest.mark.parametrize("in_head", [False, True])
def test_any_other_status_says_nothing_of_the_token(api, status, in_head):
    api.api.answers = answered(status, in_head=in_head)
    api.call()
    api.loop.settle()
    assert api.grants.refreshes == 0
