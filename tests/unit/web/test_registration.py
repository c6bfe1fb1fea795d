"""The registration form, as a page and as JSON."""

from __future__ import annotations

import pytest

from tests.unit.service.test_signin import Browser
from tests.unit.web.asgi import XSS, Inert, Reply
from tests.unit.web.lobby import JSON, Lobby
from tests.unit.web.test_app import assert_guarded
from vestibule.core.registration import Question, Rules

PATH = "/@/account/register"
RULES = Rules(
    registration="form",
    questions=(
        Question(name="company", label="Your company", hint="As on your badge", required=True),
        Question(name="phone", label="Phone"),
    ),
    terms_url="/terms",
    privacy_url="/privacy",
)
GOOD = {"name": "Zoë Q.", "login": "zoe", "company": "ACME", "terms": "yes"}


@pytest.fixture
def lobby() -> Lobby:
    return Lobby(RULES)


@pytest.fixture
async def newcomer(lobby: Lobby) -> Browser:
    browser = lobby.browser()
    state = await browser.begin(rd="/deep")
    reply = await lobby.get(browser, f"/@google/callback?state={state}&code=alice")
    assert (reply.status, reply.headers["location"]) == (303, PATH)
    return browser


def is_over(reply: Reply) -> bool:
    return reply.status == 400 and "This registration is over" in reply.text


async def test_the_form_holds_what_is_known_and_what_is_asked(lobby: Lobby, newcomer: Browser) -> None:
    reply = await lobby.get(newcomer, PATH)
    assert_guarded(reply)
    page = Inert(reply.text)
    words = " ".join("".join(page.words).split())
    assert "You come from Google as alice." in words
    assert "Your company" in words
    assert "As on your badge" in words
    assert 'name="name" type="text" value="alice"' in reply.text
    assert page.forms == [PATH, f"{PATH}/cancel"]
    assert {"/terms", "/privacy"} <= set(page.links)
    assert page.tags.count("label") == 5
    assert reply.text.count('class="first"') == 1, "one button stands out: the one that sends the form"
    for url in RULES.terms_url, RULES.privacy_url:
        assert f'target="_blank" rel="noopener" href="{url}"' in reply.text, "or what was typed is lost"


async def test_what_is_wrong_stands_at_its_field_and_values_are_kept(lobby: Lobby, newcomer: Browser) -> None:
    reply = await lobby.post(
        newcomer, PATH, {"name": "", "login": "a b", "company": "ACME", "phone": "x" * 501}
    )
    assert reply.status == 422
    words = " ".join("".join(Inert(reply.text).words).split())
    for fault in ("Please fill this in.", "This can’t be used.", "This is too long.", "Please accept this"):
        assert fault in words
    assert 'value="ACME"' in reply.text
    assert 'value="a b"' in reply.text
    assert lobby.world.store.people.kept == {}
    assert (await lobby.post(newcomer, PATH, GOOD)).status == 303


async def test_the_form_ends_in_a_session_at_the_destination(lobby: Lobby, newcomer: Browser) -> None:
    reply = await lobby.post(newcomer, PATH, GOOD)
    assert (reply.status, reply.headers["location"]) == (303, "/deep")
    assert_guarded(reply)
    session = await newcomer.session()
    user = await lobby.people.user(session.user_id)
    assert (user.name, user.login, user.profile["company"]) == ("Zoë Q.", "zoe", "ACME")
    assert "registered" in [line["event"] for line in lobby.logged]
    assert is_over(await lobby.post(newcomer, PATH, GOOD))
    assert is_over(await lobby.get(newcomer, PATH))


async def test_programs_read_the_form_and_send_it(lobby: Lobby, newcomer: Browser) -> None:
    form = (await lobby.get(newcomer, PATH, **JSON)).json
    assert form["provider"] == "Google"
    assert [(field["name"], field["required"]) for field in form["fields"]] == [
        ("name", True),
        ("login", False),
        ("company", True),
        ("phone", False),
        ("terms", True),
    ]
    assert (form["known"]["name"], form["terms_url"], form["privacy_url"]) == ("alice", "/terms", "/privacy")
    wrong = await lobby.tell(newcomer, PATH, {**GOOD, "company": None, "terms": False})
    assert (wrong.status, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert wrong.json["faults"] == [
        {"path": "company", "message": "Please fill this in.", "code": "missing"},
        {"path": "terms", "message": "Please accept this to go on.", "code": "not_accepted"},
    ]
    made = await lobby.tell(newcomer, PATH, {**GOOD, "terms": True})
    assert (made.status, made.json["location"]) == (201, "/deep")
    assert made.json["user"]["id"] == (await newcomer.session()).user_id


@pytest.mark.parametrize("body", ["[]", '{"name": 1}', '{"name": ["a"]}', "{", '{"name": {"a": "b"}}'])
async def test_json_that_is_no_form_is_refused(lobby: Lobby, newcomer: Browser, body: str) -> None:
    headers = {"Origin": "https://app.example", "Content-Type": "application/json", **JSON}
    reply = await lobby.ask(PATH, "POST", headers, await newcomer.visit(), body.encode())
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert lobby.world.store.people.kept == {}


async def test_a_form_can_not_say_who_one_is(lobby: Lobby, newcomer: Browser) -> None:
    """Threat: parameters nobody asked for: an address, an id, another account, to be signed in as somebody."""
    await lobby.post(newcomer, PATH, {**GOOD, "email": "boss@corp.example", "id": "u1", "subject": "bob", "disabled": ""})  # fmt: skip
    session = await newcomer.session()
    user = await lobby.people.user(session.user_id)
    assert (user.email, set(user.profile)) == ("", {"company", "name", "login"})
    assert (session.identities[0].subject, session.identities[0].login) == ("alice", "")


@pytest.mark.parametrize("evil", XSS)
async def test_what_was_sent_stays_text(lobby: Lobby, newcomer: Browser, evil: str) -> None:
    reply = await lobby.post(newcomer, PATH, {"name": evil, "login": evil, "company": evil})
    assert reply.status == 422
    Inert(reply.text)


async def test_cancelling_forgets(lobby: Lobby, newcomer: Browser) -> None:
    kept = dict(newcomer.cookies)
    reply = await lobby.post(newcomer, f"{PATH}/cancel")
    assert reply.status == 303
    assert not [name for name in newcomer.cookies if name.endswith("-register")]
    newcomer.cookies = kept
    assert is_over(await lobby.get(newcomer, PATH))


async def test_without_the_cookie_the_form_is_over(lobby: Lobby, newcomer: Browser) -> None:
    stranger = lobby.browser()
    assert is_over(await lobby.get(stranger, PATH))
    assert is_over(await lobby.post(stranger, PATH, GOOD))
    assert (await lobby.tell(stranger, PATH, GOOD)).json["code"] == "registration_expired"
    assert (await lobby.post(stranger, f"{PATH}/cancel")).status == 303
    assert (await lobby.get(newcomer, PATH)).status == 200


async def test_whoever_is_signed_in_already_is_not_who_registers(lobby: Lobby) -> None:
    browser = lobby.browser()
    await browser.finish(await browser.begin(), "alice")
    await lobby.post(browser, PATH, GOOD)
    await browser.finish(await browser.begin(), "bob")
    assert "Signed in as" not in (await lobby.get(browser, PATH)).text
