"""The other screens: a request's tree, why, providers, state, audit, help."""

from __future__ import annotations

import msgspec
import pytest

from tests.tui.fake import ALIKE, CHANGED, TRACE
from tests.tui.stage import compare, staged
from vestibule.errors import ClientError, Invalid


async def go_to(stage, path: str) -> None:
    """The cursor of the traffic to the request of this path."""
    stage.console.screen.traffic.rows.go(stage.rows.index(path))
    await stage.pilot.pause()


async def test_a_request_its_backend_and_its_calls_are_one_tree():
    async with staged() as stage:
        await go_to(stage, "/profile")
        await stage.press("enter")
        await stage.sees("1 API call ")
        await stage.until(lambda: ("trace", TRACE) in stage.admin.asked, "the gateway was asked")
        lines = stage.text.splitlines()
        at = next(number for number, line in enumerate(lines) if "GET app.example.com/profile" in line)
        assert "└─ backend 127.0.0.1:3000" in lines[at + 1]
        assert "   └─ GET call google/oauth2/v3/userinfo" in lines[at + 2]
        assert lines[at + 2].index("└─") > lines[at + 1].index("└─")


async def test_a_call_shows_the_request_that_caused_it():
    async with staged() as stage:
        await go_to(stage, "/oauth2/v3/userinfo")
        await stage.press("enter")
        await stage.sees("GET app.example.com/profile")
        assert stage.console.screen.rows.item.row.kind == "call"


async def test_a_tree_leads_to_why_and_to_the_session():
    async with staged() as stage:
        await go_to(stage, "/profile")
        await stage.press("enter")
        await stage.sees("1 API call ")
        await stage.press("o")
        await stage.sees("session of ada@example.com")
        await stage.press("escape", "w")
        await stage.sees("why GET app.example.com/profile")


async def test_why_a_request_was_refused_is_asked_for_who_asked_and_from_where():
    async with staged() as stage:
        stage.console.screen.traffic.rows.go(4)
        await stage.pilot.pause()
        await stage.press("w")
        await stage.sees("no rule allows it: group:admins")
        await stage.sees("saw no groups")
        assert ("explain", "https://admin.example.com/", "uBob", "GET", "203.0.113.7") in stage.admin.asked


async def test_providers_tell_state_discovery_keys_and_the_last_error():
    async with staged() as stage:
        await stage.press("p")
        await stage.sees("! failing")
        await stage.press("down")
        await stage.sees("can't be reached: no address for dev-1.okta.com (30 s ago)")
        await stage.press("up")
        await stage.sees("https://app.example.com/@google/callback")


async def test_who_holds_what_and_one_is_revoked_after_a_question():
    async with staged() as stage:
        await stage.press("h")
        for part in ("sessions:read", "ada@example.com", "laptop", "backup", "never"):
            await stage.sees(part)
        await stage.press("down", "x")
        await stage.sees("Revoke app token laptop of ada@example.com?")
        await stage.press("n")
        assert len(stage.admin.tokens) == 3
        await stage.press("x", "y")
        await stage.sees("app token laptop of ada@example.com is revoked")
        assert [one.id for one in stage.admin.tokens] == ["aDeploy", "kNas"]


async def test_a_list_of_tokens_that_a_token_may_not_have_says_why():
    async with staged() as stage:
        stage.admin.refuses.add("held")
        await stage.press("h")
        await stage.sees("the scope for held is missing")


async def test_state_has_plots_workers_stores_listeners_certificates_and_what_to_see_to():
    async with staged(size=(120, 44)) as stage:
        await stage.press("s")
        await stage.sees("old.example.com")
        for part in (
            "requests",
            "p99",
            "█",
            "okta can't be discovered",
            "check the issuer",
            "worker 2",
            "! silent 9 s",
        ):
            assert part in stage.text
        for part in ("redis", "! away", "refused the connection", "127.0.0.1:4848", "in 3 d"):
            assert part in stage.text


async def test_names_without_a_certificate_stand_first_with_why_and_when_they_are_tried_again():
    async with staged(size=(160, 50)) as stage:
        await stage.press("s")
        await stage.sees("! bad.example.com  failing")
        for part in ("none yet", "Timeout during connect", "→ open port 80", "next try in 5 min"):
            assert part in stage.text
        order = [stage.text.index(f"{name}.example.com") for name in ("bad", "new", "old")]
        assert "! new.example.com  ordering" in stage.text
        assert order == sorted(order)


async def at_reload(stage) -> None:
    await stage.press("s")
    await stage.sees("processes")
    await stage.press("r")
    await stage.until(lambda: "difference" in stage.asked, "the files were read")


async def test_a_reload_shows_the_difference_first_and_puts_that_in_force_and_nothing_else():
    async with staged() as stage:
        await at_reload(stage)
        await stage.sees('+  backend = "127.0.0.1:3001"')
        assert "is used by no host" in stage.text
        await stage.press("l")
        await stage.sees("Put that in force, in every process?")
        await stage.press("n")
        assert "reload" not in stage.asked
        await stage.press("l", "y")
        await stage.sees("in force (changed: host app.example.com)")
        await stage.sees("The files say what is in force.")
        assert [one for one in stage.admin.asked if one[0] == "reload"] == [("reload", "a" * 24)]


