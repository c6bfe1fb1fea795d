"""A gateway that goes away, and comes back."""

from __future__ import annotations

from tests.tui.fake import ADA, FakeAdmin, row
from tests.tui.stage import Clock, staged


async def test_a_gateway_that_is_away_is_told_in_a_line_and_nothing_is_lost():
    async with staged() as stage:
        await stage.press("slash")
        await stage.type("ada")
        await stage.press("enter")
        kept = list(stage.rows)
        stage.admin.lose()
        await stage.sees("away for")
        await stage.sees("has ended: start it again")
        assert stage.rows == kept
        assert "app.example.com" in stage.text


async def test_it_goes_on_where_a_new_gateway_counts_from_one_again():
    async with staged() as stage:
        before = list(stage.rows)
        stage.admin.lose()
        await stage.sees("trying again")
        stage.admin.return_([row(1, at=stage.console.desk.now(), path="/after", **ADA)])
        await stage.sees("there again")
        await stage.until(lambda: stage.rows == ["/after", *before], "the new above the old")


async def test_what_came_while_only_the_connection_was_gone_is_fetched_once():
    async with staged() as stage:
        before = list(stage.rows)
        stage.admin.lose()
        await stage.sees("trying again")
        stage.admin.return_([*stage.admin.rows, row(11, path="/meanwhile")])
        await stage.sees("there again")
        await stage.until(lambda: stage.rows == ["/meanwhile", *before], "once each")


async def test_that_it_is_back_is_not_told_for_ever():
    clock = Clock()
    async with staged(clock=clock) as stage:
        stage.admin.lose()
        await stage.sees("trying again")
        stage.admin.return_(stage.admin.rows)
        await stage.sees("there again")
        clock.on(60)
        await stage.sees_not("there again")


async def test_where_there_is_no_gateway_at_first_it_ends_and_says_why():
    admin = FakeAdmin()
    admin.is_away = True
    async with staged(admin=admin, wait=False) as stage:
        await stage.until(lambda: not stage.console.is_running, "the end")
        assert stage.console.return_code == 1
        assert stage.console.return_value is not None
        assert "start it again" in stage.console.return_value


async def test_a_token_that_may_not_read_traffic_still_sees_the_rest():
    admin = FakeAdmin()
    admin.refuses = {"traffic"}
    async with staged(admin=admin, wait=False) as stage:
        await stage.sees("not for this token")
        await stage.sees("admin.example.com")
