"""An app's question on its page: who may answer it, and where nobody is sent who has pressed nothing."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.unit.service.test_signin import Browser
from tests.unit.web.asgi import Inert
from tests.unit.web.lobby import JSON, Lobby
from vestibule.core.app import REGISTERED, App
from vestibule.service.linking import FRESH_S

PATH = "/@/authorize"
OWN, LINK, LOCAL = "com.example.forum:/callback", "https://evil.example/cb", "http://localhost:1/cb"
IOS = App(id="ios", hosts=("app.example",), redirects=(OWN, LINK), scopes=("read",))
AGENT = App(
    id=REGISTERED + "x" * 43,
    name="Agent Smith",
    hosts=("app.example",),
    redirects=(OWN, LINK, LOCAL),
    scopes=("tools",),
    is_registered=True,
)


@pytest.fixture
def lobby() -> Lobby:
    return Lobby(apps=(IOS, AGENT))


@pytest.fixture
async def alice(lobby: Lobby) -> Browser:
    browser = lobby.browser()
    await browser.sign_in("alice")
    return browser


def target(app: App = IOS, redirect_uri: str = OWN, **more: str) -> str:
    asked = {
        "client_id": app.id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "state": "kept",
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
        **more,
    }
    return f"{PATH}?{urlencode(asked)}"


def key_in(text: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', text)
    assert found
    return found[1]


def leads_back_to(text: str) -> dict[str, list[str]]:
    """What is asked for after the sign-in that the page offers."""
    [sign_in] = [link for link in Inert(text).links if link.startswith("/@google/signin?")]
    query = parse_qs(urlsplit(sign_in).query)
    assert query["prompt"] == ["login"]
    path, _, asked = query["rd"][0].partition("?")
    assert path == PATH
    return parse_qs(asked)


async def test_a_question_takes_a_fresh_sign_in_and_leads_back_to_it(lobby: Lobby, alice: Browser) -> None:
    asked = target(scope="read", prompt="consent")
    key = key_in((await lobby.get(alice, asked)).text)
    lobby.world.clock.move(FRESH_S - 1)
    other = key_in((await lobby.get(alice, asked)).text)
    assert (await lobby.post(alice, PATH, {"key": key, "answer": "allow"})).status == 200
    lobby.world.clock.move(1)
    for page in (
        await lobby.get(alice, asked),
        await lobby.post(alice, PATH, {"key": other, "answer": "allow"}),
    ):
        assert page.status == 403
        assert 'name="key"' not in page.text
        assert leads_back_to(page.text) == parse_qs(asked.partition("?")[2])
    assert "sign_in_again" in (await lobby.get(alice, asked, **JSON)).text


@pytest.mark.parametrize(
    ("app", "redirect_uri", "is_sent"),
    [(IOS, LINK, True), (IOS, OWN, True), (AGENT, LINK, False), (AGENT, OWN, False), (AGENT, LOCAL, True)],
    ids=["link", "scheme", "registered link", "registered scheme", "registered loopback"],
)
@pytest.mark.parametrize(
    "wrong",
    [{"prompt": "none"}, {"scope": "admin"}, {"response_type": "token"}],
    ids=lambda more: next(iter(more)),
)
async def test_nobody_is_sent_unasked_where_an_app_that_registered_itself_likes(
    lobby: Lobby, app: App, redirect_uri: str, is_sent: bool, wrong: dict[str, str]
) -> None:
    reply = await lobby.get(lobby.browser(), target(app, redirect_uri, **wrong))
    if is_sent:
        assert reply.status == 303
        assert reply.headers["location"].startswith(f"{redirect_uri}?error=")
        return
    assert reply.status == 400
    assert not {"location", "refresh"} & set(reply.headers)
    for shown in ("Agent Smith", urlsplit(redirect_uri).hostname or "com.example.forum:"):
        assert shown in reply.text
    [link] = re.findall(r'href="([^"/][^"]*)"', reply.text.partition("<main")[2])
    assert link.startswith(f"{redirect_uri}?error=")


async def test_who_says_no_is_sent_back_by_that_wherever_it_is(lobby: Lobby, alice: Browser) -> None:
    page = await lobby.get(alice, target(AGENT, LINK))
    reply = await lobby.post(alice, PATH, {"key": key_in(page.text), "answer": "refuse"})
    assert reply.headers["refresh"].startswith(f"0; url={LINK}?error=access_denied")
