"""The ClientHello: read from real clients, in any pieces; odd ones are refused; nothing else gets through."""

from __future__ import annotations

import contextlib
import json
import ssl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestibule.protocol import client_hello
from vestibule.protocol.client_hello import LIMIT_BYTES, ClientHello, HelloRefused, read

VECTORS = {
    name: bytes.fromhex(text)
    for name, text in json.loads(
        (Path(__file__).parents[2] / "vectors" / "client_hello.json").read_text("utf-8")
    ).items()
}
APP = b"app.example.com"


def vector(data: bytes, length_bytes: int) -> bytes:
    return len(data).to_bytes(length_bytes) + data


def extension(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2) + vector(value, 2)


def server_name(name: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(bytes((kind,)) + vector(name, 2), 2))


def message(
    *extensions: bytes, session: bytes = b"", ciphers: bytes = b"\x13\x01", compression: bytes = b"\0"
) -> bytes:
    body = b"\x03\x03" + bytes(32) + vector(session, 1) + vector(ciphers, 2) + vector(compression, 1)
    body += vector(b"".join(extensions), 2) if extensions else b""
    return b"\x01" + vector(body, 3)


def records(data: bytes, size: int = 1 << 14) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"\x16\x03\x01" + vector(piece, 2) for piece in pieces)


def hello(*extensions: bytes, **fields: bytes) -> bytes:
    return records(message(*extensions, **fields))


@pytest.mark.parametrize(
    ("client", "name", "alpn", "versions"),
    [
        ("openssl", APP, (), (0x304, 0x303, 0x302, 0x301)),
        ("openssl-no-sni", b"", (), (0x304, 0x303, 0x302, 0x301)),
        ("openssl-tls1_2", APP, (), (0x303,)),
        ("curl", APP, (b"h2", b"http/1.1"), (0x304, 0x303, 0x302, 0x301)),
        ("caddy", APP, (b"h2", b"http/1.1"), (0x304, 0x303)),
    ],
)
def test_real_clients_are_read(client, name, alpn, versions):
    assert read(VECTORS[client]) == ClientHello(server_name=name, alpn=alpn, versions=versions)


def test_chromium_is_read_with_grease_ech_and_hybrid_keys():
    found = read(VECTORS["chromium"])
    assert isinstance(found, ClientHello)
    assert found.server_name == APP
    assert found.alpn == (b"h2", b"http/1.1")
    assert found.versions[1:] == (0x304, 0x303)
    assert found.versions[0] & 0x0F0F == 0x0A0A


@pytest.mark.parametrize("client", VECTORS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100, 511])
def test_one_cut_into_records_is_the_same(client, size):
    whole = VECTORS[client]
    assert read(records(whole[5:], size)) == read(whole)


@pytest.mark.parametrize("client", VECTORS)
def test_no_beginning_of_it_is_taken_for_the_whole(client):
    whole = records(VECTORS[client][5:], 64)
    for end in range(len(whole)):
        wants = read(whole[:end])
        assert isinstance(wants, int)
        assert end < wants <= len(whole)


@pytest.mark.parametrize("client", VECTORS)
def test_what_is_wanted_leads_to_the_end_in_few_steps(client):
    whole = records(VECTORS[client][5:], 1)
    steps, found = 0, read(b"")
    while isinstance(found, int):
        found, steps = read(whole[:found]), steps + 1
    assert steps < 64


def test_what_follows_is_left_alone():
    assert read(VECTORS["curl"] + b"\x17\x03\x03\x00\x05early") == read(VECTORS["curl"])


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        (b"App.Example.COM", APP),
        (b"app.example.com.", APP),
        (b"app.example.com..", b""),
        (b"xn--bcher-kva.example", b"xn--bcher-kva.example"),
        ("bücher.example".encode(), b""),
        (b"127.0.0.1", b""),
        (b"::1", b""),
        (b"[::1]", b""),
        (b"127.1", b""),
        (b"0x7f000001", b""),
        (b"localhost", b"localhost"),
        (b"a_b.example", b"a_b.example"),
        (b"app.example.com:443", b""),
        (b"app.example.com/x", b""),
        (b"*.example.com", b""),
        (b"-a.example", b""),
        (b"a" * 64 + b".example", b""),
        (b".", b""),
        (b"app.example.com ", b""),
    ],
    ids=repr,
)
def test_a_server_name_is_as_a_host_would_be(name, canonical):
    found = read(hello(server_name(name)))
    assert isinstance(found, ClientHello)
    assert found.server_name == canonical


def test_one_without_extensions_is_of_tls_1_2():
    assert read(hello()) == ClientHello(versions=(0x303,))


GREASE = extension(0x1A1A, b"")
ALPN = extension(16, vector(vector(b"h2", 1), 2))


