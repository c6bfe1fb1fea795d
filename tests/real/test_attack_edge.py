"""What attackers try at the edge: requests of HTTP/2 that become others, hosts that ask for certificates."""

from __future__ import annotations

import socket
import struct

import pytest
from hpack import Decoder, Encoder

from tests.real.test_front import House

pytestmark = pytest.mark.real


@pytest.fixture
def house(gateway, ports, tmp_path) -> House:
    return House(gateway, ports, tmp_path)


def _frame(kind: int, flags: int, stream_id: int, data: bytes) -> bytes:
    return struct.pack(">I", len(data))[1:] + struct.pack(">BBI", kind, flags, stream_id) + data


def _by_h2(house: House, fields: list[tuple[str, str]]) -> bytes:
    """What comes on a connection to `a.example.com` until its stream is over."""
    context = house.context()
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", house.tls_port), timeout=60)
    came = b""
    with context.wrap_socket(plain, server_hostname="a.example.com") as sock:
        block = Encoder().encode(fields, huffman=False)
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"") + _frame(1, 5, 1, block))
        while not _is_over(came):
            data = sock.recv(65536)
            if not data:
                break
            came += data
    return came


def _frames(came: bytes) -> list[tuple[int, int, int, bytes]]:
    found, at = [], 0
    while at + 9 <= len(came):
        length = int.from_bytes(came[at : at + 3])
        kind, flags, stream_id = struct.unpack_from(">BBI", came, at + 3)
        if at + 9 + length > len(came):
            break
        found.append((kind, flags, stream_id, came[at + 9 : at + 9 + length]))
        at += 9 + length
    return found


def _is_over(came: bytes) -> bool:
    return any(
        kind == 7 or (stream_id == 1 and (kind == 3 or (kind in (0, 1) and flags & 1)))
        for kind, flags, stream_id, _ in _frames(came)
    )


SMUGGLED = {
    "a line in a value": [("x", "a\r\nhost: m.example.com")],
    "a line in a name": [("x\r\nhost", "m.example.com")],
    "a host beside the authority": [("host", "m.example.com")],
    "a body that frames itself": [("transfer-encoding", "chunked")],
    "another authority": [(":authority", "m.example.com")],
    "a field of the connection": [("connection", "host")],
}


@pytest.mark.parametrize("fields", SMUGGLED.values(), ids=SMUGGLED)
def test_no_request_of_http_2_becomes_another_on_its_way(house, fields):
    house.start()
    told = [(":method", "GET"), (":scheme", "https"), (":authority", "a.example.com"), (":path", "/")]
    assert _frames(_by_h2(house, [*told, *fields]))[-1][0] == 3
    assert b"m.example.com" not in _by_h2(house, [*told, *fields])
    assert any(kind == 0 for kind, *_ in _frames(_by_h2(house, told)))


def test_a_host_that_asks_for_certificates_is_reached_by_no_other_name(house):
    house.start()
    for authority in ("m.example.com", "M.EXAMPLE.com.", f"m.example.com:{house.tls_port}"):
        told = [(":method", "GET"), (":scheme", "https"), (":authority", authority), (":path", "/")]
        heads = [
            data for kind, _, stream_id, data in _frames(_by_h2(house, told)) if (kind, stream_id) == (1, 1)
        ]
        assert Decoder().decode(heads[0])[0] == (":status", "421"), authority
