"""`service.devices`: a sign-in by a new device is told, by a known one it isn't; nobody is kept out for it."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace

from tests.unit.service.conftest import Away, Clock
from vestibule.core.event import SESSION_NEW_DEVICE, SESSION_NEW_PLACE
from vestibule.core.route import Host, Site
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Account, Session, User
from vestibule.observe.log import Log
from vestibule.service.devices import FORGET_S, Devices
from vestibule.service.events import Events
from vestibule.service.visit import Visit
from vestibule.store import memory_events
from vestibule.store.base_events import AuditFilter
from vestibule.store.memory import Store

NOW = 1_800_000_000.0
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
SITE = Site(base_url="https://app.example", cookie="__Host-vestibule", secure=True)
PLAIN = Site(base_url="http://localhost:8000", cookie="vestibule-8000", secure=False)
VISIT = Visit(
    host=Host(name=b"app.example", title="App", clients={}),
    site=SITE,
    session=None,
    address="192.0.2.7",
    user_agent=FIREFOX,
    request_id="r1",
    now=NOW,
    cookies={},
)
SESSION = Session(
    id="s1",
    host="app.example",
    created_at=NOW,
    seen_at=NOW,
    expires_at=NOW + 60,
    idle_s=60.0,
    user_id="u1",
)
RING = KeyRing((Key("one", b"1" * 32),))


class Porch:
    """Devices over a store in memory, with two users."""

    def __init__(self) -> None:
        self.store = Store()
        self.audit = memory_events.Audit(memory_events.Outbox())
        self.rows = Away(memory_events.Devices(self.store.people))
        self.out = io.StringIO()
        self.events = Events(Log(self.out), now=Clock().now)
        self.events.keep_in(self.audit)
        self.devices = Devices(self.rows, self.events, RING, Log(self.out))

    async def open(self) -> Porch:
        for user_id in ("u1", "u2"):
            account = Account(issuer="i", subject=user_id, user_id=user_id, client="google", created_at=NOW)
            await self.store.people.register(User(id=user_id, created_at=NOW), account)
        return self

    async def arrive(self, visit: Visit = VISIT, user_id: str = "u1") -> dict[str, str]:
        """The cookies that the browser has afterwards."""
        lines = await self.devices.arrived(visit, replace(SESSION, user_id=user_id))
        pairs = (line.partition(";")[0].partition("=") for line in lines)
        return {name: value for name, _, value in pairs}

    async def told(self) -> list[str]:
        return [event.action for event in reversed(await self.audit.list(AuditFilter()))]


@pytest.fixture
async def porch() -> Porch:
    return await Porch().open()


async def test_the_first_sign_in_ever_is_no_alarm_and_brings_the_cookie(porch):
    (line,) = await porch.devices.arrived(VISIT, SESSION)
    name, _, rest = line.partition("=")
    assert name == "__Host-vestibule-device"
    parts = rest.split("; ")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=34560000"} <= set(parts)
    assert not any(part.startswith("Domain") for part in parts)
    assert await porch.told() == []


async def test_the_same_browser_keeps_its_id_and_is_known(porch):
    cookies = await porch.arrive()
    again = await porch.arrive(replace(VISIT, cookies=cookies, user_agent=CHROME))
    assert again == cookies
    assert await porch.told() == []
    assert len(await porch.rows.of_user("u1")) == 1


async def test_another_browser_is_told_with_what_is_known_of_it(porch):
    await porch.arrive()
    await porch.arrive(replace(VISIT, user_agent=CHROME, address="198.51.100.9"))
    (event,) = await porch.audit.list(AuditFilter())
    assert event.action == SESSION_NEW_DEVICE
    assert (event.user_id, event.session_id, event.host) == ("u1", "s1", "app.example")
    assert (event.address, event.device) == ("198.51.100.9", "Chrome on Linux")
    assert event.detail == {"network": "198.51.100.0/24"}


async def test_it_is_told_once(porch):
    await porch.arrive()
    cookies = await porch.arrive(replace(VISIT, user_agent=CHROME))
    await porch.arrive(replace(VISIT, user_agent=CHROME, cookies=cookies))
    await porch.arrive(replace(VISIT, user_agent=CHROME))
    assert await porch.told() == [SESSION_NEW_DEVICE]


async def test_a_known_device_at_a_new_place_is_told_as_that(porch):
    cookies = await porch.arrive()
    away = replace(VISIT, cookies=cookies, address="198.51.100.9")
    await porch.arrive(away)
    await porch.arrive(away)
    assert await porch.told() == [SESSION_NEW_PLACE]


async def test_of_two_people_at_one_browser_each_has_their_own_first_time(porch):
    cookies = await porch.arrive()
    await porch.arrive(replace(VISIT, cookies=cookies), "u2")
    assert await porch.told() == []
    digests = {one.digest for user in ("u1", "u2") for one in await porch.rows.of_user(user)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda value: "mine." + "A" * 43,
        lambda value: "x" + value,
        lambda value: value[:-1],
        lambda value: value.partition(".")[0],
        lambda value: "",
    ],
    ids=["made up", "another id", "cut", "without its mark", "empty"],
)
async def test_a_cookie_that_is_none_of_ours_is_replaced(porch, spoilt):
    cookies = await porch.arrive()
    ((name, value),) = cookies.items()
    again = await porch.arrive(replace(VISIT, cookies={name: spoilt(value)}, user_agent=CHROME))
    assert again != cookies
    assert await porch.told() == [SESSION_NEW_DEVICE]


async def test_a_cookie_of_one_site_is_none_of_anothers(porch):
    ((_, value),) = (await porch.arrive()).items()
    visit = replace(VISIT, site=PLAIN, cookies={"vestibule-8000-device": value})
    ((name, other),) = (await porch.arrive(visit)).items()
    assert name == "vestibule-8000-device"
    assert other != value


async def test_a_cookie_of_one_host_is_none_of_anothers_of_the_same_name(porch):
    cookies = await porch.arrive()
    other = replace(VISIT.site, base_url="https://other.example")
    assert await porch.arrive(replace(VISIT, site=other, cookies=cookies)) != cookies


async def test_who_has_no_person_has_no_device(porch):
    assert await porch.devices.arrived(VISIT, replace(SESSION, user_id="")) == ()


async def test_a_store_that_is_away_keeps_nobody_out(porch):
    porch.rows.is_away = True
    assert await porch.arrive()
    assert "device_not_noted" in porch.out.getvalue()
    assert await porch.told() == []


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept after all", "not kept"])
async def test_a_store_that_is_slow_in_keeping_it_hides_nothing(porch, monkeypatch, is_kept):
    await porch.arrive()
    keep = porch.rows.keep

    async def keep_slowly(*given, **more):
        if is_kept:
            await keep(*given, **more)
        raise TimeoutError

    monkeypatch.setattr(porch.rows, "keep", keep_slowly)
    await porch.arrive(replace(VISIT, user_agent=CHROME, address="198.51.100.9"))
    assert await porch.told() == [SESSION_NEW_DEVICE]
    assert "device_not_noted" in porch.out.getvalue()


async def test_a_device_is_forgotten_after_a_year(porch):
    await porch.arrive()
    assert await porch.devices.sweep(NOW + FORGET_S, 9) == 0
    assert await porch.devices.sweep(NOW + FORGET_S + 1, 9) == 1
