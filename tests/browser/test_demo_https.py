"""`vestibule demo --https` in Chromium, before and after `vestibule trust`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Error, expect

from tests.browser.demo import Demo, visit

pytestmark = [pytest.mark.browser, pytest.mark.real]


class Person:
    """A home of its own, and no store of the machine's within reach."""

    def __init__(self, folder: Path) -> None:
        self.home, programs = folder / "home", folder / "programs"
        self.home.mkdir()
        programs.mkdir()
        certutil = shutil.which("certutil")
        assert certutil, "certutil is missing: apt-get install libnss3-tools"
        (programs / "certutil").symlink_to(certutil)
        self.env = {"HOME": str(self.home), "XDG_DATA_HOME": str(folder / "data"), "PATH": str(programs)}

    def trust(self, *further: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "vestibule", "trust", *further]
        env = {**os.environ, **self.env}
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return Person(tmp_path_factory.mktemp("person"))


@pytest.fixture(scope="module")
def demo(ports, person: Person) -> Iterator[Demo]:
    running = Demo(ports.take(), "--https", env={"XDG_DATA_HOME": person.env["XDG_DATA_HOME"]})
    try:
        running.wait()
        yield running
    finally:
        running.stop()


async def test_a_browser_believes_it_once_the_authority_is_trusted(demo: Demo, person: Person):
    async with visit(home=person.home) as (_, page, _):
        with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            await page.goto(demo.url)

    said = person.trust()
    assert "ok Chromium" in said.stdout.replace("    ", " ").replace("   ", " ")
    async with visit(home=person.home) as (context, page, complaints):
        await page.goto(f"{demo.url}/@/signin?login_hint=alice&rd=/")
        await expect(page.locator("#profile-name")).to_have_text("Alice Adeyemi")
        assert await page.evaluate("window.isSecureContext")
        protocol = await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        assert protocol == "h2"
        (cookie,) = [one for one in await context.cookies() if one["name"] == "__Host-vestibule"]
        assert cookie["secure"]
        assert complaints.heard == []

    person.trust("--remove")
    async with visit(home=person.home) as (_, page, _):
        with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            await page.goto(demo.url)
