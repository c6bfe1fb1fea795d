"""The sign-in page for who wants to stay signed in, and for who has to sign in again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.service.test_freshness import asking
from tests.unit.service.test_signin import FILE, Browser
from tests.unit.web.asgi import Inert
from tests.unit.web.lobby import Lobby
from vestibule.core.credential import Accepted
from vestibule.core.lifetimes import Lifetimes

ANN = {"user": "ann", "password": "correct horse"}
DAY = 86400


@pytest.fixture
def lobby() -> Lobby:
    """Google, GitHub and a password file; people may ask to be kept for 30 days."""
    lobby = Lobby()
    host = lobby.world.host
    lobby.world.host = replace(
        asking(host),
        accepts=Accepted(passwords=FILE),
        sign_in=(*host.sign_in, FILE.name),
        span=Lifetimes(remember_s=30.0 * DAY).span,
    )
    return lobby


def session_cookie(browser: Browser, cookies: list[str]) -> str:
    return next(line for line in cookies if line.startswith(f"{browser.site.cookie}="))


async def test_where_nobody_is_asked_there_is_no_box() -> None:
    lobby = Lobby()
    reply = await lobby.get(lobby.browser(), "/@/signin?remember=1")
    assert reply.status == 200
    assert "remember" not in reply.text


@pytest.mark.parametrize(
    ("said", "ticked"), [("", False), ("remember=1", True), ("remember=yes", True), ("remember=0", False)]
)
async def test_the_box_stands_there_ticked_for_who_said_so(lobby: Lobby, said: str, *, ticked: bool) -> None:
    reply = await lobby.get(lobby.browser(), f"/@/signin?rd=%2Fdeep&{said}")
    tick = " checked" if ticked else ""
    assert f'type="checkbox" name="remember" value="1" form="by-password"{tick}>' in reply.text
    links = Inert(reply.text).links
    for client in ("google", "github"):
        assert f"/@{client}/signin?rd=%2Fdeep" in links
        assert f"/@{client}/signin?rd=%2Fdeep&remember=1" in links


@pytest.mark.parametrize(("sent", "kept"), [({"remember": "1"}, True), ({}, False)], ids=["ticked", "not"])
async def test_who_comes_by_password_is_kept_where_they_ask(
    lobby: Lobby, sent: dict[str, str], *, kept: bool
) -> None:
    browser = lobby.browser()
    reply = await lobby.post(browser, "/@/signin", {**ANN, **sent})
    assert reply.status == 303
    cookie = session_cookie(browser, reply.cookies)
    assert (f"Max-Age={30 * DAY}" in cookie) is kept
    assert ("Max-Age" in cookie) is kept


async def test_after_a_wrong_password_the_box_is_as_it_was(lobby: Lobby) -> None:
    for sent, ticked in (({"remember": "1"}, True), ({}, False)):
        reply = await lobby.post(lobby.browser(), "/@/signin", {**ANN, "password": "wrong", **sent})
        assert reply.status == 403
        assert ('form="by-password" checked>' in reply.text) is ticked


async def test_who_is_led_straight_on_says_so_in_the_address(lobby: Lobby) -> None:
    lobby.world.host = replace(
        lobby.world.host, clients={"google": "google"}, sign_in=("google",), accepts=Accepted()
    )
    browser = lobby.browser()
    reply = await lobby.get(browser, "/@/signin?remember=1")
    assert reply.status == 303
    await browser.finish(lobby.world.ops["google"].started[-1].state)
    assert (await browser.session()).is_remembered


# -- signing in again -------------------------------------------------------------------------


async def test_who_signed_in_too_long_ago_is_led_to_whom_they_came_by(lobby: Lobby) -> None:
    lobby.world.host = replace(lobby.world.host, accepts=Accepted())
    browser = lobby.browser()
    await browser.sign_in(client="github")
    reply = await lobby.get(browser, "/@/signin?rd=%2Fpay")
    assert reply.headers["location"] == "/pay"
    lobby.world.clock.move(3600.0)
    assert (await lobby.get(browser, "/@/signin?rd=%2F")).headers["location"] == "/"
    reply = await lobby.get(browser, "/@/signin?rd=%2Fpay")
    assert reply.headers["location"].startswith("https://github.com/auth")
    start = lobby.world.ops["github"].started[-1]
    assert (start.max_age_s, start.hints) == (3600, {"prompt": "login", "max_age": "3600"})


async def test_who_wants_another_account_may_choose(lobby: Lobby) -> None:
    browser = lobby.browser()
    await browser.sign_in(client="github")
    lobby.world.clock.move(3600.0)
    reply = await lobby.get(browser, "/@/signin?rd=%2Fpay&switch=1")
    assert reply.status == 200
    assert any(link.startswith("/@google/signin?") for link in Inert(reply.text).links)


async def test_who_came_by_password_gets_the_form_again(lobby: Lobby) -> None:
    browser = lobby.browser()
    await lobby.post(browser, "/@/signin", ANN)
    lobby.world.clock.move(3600.0)
    reply = await lobby.get(browser, "/@/signin?rd=%2Fpay")
    assert (reply.status, 'name="password"' in reply.text) == (200, True)
    session = await browser.session()
    reply = await lobby.post(browser, "/@/signin", {**ANN, "rd": "/pay"})
    assert reply.headers["location"] == "/pay"
    again = await browser.session()
    assert (again.id, again.identities[0].signed_in_at) == (session.id, lobby.world.clock.now())
