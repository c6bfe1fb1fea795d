"""Metrics of a running gateway: true, whoever of its processes did it or died, and told to nobody who may not see them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.real.house import CONFIGURATION, House, build
from tests.real.scraped import Scrape, parsed, scrape, scraped_until, text_of
from tests.real.test_workers import EACH, answers, processes, until_another
from vestibule.observe.metrics import COUNTED, SEEN

pytestmark = pytest.mark.real

HOST = "app.example.com"


def configured(admin_port: int) -> str:
    return f'admin {{\n  listen = "127.0.0.1:{admin_port}"\n}}\n' + CONFIGURATION.replace(
        "gateway {\n", "gateway {\n  workers = 2\n"
    )


@pytest.fixture
def admin_port(ports) -> int:
    return ports.take()


@pytest.fixture
async def house(ports, api, openid, gateway, admin_port) -> AsyncIterator[House]:
    """The usual house, carried by two workers, with a port for its admin API."""
    built = await build(
        ports=ports, api=api, openid=openid, gateway=gateway, configuration=configured(admin_port)
    )
    async with aiohttp.ClientSession() as built.client:
        yield built


def state_of(house: House) -> Path:
    return house.gateway.directory / "state"


def at_app(found: Scrape, **labels: str) -> float:
    return found.total("vestibule_requests_total", kind="host", host=HOST, **labels)


async def test_what_every_worker_does_is_counted_once_and_stays_when_it_dies(house):
    state = state_of(house)
    async with house.browser() as browser:
        await browser.sign_in()
        await answers(house, browser)
        handle = (await browser.seen_by_app()).one("proxy-session")
        async with house.call(handle) as answer:
            assert answer.status == 200
        found = await scraped_until(state, lambda one: at_app(one, decision="anyone") >= EACH + 1)
        assert at_app(found, decision="anyone", status="2xx", method="GET") >= EACH + 1
        assert found.total("vestibule_requests_total", kind="call", host="api", status="2xx") == 1
        assert found.total("vestibule_backend_duration_seconds_count", host=HOST) >= EACH + 1
        assert found.total("vestibule_sign_ins_total", provider="op", outcome="ok") == 1
        assert found.total("vestibule_provider_requests_total", provider="op", outcome="ok") >= 1
        assert found.total("vestibule_audit_events_total", action="session.created") == 1
        assert found.total("vestibule_store_duration_seconds_count", operation="sessions.create") == 1
        assert found.total("vestibule_workers") == found.total("vestibule_workers_wanted") == 2
        assert found.total("vestibule_store_up", store="records") == 1
        assert found.total("vestibule_sessions") == house.sessions() == 1
        for name in ("control", "worker 1", "worker 2"):
            assert found.total("vestibule_process_resident_memory_bytes", process=name) > 0
            assert found.total("vestibule_process_starts_total", process=name) == 1

        for _ in range(2):
            before = await scrape(state)
            victim = processes(house)["worker 1"]
            os.kill(victim, signal.SIGKILL)
            await until_another(house, "worker 1", victim)
            await answers(house, browser)
            starts = before.total("vestibule_process_starts_total", process="worker 1") + 1

            def is_seen(one: Scrape, starts: float = starts) -> bool:
                return one.total("vestibule_process_starts_total", process="worker 1") == starts

            after = await scraped_until(state, is_seen)
            assert not {
                key: (value, after.get(key))
                for key, value in before.items()
                if key[0].startswith("vestibule_")
                and key[0].endswith(("_total", "_count", "_bucket", "_sum"))
                and after.get(key, 0.0) < value
            }


async def test_what_a_running_gateway_tells_is_what_the_dashboard_and_the_alerts_are_checked_against(house):
    async with house.browser() as browser:
        await browser.sign_in()
    state = state_of(house)
    families = {family.name: family for family in (*COUNTED, *SEEN)}
    text = await text_of(state)
    typed = dict(re.findall(r"^# TYPE (vestibule_\w+) (\w+)$", text, re.MULTILINE))
    assert typed == {name: family.kind for name, family in families.items()}
    found = await scraped_until(state, lambda one: at_app(one) > 0)
    for name, labels in found.labels().items():
        if name.startswith("vestibule_"):
            plain = name if name in families else re.sub("_(bucket|count|sum)$", "", name)
            assert labels - {"le"} == set(families[plain].labels), name


async def test_refusals_are_denials_and_name_nobody(house):
    state = state_of(house)
    async with house.browser() as browser:
        await browser.sign_in()
        page = await browser.get("/", Accept="application/json")
        assert page.status == 200
    async with house.browser() as nobody:
        assert await answers(house, nobody, 4, "/secret-path-of-ann") == {401}
    found = await scraped_until(state, lambda one: one.total("vestibule_denials_total", host=HOST) == 4)
    assert found.total("vestibule_denials_total", host=HOST, reason="sign_in") == 4
    told = await text_of(state)
    for hidden in ("secret-path-of-ann", "alice", "/@op/callback"):
        assert hidden not in told


async def test_they_are_told_to_the_socket_and_to_a_token_that_may_see_traffic(house, admin_port):
    url = f"http://127.0.0.1:{admin_port}/metrics"

    def token(*scopes: str) -> str:
        command = [sys.executable, "-m", "vestibule", "tokens", "create", f"t{len(scopes)}", "--json"]
        command += [part for scope in scopes for part in ("--scope", scope)]
        command += ["--state", str(state_of(house))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return str(json.loads(done.stdout)["token"])

    may, may_not = token("traffic:read"), token("users:read", "audit:read")
    for given, status in ((None, 401), ("vst_admin_nonsense", 401), (may_not, 403), (may, 200)):
        headers = {} if given is None else {"Authorization": f"Bearer {given}"}
        async with house.client.get(url, headers=headers) as answer:
            assert answer.status == status, await answer.text()
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    async with house.client.get(url, headers={"Authorization": f"Bearer {may}", "Accept": accept}) as answer:
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert (await answer.text()).endswith("# EOF\n")
    async with house.client.get(url, headers={"Authorization": f"Bearer {may}"}) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert parsed(await answer.text()).total("vestibule_build_info") == 1
