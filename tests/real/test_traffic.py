"""What the admin API tells of requests while they go on: their rows, the stream of them, and what one has caused."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator

import pytest

from tests.real.house import CONFIGURATION, build
from vestibule.admin_client import AdminClient
from vestibule.admin_model import Node, Row, Trace
from vestibule.errors import VestibuleError

PATIENCE_S = 60.0


def client_of(house) -> AdminClient:
    return AdminClient(f"unix:{house.gateway.directory / 'state' / 'admin.sock'}")


async def rows_of(client: AdminClient, count: int, **filters: str) -> list[Row]:
    """The requests that pass the filters, the oldest first, once there are so many: workers tell of them a little late."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            page = await asyncio.to_thread(lambda: client.traffic(**filters))
            if len(page.items) >= count:
                return list(reversed(page.items))
            await asyncio.sleep(0.05)


async def trace_of(client: AdminClient, trace_id: str, count: int) -> Trace:
    """The trace, once it has so many requests: the last of them is told of a little after its answer."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(VestibuleError):  # nothing of it is known yet
                trace = await asyncio.to_thread(client.trace, trace_id)
                if number_of(trace.roots) >= count:
                    return trace
            await asyncio.sleep(0.05)


def number_of(nodes: tuple[Node, ...]) -> int:
    return sum(1 + number_of(node.children) for node in nodes)


def shape(nodes: tuple[Node, ...]) -> list:
    return [(node.row.kind, node.row.path, shape(node.children)) for node in nodes]


@pytest.fixture(params=["workers = 1", "workers = 2"])
async def watched(request, ports, api, openid, gateway):
    """The whole house, with one process and with several."""
    configuration = CONFIGURATION.replace("gateway {", f"gateway {{\n  {request.param}", 1)
    return await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=configuration)


async def test_one_browser_request_and_the_calls_it_caused_are_one_tree(house, browser_of_alice):
    seen = await browser_of_alice.seen_by_app("/report")
    traceparent, handle = seen.one("traceparent"), seen.one("proxy-session")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", traceparent)
    for target in ("/v1/me", "/v1/files"):
        async with house.call(handle, target, headers={"traceparent": traceparent}) as answer:
            assert answer.status == 200
    trace_id, span_id = traceparent.split("-")[1:3]
    client = client_of(house)
    trace = await trace_of(client, trace_id, 3)
    assert shape(trace.roots) == [("host", "/report", [("call", "/v1/me", []), ("call", "/v1/files", [])])]
    [root] = trace.roots
    assert root.row.span_id == span_id
    assert {node.row.person for node in (root, *root.children)} == {"alice@example.com"}
    # The API is told of the call, as its parent.
    told = house.api.seen[-1].one("traceparent").split("-")
    assert told[1:3] == [trace_id, root.children[-1].row.span_id]


async def test_a_trace_that_a_browser_brings_goes_on(house, browser_of_alice):
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    page = await browser_of_alice.get("/x", traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
    assert page.status == 200
    assert house.app.seen[-1].one("traceparent").split("-")[1] == trace_id
    [root] = (await trace_of(client_of(house), trace_id, 1)).roots
    assert (root.row.path, root.row.parent_id) == ("/x", "b7ad6b7169203331")


async def test_requests_are_told_with_who_made_them_and_why_they_got_what_they_got(watched):
    async with watched.browser() as alice, watched.browser() as nobody:
        assert (await nobody.get("/private?secret=1")).status == 302
        assert (await nobody.get("/open/a")).status == 200
        assert (await alice.sign_in("alice", "/mine")).status == 200
    client = client_of(watched)
    [refused] = await rows_of(client, 1, text="/private")
    assert (refused.kind, refused.name, refused.status, refused.decision, refused.person) == (
        "host",
        "app.example.com",
        302,
        "sign_in",
        "",
    )
    [opened] = await rows_of(client, 1, text="/open/a")
    assert (opened.decision, opened.route, opened.status) == ("public", "/open", 200)
    [mine] = await rows_of(client, 1, person="alice@")
    assert (mine.path, mine.decision, mine.provider) == ("/mine", "anyone", "op")
    assert 0 < mine.backend_ms <= mine.took_ms
    assert mine.user_id
    assert mine.session_id
    assert [row.decision for row in await rows_of(client, 1, text="/@op/callback")] == ["own"]
    assert await asyncio.to_thread(lambda: client.traffic(text="secret=1").items) == ()


async def test_what_comes_is_told_as_it_comes(watched):
    client = client_of(watched)
    stream = client.traffic_stream(name="app.example.com", status="2xx")
    assert await asyncio.to_thread(next, stream) == ()  # it has begun
    async with watched.browser() as nobody:
        for number in range(3):
            await nobody.get(f"/open/{number}")
            await nobody.get("/private")
    got: list[Row] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(got) < 3:
            got += await asyncio.to_thread(next, stream)
    assert sorted(row.path for row in got) == ["/open/0", "/open/1", "/open/2"]
    stream.close()


async def test_a_stream_ends_with_the_gateway_and_holds_it_up_no_longer(watched):
    stream = client_of(watched).traffic_stream()
    assert await asyncio.to_thread(next, stream) == ()
    ends = asyncio.create_task(asyncio.to_thread(exhausted, stream))
    await asyncio.to_thread(watched.gateway.stop)
    async with asyncio.timeout(PATIENCE_S):
        assert await ends == "unreachable"


def exhausted(stream: Iterator[tuple[Row, ...]]) -> str:
    """How it ended."""
    with contextlib.suppress(StopIteration):
        try:
            while True:
                next(stream)
        except VestibuleError as error:
            return error.code
    return ""
