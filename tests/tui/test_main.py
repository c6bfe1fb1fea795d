"""The first screen: panes, live traffic, following, filtering."""

from __future__ import annotations

import pytest

from tests.tui.fake import ADA, ROWS, FakeAdmin, row
from tests.tui.stage import staged


async def test_the_newest_request_is_on_top_with_all_that_is_said_of_it():
    async with staged(size=(150, 36)) as stage:
        line = next(line for line in stage.text.splitlines() if "/profile" in line)
        for part in (
            "11:59:05",
            "app.example.com",
            "GET",
            "200",
            "48ms",
            "ada@example.com",
            "google",
            "email:*@example.com",
        ):
            assert part in line
        assert stage.rows == [one.path for one in reversed(ROWS)]


async def test_panes_say_who_is_called_who_asks_and_how_busy_they_are():
    async with staged() as stage:
        assert "google" in stage.text
        assert "admin.example.com" in stage.text
        assert "127.0.0.1 " in stage.text
        assert "12/s" in stage.text


async def test_requests_come_by_themselves():
    async with staged() as stage:
        stage.admin.push(row(11, path="/fresh", **ADA))
        await stage.sees("/fresh")
        assert stage.rows[0] == "/fresh"


async def test_space_holds_the_rows_and_counts_what_comes_meanwhile():
    async with staged() as stage:
        await stage.press("space")
        stage.admin.push(row(11, path="/later"), row(12, path="/later"))
        await stage.sees("paused, 2 newer")
        assert "/later" not in stage.text
        await stage.press("space")
        await stage.sees("/later")
        assert "following" in stage.text


async def test_whoever_goes_down_reads_in_peace_until_back_on_top():
    async with staged() as stage:
        await stage.press("down", "down")
        under = stage.console.screen.traffic.rows.item
        stage.admin.push(row(11, path="/later"))
        await stage.sees("paused, 1 newer")
        assert stage.console.screen.traffic.rows.item is under
        await stage.press("home")
        await stage.sees("/later")


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("userinfo", ["/oauth2/v3/userinfo"]),
        ("host:admin", ["/"]),
        ("status:5xx", ["/notes"]),
        ("status:left", ["/export.csv"]),
        ("person:bob", ["/"]),
        ("decision:sign_in", ["/"]),
        ("person:ada method:delete", ["/notes/7"]),
        ("kind:edge", ["/forward"]),
        ("nowhere", []),
    ],
)
async def test_a_filter_narrows_as_it_is_typed(line: str, paths: list[str]):
    async with staged() as stage:
        await stage.press("slash")
        await stage.type(line)
        await stage.until(lambda: stage.rows == paths, f"{paths}")
        assert line in stage.console.screen.traffic.border_title


async def test_enter_keeps_a_filter_and_escape_takes_it_away():
    async with staged() as stage:
        await stage.press("slash")
        await stage.type("status:403")
        await stage.press("enter")
        assert stage.console.focused is stage.console.screen.traffic.rows
        stage.admin.push(row(11, path="/fine"), row(12, path="/denied", status=403))
        await stage.until(lambda: stage.rows == ["/denied", "/"], "only what fits")
        await stage.press("escape")
        await stage.until(lambda: len(stage.rows) == 12, "all of them")


async def test_what_the_console_itself_asks_the_api_is_shown_to_who_wants_it_alone():
    async with staged() as stage:
        stage.admin.push(row(11, kind="admin", name="admin", path="/api/v1/overview"), row(12, path="/fresh"))
        await stage.until(lambda: stage.rows[:2] == ["/fresh", "/export.csv"], "nothing of its own")
        await stage.press("slash")
        await stage.type("kind:admin")
        await stage.until(lambda: stage.rows == ["/api/v1/overview"], "its own")


async def test_letters_typed_into_a_filter_are_no_keys():
    async with staged() as stage:
        await stage.press("slash")
        await stage.type("q p s a")
        assert stage.console.is_running
        assert stage.console.screen.traffic.input.value == "q p s a"


async def test_arrows_go_from_pane_to_pane():
    async with staged() as stage:
        screen = stage.console.screen
        for key, pane in (
            ("right", screen.calls),
            ("right", screen.hosts),
            ("right", screen.edges),
            ("left", screen.hosts),
        ):
            await stage.press(key)
            assert stage.console.focused is pane
        await stage.press("down", "down")
        assert stage.console.focused is screen.traffic.rows
        await stage.press("up")
        assert stage.console.focused is screen.hosts


@pytest.mark.parametrize(("taller", "shorter"), [("ctrl+up", "ctrl+down"), ("plus", "minus")])
async def test_the_traffic_grows_and_shrinks(taller: str, shorter: str):
    async with staged() as stage:
        before = stage.console.screen.traffic.size.height
        await stage.press(taller, taller)
        assert stage.console.screen.traffic.size.height == before + 2
        await stage.press(shorter)
        assert stage.console.screen.traffic.size.height == before + 1


@pytest.mark.parametrize(
    ("wider", "narrower"), [("ctrl+right", "ctrl+left"), ("greater_than_sign", "less_than_sign")]
)
async def test_a_pane_grows_beside_the_others(wider: str, narrower: str):
    async with staged() as stage:
        await stage.press("right")
        pane = stage.console.screen.calls
        before = pane.size.width
        await stage.press(wider)
        assert pane.size.width > before
        await stage.press(narrower)
        assert pane.size.width == before


async def test_statuses_have_signs_beside_their_colours():
    async with staged() as stage:
        lines = stage.text.splitlines()
        assert any("! 502" in line for line in lines)
        assert any("x 403" in line for line in lines)
        assert any("> 302" in line for line in lines)
        assert any("- left" in line for line in lines)


async def test_what_would_steer_a_terminal_is_not_written_to_it():
    async with staged(
        admin=FakeAdmin([row(1, path="/\x1b]52;c;ZXZpbA==\x07\x9b2J", person="\x1b[2Jeve")])
    ) as stage:
        assert "\x1b" not in stage.text
        assert "\x9b" not in stage.text
        assert "�[2Jeve" in stage.text


async def test_a_pane_that_a_token_may_not_see_says_so_and_the_others_go_on():
    admin = FakeAdmin()
    admin.refuses = {"hosts"}
    async with staged(admin=admin, wait=False) as stage:
        await stage.sees("the scope for hosts is missing")
        await stage.sees("/profile")


async def test_q_ends_it():
    async with staged() as stage:
        await stage.press("q")
        await stage.until(lambda: not stage.console.is_running, "the end")
