"""The PROXY header: as HAProxy's specification has it, in any pieces, and nothing else."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol.proxy_protocol import (
    LIMIT_BYTES,
    SIGNATURE,
    HeaderRefused,
    Told,
    crc32c,
    read,
)


def v2(command: int, family: int, told: bytes, *, version: int = 2) -> bytes:
    return SIGNATURE + bytes((version << 4 | command, family)) + len(told).to_bytes(2) + told


def addresses(client: str, server: str) -> bytes:
    return ip_address(client).packed + ip_address(server).packed + b"\xdb\xe2\x01\xbb"


def field(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2) + value


INET = addresses("203.0.113.7", "10.0.0.1")
INET6 = addresses("2001:db8::7", "2001:db8::1")
CHECKED = v2(1, 0x11, INET + field(3, bytes(4)))
CHECKED = CHECKED[:-4] + crc32c(CHECKED).to_bytes(4)
LONG_CHECKED = v2(1, 0x11, INET + field(3, bytes(5)))
LONG_CHECKED = LONG_CHECKED[:-4] + crc32c(LONG_CHECKED).to_bytes(4)

GOOD = {
    "TCP4": (b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n", "203.0.113.7"),
    "TCP6": (b"PROXY TCP6 2001:DB8::7 2001:db8::1 56324 443\r\n", "2001:db8::7"),
    "TCP6 of an IPv4 address": (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n", "203.0.113.7"),
    "UNKNOWN": (b"PROXY UNKNOWN\r\n", None),
    "UNKNOWN with more": (b"PROXY UNKNOWN ff:ff:ff:ff 1 what ever\r\n", None),
    "v2 TCP4": (v2(1, 0x11, INET), "203.0.113.7"),
    "v2 TCP6": (v2(1, 0x21, INET6), "2001:db8::7"),
    "v2 with fields": (
        v2(1, 0x11, INET + field(1, b"h2") + field(2, b"app.test") + field(4, b"")),
        "203.0.113.7",
    ),
    "v2 with a checksum": (CHECKED, "203.0.113.7"),
    "v2 LOCAL": (v2(0, 0, b""), None),
    "v2 LOCAL with addresses": (v2(0, 0x11, INET), None),
    "v2 UNSPEC": (v2(1, 0, b""), None),
    "v2 UNSPEC with fields": (v2(1, 0, field(4, b"xyz")), None),
    "v2 UDP": (v2(1, 0x12, INET), None),
    "v2 Unix": (v2(1, 0x31, bytes(216)), None),
}


@pytest.mark.parametrize(("header", "client"), GOOD.values(), ids=GOOD)
def test_a_whole_header_is_read_and_what_follows_is_left(header, client):
    assert read(header) == Told(client, len(header))
    assert read(header + b"GET / HTTP/1.1\r\n") == Told(client, len(header))


@pytest.mark.parametrize(("header", "client"), GOOD.values(), ids=GOOD)
def test_no_beginning_of_it_is_taken_for_the_whole(header, client):
    assert [read(header[:end]) for end in range(len(header))] == [None] * len(header)


BAD = {
    "a request": b"GET / HTTP/1.1\r\n",
    "a handshake": b"\x16\x03\x01",
    "lower case": b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    "two spaces": b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    "a space at the end": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
    "a bare LF": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
    "no end": b"PROXY UNKNOWN " + b"x" * 107,
    "another family": b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
    "an address of the other family": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "TCP6 with IPv4 addresses": b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
    "an octal address": b"PROXY TCP4 010.0.0.1 1.2.3.4 1 2\r\n",
    "a short address": b"PROXY TCP4 127.1 1.2.3.4 1 2\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "a port too large": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
    "a port with a zero": b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
    "a port with a sign": b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
    "no port": b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
    "no address of the proxy": b"PROXY TCP4 1.2.3.4 nowhere 1 2\r\n",
    "no text": b"PROXY TCP4 \xff 1.2.3.4 1 2\r\n",
    "version 1 by the signature": v2(1, 0x11, INET, version=1),
    "version 3": v2(1, 0x11, INET, version=3),
    "another command": v2(2, 0x11, INET),
    "too long": v2(1, 0x11, bytes(LIMIT_BYTES)),
    "the beginning of one too long": v2(1, 0x11, bytes(LIMIT_BYTES))[:16],
    "half an address": v2(1, 0x11, INET[:-1]),
    "half an IPv6 address": v2(1, 0x21, INET),
    "half a field": v2(1, 0x11, INET + b"\x01\x00"),
    "a field that reaches beyond": v2(1, 0x11, INET + b"\x01\x00\x05h2"),
    "a wrong checksum": CHECKED[:-1] + bytes((CHECKED[-1] ^ 1,)),
    "a checksum of another length": v2(1, 0x11, INET + field(3, b"abc")),
    "a right checksum of another length": LONG_CHECKED,
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_none_or_broken_is_refused(data):
    with pytest.raises(HeaderRefused):
        read(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(HeaderRefused):
        read(data)


@given(st.binary(max_size=80), st.integers(0, 255), st.integers(0, 255))
def test_any_header_of_version_2_is_read_or_refused(told, command, family):
    data = SIGNATURE + bytes((command, family)) + len(told).to_bytes(2) + told
    with contextlib.suppress(HeaderRefused):
        found = read(data)
        assert found is not None
        assert found.length == len(data)


def test_the_checksum_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283
