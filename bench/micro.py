"""Where the microseconds of a request go, without sockets: `python -m bench.micro [--profile]`.

The real gateway, with a session in its cache, is fed a request's bytes by a transport that only counts, and its
backend's bytes likewise. What a whole request takes beyond this is the system's and the loop's.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any, cast

import uvloop

from bench.load import BROWSER
from vestibule.core.listener import ListenAddress
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, Server
from vestibule.core.rule import Rule
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Device, Identity
from vestibule.observe.log import Log
from vestibule.observe.traffic import Traffic
from vestibule.protocol.address import Networks
from vestibule.protocol.h1 import HeadCheck, parse_request_head
from vestibule.protocol.h1_answer import parse_answer_head
from vestibule.proxy.downstream_h1 import H1Connection
from vestibule.proxy.forward.edges import Edges, OwnListener
from vestibule.proxy.forward.verdict import Verdicts
from vestibule.proxy.gateway import Gateway
from vestibule.proxy.judge import Judge
from vestibule.proxy.lasting import Lasting
from vestibule.proxy.listener import Listener
from vestibule.proxy.pool import Pools
from vestibule.proxy.teller import Teller
from vestibule.proxy.upstream import UpstreamConnection
from vestibule.service.people import People
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.store import memory
from vestibule.store.changes import Changes
from vestibule.web.notices import Notices
from vestibule.web.pages import Pages

ROUNDS = 7
COUNT = 4000
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 02:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 100\r\nConnection: keep-alive\r\n\r\n" + b"x" * 100
)


class Transport:
    """Takes what is written and counts it."""

    written = 0

    def write(self, data: bytes) -> None:
        """Take it."""
        self.written += len(data)

    def writelines(self, parts: list[bytes]) -> None:
        """Take them."""
        self.written += sum(map(len, parts))

    def is_closing(self) -> bool:
        """Never."""
        return False

    def pause_reading(self) -> None:
        """Nothing to pause."""

    def resume_reading(self) -> None:
        """Nothing to resume."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def get_extra_info(self, name: str) -> Any:
        """The peer's address."""
        return ("127.0.0.1", 50000) if name == "peername" else None


def requests(handle: str) -> dict[str, bytes]:
    """The two requests that are measured."""
    cookie = f"vestibule-8000={handle}"
    bare = ("GET / HTTP/1.1", "Host: app.example:8000", f"Cookie: {cookie}", "", "")
    browser = ("GET / HTTP/1.1", "Host: app.example:8000", *BROWSER, f"Cookie: {cookie}; theme=dark", "", "")
    return {"bare": "\r\n".join(bare).encode(), "browser": "\r\n".join(browser).encode()}


def questions(handle: str) -> dict[str, bytes]:
    """The same as nginx asks about them."""
    lines = ("X-Original-Method: GET", "X-Original-URL: http://app.example:8000/", "", "")
    return {
        name: request[:-4].replace(b"GET / ", b"GET /@/validate ") + b"\r\n" + "\r\n".join(lines).encode()
        for name, request in requests(handle).items()
    }


