"""The application over real services on the store in memory, with browsers that keep cookies."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from tests.unit.service.conftest import Clock, Heartbeats
from tests.unit.service.test_signin import BASE, Browser, Driver, World
from tests.unit.web.asgi import Desk, Programs, Reply, minting, remembered
from vestibule.core.app import App
from vestibule.core.registration import Rules
from vestibule.observe.log import Log
from vestibule.store.memory import Store

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OWN = {"Origin": BASE, "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
JSON = {"Accept": "application/json"}


class Lobby(Desk):
    """One gateway's control plane; `app.example` signs people in by Google and GitHub."""

    def __init__(self, rules: Rules | None = None, apps: Iterable[App] = ()) -> None:
        self.world = World(Clock(), Store(), Heartbeats())
        self.people = self.world.people
        self.people.use(rules or Rules())
        self._log = io.StringIO()
        self.minting = minting(self.world.store, self.people, self.world.changes)
        log = Log(self._log)
        self.devices = remembered(self.world.store)
        self.world.sessions.watched_by(self.devices.events)
        self.programs = Programs(
            self.world.store,
            self.people,
            self.world.sessions,
            self.world.changes,
            self.devices.events,
            Driver(),
            self.world.ops,
            (self.world.host,),
            apps,
        )
        self.app = self.programs.built(self.world.signin, self.people, self.minting, self.devices, log=log)

    def browser(self) -> Browser:
        """A new one."""
        return Browser(self.world)

    async def get(self, browser: Browser, target: str, **headers: str) -> Reply:
        """A navigation."""
        return await self._reply(browser, target, "GET", {"Accept": "text/html", **headers})

    async def post(
        self,
        browser: Browser,
        target: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """A form of the site's own page, or with other headers."""
        sent = {**FORM, **(OWN if headers is None else headers)}
        return await self._reply(browser, target, "POST", sent, urlencode(form or {}).encode())

    async def tell(self, browser: Browser, target: str, value: Any) -> Reply:
        """JSON of an app of the site."""
        headers = {**JSON, "Origin": BASE, "Content-Type": "application/json"}
        return await self._reply(browser, target, "POST", headers, msgspec.json.encode(value))

    async def _reply(
        self, browser: Browser, target: str, method: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Reply:
        reply = await self.ask(target, method, headers, await browser.visit(), body)
        browser.take(tuple(reply.cookies))
        return reply
