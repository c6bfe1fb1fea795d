"""A second, independent reader of HTTP/1.1 for tests: small, strict, and none of the product's code.

read_requests(bytes) -> [Message, …]         raises UnreadableError when it is not whole requests and nothing else
read_answers(bytes, b"GET", b"HEAD") -> …    the answers to requests of these methods
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\Z")


class UnreadableError(Exception):
    """These bytes are not what was expected."""


class Message(NamedTuple):
    first: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]

    @property
    def status(self) -> int:
        return int(self.first.split(b" ")[1])

    @property
    def method(self) -> bytes:
        return self.first.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.first.split(b" ")[1]

    def values(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.fields if found.lower() == name.lower()]

    def value(self, name: bytes) -> bytes | None:
        values = self.values(name)
        if len(values) > 1:
            raise UnreadableError(f"{name!r} is repeated")
        return values[0] if values else None


def read_requests(data: bytes) -> list[Message]:
    """All requests in *data*."""
    found: list[Message] = []
    while data:
        first, fields, data = _head(data)
        if not re.fullmatch(rb"[A-Z-]+ \S+ HTTP/1\.1", first):
            raise UnreadableError(f"request line {first!r}")
        body, trailers, data = _body(fields, data, until_end=False)
        found.append(Message(first, fields, body, trailers))
    return found


def read_answers(data: bytes, *methods: bytes) -> list[Message]:
    """The answers in *data*, interim ones too, to requests of these methods (GET when fewer are named)."""
    found: list[Message] = []
    asked = list(methods)
    while data:
        first, fields, data = _head(data)
        if not re.fullmatch(rb"HTTP/1\.1 [1-5][0-9][0-9] [^\r\n]*", first):
            raise UnreadableError(f"status line {first!r}")
        status = int(first[9:12])
        body, trailers = b"", []
        if status == 101:
            body, data = data, b""
        elif status >= 200:
            method = asked.pop(0) if asked else b"GET"
            if method != b"HEAD" and status not in {204, 304}:
                body, trailers, data = _body(fields, data, until_end=True)
        found.append(Message(first, fields, body, trailers))
    return found


def _head(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        raise UnreadableError(f"no end of the head: {data[:200]!r}")
    first, *lines = head.split(b"\r\n")
    return first, _fields(lines), rest


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in lines:
        found = _FIELD.match(line)
        if not found:
            raise UnreadableError(f"field {line!r}")
        fields.append((found[1], found[2]))
    return fields


def _body(fields: list[tuple[bytes, bytes]], data: bytes, *, until_end: bool) -> tuple[bytes, list, bytes]:
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise UnreadableError("more than one framing")
    if codings:
        return _chunked(data)
    if lengths:
        length = int(lengths[0])
        if len(data) < length:
            raise UnreadableError(f"{len(data)} of {length} bytes of body")
        return data[:length], [], data[length:]
    return (data, [], b"") if until_end else (b"", [], data)


def _chunked(data: bytes) -> tuple[bytes, list, bytes]:
    body = b""
    while True:
        size, end, data = data.partition(b"\r\n")
        if not end or not re.fullmatch(rb"[0-9a-fA-F]+", size):
            raise UnreadableError(f"chunk size {size[:50]!r}")
        length = int(size, 16)
        if not length:
            break
        if len(data) < length + 2 or data[length : length + 2] != b"\r\n":
            raise UnreadableError("a chunk that does not end where it says")
        body += data[:length]
        data = data[length + 2 :]
    lines = []
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            raise UnreadableError("the chunked body has no end")
        if not line:
            return body, _fields(lines), data
        lines.append(line)


def untraced(message: Message) -> list[tuple[bytes, bytes]]:
    """The header fields but the one that is another each time: the gateway's own span."""
    return [(name, value) for name, value in message.fields if name != b"traceparent"]
