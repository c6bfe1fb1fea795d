"""`python -m tests.tui.pictures`: the pictures of the console for README and docs, by Textual and Chromium."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace
from playwright.async_api import async_playwright

from tests.house.source import ROOT
from tests.tui.fake import NOW, ROWS, FakeAdmin
from tests.tui.stage import staged
from vestibule.tui.theme import DARK, LIGHT

SIZE = (116, 28)
CHROMIUM = "/usr/bin/chromium"


def busy() -> FakeAdmin:
    """A gateway with a screen full of requests."""
    rows = [
        replace(one, seq=turn * len(ROWS) + one.seq, at=NOW - timedelta(seconds=30 - turn * 10 - one.seq / 2))
        for turn in range(3)
        for one in ROWS
    ]
    return FakeAdmin(rows)


async def drawn(theme: str) -> str:
    """The first screen as SVG."""
    async with staged(size=SIZE, admin=busy()) as stage:
        stage.console.theme = theme
        await stage.pilot.pause(0.3)
        return stage.console.export_screenshot(title="vestibule top")


async def paint(svg: str, file: Path) -> None:
    """The SVG as PNG."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        page = await browser.new_page(viewport={"width": 960, "height": 640}, device_scale_factor=1)
        # Its font is fetched from elsewhere otherwise: none is fetched here.
        await page.set_content(
            f"<body style='margin:0'>{svg}<style>svg{{width:960px}} *{{font-family:'DejaVu Sans Mono',monospace!important}}</style>"
        )
        await page.locator("svg").screenshot(path=file, omit_background=True)
        await browser.close()


async def main(folder: Path) -> None:
    for name, theme in (("dark", DARK), ("light", LIGHT)):
        await paint(await drawn(theme), folder / f"console-{name}.png")


if __name__ == "__main__":
    time.tzset()
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"))
