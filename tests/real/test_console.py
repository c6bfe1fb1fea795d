"""The console on a running gateway, with a real provider: what somebody does in a browser is seen in the terminal."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import aiohttp
import pytest

from tests.real.house import CONFIGURATION, House, build
from tests.tui.fake import FIREFOX
from tests.tui.stage import Stage
from vestibule.admin_client import AdminClient
from vestibule.client import SessionClient
from vestibule.model import Secret
from vestibule.tui.app import Console
from vestibule.tui.gateway import Gateway


def socket_of(house: House) -> str:
    return f"unix:{house.gateway.directory / 'state' / 'admin.sock'}"


@contextlib.asynccontextmanager
async def watching(house, *, size=(150, 44), where: str = "", token: Secret | None = None):
    """A console on the house's socket, once it listens; or at this address with a token."""
    where = where or socket_of(house)
    admin, sessions = AdminClient(where, token), SessionClient(where, token or "")
    console = Console(Gateway(admin, sessions, where), lambda: datetime.now(UTC), {})
    with contextlib.closing(sessions):
        async with console.run_test(size=size) as pilot:
            stage = Stage(pilot, console, admin, sessions)
            try:
                await stage.until(lambda: console.desk.feed.state.how == "live", "live")
                yield stage
            finally:
                console.desk.feed.stop()


def to(stage: Stage, path: str) -> None:
    stage.console.screen.traffic.rows.go(stage.rows.index(path))


async def test_a_sign_in_is_seen_as_it_happens_with_its_redirects(house):
    async with watching(house) as stage, house.browser() as alice:
        await alice.sign_in("alice")
        await alice.get("/private")
        await stage.until(lambda: "/private" in stage.rows, "the request")
        assert "/@op/callback" in stage.rows
        await stage.sees("alice@example.com")
        await stage.sees("app.example.com")


async def test_a_request_and_the_calls_it_caused_are_one_tree_on_the_screen(house, browser_of_alice):
    async with watching(house) as stage:
        seen = await browser_of_alice.seen_by_app("/report")
        handle, trace = seen.one("proxy-session"), seen.one("traceparent")
        async with house.call(handle, "/v1/me", headers={"traceparent": trace}) as answer:
            assert answer.status == 200
        await stage.until(lambda: "/v1/me" in stage.rows, "the call")
        to(stage, "/report")
        await stage.press("enter")
        await stage.sees("└─ GET call api/v1/me")
        await stage.sees("1 API call ")


async def test_credentials_are_masked_revealed_for_a_reason_and_the_trail_has_it(house, browser_of_alice):
    async with watching(house) as stage:
        await browser_of_alice.get("/mine")
        await stage.until(lambda: "/mine" in stage.rows, "the request")
        to(stage, "/mine")
        await stage.press("enter", "o")
        await stage.sees("session of alice@example.com")
        await stage.until(lambda: stage.console.screen.credentials.item is not None, "credentials")
        session_id = stage.console.screen.held.session.id
        token = stage.admin.reveal(session_id, "op", "the test's own look").access_token.reveal()
        assert token not in stage.text
        await stage.press("r")
        await stage.type("ticket 4711")
        await stage.press("enter")
        await stage.sees(token[:40])
        await stage.press("escape")
        await stage.sees_not(token[:40])
        told = [one for one in stage.admin.audit(session_id=session_id) if "reveal" in one.action]
        assert any("ticket 4711" in str(one.detail) for one in told)
        assert all(token not in str(one) for one in told)


async def test_a_session_that_is_ended_is_over_for_the_browser(house, browser_of_alice):
    async with watching(house) as stage:
        assert (await browser_of_alice.get("/mine")).status == 200
        await stage.until(lambda: stage.console.screen.hosts.item is not None, "the host")
        await stage.press("o")
        await stage.sees("alice@example.com")
        await stage.press("X")
        await stage.press("y")
        await stage.sees("1 sessions have ended")
        assert (await browser_of_alice.get("/mine")).status == 302


async def test_a_gateway_that_is_killed_and_started_again_is_followed(house, browser_of_alice):
    async with watching(house) as stage:
        await browser_of_alice.get("/before")
        await stage.until(lambda: "/before" in stage.rows, "the request")
        house.gateway.kill()
        await stage.sees("trying again")
        house.gateway.start_again()
        await stage.sees("there again")
        await browser_of_alice.get("/after")
        await stage.until(lambda: stage.rows[0] == "/after" and "/before" in stage.rows, "both")


MORE = """
host "new.example.com" {
  backend = "internal:echo"
  access {
    allow = ["public"]
  }
}
"""


async def test_other_files_are_put_in_force_once_their_difference_was_seen(house):
    file = house.gateway.file
    async with watching(house) as stage:
        await stage.press("s", "r")
        await stage.sees("The files say what is in force.")
        file.write_text(file.read_text("utf-8") + MORE, "utf-8")
        await stage.press("r")
        await stage.sees('+host "new.example.com"')
        file.write_text(file.read_text("utf-8").replace("new.example.com", "newer.example.com"), "utf-8")
        await stage.press("l", "y")
        await stage.sees("the files were changed meanwhile")
        await stage.sees('+host "newer.example.com"')
        assert all("new" not in one.name for one in stage.admin.hosts())
        await stage.press("l", "y")
        await stage.sees("in force (added: host newer.example.com)")
        assert any(one.name == "newer.example.com" for one in stage.admin.hosts())


async def test_why_is_answered_for_the_request_under_the_cursor(house, browser_of_alice):
    async with watching(house) as stage:
        await browser_of_alice.get("/mine", user_agent=FIREFOX)
        await stage.until(lambda: "/mine" in stage.rows, "the request")
        await stage.until(lambda: stage.console.desk.hosts, "hosts")
        to(stage, "/mine")
        await stage.press("w")
        await stage.sees("let in")
        await stage.sees("alice@example.com")


@pytest.fixture
async def far_house(ports, api, openid, gateway):
    """The usual house, carried by two workers, whose admin API listens at an address, too."""
    port = ports.take()
    workers = CONFIGURATION.replace("gateway {\n", "gateway {\n  workers = 2\n")
    listening = f'admin {{\n  listen = "127.0.0.1:{port}"\n}}\n{workers}'
    house = await build(ports=ports, api=api, openid=openid, gateway=gateway, configuration=listening)
    async with aiohttp.ClientSession() as house.client:
        yield house, f"http://127.0.0.1:{port}"


async def test_from_elsewhere_it_sees_by_a_token_what_that_may_see_until_it_is_revoked(far_house):
    house, where = far_house
    made = AdminClient(socket_of(house)).create_token("far", scopes=("traffic:read",))
    async with watching(house, where=where, token=Secret(made.token)) as stage, house.browser() as alice:
        await alice.sign_in("alice")
        await alice.get("/private")
        await stage.until(lambda: "/private" in stage.rows, "the request, by whichever worker")
        to(stage, "/private")
        await stage.press("u")
        await stage.sees("audit:read")
        await stage.press("escape")
        AdminClient(socket_of(house)).revoke_token(made.id)
        await stage.press("s")
        await stage.sees("VESTIBULE_ADMIN_TOKEN")
