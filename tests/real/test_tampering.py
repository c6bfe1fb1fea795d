"""Somebody stands between the browser and the real provider, and changes what passes: nobody is signed in by it."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.real


def is_a_clear_no(page):
    """An error page that leads on, with an id the log has; never a fault of the gateway's own."""
    return 400 <= page.status <= 503 and page.status != 500 and "/@op/signin" in page.text


@pytest.mark.parametrize(
    ("changed", "value"),
    [("nonce", "another"), ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")],
)
async def test_another_nonce_or_challenge(house, visitor, changed, value):
    url = await visitor.begin()
    assert changed in url.query
    callback = await visitor.authorize(url.update_query({changed: value}))
    page = await visitor.get(callback)
    assert is_a_clear_no(page)
    assert page.id in house.gateway.log
    assert await visitor.who() is None


@pytest.mark.parametrize("parameter", ["state", "iss", "code"])
@pytest.mark.parametrize("how", ["another", "none", "twice"])
async def test_another_parameter_none_or_two_of_them(visitor, parameter, how):
    callback = await visitor.authorize(await visitor.begin())
    kept = [(name, value) for name, value in callback.query.items() if name != parameter]
    value = callback.query[parameter]
    query = {
        "another": [*kept, (parameter, f"x{value}")],
        "none": kept,
        "twice": [*kept, (parameter, value), (parameter, f"x{value}")],
    }[how]
    page = await visitor.get(callback.with_query(query))
    assert 400 <= page.status <= 503
    assert page.status != 500
    assert await visitor.who() is None


@pytest.mark.parametrize(
    "rd",
    [
        "https://evil.example/",
        "//evil.example/",
        "/%5Cevil.example/",
        "javascript:alert(1)",
    ],
)
async def test_another_destination(visitor, house, rd):
    page = await visitor.get(await visitor.authorize(await visitor.begin(rd=rd)))
    assert page.status in (302, 303)
    assert str(page.location).startswith(f"{house.origin}/")
    assert "evil" not in page.location.path


async def test_a_provider_that_is_down_when_the_gateway_starts_is_asked_again_later(house, visitor):
    house.provider.go_down()
    house.gateway.stop()
    house.gateway.start_again()
    page = await visitor.get("/@op/signin")
    assert page.status in (502, 503)
    assert is_a_clear_no(page)
    assert (await visitor.get("/open/")).status == 200
    house.provider.come_back()
    async with asyncio.timeout(60):
        while (await visitor.sign_in("alice")).status != 200:
            await asyncio.sleep(0.2)
    assert await visitor.email() == "alice@example.com"
