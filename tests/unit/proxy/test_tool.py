"""Tools of an MCP server, called through the gateway: what the body says is what is decided on and what goes on."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.proxy.forward.stand import CADDY, ENVOY, NGINX, Stand
from tests.unit.proxy.plane import ANYONE, PUBLIC, Plane, host, request, route
from tests.unit.proxy.test_accessing import app_session, bearer, token
from vestibule.core.policy import policy_of
from vestibule.core.route import Host
from vestibule.core.rule import Rule, rule
from vestibule.core.tool import Tool, tools_of
from vestibule.protocol.mcp import BODY_LIMIT_BYTES

JSON = b"Content-Type: application/json"
ROOT = rule("email", "root@app.example")


def tool(name: str, *rules: Rule) -> Tool:
    return Tool(name, policy_of(allow=rules, sign_in=frozenset({"google"})), f"v.hcl:{name}")


TOOLS = tools_of((tool("drop", ROOT), tool("secret_*"), tool("free", *PUBLIC), tool("mine", *ANYONE)))
HOSTS: tuple[Host, ...] = (
    host(
        b"app.example",
        replace(route(), tools=TOOLS),
        replace(route(b"/open", PUBLIC), tools=TOOLS),
        replace(route(b"/small", limit=20), tools=TOOLS),
        route(b"/plain"),
    ),
)


@pytest.fixture
def plane(loop, both_downstreams) -> Plane:
    return Plane(loop, hosts=HOSTS)


@pytest.fixture
def alone(loop) -> Plane:
    """By HTTP/1.1."""
    return Plane(loop, hosts=HOSTS)


def call(name: str, id_: object = 7) -> bytes:
    return json.dumps(
        {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": {"name": name}}
    ).encode()


def post(plane: Plane, body: bytes, *lines: bytes, path: bytes = b"/mcp", who: str = "ada") -> Any:
    cookie = plane.sign_in(f"{who}@app.example") if who else b""
    return plane.exchange(request(path, JSON, *lines, method=b"POST", body=body, cookie=cookie))


def test_what_no_rule_names_goes_on_as_it_came(plane) -> None:
    body = b' {"method":"tools/call", "params" : {"name":"add","arguments":{"a":1.50}}} '
    assert post(plane, body).status == 200
    assert plane.backend.request.body == body
    assert json.loads(post(plane, call("secret_plan")).body)["error"]["data"]["code"] == "not_allowed"
    assert post(plane, b'{"id":1,"method":"tools/list"}').status == 200
    assert len(plane.backend.requests) == 2


@pytest.mark.parametrize(
    ("name", "who", "status"),
    [
        ("drop", "ada", 403),
        ("drop", "root", 200),
        ("mine", "ada", 200),
        ("free", "ada", 200),
        ("secret_", "root", 403),
        ("secret", "ada", 200),
        ("Drop", "ada", 200),
    ],
)
def test_a_tool_is_for_whom_its_rule_lets_in(plane, name, who, status) -> None:
    answer = post(plane, call(name), who=who)
    assert answer.status == status
    assert len(plane.backend.requests) == (status == 200)


def test_the_client_is_told_in_its_own_terms(plane) -> None:
    answer = post(plane, call("drop", "a-1"), b"Mcp-Method: tools/call", b"Mcp-Name: drop")
    told = json.loads(answer.body)
    assert (told["jsonrpc"], told["id"], told["error"]["code"]) == ("2.0", "a-1", 403)
    assert told["error"]["data"]["code"] == "not_allowed"
    assert answer.values(b"content-type") == [b"application/json"]


def test_nobody_is_asked_to_sign_in_for_a_tool_of_a_public_route(plane) -> None:
    assert post(plane, call("free"), path=b"/open", who="").status == 200
    answer = post(plane, call("mine"), path=b"/open", who="")
    assert answer.status == 401
    assert json.loads(answer.body)["error"]["data"]["sign_in"]


@pytest.mark.parametrize(
    ("body", "lines", "code"),
    [
        (b"{", (), "bad_message"),
        (b'{"method":"tools/call","params":{"name":"add","Name":"drop"}}', (), "bad_message"),
        (b'{"method":"tools/call","params":{"name":"add","name":"drop"}}', (), "bad_message"),
        (call("add"), (b"Mcp-Method: tools/list",), "header_mismatch"),
        (call("drop"), (b"Mcp-Method: tools/call", b"Mcp-Name: add"), "header_mismatch"),
        (call("add"), (b"Content-Encoding: gzip",), "unsupported_media_type"),
        (b"[" + call("add") + b"," + call("drop") + b"]", (), "not_allowed"),
    ],
    ids=["no JSON", "case", "twice", "method", "name", "packed", "batch"],
)
def test_nothing_goes_on_that_could_be_read_in_two_ways(plane, body, lines, code) -> None:
    told = json.loads(post(plane, body, *lines).body)
    assert told["error"]["data"]["code"] == code
    assert plane.backend.connections == []


def test_what_has_no_body_goes_on(plane) -> None:
    assert plane.get(b"/mcp", cookie=plane.sign_in()).status == 200
    assert plane.get(b"/mcp", cookie=plane.sign_in(), method=b"DELETE").status == 200


def test_others_bodies_are_not_read(plane) -> None:
    assert post(plane, b"drop", path=b"/plain").status == 200


def test_a_faulty_server_is_told_of_as_anywhere(plane) -> None:
    plane.backend.answers = lambda _: b"HTTP/1.1 9\r\n\r\n"
    answer = post(plane, call("add"))
    assert (answer.status, answer.value(b"code")) == (502, b"bad_answer")


def test_a_refusal_stands_in_the_log_with_its_rule(plane) -> None:
    post(plane, call("drop"))
    [line] = [line for line in plane.log_lines if line["event"] == "refused"]
    assert (line["code"], line["place"]) == ("not_allowed", "v.hcl:drop")
    assert line["conditions"]


def scoped(scope: str, *allow: Rule) -> Any:
    return policy_of(allow=allow or None, all=(rule("token", scope),), sign_in=frozenset({"google"}))


WITH_SCOPES = tools_of((Tool("write", scoped("write")), Tool("more", scoped("more")), tool("drop", ROOT)))
MCP = replace(
    host(b"phone.example", replace(route(), policy=scoped("read", *ANYONE), tools=WITH_SCOPES)),
    mcp=True,
    takes_access=True,
    apps={"ios": frozenset({"read", "write", "more"})},
)


@pytest.mark.parametrize("names", [("write",), ("write", "more")])
@pytest.mark.parametrize("has", [("read",), ("read", "more"), ("read", "write")])
def test_who_asks_for_just_the_scopes_that_a_refusal_names_is_let_in(loop, names, has) -> None:
    """Threat: a client that is told of a tool's alone, asks for these, and is refused by the route then."""
    plane = Plane(loop, hosts=(MCP,))
    session = app_session(plane)
    plane.loop.wait(
        plane.sessions.update(session.id, lambda one: replace(one, scopes=("read", "write", "more")))
    )

    def shown(body: bytes, scopes: tuple[str, ...]) -> Any:
        line = bearer(token(session, scopes=scopes))
        return plane.exchange(request(b"/mcp", JSON, line, host=b"phone.example", method=b"POST", body=body))

    body = b"[" + b",".join(map(call, names)) + b"]"
    refused = shown(body, has)
    if set(names) <= set(has):
        assert refused.status == 200
        return
    [challenge] = refused.values(b"www-authenticate")
    named = re.search(rb'error="insufficient_scope", scope="([^"]*)"', challenge)
    assert named
    assert refused.status == 403
    assert shown(body, tuple(named[1].decode().split())).status == 200
    assert shown(call("drop"), has).values(b"www-authenticate") == []


