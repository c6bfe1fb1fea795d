"""What a message to an MCP server calls, and what could be read as something else."""

from __future__ import annotations

import json

import pytest

from vestibule.errors import ClientError
from vestibule.protocol.mcp import (
    BATCH_MAX,
    MISMATCH,
    OBJECTS_MAX,
    UNREADABLE,
    Message,
    messages_of,
    refusal,
)

JSON = b"Content-Type: application/json"
CALL = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add","arguments":{"a":1.5}}}'


def call(tool: object) -> bytes:
    return json.dumps({"id": 1, "method": "tools/call", "params": {"name": tool}}).encode()


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (CALL, (Message("tools/call", "add", b"7"),)),
        (b'{"id":"x\\u00e9","method":"tools/list"}', (Message("tools/list", "", b'"x\\u00e9"'),)),
        (b'{"method":"notifications/initialized"}', (Message("notifications/initialized"),)),
        (b'{"id":1,"result":{"Method":"tools/call"}}', (Message(id=b"1"),)),
        (
            b"[%b,%b]" % (CALL, CALL.replace(b"add", b"sub")),
            tuple(Message("tools/call", n, b"7") for n in ("add", "sub")),
        ),
        ('{"method":"tools/call","params":{"name":"größe"}}'.encode(), (Message("tools/call", "größe"),)),
        (b'{"method":"tools/call","params":{"name":"a\\u0064d"}}', (Message("tools/call", "add"),)),
    ],
    ids=["call", "other", "notification", "answer", "several", "letters", "escape"],
)
def test_a_body_says_what_it_calls(body, messages) -> None:
    assert messages_of(body, [JSON]) == messages


def test_a_long_id_is_not_said_again() -> None:
    for text, said in (("x" * 200, b'"%b"' % (b"x" * 200)), ("x" * 201, b"null")):
        assert messages_of(json.dumps({"id": text, "method": "ping"}).encode(), [JSON])[0].id == said


@pytest.mark.parametrize("kind", [b"application/json; charset=utf-8", b'Application/JSON;charset="UTF-8"'])
def test_json_may_say_that_it_is_utf_8(kind) -> None:
    assert messages_of(CALL, [b"Content-Type: " + kind, b"Content-Encoding: identity"])[0].tool == "add"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b'"tools/call"',
        b"[[]]",
        CALL[:-1],
        CALL + CALL,
        b"\xef\xbb\xbf" + CALL,
        CALL.decode().encode("utf-16"),
        CALL.replace(b"add", b"\xff"),
        CALL.replace(b"1.5", b"NaN"),
        CALL.replace(b'"name":"add"', b'"name":"add","name":"drop"'),
        CALL.replace(b'"method"', b'"method":"ping","method"'),
        CALL.replace(b'{"a":1.5}', b'{"a":1,"a":2}'),
        CALL.replace(b'"name":"add"', b'"name":"add","Name":"drop"'),
        CALL.replace(b'"method"', b'"METHOD"'),
        CALL.replace(b'"params"', '"paramſ"'.encode()),
        CALL.replace(b"tools/call", b"Tools/Call"),
        CALL.replace(b"tools/call", b"tools/call "),
        CALL.replace(b"tools/call", b"tools/call\\u0000"),
        CALL.replace(b'{"name":"add","arguments":{"a":1.5}}', b'["add"]'),
        CALL.replace(b'"id":7', b'"id":{}'),
        CALL.replace(b'"id":7', b'"id":true'),
        b'{"method":1}',
        b"[" * 100_000,
        b'{"id":' + b"9" * 10_000 + b"}",
        *(call(tool) for tool in ("", None, 1, ["add"], "add\x00", "add\n", " add", "add\u200b")),
    ],
)
def test_what_could_be_read_as_something_else_is_refused(body) -> None:
    with pytest.raises(ClientError) as raised:
        messages_of(body, [JSON])
    assert (raised.value.code, raised.value.status) == (UNREADABLE, 400)


