"""A second writer and reader of Envoy's messages for tests: what Envoy sends, and what it understands.

check(method="POST", path="/a", headers={"cookie": "a=b"}) -> bytes of a CheckRequest
read_answer(bytes) -> Answer
"""

from __future__ import annotations

import dataclasses


def varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(name: str, value: str | bytes) -> bytes:
    return field(1, name) + field(2, value)


def check(
    *,
    method: str = "GET",
    path: str = "/",
    host: str = "app.example",
    scheme: str = "https",
    headers: dict[str, str] | None = None,
    source: str = "192.0.2.7",
    http_more: bytes = b"",
    more: bytes = b"",
) -> bytes:
    """As Envoy 1.40 writes it, ports, times and sizes included."""
    pseudo = {":method": method, ":path": path, ":authority": host, ":scheme": scheme}
    http = field(1, "4711") + field(2, method)
    for name, value in {**pseudo, **(headers or {})}.items():
        http += field(3, entry(name, value))
    http += field(4, path) + field(5, host) + field(6, scheme) + field(9, 2**64 - 1) + field(10, "HTTP/1.1")
    request = field(1, field(1, 1_800_000_000) + field(2, 5)) + field(2, http + http_more)
    peer = field(1, field(1, field(2, source) + field(3, 40000))) if source else b""
    destination = field(1, field(1, field(2, "127.0.0.1") + field(3, 443)))
    return field(1, field(1, peer) + field(2, destination) + field(4, request) + field(10, b"")) + more


@dataclasses.dataclass
class Answer:
    """A CheckResponse."""

    code: int
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    removed: list[str] = dataclasses.field(default_factory=list)
    for_client: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""


def read(data: bytes) -> dict[int, list]:
    found: dict[int, list] = {}
    while data:
        key, data = _number(data)
        value, data = _number(data)
        if key & 7 == 2:
            value, data = data[:value], data[value:]
        else:
            assert key & 7 == 0, key
        found.setdefault(key >> 3, []).append(value)
    return found


def _number(data: bytes) -> tuple[int, bytes]:
    value, shift = 0, 0
    while True:
        value |= (data[0] & 0x7F) << shift
        last, data, shift = data[0] < 0x80, data[1:], shift + 7
        if last:
            return value, data


def _options(values: list[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        option = read(value)
        assert option[4] == [1], "an empty value would be left out"
        pair = read(option[1][0])
        name = pair[1][0].decode()
        assert name not in found, name
        found[name] = pair.get(2, [b""])[0].decode()
    return found


def read_answer(data: bytes) -> Answer:
    """The answer, read by its numbers."""
    response = read(data)
    code = read(response[1][0]).get(1, [0])[0]
    if 2 in response:
        assert code
        assert 3 not in response
        denied = read(response[2][0])
        return Answer(
            code=code,
            status=read(denied[1][0])[1][0],
            headers=_options(denied.get(2, [])),
            body=denied.get(3, [b""])[0],
        )
    assert not code
    ok = read(response[3][0])
    return Answer(
        code=0,
        headers=_options(ok.get(2, [])),
        removed=[name.decode() for name in ok.get(5, [])],
        for_client=_options(ok.get(6, [])),
    )
