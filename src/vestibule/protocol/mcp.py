"""Messages to MCP servers, as far as a gateway must know them: which tools they call. Pure.

A server reads the body, so the body decides; what its headers say of it must be the same. Whatever two parsers could
read differently is refused: a name that stands twice, or in another case, another encoding than UTF-8.

Spec: Model Context Protocol 2026-07-28, Streamable HTTP (request headers) and Tools; JSON-RPC 2.0.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import msgspec

from vestibule.errors import ClientError

BODY_LIMIT_BYTES: Final = 1024 * 1024
BATCH_MAX: Final = 100
"""Messages in one body: each is decided on while everybody else waits."""
OBJECTS_MAX: Final = 20_000
"""Objects in one body, whatever they are for: each is looked at for members that stand twice."""
CALL: Final = "tools/call"
METHOD_HEADER: Final = b"mcp-method"
NAME_HEADER: Final = b"mcp-name"
NO_ID: Final = b"null"
_ID_MAX_CHARS: Final = 200
"""Of an id that is said again in a refusal."""
UNREADABLE: Final = "bad_message"
MISMATCH: Final = "header_mismatch"
# Codes of JSON-RPC errors (section 5.1), and MCP's own; for what neither has, that of HTTP, which is no one's there.
_OF_CODE: Final = {UNREADABLE: -32600, MISMATCH: -32020}
#: the members that say what a message is; Go's parser takes them in any case
_OF_MESSAGE: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_OF_PARAMS: Final = frozenset({"name", "arguments"})
_TYPE_RE: Final = re.compile(rb"application/json[ \t]*(?:;[ \t]*charset=\"?utf-8\"?[ \t]*)?\Z", re.IGNORECASE)
_ENCODED_RE: Final = re.compile(rb"=\?base64\?([A-Za-z0-9+/=]*)\?=\Z")


class Message(msgspec.Struct, frozen=True):
    """One message."""

    method: str = ""
    """Empty: an answer to one of the server's own requests."""
    tool: str = ""
    """The tool that it calls; empty: none."""
    id: bytes = NO_ID
    """JSON; `null` where no answer is waited for."""


def messages_of(body: bytes, lines: Sequence[bytes]) -> tuple[Message, ...]:
    """What the body says, one message or several; `lines` are the request's header lines. Raises ClientError.

    Threat: a call that the gateway reads as another one than the server does.
    """
    kind, encoding = _values(lines, b"content-type"), _values(lines, b"content-encoding")
    if (
        len(kind) != 1
        or not _TYPE_RE.match(kind[0])
        or any(value.lower() != b"identity" for value in encoding)
    ):
        raise ClientError(
            "only JSON is taken here, as it is",
            code="unsupported_media_type",
            status=415,
            detail="content type",
        )
    try:
        read = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_Objects().once,
            parse_constant=_refuse_constant,
            parse_float=str,
        )
    except (ValueError, RecursionError) as error:
        raise _unreadable("no JSON, or not of one meaning") from error
    batch = read if isinstance(read, list) else [read]
    if not batch:
        raise _unreadable("no message")
    if len(batch) > BATCH_MAX:
        raise ClientError(
            "These are too many messages.", code="body_too_large", status=413, detail=f"{BATCH_MAX} at most"
        )
    messages = tuple(_message(one) for one in batch)
    _check_headers(messages, lines)
    return messages


def refusal(code: str, status: int, problem: bytes, id_: bytes) -> bytes:
    """The body of an answer that a client of MCP reads: an error for its request, with the problem (JSON) in it."""
    told = msgspec.json.decode(problem)
    number = _OF_CODE.get(code, status if status < 500 else -32603)
    text = told.get("detail") or told.get("title") or code
    error = {"code": number, "message": text, "data": msgspec.Raw(problem)}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": msgspec.Raw(id_), "error": error})


def _message(read: Any) -> Message:
    if not isinstance(read, dict):
        raise _unreadable("a message is an object")
    _check_names(read, _OF_MESSAGE)
    id_ = read.get("id")
    if id_ is not None and (isinstance(id_, bool) or not isinstance(id_, str | int)):
        raise _unreadable("an id is a text or a number")
    shown = NO_ID if id_ is None or len(str(id_)) > _ID_MAX_CHARS else json.dumps(id_).encode("ascii")
    if "method" not in read:
        return Message(id=shown)
    method, params = read["method"], read.get("params")
    if not isinstance(method, str):
        raise _unreadable("a method is a text")
    if method != CALL:
        if "".join(method.split()).casefold() == CALL or not method.isprintable():
            raise _unreadable("a method that could be read as another")
        return Message(method, id=shown)
    if not isinstance(params, dict):
        raise _unreadable("a call names its tool")
    _check_names(params, _OF_PARAMS)
    tool = params.get("name")
    if not isinstance(tool, str) or not tool or not tool.isprintable() or tool != tool.strip():
        raise _unreadable("a call names its tool, in characters that can be seen")
    return Message(method, tool, shown)


def _check_names(read: dict[str, Any], known: frozenset[str]) -> None:
    """Threat: `Method` beside `method`, of which some parsers take the last."""
    for name in read:
        if name not in known and name.casefold() in known:
            raise _unreadable("a member that could be read as another")


def _check_headers(messages: Sequence[Message], lines: Sequence[bytes]) -> None:
    """Where headers say what the body does, it does. Raises ClientError.

    Threat: something behind the gateway goes by the headers.
    """
    methods, names = _values(lines, METHOD_HEADER), _values(lines, NAME_HEADER)
    if not methods and not names:
        return
    first = messages[0]
    if len(messages) > 1 or len(methods) > 1 or len(names) > 1:
        raise _mismatch()
    if methods and methods[0] != first.method.encode("utf-8"):
        raise _mismatch()
    if names and first.tool and _decoded(names[0]) != first.tool:
        raise _mismatch()


def _decoded(value: bytes) -> str | None:
    """A header's value as the body has it; None for what can't be one."""
    encoded = _ENCODED_RE.match(value)
    try:
        return (base64.b64decode(encoded[1], validate=True) if encoded else value).decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def _values(lines: Sequence[bytes], name: bytes) -> list[bytes]:
    found = (line.partition(b":") for line in lines)
    return [value.strip(b" \t") for is_, _, value in found if is_.lower() == name]


class _Objects:
    """Those of one body, as they are read. Threat: a small body of very many, which takes long."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """The object. Raises ValueError for a member that stands twice, and for one too many."""
        self._count += 1
        if self._count > OBJECTS_MAX:
            raise ValueError("too many objects")
        read = dict(pairs)
        if len(read) != len(pairs):
            raise ValueError("a member stands twice")
        return read


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _unreadable(why: str) -> ClientError:
    return ClientError("This is no message of MCP.", code=UNREADABLE, detail=why)


def _mismatch() -> ClientError:
    return ClientError("Headers and body say different things.", code=MISMATCH, detail="Mcp-Method, Mcp-Name")
