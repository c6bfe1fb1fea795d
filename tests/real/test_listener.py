"""Binding addresses: what is replaced, what never is, and that nothing stays open after a refusal."""

from __future__ import annotations

import asyncio
import socket
import stat

import pytest

from tests.unit.proxy.conftest import NotedHandler
from vestibule.core.listener import ListenAddress
from vestibule.errors import ConfigError
from vestibule.proxy.binding import open_socket
from vestibule.proxy.listener import Listener

pytestmark = pytest.mark.real


def test_a_unix_socket_is_the_owners_and_replaces_a_stale_one(state_dir):
    path = state_dir / "s.sock"
    for _ in range(2):
        open_socket(ListenAddress(path=str(path))).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_unix_socket_for_edges_is_its_groups_too(state_dir):
    path = state_dir / "s.sock"
    open_socket(ListenAddress(path=str(path), group=True)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


async def test_a_unix_socket_that_somebody_listens_on_is_left_to_them(state_dir):
    address = ListenAddress(path=str(state_dir / "s.sock"))
    first = open_socket(address)
    first.listen()
    listener = Listener(address, NotedHandler(), clock=asyncio.get_running_loop().time)
    with pytest.raises(ConfigError, match="another program"):
        await listener.start()
    listener.stop()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)
    first.close()


async def test_another_file_in_its_place_is_never_removed(state_dir):
    path = state_dir / "s.sock"
    path.write_text("precious")
    listener = Listener(ListenAddress(path=str(path)), NotedHandler(), clock=asyncio.get_running_loop().time)
    with pytest.raises(ConfigError, match="can't listen"):
        await listener.start()
    listener.stop()
    assert path.read_text() == "precious"


async def test_a_port_that_is_taken_is_said(free_port):
    address = ListenAddress(host="127.0.0.1", port=free_port)
    first = open_socket(address)
    first.listen()
    listener = Listener(address, NotedHandler(), clock=asyncio.get_running_loop().time)
    with pytest.raises(ConfigError, match=str(free_port)):
        await listener.start()
    first.close()


async def test_whoever_vanishes_is_asked_for_by_the_system(free_port):
    """A WebSocket of a machine that was switched off: nothing here would ever notice."""
    address = ListenAddress(host="127.0.0.1", port=free_port)
    listener = Listener(address, NotedHandler(), clock=asyncio.get_running_loop().time)
    await listener.start()
    _, writer = await asyncio.open_connection("127.0.0.1", free_port)
    while not listener.open:
        await asyncio.sleep(0)
    accepted = next(iter(listener.open)).transport.get_extra_info("socket")
    asked = [accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
    asked += [accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)]
    assert asked == [1, 60]
    writer.close()
    await writer.wait_closed()
    listener.stop()


def test_ipv6_leaves_ipv4_alone(free_port):
    six = open_socket(ListenAddress(host="::1", port=free_port))
    four = open_socket(ListenAddress(host="127.0.0.1", port=free_port))
    assert six.getsockname()[1] == four.getsockname()[1]
    six.close()
    four.close()