async def stage() -> tuple[H1Connection, UpstreamConnection, H1Connection, str]:
    """A client's connection to a gateway, an idle one to its backend, an edge's to ask by, and a session's handle."""
    loop = asyncio.get_running_loop()
    backend = Backend(servers=(Server(host="127.0.0.1", port=9),))
    policy = policy_of(allow=(Rule(kind="anyone", text="anyone"),), sign_in=frozenset(("google",)))
    route = Route(prefix=b"", backend=backend, policy=policy)
    host = Host(
        name=b"app.example",
        title="App",
        clients={"google": "google"},
        sign_in=("google",),
        routes={b"": route},
    )
    identity = Identity(
        client="google",
        issuer="https://accounts.example",
        subject="1",
        login="alice",
        name="Alice",
        email="alice@example.com",
    )
    changes = Changes()
    store = memory.Store()
    sessions = Sessions(store.sessions, changes)
    user = await People(store.people, store.invitations, sessions, changes).admit(identity, time.time())
    assert user is not None, "anybody may come"
    rechecks = Rechecks(sessions, cast("Any", None), changes, cast("Any", None), Log())
    _, handle = await sessions.start(
        host="app.example",
        user_id=user.id,
        identities=(identity,),
        clients=("google",),
        device=Device(),
        now=time.time(),
    )
    await sessions.load(handle)
    pools = Pools(loop.time)
    table = RouteTable((host,))
    judge = Judge(
        table=table,
        sessions=sessions,
        rechecks=rechecks,
        callers=cast("Any", None),
        lasting=Lasting(sessions, rechecks),
        trusted=Networks(()),
        ring=KeyRing((Key("k", b"k" * 32),)),
        log=Log(),
    )
    teller = Teller(KeyRing((Key("k", b"k" * 32),)), cast("Any", None))
    edges = Edges(Verdicts(judge, teller), Networks(()), Notices(Pages()), Traffic(), Log())
    gateway = Gateway(
        table=table,
        judge=judge,
        teller=teller,
        pools=pools,
        answers=cast("Any", None),
        control=cast("Any", None),
        internal=cast("Any", None),
        edges=edges,
        traffic=Traffic(),
        log=Log(),
    )
    pool = pools.of(backend).servers[0]
    upstream = UpstreamConnection(pool)
    upstream.connection_made(cast("asyncio.Transport", Transport()))
    pool.release(upstream)
    connection = H1Connection(Listener(ListenAddress(host="127.0.0.1", port=8000), gateway, clock=loop.time))
    connection.connection_made(cast("asyncio.Transport", Transport()))
    site = connection.listener
    asked = OwnListener(edges, site, is_closed=True)
    edge = H1Connection(Listener(ListenAddress(host="127.0.0.1", port=4181), asked, clock=loop.time))
    edge.connection_made(cast("asyncio.Transport", Transport()))
    return connection, upstream, edge, handle


def took_us(work: Callable[[], object]) -> float:
    """Microseconds for one, the median of rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(COUNT):
            work()
        rounds.append((time.process_time_ns() - began) / COUNT / 1000)
    return median(rounds)


async def measure(*, profile: bool) -> None:
    """Print a line for each kind of request, and with `profile` where its time goes by function."""
    connection, upstream, edge, handle = await stage()
    for name, request in questions(handle).items():
        print(f"{name:8}  {'an edge that asks':26}  {took_us(lambda: edge.data_received(request)):6.2f} us")  # noqa: B023
        if profile:
            _profiled(lambda: edge.data_received(request))  # noqa: B023
    for name, request in requests(handle).items():
        block = request[:-4]

        def whole(
            connection: H1Connection = connection,
            upstream: UpstreamConnection = upstream,
            request: bytes = request,
        ) -> None:
            connection.data_received(request)
            upstream.data_received(ANSWER)

        whole()
        written = cast("Transport", connection.transport).written
        if written < len(ANSWER):
            raise SystemExit(f"the gateway did not answer: {written} bytes")
        check = HeadCheck()
        head = parse_request_head(block)
        answer = ANSWER.partition(b"\r\n\r\n")[0]
        parts = {
            "request head parsed": took_us(lambda block=block: parse_request_head(block)),  # type: ignore[misc]
            "second opinion (llhttp)": took_us(
                lambda request=request, head=head, check=check: check.agree(head, request)  # type: ignore[misc]
            ),
            "answer head parsed": took_us(lambda answer=answer: parse_answer_head(answer)),  # type: ignore[misc]
            "all of it": took_us(whole),
        }
        for part, us in parts.items():
            print(f"{name:8}  {part:26}  {us:6.2f} us")
        if profile:
            _profiled(whole)


def _profiled(work: Callable[[], object]) -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(COUNT):
        work()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(28)


if __name__ == "__main__":
    uvloop.run(measure(profile="--profile" in sys.argv))
