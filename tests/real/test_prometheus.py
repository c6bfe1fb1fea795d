"""Prometheus itself scrapes a running gateway, as monitoring/ has it, and evaluates each alert without a fault."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.house.source import ROOT
from tests.house.test_monitoring import of_dashboard
from tests.process import Process
from tests.real.house import House, build
from tests.real.test_metrics import configured
from tests.real.test_workers import answers

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

MONITORING = ROOT / "monitoring"
UNPACKED = ROOT / "build" / "debian" / "usr" / "bin" / "prometheus"


def prometheus_binary() -> str:
    found = shutil.which("prometheus") or (str(UNPACKED) if UNPACKED.exists() else "")
    assert found, "prometheus is missing: tools/servers.sh prometheus"
    return found


def token(state: Path) -> str:
    command = [sys.executable, "-m", "vestibule", "tokens", "create", "prometheus"]
    command += ["--scope", "traffic:read", "--state", str(state), "--json"]
    return str(
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["token"]
    )


class Prometheus:
    """One that runs on the files of monitoring/, but for where the gateway and the token are."""

    def __init__(self, directory: Path, port: int, *, gateway: str, bearer: str) -> None:
        secret = directory / "token"
        secret.write_text(bearer)
        text = (MONITORING / "prometheus.yml").read_text("utf-8")
        for written, here in (
            ("/etc/prometheus/vestibule.token", str(secret)),
            ("127.0.0.1:9000", gateway),
            ("scrape_interval: 15s", "scrape_interval: 1s"),
        ):
            assert written in text
            text = text.replace(written, here)
        text = "global:\n  evaluation_interval: 1s\n" + text
        (directory / "prometheus.yml").write_text(text, "utf-8")
        shutil.copy(MONITORING / "vestibule.rules.yml", directory)
        self.url = f"http://127.0.0.1:{port}/api/v1"
        argv = [prometheus_binary(), f"--config.file={directory}/prometheus.yml"]
        argv += [f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"]
        self.process = Process("prometheus", argv, log=directory / "log")
        self.process.wait_log("Server is ready to receive web requests")

    async def ask(self, path: str, **query: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(self.url + path, params=query) as answer:
            told = await answer.json()
            assert told["status"] == "success", told
            return told["data"]

    async def until(self, expression: str) -> list[Any]:
        """What it comes to, once it comes to something."""
        async with asyncio.timeout(100):
            while not (found := (await self.ask("/query", query=expression))["result"]):
                await asyncio.sleep(0.2)
        return list(found)


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


async def test_prometheus_scrapes_it_and_takes_every_alert_and_panel(house, admin_port, ports, tmp_path):
    directory = tmp_path / "prometheus"
    directory.mkdir()
    bearer = token(house.gateway.directory / "state")
    server = Prometheus(directory, ports.take(), gateway=f"127.0.0.1:{admin_port}", bearer=bearer)
    try:
        assert [one["value"][1] for one in await server.until('up{job="vestibule"} == 1')] == ["1"]
        async with house.browser() as browser:
            await browser.sign_in()
            await answers(house, browser, 4)
        (found,) = await server.until(
            'sum(vestibule_requests_total{host="app.example.com",decision="anyone"}) >= 5'
        )
        assert float(found["value"][1]) >= 5
        await server.until('vestibule_sign_ins_total{provider="op",outcome="ok"} == 1')

        async with asyncio.timeout(100):
            while True:
                groups = (await server.ask("/rules"))["groups"]
                rules = [rule for group in groups for rule in group["rules"]]
                if rules and all(rule["health"] != "unknown" for rule in rules):
                    break
                await asyncio.sleep(0.2)
        assert {rule["health"] for rule in rules} == {"ok"}, rules
        assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []

        for used in of_dashboard():
            expression = used.expression.replace("$__rate_interval", "1m")
            expression = expression.replace("$instance", ".*").replace("$host", ".*")
            await server.ask("/query", query=expression)
    finally:
        server.process.stop()
