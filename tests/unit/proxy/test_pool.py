"""Connections to backends: which server, which connection, and what happens to a dead one."""

from __future__ import annotations

import ssl

import pytest
import trustme

from tests.helpers.transport import FakeLoop, FakeServer
from vestibule.core.route import Backend, Server, Trust
from vestibule.errors import BackendError
from vestibule.model import Secret
from vestibule.proxy.pool import Pool, Pools
from vestibule.proxy.server_pool import DOWN_FIRST_S, IDLE_LIMIT
from vestibule.proxy.trust import tls_context
from vestibule.proxy.upstream import UpstreamConnection

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Waiter:
    """Waits for a connection, and plays the relay that uses it."""

    def __init__(self) -> None:
        self.connection: UpstreamConnection | None = None
        self.error: BackendError | None = None

    def on_connected(self, connection):
        self.connection = connection

    def on_refused(self, error):
        self.error = error

    def on_whole(self, head, body, raw):
        pass

    def on_lost(self, error, *, answered):
        self.error = error


class Setting:
    def __init__(self, loop: FakeLoop, *servers: Server) -> None:
        self.loop = loop
        self.pool = Pool(Backend(servers=servers), loop.time)
        self.network = []
        for server in servers:
            fake = loop.network[server.path or (server.host, server.port)] = FakeServer()
            self.network.append(fake)

    def request(self) -> Waiter:
        """One request with its answer, on an idle connection or a new one."""
        waiter = Waiter()
        waiter.connection = self.pool.take()
        if waiter.connection is None:
            self.loop.run(self.pool.connect, waiter)
        if waiter.connection is not None:
            waiter.connection.send(waiter, b"GET", is_head=False, body_follows=False)
            waiter.connection.transport.receive(ANSWER)
        return waiter

    @property
    def counts(self) -> list[int]:
        return [len(fake.connections) for fake in self.network]

    @property
    def requests(self) -> list[int]:
        return [sum(c.written.count(b"GET") for c in fake.connections) for fake in self.network]


A, B, C = (Server(host="127.0.0.1", port=port) for port in (9001, 9002, 9003))


def test_a_connection_is_made_once_and_used_again(loop):
    at = Setting(loop, A)
    for _ in range(5):
        at.request()
    assert (at.counts, at.requests) == ([1], [5])


def test_the_connection_used_last_is_used_first(loop):
    at = Setting(loop, A)
    first, second = Waiter(), Waiter()
    for waiter in (first, second):
        loop.run(at.pool.connect, waiter)
    for waiter in (first, second):
        at.pool.servers[0].release(waiter.connection)
    assert at.pool.take() is second.connection
    assert at.pool.take() is first.connection
    assert at.pool.take() is None


@pytest.mark.parametrize("servers", [(A, B), (A, B, C)], ids=["two", "three"])
def test_servers_take_turns_and_their_connections_are_used_again(loop, servers):
    at = Setting(loop, *servers)
    for _ in range(4 * len(servers)):
        at.request()
    assert at.counts == [1] * len(servers)
    assert at.requests == [4] * len(servers)


def test_a_dead_server_is_left_out_and_tried_again(loop):
    at = Setting(loop, A, B)
    at.network[0].refuses = True
    for _ in range(6):
        assert at.request().error is None
    assert at.requests == [0, 6]
    assert at.pool.servers[0].down_until == loop.time() + DOWN_FIRST_S  # one try: each further one doubles it
    at.network[0].refuses = False
    loop.advance(2)
    for _ in range(4):
        at.request()
    assert at.requests[0] == 2


def test_a_server_that_stays_dead_is_tried_less_and_less(loop):
    at = Setting(loop, A)
    at.network[0].refuses = True
    waits = []
    for _ in range(6):
        at.request()
        waits.append(at.pool.servers[0].down_until - loop.time())
    assert waits == [1, 2, 4, 8, 10, 10]
    at.network[0].refuses = False
    assert at.request().error is None
    assert at.pool.servers[0].down_until == 0


def test_the_only_server_is_tried_though_it_was_dead(loop):
    at = Setting(loop, A)
    at.network[0].refuses = True
    error = at.request().error
    assert (error.code, error.status) == ("backend_unavailable", 502)
    assert "127.0.0.1:9001" in error.detail
    assert "127.0.0.1" not in error.message
    at.network[0].refuses = False
    assert at.request().error is None


def test_all_dead_is_one_error_after_each_was_tried(loop):
    at = Setting(loop, A, B)
    for fake in at.network:
        fake.refuses = True
    waiter = at.request()
    assert waiter.error is not None
    assert all(server.down_until for server in at.pool.servers)


def test_a_server_that_does_not_answer_the_connect_is_given_up_in_five_seconds(loop):
    at = Setting(loop, A)
    at.network[0].is_silent = True
    waiter = at.request()
    loop.advance(4)
    assert waiter.error is None
    loop.advance(2)
    assert (waiter.error.code, waiter.error.status) == ("backend_timeout", 504)
    assert at.pool.servers[0].down_until


