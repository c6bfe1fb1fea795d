"""The admin listener: who may reach it, health, and what the API is told of who asks."""

from __future__ import annotations

import json

import pytest

from tests.unit.proxy.conftest import Client, PlainListener
from tests.unit.proxy.plane import Plane, request
from vestibule.core.listener import ListenAddress
from vestibule.errors import StoreError
from vestibule.observe.traffic import Kind
from vestibule.proxy.admin import BODY_LIMIT_BYTES, Admin
from vestibule.proxy.asgi import Control

PORT = ListenAddress(host="127.0.0.1", port=9000)
SOCKET = ListenAddress(path="/run/state/admin.sock")


class Desk:
    """One admin listener with an application behind it that notes its scopes."""

    def __init__(self, loop, address: ListenAddress) -> None:
        self.plane = plane = Plane(loop)
        self.loop = loop
        self.scopes: list[dict] = []
        self.bodies: list[bytes] = []
        self.fault: Exception | None = None
        self.control: Control | None = None
        loop.call_soon(lambda: setattr(self, "control", Control(self._application())))
        loop.settle()
        self.admin = Admin(
            address=address,
            control=self.control,
            ready=self._ready,
            answers=plane.answers,
            traffic=plane.traffic,
            log=plane.log,
            now=plane.now,
        )
        self.listener = PlainListener(self.admin, loop)
        self.listener.slashes = True
        self.peer = "" if address.path else ("127.0.0.1", 5000)

    async def _application(self):
        return self._answer

    async def _answer(self, scope, receive, send):
        self.scopes.append(scope)
        self.bodies.append((await receive()).get("body", b""))
        if self.fault is not None:
            raise self.fault
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})

    async def _ready(self) -> None:
        if self.fault is not None:
            raise self.fault

    def send(self, data: bytes, method: bytes = b"GET"):
        return Client(self.loop, self.listener, self.peer).send(data).answer(method)

    def get(self, target: bytes, *lines: bytes, host: bytes = b"localhost:9000", method: bytes = b"GET"):
        return self.send(request(target, *lines, host=host, method=method), method)


@pytest.fixture
def port(loop) -> Desk:
    return Desk(loop, PORT)


@pytest.fixture
def socket(loop) -> Desk:
    return Desk(loop, SOCKET)


@pytest.fixture(params=["port", "socket"])
def desk(request) -> Desk:
    return request.getfixturevalue(request.param)


# -- who may reach it -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", [b"localhost", b"localhost:9000", b"127.0.0.1:9000", b"[::1]", b"LOCALHOST.", b"127.0.0.1"]
)
def test_a_loopback_name_is_answered(desk, host):
    assert desk.get(b"/api/v1/users", host=host).status == 200


@pytest.mark.parametrize(
    "host", [b"evil.example", b"localhost.evil.example", b"127.0.0.1.nip.io", b"10.0.0.1", b"app.example"]
)
@pytest.mark.parametrize("path", [b"/api/v1/users", b"/healthz", b"/readyz", b"/"])
def test_a_name_that_was_rebound_is_not(desk, host, path):
    answer = desk.get(path, host=host)
    assert (answer.status, json.loads(answer.body)["code"]) == (403, "foreign_host")
    assert desk.scopes == []


def test_the_address_of_the_configuration_is_a_good_name_too(loop):
    desk = Desk(loop, ListenAddress(host="127.0.0.2", port=9000))
    assert desk.get(b"/healthz", host=b"127.0.0.2:9000").status == 200
    assert desk.get(b"/healthz", host=b"127.0.0.3:9000").status == 403


@pytest.mark.parametrize(
    "line",
    [
        b"Origin: http://evil.example",
        b"Origin: http://localhost:9000",
        b"Origin: null",
        b"Sec-Fetch-Site: cross-site",
        b"Sec-Fetch-Site: same-site",
        b"Sec-Fetch-Site: same-origin",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"OPTIONS"])
def test_no_web_page_may_call(desk, line, method):
    answer = desk.get(b"/api/v1/users", line, method=method)
    assert (answer.status, json.loads(answer.body)["code"]) == (403, "browser_call")
    assert desk.scopes == []


def test_what_a_person_types_into_the_address_bar_is_answered(desk):
    assert desk.get(b"/healthz", b"Sec-Fetch-Site: none").status == 200


# -- health -----------------------------------------------------------------------------------


