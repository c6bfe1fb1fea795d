"""Calls to a gateway's API: which connection each goes by, and what comes of one that breaks."""

from __future__ import annotations

import http.client
from typing import Any

import pytest

from vestibule import admin_link
from vestibule.admin_link import Link
from vestibule.errors import ClientError, Invalid, VestibuleError
from vestibule.model import Secret


class Connection:
    """`http.client`'s connection and answer, as the test wants them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.is_open = True
        self.will_close = server.closes
        self.status = server.status

    def request(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> None:
        assert self.is_open
        self.server.asked.append((self, method, target, body, headers))
        if self.server.breaks:
            raise self.server.breaks.pop(0)

    def getresponse(self) -> Connection:
        return self

    def read(self, limit: int) -> bytes:
        self.is_whole = len(self.server.answer) <= limit
        return self.server.answer[:limit]

    def isclosed(self) -> bool:
        return self.is_whole

    def close(self) -> None:
        self.is_open = False


class Server:
    """Answers all the same."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = b"{}"
        self.closes = False
        self.breaks: list[Exception] = []
        self.made: list[Connection] = []
        self.asked: list[tuple[Connection, str, str, bytes | None, dict[str, str]]] = []

    def connect(self) -> Connection:
        self.made.append(Connection(self))
        return self.made[-1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(admin_link, "_connector", lambda where, timeout_s: server.connect)
    return server


def link(**more: Any) -> Link:
    return Link("http://127.0.0.1:9000", Secret("vst_admin_x"), timeout_s=1.0, **({"keep": 2} | more))


def test_a_connection_serves_calls_that_follow(server):
    calls = link()
    for _ in range(3):
        calls.call("GET", "/users")
    assert len(server.made) == 1
    calls.close()
    assert not server.made[0].is_open


def test_what_may_not_happen_twice_goes_by_a_connection_of_its_own(server):
    calls = link()
    calls.call("GET", "/a")
    for method in ("POST", "PATCH", "PUT"):
        calls.call(method, "/a", {})
    assert len(server.made) == 4
    calls.call("POST", "/introspect", {}, repeatable=True)
    assert len(server.made) == 4


def test_no_more_are_kept_than_is_said(server):
    calls = link(keep=1)
    calls.call("POST", "/a", {})
    calls.call("POST", "/a", {})
    assert [one.is_open for one in server.made] == [True, False]
    keeping_none = link(keep=0)
    keeping_none.call("GET", "/a")
    assert not server.made[-1].is_open


def test_one_that_was_closed_meanwhile_is_replaced(server):
    calls = link()
    calls.call("GET", "/a")
    server.breaks = [http.client.RemoteDisconnected("gone")]
    assert calls.call("GET", "/a") == b"{}"
    assert [one.is_open for one in server.made] == [False, True]


@pytest.mark.parametrize("error", [ConnectionResetError(), http.client.BadStatusLine("x"), OSError("x")])
def test_a_new_one_that_breaks_is_told(server, error):
    server.breaks = [error]
    with pytest.raises(VestibuleError) as caught:
        link().call("POST", "/a", {})
    assert (caught.value.code, len(server.asked)) == ("unreachable", 1)


def test_who_lets_one_wait_is_not_asked_again(server):
    calls = link()
    calls.call("GET", "/a")
    server.breaks = [TimeoutError()]
    with pytest.raises(VestibuleError, match="does not answer"):
        calls.call("GET", "/a")
    assert len(server.asked) == 2


@pytest.mark.parametrize("is_cut", [True, False], ids=["too long", "the gateway closes it"])
def test_one_that_is_not_read_to_its_end_is_not_kept(server, is_cut):
    if is_cut:
        server.answer = b" " * (admin_link.ANSWER_MAX_BYTES + 1)
    else:
        server.closes = True
    link().call("GET", "/a")
    assert not server.made[0].is_open


def test_another_process_takes_none_of_them(server, monkeypatch):
    calls = link()
    calls.call("GET", "/a")
    monkeypatch.setattr(admin_link.os, "getpid", lambda: -1)
    calls.call("GET", "/a")
    assert len(server.made) == 2
    assert server.made[0].is_open, "it is the other's"


def test_what_is_sent(server):
    link().call("PATCH", "/a", {"b": 1}, if_match='"3"')
    link(keep=0).call("GET", "/a")
    (_, method, target, body, headers), (*_, bare) = server.asked
    assert (method, target, body) == ("PATCH", "/api/v1/a", b'{"b":1}')
    assert headers == {
        "Accept": "application/json",
        "Authorization": "Bearer vst_admin_x",
        "If-Match": '"3"',
        "Content-Type": "application/json",
    }
    assert bare.keys() == {"Accept", "Authorization"}


def test_a_refusal_has_its_code_and_leaves_the_connection_good(server):
    calls = link()
    server.status, server.answer = 404, b'{"detail": "no", "code": "not_found", "id": "r1"}'
    with pytest.raises(ClientError) as caught:
        calls.call("GET", "/a")
    assert (caught.value.status, caught.value.code, caught.value.detail) == (404, "not_found", "id r1")
    server.status = 422
    server.answer = b'{"detail": "x", "code": "invalid", "faults": [{"path": "a", "message": "b"}]}'
    server.made[0].status = 422
    with pytest.raises(Invalid) as invalid:
        calls.call("GET", "/a")
    assert (invalid.value.faults, len(server.made)) == ((("a", "b"),), 1)


def test_no_secret_stands_in_an_error(server):
    server.breaks = [OSError("x")]
    with pytest.raises(VestibuleError) as caught:
        link().call("GET", "/a")
    assert "vst_admin_x" not in repr(caught.value) + str(caught.value.__cause__)
