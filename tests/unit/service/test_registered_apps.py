"""Apps that register themselves: so many of an address and in all, however many come at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.service.conftest import Alone
from vestibule.core.route import Host, site_of
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import TooManyTries
from vestibule.service.locker import Locker
from vestibule.service.registered_apps import FROM_MAX, IN_ALL_MAX, WINDOW_S, Registered, RegisteredApps
from vestibule.service.tries import SharedTries
from vestibule.service.visit import Visit

HOST = Host(name=b"app.example.com", title="App", clients={}, registers=True)
RING = KeyRing((Key("k1", b"1" * 32),))


@pytest.fixture
def told() -> Any:
    """Events that were told."""
    return Told()


@pytest.fixture
def registered(store, told) -> RegisteredApps:
    return RegisteredApps(
        Locker(store.parking, RING),
        SharedTries(Alone()),
        hosts=lambda here: (here.name.decode(),),
        host=lambda _: HOST,
        events=told,
    )


class Told(list[Any]):
    async def tell(self, *events: Any) -> bool:
        self.extend(events)
        return True


async def tried(registered: RegisteredApps, address: str, now: float) -> bool:
    """Whether an app from there was taken."""
    visit = Visit(
        host=HOST,
        site=site_of(HOST, "https", 443),
        session=None,
        address=address,
        user_agent="",
        request_id="r",
        now=now,
        cookies={},
    )
    said = Registered(name="Agent", redirects=("http://localhost:1/cb",), registered_at=now)
    try:
        await registered.register(visit, said)
    except TooManyTries:
        return False
    return True


@pytest.mark.parametrize(
    ("tries", "networks", "most"),
    [(FROM_MAX + 30, 1, FROM_MAX), (IN_ALL_MAX + 100, IN_ALL_MAX + 100, IN_ALL_MAX)],
    ids=["of one network", "in all"],
)
async def test_who_comes_many_at_a_time_registers_no_more(registered, clock, tries, networks, most):
    addresses = [f"2001:db8:0:{number % networks:x}::{number:x}" for number in range(tries)]
    done = await asyncio.gather(*(tried(registered, one, clock.now()) for one in addresses))
    assert sum(done) == most
    assert await tried(registered, addresses[0], clock.now() + WINDOW_S)


async def test_the_trail_is_told_which_app_has_registered_itself(registered, told, clock):
    assert await tried(registered, "192.0.2.1", clock.now())
    (event,) = told
    assert (event.action, event.host) == ("registered_app.created", "app.example.com")
    assert event.target.startswith("registered-")
    assert event.detail == {"name": "Agent", "redirects": ["http://localhost:1/cb"]}
