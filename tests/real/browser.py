"""Chromium of the machine, driven by playwright; every host name is this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.real.node_home import node_binary

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * 127.0.0.1",
)

PATIENCE_MS = 60_000
"""How long a page may take on a busy machine, to come and to become what is expected of it."""
expect.set_options(timeout=PATIENCE_MS)


@contextlib.asynccontextmanager
async def chromium(home: Path | None = None) -> AsyncIterator[Browser]:
    """A browser with no profile and no network but loopback; it trusts whom a person with this home trusts."""
    # Its driver runs on the Node of the lock: the one playwright brings wants libraries a small machine lacks.
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = str(node_binary())
    async with async_playwright() as playwright:
        env = {**os.environ, "HOME": str(home)} if home is not None else None
        browser = await playwright.chromium.launch(
            executable_path=chromium_binary(), args=list(FLAGS), env=env
        )
        try:
            yield browser
        finally:
            await browser.close()


def chromium_binary() -> str:
    """Where Chromium is, or a failed test that says how to get it."""
    named = os.environ.get("VESTIBULE_TEST_CHROMIUM")
    found = named or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    return found or pytest.fail(
        "chromium is missing: apt-get install chromium (make test does it when it may)"
    )
