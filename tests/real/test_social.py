"""The other kinds through the whole gateway, each before its stand-in: who comes, who doesn't, what breaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.real.forge import Forge, opened
from tests.real.standin import PAGE_2_FAULTS, as_page, failing
from tests.real.standin_table import KINDS, Row, Table

pytestmark = pytest.mark.real
Open = Callable[[str], Awaitable[Forge]]
#: what an answer can be instead of itself, and how the person's way ends then
FAULTS = ((failing(500), 503), (failing(429), 503), (failing(403), 502), (as_page, 502))


@pytest.fixture
async def opens(api, gateway) -> Open:
    async def start(kind: str) -> Forge:
        row = KINDS[kind]
        settings = {name: f"{row.always}\n  {text}" for name, text in row.settings.items()}
        return await opened(Table(row), api, gateway, kind, settings, client=row.client, secret=row.secret)

    return start


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_lets_in_whom_it_should_and_nobody_by_what_it_fails_to_say(opens: Open, kind: str):
    forge, row = await opens(kind), KINDS[kind]
    standin = forge.standin
    assert isinstance(standin, Table)
    asked = {}
    for name in row.settings:
        standin.counts.clear()
        await comes_in(forge, name, row)
        asked |= {path: name for path in row.api if standin.counts[path]}
    assert asked or row.issuer
    for path, name in asked.items():
        for fault, status in FAULTS:
            standin.faults = {path: fault}
            came = await forge.come(name)
            assert (came.status, came.who) == (status, None), f"{path}: {came.words}"
    standin.faults = {}
    standin.answers |= {path: answer for path, answer in row.denied.items() if path != "claims"}
    standin.claims |= row.denied.get("claims", {})
    if row.denied:
        assert {name for name in row.settings if await forge.is_let_in(name)} == {"any"}
    assert standin.wrong == []
    assert "canary" not in forge.gateway.log


async def comes_in(forge: Forge, name: str, row: Row) -> None:
    """A person comes in by this client, and the app is told who that is."""
    came = await forge.come(name)
    assert came.status == 200, f"{name}: {came.words}"
    assert came.headers.get("user-email", "") == row.email
    assert came.who["user"]["name"] == row.name


@pytest.mark.parametrize("kind", ["gitea"])
async def test_organisations_that_break_on_page_two_let_nobody_in(opens: Open, kind: str):
    forge = await opens(kind)
    assert isinstance(forge.standin, Table)
    forge.standin.answers["/api/v1/user/orgs"] = [{"name": "acme"}, {"name": "two"}, {"name": "three"}]
    for what, (fault, status) in PAGE_2_FAULTS.items():
        if what == "is too slow":
            continue  # it costs the gateway's whole patience, and is tested with GitHub
        forge.standin.faults = {"/api/v1/user/orgs#2": fault}
        came = await forge.come("org")
        assert (came.status, came.who) == (status, None), f"{what}: {came.words}"
