"""TLS on buffers in memory: what goes in comes out, in order, as far as somebody wants it."""

from __future__ import annotations

import asyncio
import ssl
from random import Random

import pytest

from tests.unit.edge.stand import Client, Stand, Upper, Wire
from vestibule.core.tls import USUAL

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
BIG = Random(7).randbytes(300_000)


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
async def three(request) -> tuple[Wire, Client, Upper]:
    stand = Stand({"a.test": USUAL})
    wire = stand.accept()
    client = Client(wire, most=request.param)
    client.shake()
    return wire, client, stand.opened[0]


@pytest.mark.parametrize("size", [1 << 20, 40_000, 1000])
async def test_big_bodies_come_through_both_ways(three, size):
    _, client, upper = three
    client.send(BIG, size)
    assert upper.came == BIG
    upper.transport.write(BIG)
    assert client.pull() == BIG
    upper.transport.writelines([BIG[:10], b"", BIG[10:]])
    assert client.pull() == BIG


class Slow(Upper):
    """Reads one portion, and pauses."""

    @classmethod
    def of(cls, upper: Upper) -> Slow:
        """In the place of this one."""
        slow = cls(upper.met)
        slow.transport = upper.transport
        upper.transport.set_protocol(slow)
        return slow

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.pause_reading()


async def test_a_protocol_that_pauses_gets_the_rest_in_order_when_it_reads_on(three):
    wire, client, upper = three

    slow = Slow.of(upper)
    client.send(BIG)
    assert 0 < len(slow.came) <= 16_384
    assert wire.is_paused
    for _ in range(100):
        slow.transport.resume_reading()
        await asyncio.sleep(0)
    assert slow.came == BIG


async def test_who_reads_in_small_portions_is_brought_no_more_with_each(three):
    """Pipelined requests, or an upload to a slow backend: what is read for one portion has to be passed on first."""
    wire, client, upper = three

    slow = Slow.of(upper)
    sent = brought = 0
    for _ in range(60):
        slow.transport.resume_reading()
        if not wire.is_paused:  # sockets are read before what was put off to the next turn of the loop
            client.send(BIG[:64_000])
            sent += 64_000
        brought = max(brought, sent - len(slow.came))
        await asyncio.sleep(0)
    assert sent > 256_000
    assert brought <= 64_000


async def test_paused_before_anything_comes_nothing_is_passed_on(three):
    wire, client, upper = three
    upper.transport.pause_reading()
    client.send(b"later")
    assert upper.came == b""
    upper.transport.resume_reading()
    await asyncio.sleep(0)
    assert upper.came == b"later"
    assert not wire.is_paused


async def test_close_says_goodbye_first(three):
    wire, client, upper = three
    upper.transport.write(b"bye")
    upper.transport.close()
    client.incoming.write(wire.taken())
    assert client.object.read(100) == b"bye"
    assert client.object.read(100) == b""
    assert wire.is_closed
    upper.transport.write(b"never")
    assert wire.written == b""


async def test_nothing_comes_after_close(three):
    _, client, upper = three
    upper.transport.close()
    client.object.write(b"late")
    client.push()
    assert upper.came == b""


async def test_the_end_of_our_stream_is_told_and_the_connection_stays_for_what_still_comes(three):
    wire, client, upper = three
    upper.transport.write(b"answer")
    upper.transport.write_eof()
    client.incoming.write(wire.taken())
    assert client.object.read(100) == b"answer"
    assert client.object.read(100) == b""
    assert wire.has_ended
    assert not wire.is_closed
    client.object.write(BIG)
    client.push()
    assert upper.came == b""


@pytest.mark.parametrize("stays", [True, False])
async def test_a_clients_goodbye_is_told_once(three, stays):
    wire, client, upper = three
    upper.stays = stays
    with pytest.raises(ssl.SSLWantReadError):
        client.object.unwrap()
    client.push()
    assert wire.protocol.eof_received() is stays
    assert upper.events == ["made", "ended"]
    assert wire.is_closed is not stays


async def test_an_end_without_goodbye_is_an_end(three):
    wire, _, upper = three
    assert wire.protocol.eof_received() is False
    assert upper.events == ["made", "ended"]


async def test_what_is_no_tls_breaks_the_connection(three):
    wire, _, upper = three
    wire.protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert wire.is_aborted
    assert upper.events == ["made", "lost"]
    assert upper.came == b""


async def test_a_changed_record_breaks_the_connection(three):
    wire, client, upper = three
    client.object.write(b"hello")
    data = bytearray(client.outgoing.read())
    data[-1] ^= 1
    wire.protocol.data_received(bytes(data))
    assert wire.is_aborted
    assert upper.came == b""


async def test_what_is_lost_is_told_once(three):
    wire, _, upper = three
    wire.protocol.connection_lost(None)
    upper.transport.write(b"nowhere")
    assert upper.events == ["made", "lost"]
    assert wire.written == b""
