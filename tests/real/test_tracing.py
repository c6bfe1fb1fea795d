"""Spans that arrive in a collector: one tree for what a browser's request caused, nobody named, nobody kept waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tests.real.collector import Collector, Span
from tests.real.house import CONFIGURATION, House, build, handle_of
from tests.real.scraped import scraped_until

pytestmark = pytest.mark.real

TRACING = """
tracing {
  endpoint = "COLLECTOR"
  header "X-Collector-Key" {
    value = "collector-key"
  }
}
"""


@pytest.fixture
async def collector(ports) -> AsyncIterator[Collector]:
    async with Collector(ports.take()) as collector:
        yield collector


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def workers(request) -> int:
    return request.param


@pytest.fixture
async def house(  # noqa: PLR0917 - fixtures
    ports, api, openid, gateway, collector, workers
) -> AsyncIterator[House]:
    """The usual house, whose app asks the API for each page, as the person, in the same trace."""
    text = CONFIGURATION.replace("gateway {\n", f"gateway {{\n  workers = {workers}\n")
    text += TRACING.replace("COLLECTOR", collector.url)
    built = await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=text)

    async def answer(request: web.Request) -> web.Response:
        passed_on = {"traceparent": request.headers["traceparent"]}
        async with built.call(request.headers["Proxy-Session"], "/v1/files", headers=passed_on) as called:
            return web.Response(status=called.status)

    built.app.answer = answer
    async with aiohttp.ClientSession() as built.client:
        yield built


def below(spans: list[Span], above: Span) -> list[Span]:
    return [one for one in spans if one.parent == above.id and one.trace == above.trace]


async def test_what_a_page_caused_is_one_tree(house, collector):
    async with house.browser() as browser:
        await browser.sign_in()
        page = await browser.get("/page?q=canary-query")
        assert page.status == 200
        handle = handle_of(browser)
        await collector.until(2, "call")  # for the sign-in's own page, and for this one

    (server,) = [one for one in collector.spans if one.told.get("url.path") == "/page"]
    assert (server.kind, server.parent) == ("SERVER", "")
    assert server.told["server.address"] == "app.example.com"
    assert server.told["vestibule.decision"] == "anyone"
    (backend,) = below(collector.spans, server)
    assert backend.kind == "CLIENT"
    (call,) = below(collector.spans, backend)
    assert (call.kind, call.told["vestibule.kind"], call.told["server.address"]) == ("SERVER", "call", "api")
    (target,) = below(collector.spans, call)
    assert target.kind == "CLIENT"
    # The API itself was asked in this trace, by that span.
    assert house.api.seen[-1].one("traceparent").split("-")[1:3] == [target.trace, target.id]

    callbacks = [one for one in collector.spans if one.told.get("url.path") == "/@op/callback"]
    assert [one.told["vestibule.decision"] for one in callbacks] == ["own"]
    assert collector.services == {"vestibule"}
    assert collector.headers[0]["x-collector-key"] == "collector-key"

    for secret in (handle, "alice@example.com", "canary-query", "app-secret", *house.secrets_told()):
        assert secret.encode() not in collector.bodies
    assert "collector-key" not in house.gateway.log


async def test_a_trace_that_the_browser_names_goes_on(house, collector):
    trace, span = "1" * 32, "2" * 16
    async with house.browser() as browser:
        await browser.sign_in()
        await browser.get("/page", traceparent=f"00-{trace}-{span}-01")
        await collector.until(2, "call")
    found = [one for one in collector.spans if one.trace == trace]
    assert len(found) == 4
    assert [one.parent for one in found if one.told.get("vestibule.kind") == "host"] == [span]


async def test_a_collector_that_takes_nothing_is_counted_and_hurts_nobody(house, collector):
    collector.status = 400
    async with house.browser() as browser:
        await browser.sign_in()
        assert (await browser.get("/page")).status == 200
        state = house.gateway.directory / "state"
        await scraped_until(state, lambda one: one.total("vestibule_spans_total", outcome="failed") >= 4)
    assert house.gateway.log.count('"traces_not_taken"') == 1