def test_health_and_readiness_are_open(desk):
    assert json.loads(desk.get(b"/healthz").body) == {"status": "ok"}
    assert json.loads(desk.get(b"/readyz").body) == {"status": "ready"}
    assert desk.scopes == []


def test_it_is_not_ready_while_the_store_is_away_and_alive_all_the_same(desk):
    desk.fault = StoreError("The store can't be reached just now.", detail="secret://path")
    answer = desk.get(b"/readyz")
    assert answer.status == 503
    assert json.loads(answer.body)["code"] == "store_unavailable"
    assert b"secret" not in answer.body
    assert desk.get(b"/healthz").status == 200


def test_a_fault_in_the_look_at_readiness_is_500_and_logged(desk):
    desk.fault = RuntimeError("boom")
    assert desk.get(b"/readyz").status == 500
    assert desk.plane.log_lines[-1]["event"] == "fault"


@pytest.mark.parametrize("path", [b"/healthz", b"/readyz"])
def test_health_is_asked_with_get(desk, path):
    assert desk.get(path, method=b"HEAD").status == 200
    assert desk.get(path, method=b"POST").status == 405


@pytest.mark.parametrize("path", [b"/healthz/", b"//healthz", b"/HEALTHZ", b"/healthz;x"])
def test_no_other_path_is_open(desk, path):
    assert desk.get(path).status == 200
    assert len(desk.scopes) == 1, "the API decides"


# -- the API ----------------------------------------------------------------------------------


def test_who_comes_by_the_socket_is_its_owner(socket):
    socket.get(b"/api/v1/users")
    asker = socket.scopes[0]["state"]["asker"]
    assert (asker.is_owner, asker.address) == (True, "")
    assert asker.request_id


def test_who_comes_by_the_port_is_not_whatever_they_say(port):
    port.get(b"/api/v1/users", b"X-Forwarded-For: 203.0.113.1", b"Forwarded: for=unix")
    asker = port.scopes[0]["state"]["asker"]
    assert (asker.is_owner, asker.address) == (False, "127.0.0.1")


def test_the_scope_has_the_token_and_the_query(port):
    port.get(b"/api/v1/users?limit=2", b"Authorization: Bearer vst_admin_x")
    scope = port.scopes[0]
    assert (scope["path"], scope["query_string"]) == ("/api/v1/users", b"limit=2")
    assert (b"authorization", b"Bearer vst_admin_x") in scope["headers"]
    assert port.plane.log_text.getvalue() == ""


def test_an_escaped_slash_stays_part_of_its_segment(port):
    port.get(b"/api/v1/identity-providers/a.example%2Fgoogle")
    assert port.scopes[0]["path"] == "/api/v1/identity-providers/a.example%2Fgoogle"


def test_a_body_reaches_it(socket):
    lines = (b"Content-Type: application/json", b"Content-Length: 2")
    answer = socket.send(request(b"/api/v1/tokens", *lines, host=b"localhost", method=b"POST") + b"{}")
    assert answer.status == 200
    assert socket.bodies == [b"{}"]


@pytest.mark.parametrize("chunked", [False, True], ids=["by its length", "as it comes"])
def test_a_giant_body_is_refused(socket, chunked):
    size = BODY_LIMIT_BYTES + 1
    if chunked:
        lines, body = (b"Transfer-Encoding: chunked",), b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
    else:
        lines, body = (b"Content-Length: %d" % size,), b""
    answer = socket.send(request(b"/api/v1/tokens", *lines, host=b"localhost", method=b"POST") + body)
    assert (answer.status, json.loads(answer.body)["code"]) == (413, "body_too_large")
    assert socket.bodies in ([], [b""])


def test_an_application_that_fails_is_500_with_an_id_that_is_in_the_log(port):
    port.fault = RuntimeError("boom")
    answer = port.get(b"/api/v1/users")
    assert answer.status == 500
    fault = port.plane.log_lines[-1]
    assert (fault["event"], fault["listener"]) == ("fault", "admin")
    assert json.loads(answer.body)["id"] == fault["id"]


def test_each_request_is_one_record_of_traffic(port):
    port.get(b"/healthz")
    port.get(b"/api/v1/users", host=b"evil.example")
    seen = [(record.kind, record.name, record.status) for record in port.plane.traffic.ring]
    assert seen == [(Kind.ADMIN, b"admin", 200), (Kind.ADMIN, b"admin", 403)]