async def test_files_that_have_changed_meanwhile_are_looked_at_again():
    async with staged() as stage:
        stage.admin.refusal = ClientError("others", code="changed", status=412)
        await at_reload(stage)
        await stage.sees("3001")
        stage.admin.files = msgspec.structs.replace(CHANGED, diff=CHANGED.diff.replace("3001", "3002"))
        await stage.press("l", "y")
        await stage.sees("the files were changed meanwhile: look at the difference again")
        await stage.sees("3002")


async def test_a_refused_reload_says_why_and_that_what_was_stays():
    async with staged() as stage:
        stage.admin.refusal = Invalid((("", "app.hcl:9:3: nobody listens"),))
        await at_reload(stage)
        await stage.sees("3001")
        await stage.press("l", "y")
        await stage.sees("refused, and what is in force stays: app.hcl:9:3: nobody listens")


async def test_files_with_faults_are_not_put_in_force_until_they_are_read_again():
    async with staged() as stage:
        stage.admin.files = msgspec.structs.replace(
            CHANGED, faults=("app.hcl:3:1: no such block",), restart=("app.hcl:1:1: workers takes a restart",)
        )
        await at_reload(stage)
        await stage.sees("! app.hcl:3:1: no such block")
        assert "workers takes a restart" in stage.text
        await stage.press("l")
        await stage.sees("these files can't be put in force")
        stage.admin.files = ALIKE
        await stage.press("r")
        await stage.sees("The files say what is in force.")
        await stage.press("l")
        await stage.sees("What they name is read again")


async def test_who_may_not_reload_is_told_so():
    async with staged() as stage:
        stage.admin.refuses.add("difference")
        await at_reload(stage)
        await stage.sees("this token may not")


async def test_the_trail_is_read_and_its_chain_looked_through():
    async with staged() as stage:
        await stage.press("u")
        await stage.sees("sign_in.refused")
        await stage.press("v")
        await stage.sees("the trail is whole: 3 rows")
        await stage.press("down", "down")
        await stage.sees('{"code":"not_invited"}')


async def test_an_event_leads_to_its_session():
    async with staged() as stage:
        await stage.press("u")
        await stage.sees("session.created")
        await stage.press("down", "enter")
        await stage.sees("session of ada@example.com")


async def test_a_host_has_its_own_traffic_alone():
    async with staged() as stage:
        await stage.press("right", "right", "down", "enter")
        await stage.sees("host admin.example.com")
        assert stage.rows == ["/"]
        assert "group:admins" in stage.text


async def test_a_calling_interface_has_its_operations():
    async with staged() as stage:
        await stage.press("right", "enter")
        await stage.sees("session:google in Authorization")
        assert "userinfo" in stage.text
        assert stage.rows == ["/oauth2/v3/userinfo"]


async def test_an_edge_has_its_questions():
    async with staged() as stage:
        await stage.press("right", "right", "right", "enter")
        await stage.sees("asks by")
        assert stage.rows == ["/forward"]


#: keys to each screen
SCREENS = {
    "main": (),
    "host": ("right", "right", "enter"),
    "call": ("right", "enter"),
    "sessions": ("right", "right", "o"),
    "session": ("right", "right", "o", "enter"),
    "request": ("down", "down", "down", "down", "down", "enter"),
    "providers": ("p",),
    "state": ("s",),
    "audit": ("u",),
    "reload": ("s", "r"),
    "held": ("h",),
}


async def open_screen(stage, name: str) -> None:
    for key in SCREENS[name]:
        await stage.press(key)
        if key == "o":
            await stage.sees("Firefox on Linux")
    if name == "session":
        await stage.sees("ya29")
    await stage.sees_not("asking …")


@pytest.mark.parametrize("name", SCREENS)
async def test_every_screen_has_help_about_and_a_way_back(name: str):
    async with staged() as stage:
        await open_screen(stage, name)
        here = stage.console.screen
        bound = {active.binding.key for active in here.active_bindings.values()}
        await stage.press("question_mark")
        await stage.sees("shift+tab")
        for words in ("about", "back", "providers", "state"):
            assert words in stage.text
        assert {"escape", "question_mark", "a"} <= bound
        await stage.press("escape", "a")
        await stage.sees("the entrance hall for web apps")
        assert "state/admin.sock" in stage.text
        await stage.press("escape")
        assert stage.console.screen is here
        while len(stage.console.screen_stack) > 2:
            await stage.press("escape")
        assert "traffic · " in stage.text


@pytest.mark.parametrize("name", SCREENS)
@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
async def test_every_screen_looks_as_it_should(name: str, size: tuple[int, int]):
    async with staged(size=size) as stage:
        await open_screen(stage, name)
        compare(stage, f"{name}-{size[0]}x{size[1]}")


@pytest.mark.parametrize(
    "environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "vt100"}], ids=["NO_COLOR", "dumb", "vt100"]
)
async def test_without_colours_the_same_is_said(environ: dict[str, str], monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with staged(size=(80, 24), environ=environ) as stage:
        strips = stage.console.screen._compositor.render_strips(stage.console.size)
        colours = {
            colour.name
            for strip in strips
            for _, style, _ in strip
            for colour in (style.color, style.bgcolor)
            if style
            if colour is not None
        }
        assert colours <= {"default"}
        assert any(style and style.reverse for strip in strips for _, style, _ in strip)
        compare(stage, "main-80x24")


async def test_t_changes_the_colours_and_nothing_else():
    async with staged() as stage:
        text, before = stage.text, stage.console.theme
        await stage.press("t")
        assert stage.console.theme != before
        assert stage.text == text
        await stage.press("t", "t")
        assert stage.console.theme == before