@pytest.mark.parametrize("way", [NGINX, CADDY, ENVOY], ids=lambda way: way.name)
def test_an_edge_that_shows_no_body_is_told_no(loop, way) -> None:
    """Threat: a call that is for nobody, by an edge that asks about its head."""
    stand = Stand(loop, hosts=HOSTS)
    cookie = stand.plane.sign_in()
    assert stand.ask(way, b"/plain", method=b"POST", cookie=cookie).status in (200, 202, 204)
    assert stand.ask(way, b"/mcp", method=b"POST", cookie=cookie).status == 403


def chunked(body: bytes, *lines: bytes, cookie: str) -> bytes:
    head = request(b"/mcp", JSON, b"Transfer-Encoding: chunked", *lines, method=b"POST", cookie=cookie)
    return head + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


def test_a_body_in_pieces_is_read_as_one(plane) -> None:
    """Of a length that is not told: chunks of HTTP/1.1, frames of HTTP/2."""
    refused = plane.client().send(chunked(call("drop"), cookie=plane.sign_in()))
    assert refused.answer(b"POST").status == 403
    assert plane.backend.connections == []
    plane.client().send(chunked(call("add"), b"Expect: 100-continue", cookie=plane.sign_in()))
    plane.backend.look()
    assert plane.backend.request.body == call("add")


def test_no_websocket_is_opened(alone) -> None:
    lines = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    answer = alone.get(b"/mcp", *lines, key, cookie=alone.sign_in())
    assert (answer.status, answer.value(b"code")) == (403, b"bad_websocket")


def test_who_leaves_before_the_body_is_whole_has_called_nothing(alone) -> None:
    client = alone.client()
    whole = request(b"/mcp", JSON, method=b"POST", body=call("add"), cookie=alone.sign_in())
    client.send(whole[:-5])
    client.transport.lose()
    assert alone.backend.connections == []
    assert post(alone, call("add")).status == 200


@pytest.mark.parametrize("is_told", [True, False])
def test_a_body_that_is_too_large_to_be_read_is_refused(alone, is_told) -> None:
    """Before it has come, where its length is told."""
    large, cookie = call("add" + "x" * BODY_LIMIT_BYTES), alone.sign_in()
    said = b"Content-Length: %d" % len(large) if is_told else b"Transfer-Encoding: chunked"
    client = alone.client().send(request(b"/mcp", JSON, said, method=b"POST", cookie=cookie))
    if not is_told:
        client.send(b"%x\r\n" % len(large) + large)
    assert client.answer().status == 413
    assert post(alone, call("add"), path=b"/small").status == 413
    assert alone.backend.connections == []
    assert post(alone, large, path=b"/plain").status == 200