def test_how_long_connecting_may_take_is_the_routes_to_say(loop):
    at = Setting(loop, A)
    at.network[0].is_silent = True
    waiter = Waiter()
    loop.run(at.pool.connect, waiter, 1.0)
    assert waiter.error is None
    loop.advance(2)
    assert waiter.error.code == "backend_timeout"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnicodeError("label too long"), "backend_unavailable"),
        (ssl.SSLCertVerificationError("expired"), "backend_unavailable"),
        (OSError("no route"), "backend_unavailable"),
        (TimeoutError(), "backend_timeout"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_however_connecting_fails_the_one_who_waits_is_told(loop, error, code):
    at = Setting(loop, A)
    at.network[0].error = error
    assert at.request().error.code == code


def test_a_closed_connection_is_never_taken(loop):
    at = Setting(loop, A)
    at.request()
    at.network[0].connections[0].end()
    assert at.pool.take() is None
    assert at.request().error is None
    assert at.counts == [2]


def test_a_connection_about_to_close_is_not_taken(loop):
    at = Setting(loop, A)
    waiter = at.request()
    waiter.connection.transport.close()
    assert at.pool.take() is None


def test_idle_connections_are_closed_after_half_a_minute(loop):
    at = Setting(loop, A)
    at.request()
    loop.advance(29)
    loop.run(at.pool.sweep, loop.time())
    assert not at.network[0].connections[0].is_closed
    loop.advance(2)
    loop.run(at.pool.sweep, loop.time())
    assert at.network[0].connections[0].is_closed
    assert at.pool.take() is None


def test_the_sweep_ends_what_waits_for_an_answer_too_long(loop):
    at = Setting(loop, A)
    waiter = Waiter()
    loop.run(at.pool.connect, waiter)
    waiter.connection.send(waiter, b"GET", is_head=False, body_follows=False)
    loop.advance(61)
    loop.run(at.pool.sweep, loop.time())
    assert waiter.error.code == "backend_timeout"


def test_idle_connections_have_a_bound(loop):
    at = Setting(loop, A)
    waiters = [Waiter() for _ in range(IDLE_LIMIT + 3)]
    for waiter in waiters:
        loop.run(at.pool.connect, waiter)
    for waiter in waiters:
        loop.run(at.pool.servers[0].release, waiter.connection)
    assert len(at.network[0].open) == IDLE_LIMIT


def test_tls_is_verified_with_the_servers_name(loop):
    server = Server(host="api.example", port=443, tls=True)
    at = Setting(loop, server)
    loop.run(at.pool.connect, Waiter())
    transport = at.network[0].connections[0]
    context = transport.get_extra_info("ssl")
    assert transport.get_extra_info("name") == "api.example"
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_only_an_insecure_server_is_not_verified(loop):
    at = Setting(loop, Server(host="api.example", port=443, tls=True, verify=False))
    loop.run(at.pool.connect, Waiter())
    assert at.network[0].connections[0].get_extra_info("ssl").verify_mode == ssl.CERT_NONE


def test_a_unix_socket_is_reached_by_its_path(loop):
    at = Setting(loop, Server(path="/run/app.sock"))
    at.request()
    assert at.requests == [1]


def test_routes_to_the_same_servers_share_a_pool(loop):
    pools = Pools(loop.time)
    assert pools.of(Backend(servers=(A, B))) is pools.of(Backend(servers=(A, B)))
    assert pools.of(Backend(servers=(A, B))) is not pools.of(Backend(servers=(A,)))


def test_closing_ends_connections_and_connects_under_way(loop):
    pools = Pools(loop.time)
    pool = pools.of(Backend(servers=(A,)))
    silent = pools.of(Backend(servers=(B,)))
    loop.network["127.0.0.1", 9001] = FakeServer()
    loop.network["127.0.0.1", 9002] = FakeServer()
    loop.network["127.0.0.1", 9002].is_silent = True
    connected, waiting = Waiter(), Waiter()
    loop.run(pool.connect, connected)
    loop.run(silent.connect, waiting)
    loop.run(pools.close)
    assert loop.network["127.0.0.1", 9001].open == []
    loop.advance(10)
    assert (waiting.connection, waiting.error) == (None, None)


def test_tls_is_verified_by_the_name_and_the_authorities_that_are_written(loop):
    ca = trustme.CA()
    trust = Trust(authorities=ca.cert_pem.bytes().decode(), name="app.internal")
    at = Setting(loop, Server(host="10.0.0.7", port=443, tls=True, trust=trust))
    at.request()
    transport = at.network[0].connections[0]
    context = transport.get_extra_info("ssl")
    assert transport.get_extra_info("name") == "app.internal"
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] == 1  # not the system's beside it


def test_a_context_is_made_once_for_each_setting():
    ca = trustme.CA()
    issued = ca.issue_cert("gateway.example").private_key_and_cert_chain_pem.bytes().decode()
    one, other = Trust(shown=Secret(issued)), Trust(shown=Secret(issued), name="x")
    assert tls_context(True, one) is tls_context(True, Trust(shown=Secret(issued)))
    assert tls_context(True, one) is not tls_context(True, other)
    assert tls_context(True, one) is not tls_context(False, one)


def test_servers_shown_other_certificates_share_no_connections():
    ca = trustme.CA()
    shown = Secret(ca.issue_cert("gateway.example").private_key_and_cert_chain_pem.bytes().decode())
    plain = Server(host="api.example", port=443, tls=True)
    known = Server(host="api.example", port=443, tls=True, trust=Trust(shown=shown))
    pools = Pools(lambda: 0.0)
    assert pools.of(Backend(servers=(plain,))) is not pools.of(Backend(servers=(known,)))
