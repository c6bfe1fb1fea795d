"""`python -m tests.browser.pictures`: the pictures of the admin pages for README and docs, of a running gateway.

Those of the console are made by `python -m tests.tui.pictures`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.browser.office import Office, open_office
from tests.house.source import ROOT
from tests.ports import Ports
from tests.real.browser import chromium

PICTURES = {"admin-overview": "/", "admin-traffic": "/traffic"}
SIZE = {"width": 1200, "height": 760}


async def taken(office: Office, folder: Path) -> None:
    """Each picture, light and dark, into this folder."""
    async with chromium() as browser:
        for scheme in ("light", "dark"):
            context = await browser.new_context(viewport=SIZE, color_scheme=scheme)
            page = await context.new_page()
            await page.goto(f"{office.url}/")
            await page.get_by_role("link", name="Sign in with your account").click()
            await page.get_by_role("link", name="ops", exact=True).click()
            for name, path in PICTURES.items():
                await page.goto(f"{office.url}{path}")
                await page.get_by_text("live", exact=True).wait_for()
                await page.screenshot(path=folder / f"{name}-{scheme}.png")
            await context.close()


async def main(folder: Path) -> None:
    """A gateway on which some days happen, and its pictures."""
    with Ports() as ports, tempfile.TemporaryDirectory() as directory:
        async with open_office(ports, Path(directory)) as office:
            for pause_s in (7, 6, 5, 0):
                await office.day()
                await asyncio.sleep(pause_s)
            await taken(office, folder)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"))
