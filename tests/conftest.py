"""What every test stands on: the loop the product runs on, the hypothesis profiles, and the real servers.

`tests` is imported from the root of the project (`from tests.process import Process`), without `__init__` files.
Servers are started by factories (`nginx("location / { return 200; }")`): each takes a free loopback port, is waited
for, shows its log when the test fails, and is gone after the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import trustme
import uvloop

from tests.ports import Ports
from tests.process import Process
from tests.real.api import Answer, Api
from tests.real.fault import Fault
from tests.real.gateway import Gateway
from tests.real.nginx import Nginx
from tests.real.openid import OpenId
from tests.real.postgres import Cluster, Database
from tests.real.redis import Cluster as RedisCluster
from tests.real.redis import Single as RedisSingle

if TYPE_CHECKING:
    from playwright.async_api import Browser

# No deadlines: a test asserts what happens, never how fast.
hypothesis.settings.register_profile("dev", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=200, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every asynchronous test runs on uvloop, as the product does."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def ports() -> Iterator[Ports]:
    """Hands out loopback ports no other test process, and no outgoing connection, can get."""
    with Ports() as ports:
        yield ports


@pytest.fixture
def free_port(ports: Ports) -> int:
    """One loopback port that stays this test's own for the whole run."""
    return ports.take()


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A short-named private directory (Unix socket paths end at 107 bytes), gone after the test."""
    with tempfile.TemporaryDirectory(prefix="vst-") as name:
        yield Path(name)


@pytest.fixture
def servers() -> Iterator[contextlib.ExitStack]:
    """What is stopped after the test, the last started first; logs go to stdout, which pytest shows on failure."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def process(servers: contextlib.ExitStack) -> Callable[..., Process]:
    """Starts any process: `process("name", [argv…], env={…}, cwd=…)`."""

    def start(name: str, argv: Sequence[str | Path], **options: Any) -> Process:
        return _kept(servers, Process(name, argv, **options))

    return start


@pytest.fixture
def nginx(servers: contextlib.ExitStack, ports: Ports, state_dir: Path) -> Callable[..., Nginx]:
    """Starts nginx with these lines inside its `server` block."""

    def start(server: str = "", **options: Any) -> Nginx:
        port = ports.take()
        nginx = Nginx(port, state_dir / f"nginx-{port}", server, **options)
        _kept(servers, nginx.process)
        nginx.wait()
        return nginx

    return start


@pytest.fixture(scope="session")
def postgres_cluster(ports: Ports, ca: trustme.CA) -> Iterator[Cluster]:
    """PostgreSQL, running until the end of the run."""
    cluster = Cluster(ports.take(), ca)
    yield cluster
    cluster.stop()


@pytest.fixture
def postgres(postgres_cluster: Cluster) -> Iterator[Database]:
    """A database in PostgreSQL with all tables of the program and nothing in them: `postgres.url`.

    The next test has it too: who changes tables asks `postgres_cluster.database()` for another.
    """
    database = postgres_cluster.shared()
    yield database
    database.empty()


@pytest.fixture(scope="session")
def redis_single(ports: Ports) -> Iterator[RedisSingle]:
    """One Redis, running until the end of the run."""
    server = RedisSingle(ports)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_nodes(ports: Ports) -> Iterator[RedisCluster]:
    """A Cluster of three, running until the end of the run."""
    cluster = RedisCluster(ports)
    yield cluster
    cluster.stop()


@pytest.fixture
def redis(redis_single: RedisSingle) -> Iterator[RedisSingle]:
    """A Redis with nothing in it: `redis.url`."""
    yield redis_single
    redis_single.empty()


@pytest.fixture
def redis_cluster(redis_nodes: RedisCluster) -> Iterator[RedisCluster]:
    """A Cluster with nothing in it."""
    yield redis_nodes
    redis_nodes.empty()


@pytest.fixture
def openid(servers: contextlib.ExitStack, ports: Ports) -> Callable[..., OpenId]:
    """Starts the real oidc-provider with these clients (`tests.real.openid.client`)."""

    def start(*clients: Mapping[str, Any], **options: Any) -> OpenId:
        provider = OpenId(ports.take(), clients, **options)
        _kept(servers, provider.process)
        provider.wait()
        return provider

    return start


@pytest.fixture
def fault(servers: contextlib.ExitStack, ports: Ports) -> Callable[[int], Fault]:
    """Starts a network that breaks before the server on this port: `fault(server_port)`."""
    return lambda target: servers.enter_context(Fault(ports.take(), target))


@pytest.fixture
async def api(ports: Ports, tls: ssl.SSLContext) -> AsyncIterator[Callable[..., Any]]:
    """Starts a backend in the test's own loop: `await api()`, `await api(https=True, answer=handler)`."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, https: bool = False, answer: Answer | None = None) -> Api:
            server = Api(ports.take(), tls=tls if https else None, answer=answer)
            return await stack.enter_async_context(server)

        yield start


@pytest.fixture
def gateway(
    servers: contextlib.ExitStack, ports: Ports, tmp_path: Path, ca_file: Path
) -> Callable[..., Gateway]:
    """Starts the product: `gateway(text)`, where `{port}` in the text becomes its port (given, or a free one)."""

    def start(configuration: str, *, port: int = 0, env: Mapping[str, str] | None = None) -> Gateway:
        port = port or ports.take()
        directory = tmp_path / f"gateway-{port}"
        directory.mkdir(mode=0o700)
        text = configuration.replace("{port}", str(port))
        gateway = Gateway(text, directory, port=port, ca_file=ca_file, env=env)
        servers.callback(lambda: (gateway.stop(), print(f"--- gateway on {port}\n{gateway.process.shown}")))
        gateway.wait()
        return gateway

    return start


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A fresh Chromium."""
    from tests.real.browser import chromium  # noqa: PLC0415  # playwright is slow to import, and few tests want it

    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """The certificate authority of this run."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its certificate as PEM: what the product is told to trust (SSL_CERT_FILE)."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def tls(ca: trustme.CA) -> ssl.SSLContext:
    """A server's side for loopback and a few names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", "localhost", "api.example.com", "*.example.test").configure_cert(context)
    return context


def _kept(servers: contextlib.ExitStack, process: Process) -> Process:
    servers.callback(process.stop)
    servers.callback(lambda: print(f"--- {process.name}\n{process.shown}"))
    return process
