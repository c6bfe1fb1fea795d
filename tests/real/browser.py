"""Chromium of the machine, driven by playwright; every host name is this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

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


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser with no profile and no network but loopback."""
    # Its driver runs on the Node of the lock: the one playwright brings wants libraries a small machine lacks.
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = str(node_binary())
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_binary(), args=list(FLAGS))
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
