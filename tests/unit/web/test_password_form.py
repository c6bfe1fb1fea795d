"""The sign-in page where people have passwords: its form, and what comes of filling it in."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.service.test_signin import FILE
from tests.unit.web.asgi import Inert
from tests.unit.web.lobby import JSON, OWN, Lobby
from vestibule.core.credential import Accepted
from vestibule.core.lockout import TRIES_MAX, WINDOW_S

ANN = {"user": "ann", "password": "correct horse"}


@pytest.fixture
def lobby() -> Lobby:
    lobby = Lobby()
    host = lobby.world.host
    lobby.world.host = replace(host, accepts=Accepted(passwords=FILE), sign_in=(*host.sign_in, FILE.name))
    return lobby


def by_password_alone(lobby: Lobby) -> Lobby:
    lobby.world.host = replace(lobby.world.host, clients={}, sign_in=(FILE.name,))
    return lobby


async def test_the_form_stands_below_the_buttons(lobby: Lobby):
    reply = await lobby.get(lobby.browser(), "/@/signin?rd=%2Fdeep")
    page = Inert(reply.text)
    assert reply.status == 200
    assert "/@google/signin?rd=%2Fdeep" in page.links
    assert '<form class="fields" method="post" action="/@/signin">' in reply.text
    assert '<input type="hidden" name="rd" value="/deep">' in reply.text
    assert 'name="user" type="text"' in reply.text
    assert 'name="password" type="password"' in reply.text
    assert 'autocomplete="username"' in reply.text
    assert 'autocomplete="current-password"' in reply.text


async def test_one_provider_and_a_form_are_two_ways(lobby: Lobby):
    lobby.world.host = replace(lobby.world.host, clients={"google": "google"}, sign_in=("google", FILE.name))
    reply = await lobby.get(lobby.browser(), "/@/signin")
    assert reply.status == 200
    assert "/@google/signin" in Inert(reply.text).links


async def test_a_provider_that_is_named_is_gone_to_straight(lobby: Lobby):
    reply = await lobby.get(lobby.browser(), "/@/signin?provider=google")
    assert reply.status == 303


async def test_the_form_alone_is_a_page(lobby: Lobby):
    reply = await lobby.get(by_password_alone(lobby).browser(), "/@/signin")
    assert reply.status == 200
    assert "Sign in with your user name and password." in reply.text
    assert 'class="providers"' not in reply.text
    assert 'name="rd"' not in reply.text


async def test_without_people_with_passwords_there_is_no_form():
    reply = await Lobby().get(Lobby().browser(), "/@/signin")
    assert "<form" not in reply.text


async def test_who_fills_it_in_is_signed_in_and_goes_on(lobby: Lobby):
    browser = lobby.browser()
    reply = await lobby.post(browser, "/@/signin", {**ANN, "rd": "/deep"})
    assert (reply.status, reply.headers["location"]) == (303, "/deep")
    session = await browser.session()
    assert session.identities[0].login == "ann"
    (line,) = [line for line in lobby.logged if line["event"] == "signed_in"]
    assert line["user"] == session.user_id
    assert "correct horse" not in str(lobby.logged)


@pytest.mark.parametrize("rd", ["https://evil.example/", "//evil.example", "/\\evil.example", ""])
async def test_nobody_is_sent_elsewhere_by_it(lobby: Lobby, rd: str):
    reply = await lobby.post(lobby.browser(), "/@/signin", {**ANN, "rd": rd})
    assert (reply.status, reply.headers["location"]) == (303, "/")


@pytest.mark.parametrize("user", ["ann", "nobody"])
async def test_o12_a_wrong_password_and_an_unknown_name_are_answered_in_the_same_words(
    lobby: Lobby, user: str
):
    reply = await lobby.post(lobby.browser(), "/@/signin", {"user": user, "password": "wrong", "rd": "/deep"})
    known = await lobby.post(
        lobby.browser(), "/@/signin", {"user": "x" * len(user), "password": "wrong", "rd": "/deep"}
    )
    assert reply.status == 403
    assert "The user name or the password is wrong." in reply.text
    assert 'role="alert"' in reply.text
    assert f'name="user" type="text" value="{user}"' in reply.text
    assert "wrong" not in reply.text.replace("is wrong", "")
    assert reply.text.replace(user, "?") == known.text.replace("x" * len(user), "?")
    assert '<input type="hidden" name="rd" value="/deep">' in reply.text
    assert reply.cookies == []
    assert "www-authenticate" not in reply.headers


async def test_what_was_filled_in_is_escaped(lobby: Lobby):
    sent = {"user": '"><script>', "password": "x", "rd": '"><script>'}
    reply = await lobby.post(lobby.browser(), "/@/signin", sent)
    assert "<script" not in reply.text


async def test_o12_after_too_many_tries_the_page_says_so_and_when_to_come_again(lobby: Lobby):
    browser = lobby.browser()
    for number in range(TRIES_MAX):
        await lobby.post(browser, "/@/signin", {"user": "ann", "password": f"wrong{number}"})
    reply = await lobby.post(browser, "/@/signin", ANN)
    assert (reply.status, reply.headers["retry-after"]) == (429, str(int(WINDOW_S)))
    assert "There were too many tries." in reply.text
    assert reply.cookies == []


async def test_a_program_is_answered_in_its_own_way(lobby: Lobby):
    browser = lobby.browser()
    reply = await lobby.tell(browser, "/@/signin", {"user": "ann", "password": "wrong"})
    assert (reply.status, reply.json["code"]) == (401, "bad_credentials")
    reply = await lobby.tell(browser, "/@/signin", ANN)
    assert reply.status == 303
    assert (await browser.session()).user_id


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {},
    ],
    ids=["another site", "a sandbox", "nobody says"],
)
async def test_a_form_of_another_site_signs_nobody_in(lobby: Lobby, headers: dict[str, str]):
    """Threat: login CSRF: somebody works on in an account that is not theirs."""
    browser = lobby.browser()
    reply = await lobby.post(browser, "/@/signin", ANN, headers)
    assert (reply.status, reply.cookies) == (403, [])
    assert not await browser.has_session()


async def test_where_there_is_no_form_a_post_is_answered_with_404():
    lobby = Lobby()
    reply = await lobby.post(lobby.browser(), "/@/signin", ANN, {**OWN, **JSON})
    assert (reply.status, reply.json["code"]) == (404, "no_choices")


async def test_who_is_not_let_in_is_told_why_and_how_to_go_on(lobby: Lobby):
    lobby.people.use(replace(lobby.people.rules, registration="closed"))
    reply = await lobby.post(lobby.browser(), "/@/signin", {**ANN, "rd": "/deep"})
    assert reply.status == 403
    assert "/@/signin?prompt=select_account&rd=%2Fdeep" in Inert(reply.text).links
    assert reply.cookies == []


async def test_who_is_signed_in_already_is_not_asked_again(lobby: Lobby):
    browser = lobby.browser()
    await lobby.post(browser, "/@/signin", ANN)
    reply = await lobby.get(browser, "/@/signin?rd=%2Fdeep")
    assert (reply.status, reply.headers["location"]) == (303, "/deep")
