"""Providers that come, change and go while the gateway runs: the next sign-in is by what is in force."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.openid import OpenId, client
from tests.real.test_reload import Reloaded
from tests.real.test_signin import HCL, Person, Stage

pytestmark = pytest.mark.real

SECOND = """
provider "second" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "second"
  client_secret = "second-secret"
}
"""
ONE, TWO = 'sign_in = ["op"]', 'sign_in = ["op", "second"]'


class Desk(Stage, Reloaded):
    """People who sign in, and an operator who changes files."""

    def __init__(self, gateway: Gateway, provider: OpenId) -> None:
        Stage.__init__(self, gateway, provider)
        Reloaded.__init__(self, gateway)

    @property
    def second(self) -> str:
        return SECOND.replace("ISSUER", self.provider.issuer)

    async def add_second(self) -> None:
        self.write((ONE, TWO))
        self.gateway.file.write_text(self.gateway.file.read_text() + self.second)
        await self.reload()

    async def remove_second(self) -> None:
        self.write((TWO, ONE), (self.second, ""))
        await self.reload()


@pytest.fixture
async def desk(
    openid: Callable[..., OpenId],
    gateway: Callable[..., Gateway],
    ports: Ports,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Desk]:
    port = ports.take()
    base = f"http://app.localhost:{port}"
    provider = openid(
        *(client(id_, f"{base}/@{at}/callback") for id_, at in (("app", "op"), ("second", "second")))
    )
    text = HCL.replace("  http = ", f"  workers = {request.param}\n  http = ")
    running = await asyncio.to_thread(gateway, text.format(port=port, issuer=provider.issuer), port=port)
    found = Desk(running, provider)
    await asyncio.to_thread(found.client.configuration)  # the control plane is there
    yield found
    for visitor in found.visitors:
        await visitor.close()


both = pytest.mark.parametrize("desk", [1, 2], indirect=True, ids=["one process", "two workers"])


async def come_by_second(person: Person) -> int:
    """The status at the end of a sign-in."""
    _, to, _ = await person.get("/@second/signin?rd=/&login_hint=bob")
    assert to is not None
    status, _, _ = await person.get(await person.authorize(to, "bob"))
    return status


@both
async def test_a_provider_that_is_added_signs_people_in_at_once(desk: Desk):
    person = desk.person()
    assert (await person.get("/@second/signin?rd=/"))[0] == 401
    await desk.add_second()
    assert await come_by_second(person) == 303
    assert "bob@example.com" in str(await person.who())


@both
async def test_sessions_of_a_provider_that_is_gone_end_and_no_others(desk: Desk):
    await desk.add_second()
    gone, stays = desk.person(), desk.person()
    assert await come_by_second(gone) == 303
    await stays.sign_in()
    await desk.remove_second()
    for _ in range(6):  # whichever worker is asked
        assert await gone.who() is None
        assert "alice@example.com" in str(await stays.who())
    assert (await gone.get("/@second/signin?rd=/"))[0] == 401


@both
async def test_another_client_secret_is_used_from_the_next_question_on(desk: Desk):
    right, wrong = 'client_secret = "app-secret"', 'client_secret = "app-other"'
    begun = desk.person()
    to = await begun.begin(login_hint="alice")
    desk.write((right, wrong))
    await desk.reload()
    back = await begun.authorize(to)
    assert (await begun.get(back))[0] >= 400
    desk.write((wrong, right))
    await desk.reload()
    await desk.person().sign_in()


@both
async def test_a_sign_in_that_was_begun_before_a_reload_ends_after_it(desk: Desk):
    person = desk.person()
    to = await person.begin(login_hint="alice")
    desk.write(('allow = ["anyone"]', 'allow = ["domain:example.com"]'))
    await desk.reload()
    status, _, text = await person.get(await person.authorize(to))
    assert status == 303, text
    assert "alice@example.com" in str(await person.who())