@pytest.mark.parametrize(
    ("data", "alert"),
    [
        (b"GET / HTTP/1.1\r\n", client_hello.UNEXPECTED_MESSAGE),
        (b"\x80\x2e\x01\x00\x02", client_hello.UNEXPECTED_MESSAGE),
        (b"\x16\x02", client_hello.UNEXPECTED_MESSAGE),
        (b"\x15\x03\x01\x00\x02\x02\x28", client_hello.UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\x00\x00", client_hello.RECORD_OVERFLOW),
        (b"\x16\x03\x01\x40\x01", client_hello.RECORD_OVERFLOW),
        (records(b"\x02" + vector(bytes(40), 3)), client_hello.UNEXPECTED_MESSAGE),
        (records(b"\x01" + vector(bytes(LIMIT_BYTES), 3)), client_hello.RECORD_OVERFLOW),
        (records(message() + b"\x01\x00"), client_hello.UNEXPECTED_MESSAGE),
        (records(message()[:20]) + b"\x17\x03\x01\x00\x01x", client_hello.UNEXPECTED_MESSAGE),
        (hello(session=bytes(33)), client_hello.DECODE_ERROR),
        (hello(ciphers=b""), client_hello.DECODE_ERROR),
        (hello(ciphers=b"\x13"), client_hello.DECODE_ERROR),
        (hello(compression=b""), client_hello.ILLEGAL_PARAMETER),
        (hello(compression=b"\x01"), client_hello.ILLEGAL_PARAMETER),
        (hello(GREASE, GREASE), client_hello.ILLEGAL_PARAMETER),
        (hello(server_name(APP), server_name(b"other.example")), client_hello.ILLEGAL_PARAMETER),
        (hello(ALPN, ALPN), client_hello.ILLEGAL_PARAMETER),
        (hello(server_name(b"")), client_hello.ILLEGAL_PARAMETER),
        (hello(server_name(b"app\0.example.com")), client_hello.ILLEGAL_PARAMETER),
        (hello(server_name(b"a" * 256)), client_hello.ILLEGAL_PARAMETER),
        (hello(server_name(APP, kind=1)), client_hello.ILLEGAL_PARAMETER),
        (hello(extension(0, b"")), client_hello.DECODE_ERROR),
        (hello(extension(0, vector(b"", 2))), client_hello.DECODE_ERROR),
        (hello(extension(0, vector((b"\0" + vector(APP, 2)) * 2, 2))), client_hello.DECODE_ERROR),
        (hello(extension(16, b"")), client_hello.DECODE_ERROR),
        (hello(extension(16, vector(b"", 2))), client_hello.DECODE_ERROR),
        (hello(extension(16, vector(b"\0", 2))), client_hello.DECODE_ERROR),
        (hello(extension(43, b"\x03\x03\x04\x03")), client_hello.DECODE_ERROR),
        (hello(extension(43, b"\x00")), client_hello.DECODE_ERROR),
        (hello(extension(43, b"\x02\x03\x04x")), client_hello.DECODE_ERROR),
        (records(b"\x01" + vector(message(GREASE)[4:] + b"x", 3)), client_hello.DECODE_ERROR),
        (records(b"\x01" + vector(message(GREASE)[4:-1], 3)), client_hello.DECODE_ERROR),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else str(value),
)
def test_odd_ones_are_refused(data, alert):
    with pytest.raises(HelloRefused) as refused:
        read(data)
    assert refused.value.alert == alert


def test_many_small_records_are_refused_at_the_limit():
    whole = records(b"\x01" + vector(bytes(LIMIT_BYTES // 4), 3), 1)
    with pytest.raises(HelloRefused):
        read(whole[:LIMIT_BYTES])


# -- whatever comes ----------------------------------------------------------------------------------


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(HelloRefused):
        read(data)


def seen_by_openssl(data: bytes) -> list[str | None]:
    """The names that OpenSSL's server takes from it."""
    seen: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _made, name, _context: seen.append(name)
    incoming = ssl.MemoryBIO()
    incoming.write(data)
    with contextlib.suppress(ssl.SSLError):
        context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    return seen


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real client's, with a few bytes changed, put in, or taken out, and cut into records."""
    data = bytearray(VECTORS[draw(st.sampled_from(sorted(VECTORS)))][5:])
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.integers(0, 2)):
            case 0:
                data[at] = draw(st.integers(0, 127))  # Python cannot tell a name beyond ASCII
            case 1:
                data.insert(at, draw(st.integers(0, 127)))
            case _:
                del data[at]
    return records(bytes(data), draw(st.integers(1, 2000)))


@settings(max_examples=200, deadline=None)
@given(mutated())
def test_openssl_sees_the_same_name(data):
    try:
        found = read(data)
    except HelloRefused:
        return
    seen = seen_by_openssl(data)
    if not isinstance(found, ClientHello):
        assert not seen
    elif seen:
        assert client_hello.canonical_name((seen[0] or "").encode("ascii")) == found.server_name


def test_an_alert_is_a_record():
    assert client_hello.alert_record(client_hello.UNRECOGNIZED_NAME) == b"\x15\x03\x03\x00\x02\x02\x70"