def test_of_messages_there_are_a_hundred_at_most() -> None:
    """Threat: a batch of thousands, each of which is decided on while nobody else is served."""
    most = b"[" + b",".join([CALL] * BATCH_MAX) + b"]"
    assert len(messages_of(most, [JSON])) == BATCH_MAX
    with pytest.raises(ClientError) as raised:
        messages_of(most[:-1] + b"," + CALL + b"]", [JSON])
    assert (raised.value.code, raised.value.status) == ("body_too_large", 413)


def test_of_objects_there_are_so_many_at_most() -> None:
    said = b'{"method":"ping","params":{"of":[' + b",".join([b"{}"] * (OBJECTS_MAX - 2)) + b"]}}"
    assert len(messages_of(said, [JSON])) == 1
    with pytest.raises(ClientError) as raised:
        messages_of(said.replace(b"[{}", b"[{},{}"), [JSON])
    assert raised.value.code == UNREADABLE


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"Content-Type: text/plain"],
        [b"Content-Type: application/json; charset=utf-16"],
        [b"Content-Type: application/json, text/plain"],
        [JSON, JSON],
        [JSON, b"Content-Encoding: gzip"],
    ],
)
def test_only_json_as_it_is_is_taken(lines) -> None:
    with pytest.raises(ClientError) as raised:
        messages_of(CALL, lines)
    assert raised.value.status == 415


NAMED = "größe"
ENCODED = b"=?base64?Z3LDtsOfZQ==?="


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (CALL, [b"Mcp-Method: tools/call", b"mcp-name: add"]),
        (CALL, [b"Mcp-Method: tools/call"]),
        (CALL, [b"Mcp-Name: add"]),
        (call(NAMED), [b"Mcp-Method: tools/call", b"Mcp-Name: " + ENCODED]),
        (b'{"method":"prompts/get","params":{"name":"x"}}', [b"Mcp-Method: prompts/get", b"Mcp-Name: x"]),
    ],
)
def test_headers_say_what_the_body_does(body, lines) -> None:
    assert len(messages_of(body, [JSON, *lines])) == 1


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (CALL, [b"Mcp-Method: tools/list"]),
        (CALL, [b"Mcp-Method: tools/call", b"Mcp-Name: other"]),
        (CALL, [b"Mcp-Method: tools/call", b"Mcp-Name: " + ENCODED]),
        (CALL, [b"Mcp-Method: tools/call", b"Mcp-Name: =?base64?x?="]),
        (CALL, [b"Mcp-Method: tools/call", b"Mcp-Name: \xff"]),
        (CALL, [b"Mcp-Name: add", b"Mcp-Name: other"]),
        (CALL, [b"Mcp-Method: tools/call", b"Mcp-Method: ping"]),
        (b"[%b,%b]" % (CALL, CALL), [b"Mcp-Method: tools/call"]),
        (b'{"id":1,"result":{}}', [b"Mcp-Method: tools/call"]),
    ],
)
def test_headers_that_say_something_else_are_refused(body, lines) -> None:
    with pytest.raises(ClientError) as raised:
        messages_of(body, [JSON, *lines])
    assert (raised.value.code, raised.value.status) == (MISMATCH, 400)


@pytest.mark.parametrize(
    ("code", "status", "number"),
    [("not_allowed", 403, 403), (MISMATCH, 400, -32020), ("internal_error", 500, -32603)],
)
def test_a_refusal_is_an_error_of_the_request(code, status, number) -> None:
    told = json.loads(refusal(code, status, b'{"title":"No","detail":"Not you.","code":"x"}', b'"7"'))
    data = {"title": "No", "detail": "Not you.", "code": "x"}
    assert told == {
        "jsonrpc": "2.0",
        "id": "7",
        "error": {"code": number, "message": "Not you.", "data": data},
    }
