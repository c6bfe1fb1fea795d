"""Sessions and their credentials: seen, ended, revealed with a reason, copied without a secret."""

from __future__ import annotations

import contextlib

import pytest

from tests.tui.fake import SECRET, FakeAdmin, row, session
from tests.tui.stage import Stage, staged


@contextlib.asynccontextmanager
async def at_a_session(**said):
    """The console at Ada's session: hosts, `o`, Enter."""
    async with staged(**said) as stage:
        await stage.press("right", "right", "o")
        await stage.sees("Firefox on Linux")
        await stage.press("enter")
        await stage.sees("sAda1")
        await stage.sees("ya29")
        yield stage


async def reveal(stage: Stage, reason: str) -> None:
    await stage.press("r")
    await stage.type(reason)
    await stage.press("enter")


async def test_a_host_leads_to_its_sessions_those_used_last_first():
    async with staged() as stage:
        await stage.press("right", "right", "enter")
        await stage.sees("routes")
        await stage.press("o")
        await stage.sees("curl")
        listed = [line for line in stage.text.splitlines() if "@example" in line]
        assert ["ada" in line for line in listed] == [True, False, True]
        assert "203.0.113.7" in listed[0]


async def test_a_session_tells_person_device_address_times_providers_and_credentials():
    async with at_a_session(size=(150, 44)) as stage:
        for part in (
            "ada@example.com",
            "Firefox on Linux",
            "203.0.113.7",
            "2026-11-22 10:00",
            "in 7 d",
            "google",
        ):
            assert part in stage.text
        for part in ("openid", "in 30 min", "ended 60 s ago", "person", "Bearer"):
            assert part in stage.text
        await stage.press("enter")
        await stage.sees("openid email https://www.googleapis.com/auth/calendar.readonly")
        await stage.sees("refreshed  by itself")


async def test_its_traffic_stands_below():
    async with at_a_session() as stage:
        assert "/profile" in stage.rows
        assert all(stage.console.screen.traffic.view[n].session_id == "sAda1" for n in range(len(stage.rows)))


async def test_tokens_are_masked_until_somebody_says_why():
    async with at_a_session() as stage:
        assert SECRET not in stage.text
        await stage.press("r")
        await stage.sees("audit trail keeps who looked")
        assert "reveal" not in stage.asked


async def test_a_reason_shows_them_and_is_what_the_trail_gets():
    async with at_a_session() as stage:
        await reveal(stage, "ticket 42")
        await stage.sees(SECRET)
        assert ("reveal", "sAda1", "google", "ticket 42") in stage.admin.asked


async def test_they_are_masked_again_after_a_while():
    async with at_a_session() as stage:
        await reveal(stage, "ticket 42")
        await stage.sees("masked again in")
        window = stage.console.screen
        for _ in range(20):
            window.second()
        await stage.sees_not(SECRET)
        await stage.sees("session of ada@example.com")


@pytest.mark.parametrize("key", ["escape", "enter", "q", "space"])
async def test_a_key_masks_them_at_once(key: str):
    async with at_a_session() as stage:
        await reveal(stage, "ticket 42")
        await stage.sees(SECRET)
        await stage.press(key)
        await stage.sees_not(SECRET)


@pytest.mark.parametrize("reason", ["", "x", "  "])
async def test_no_reason_shows_nothing(reason: str):
    async with at_a_session() as stage:
        await reveal(stage, reason)
        await stage.sees("Say why")
        assert "reveal" not in stage.asked


async def test_escape_leaves_it():
    async with at_a_session() as stage:
        await stage.press("r", "escape")
        await stage.sees_not("audit trail keeps")
        assert "reveal" not in stage.asked


async def test_who_may_not_reveal_is_told():
    async with at_a_session() as stage:
        stage.admin.refuses = {"reveal"}
        await reveal(stage, "ticket 42")
        await stage.sees("the scope for reveal is missing")
        assert SECRET not in stage.text


async def test_a_call_is_copied_as_curl_without_a_secret():
    async with at_a_session() as stage:
        await stage.press("c")
        await stage.sees('curl -H "Proxy-Session: $PROXY_SESSION"')
        assert stage.console.clipboard.startswith("curl ")
        assert SECRET not in stage.console.clipboard
        assert "reveal" not in stage.asked


async def test_what_no_calling_interface_takes_is_not_copied():
    async with at_a_session() as stage:
        await stage.press("down", "c")
        await stage.sees("no calling interface takes")
        assert stage.console.clipboard == ""


async def test_one_session_is_ended_after_a_question():
    async with at_a_session() as stage:
        await stage.press("x")
        await stage.sees("End the session of ada@example.com")
        await stage.press("y")
        await stage.until(lambda: ("end", "sAda1") in stage.admin.asked, "it was ended")
        await stage.sees_not("session of ada@example.com")
        assert [one.id for one in stage.sessions.sessions] == ["sAda2", "sBob1"]


@pytest.mark.parametrize("key", ["n", "escape", "enter"])
async def test_everything_but_yes_is_no(key: str):
    async with at_a_session() as stage:
        await stage.press("X")
        await stage.sees("everywhere?")
        await stage.press(key)
        await stage.sees_not("everywhere?")
        assert "end_all" not in stage.asked
        assert len(stage.sessions.sessions) == 3


async def test_all_of_a_person_are_ended_in_the_list_and_seen_to_be_gone():
    async with staged() as stage:
        await stage.press("right", "right", "o")
        await stage.sees("Firefox on Linux")
        await stage.press("X")
        await stage.sees("Sign ada@example.com out everywhere?")
        await stage.press("y")
        await stage.sees("2 sessions have ended")
        await stage.until(lambda: len(stage.console.screen.rows.items) == 1, "only Bob's")


async def test_sessions_of_no_account_are_there_as_far_as_they_were_seen():
    admin = FakeAdmin()
    last = admin.rows[-1].seq
    admin.rows += [row(last + 1, session_id="sPlain"), row(last + 2, session_id="sGone")]
    async with staged(admin=admin) as stage:
        stage.sessions.sessions.append(session("sPlain", "", providers=("weather",)))
        await stage.press("right", "right", "o")
        await stage.sees("nobody's")
        assert len(stage.console.screen.rows.items) == 4
        while stage.console.screen.rows.item.session.id != "sPlain":
            await stage.press("down")
        await stage.press("X")
        await stage.sees("it belongs to no account")
        assert "end_all" not in stage.asked
        await stage.press("x")
        await stage.sees("nobody in particular")
        await stage.press("y")
        await stage.until(lambda: len(stage.console.screen.rows.items) == 3, "it has ended")


async def test_a_session_leads_to_all_of_theirs_and_to_its_trail():
    async with at_a_session() as stage:
        await stage.press("o")
        await stage.sees("sessions of ada@example.com")
        await stage.press("escape", "u")
        await stage.sees("audit of session sAda1")
        assert ("audit", {"session_id": "sAda1"}) in stage.admin.asked
