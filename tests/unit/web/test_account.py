"""A person's own page: what it shows, what it changes, and for whom."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from tests.unit.service.test_signin import Browser
from tests.unit.web.asgi import XSS, Inert, Reply
from tests.unit.web.lobby import JSON, OWN, Lobby
from tests.unit.web.test_app import assert_guarded
from vestibule.core.route import Backend
from vestibule.errors import ProviderUnavailable
from vestibule.model import Identity
from vestibule.providers.base import Start
from vestibule.providers.kit import Flow
from vestibule.service.linking import FRESH_S

OCTOCAT = Identity(client="github", issuer="https://github.com", subject="octocat", login="octocat")
POSTS = (
    "/@/account/register",
    "/@/account/register/cancel",
    "/@/account/link",
    "/@/account/link/github",
    "/@/account/unlink",
    "/@/account/tokens/revoke",
    "/@/account/delete",
    "/@/account/signout",
    "/@/account/devices/signout",
    "/@/account/devices/signout_others",
)
FRESH_ONLY = ("/@/account/link/github", "/@/account/unlink", "/@/account/delete")


@pytest.fixture
def lobby() -> Lobby:
    return Lobby()


@pytest.fixture
async def alice(lobby: Lobby) -> Browser:
    browser = lobby.browser()
    await browser.sign_in("alice")
    return browser


async def link(lobby: Lobby, browser: Browser, identity: Identity = OCTOCAT) -> None:
    lobby.world.clock.move(1)
    assert await lobby.people.link(
        (await browser.session()).user_id, identity, lobby.world.clock.now(), kind="github"
    )


async def prove(lobby: Lobby, browser: Browser, who: str = "octocat") -> str:
    """Where the question stands."""
    reply = await lobby.post(browser, "/@/account/link/github")
    assert reply.status == 200
    state = re.search(r"state=([\w%-]+)", reply.headers["refresh"])
    assert state
    back = await lobby.get(browser, f"/@github/callback?state={state[1]}&code={who}")
    assert back.status == 303
    return back.headers["location"]


def hidden(reply: Reply) -> dict[str, str]:
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', reply.text))


# Showing


async def test_nobody_is_asked_to_sign_in_and_come_back(lobby: Lobby) -> None:
    reply = await lobby.get(lobby.browser(), "/@/account")
    assert (reply.status, reply.headers["location"]) == (303, "/@/signin?rd=%2F%40%2Faccount")
    told = await lobby.get(lobby.browser(), "/@/account", **JSON)
    assert (told.status, told.json["code"]) == (401, "sign_in_required")


async def test_credentials_without_a_person_have_no_account(lobby: Lobby) -> None:
    browser = lobby.browser()
    await browser.sign_in("-", "plain")
    assert (await lobby.get(browser, "/@/account")).status == 303
    assert (await lobby.get(browser, "/@/account/export")).status == 401
    assert (await lobby.post(browser, "/@/account/delete")).status == 401


async def test_the_page_says_who_one_is_and_what_can_be_done(lobby: Lobby, alice: Browser) -> None:
    reply = await lobby.get(alice, "/@/account")
    assert_guarded(reply)
    page = Inert(reply.text)
    words = " ".join(page.words)
    assert "alice" in words
    assert page.tags.count("h1") == 1
    assert {"/@/account/link/github", "/@/signout", "/@/account/signout"} == set(page.forms)
    assert {"/@/account/export", "/@/account/delete"} <= set(page.links)
    await link(lobby, alice)
    assert "/@/account/unlink" in (await lobby.get(alice, "/@/account")).text


async def test_a_host_without_an_app_leads_to_no_site(lobby: Lobby, alice: Browser) -> None:
    site = "Continue to the site"
    assert site in (await lobby.get(alice, "/@/account")).text
    route = lobby.world.host.route(b"/")
    bare = replace(route, backend=Backend(internal="account"))
    lobby.world.host = replace(lobby.world.host, routes={b"": bare})
    assert site not in (await lobby.get(alice, "/@/account")).text


async def test_programs_are_told_the_same(lobby: Lobby, alice: Browser) -> None:
    await link(lobby, alice)
    told = (await lobby.get(alice, "/@/account", **JSON)).json
    assert told["user"]["id"] == (await alice.session()).user_id
    assert [(one["title"], one["is_in_use"], one["can_be_removed"]) for one in told["accounts"]] == [
        ("Google", True, False),
        ("Github", False, True),
    ]
    assert (told["offers"], told["is_fresh"]) == ([], True)


@pytest.mark.parametrize("evil", XSS)
async def test_what_people_and_providers_say_stays_text(lobby: Lobby, alice: Browser, evil: str) -> None:
    session = await alice.session()
    user = await lobby.people.user(session.user_id)
    lobby.world.store.people.kept[user.id] = replace(user, name=evil, email=evil, login=evil)
    await link(lobby, alice, replace(OCTOCAT, login=evil, subject=evil))
    Inert((await lobby.get(alice, "/@/account")).text)


async def test_the_export_is_a_file_without_secrets(lobby: Lobby, alice: Browser) -> None:
    await link(lobby, alice)
    reply = await lobby.get(alice, "/@/account/export")
    assert reply.headers["content-disposition"] == 'attachment; filename="account.json"'
    assert reply.headers["cache-control"] == "no-store"
    assert set(reply.json) == {
        "exported_at",
        "user",
        "accounts",
        "told",
        "app_tokens",
        "sessions",
        "devices",
        "events",
        "invitations",
    }
    assert {(one["provider"], one["subject"]) for one in reply.json["told"]} == {
        ("google", "alice"),
        ("github", "octocat"),
    }
    assert [one["subject"] for one in reply.json["accounts"]] == ["alice", "octocat"]
    session = await alice.session()
    assert alice.handle is not None
    for secret in (alice.handle, session.id, "google-alice"):
        assert secret not in reply.text


# Only the person's own page may act


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "https://evil.example"}, id="another site"),
        pytest.param({"Origin": "https://b.example"}, id="another host of ours"),
        pytest.param({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, id="a sandboxed page"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="no origin"),
        pytest.param({}, id="nothing"),
    ],
)
async def test_another_sites_post_does_nothing(
    lobby: Lobby, alice: Browser, path: str, headers: dict[str, str]
) -> None:
    await link(lobby, alice)
    before = repr(lobby.world.store.people.__dict__), await alice.session()
    form = {"issuer": OCTOCAT.issuer, "subject": OCTOCAT.subject, "name": "x", "key": "A" * 43}
    reply = await lobby.post(alice, path, form, headers)
    assert (reply.status, lobby.logged[0]["code"]) == (403, "cross_origin")
    assert (repr(lobby.world.store.people.__dict__), await alice.session()) == before
    assert reply.cookies == []


@pytest.mark.parametrize("path", [path for path in POSTS if path not in {"/@/account/link", "/@/account/delete", "/@/account/register"}])  # fmt: skip
async def test_what_changes_something_is_no_get(lobby: Lobby, alice: Browser, path: str) -> None:
    assert (await lobby.get(alice, path)).status == 405


@pytest.mark.parametrize("path", FRESH_ONLY)
async def test_after_ten_minutes_one_signs_in_once_more(lobby: Lobby, alice: Browser, path: str) -> None:
    await link(lobby, alice)
    lobby.world.clock.move(FRESH_S)
    form = {"issuer": OCTOCAT.issuer, "subject": OCTOCAT.subject}
    reply = await lobby.post(alice, path, form)
    rd = "%2F%40%2Faccount%2Fdelete" if path.endswith("delete") else "%2F%40%2Faccount"
    assert reply.status == 403
    assert f"/@google/signin?prompt=login&rd={rd}" in Inert(reply.text).links
    told = await lobby.tell(alice, path, form)
    assert (told.status, told.json["code"]) == (403, "sign_in_again")
    assert len(await lobby.people.accounts_of((await alice.session()).user_id)) == 2
    await alice.sign_in("alice")
    assert (await lobby.post(alice, path, form)).status in {200, 303}


async def test_adding_credentials_makes_no_session_fresh(lobby: Lobby, alice: Browser) -> None:
    """Threat: whoever holds the session signs in with an account of their own to look fresh."""
    lobby.world.clock.move(FRESH_S)
    await alice.sign_in("octocat", "github")
    assert (await lobby.post(alice, "/@/account/delete")).status == 403


# Linking


async def test_linking_asks_before_it_links(lobby: Lobby, alice: Browser) -> None:
    place = await prove(lobby, alice)
    assert place.startswith("/@/account/link?key=")
    question = await lobby.get(alice, place)
    words = " ".join("".join(Inert(question.text).words).split())
    assert "The account octocat at Github will be linked to your account alice here." in words
    user = (await alice.session()).user_id
    assert len(await lobby.people.accounts_of(user)) == 1
    done = await lobby.post(alice, "/@/account/link", hidden(question))
    assert (done.status, done.headers["location"]) == (303, "/@/account")
    assert len(await lobby.people.accounts_of(user)) == 2
    assert "account_linked" in [line["event"] for line in lobby.logged]
    again = await lobby.post(alice, "/@/account/link", hidden(question))
    assert (again.status, "This linking is over" in again.text) == (400, True)


async def test_programs_link_by_json(lobby: Lobby, alice: Browser) -> None:
    begun = await lobby.tell(alice, "/@/account/link/github", {})
    assert begun.json["location"].startswith("https://github.com/auth?state=")
    state = begun.json["location"].partition("state=")[2]
    back = await lobby.get(alice, f"/@github/callback?state={state}&code=octocat")
    told = await lobby.get(alice, back.headers["location"], **JSON)
    assert (told.json["provider"], told.json["account"]) == ("Github", "octocat")
    assert (await lobby.tell(alice, "/@/account/link", {"key": told.json["key"]})).json == {"linked": True}


async def test_a_question_of_another_session_is_over(lobby: Lobby, alice: Browser) -> None:
    place = await prove(lobby, alice)
    bob = lobby.browser()
    await bob.sign_in("bob")
    assert (await lobby.get(bob, place)).status == 400
    assert (await lobby.post(bob, "/@/account/link", {"key": place.partition("=")[2]})).status == 400
    assert (await lobby.get(alice, place)).status == 200


async def test_the_provider_one_came_by_is_asked_for_another_account(lobby: Lobby, alice: Browser) -> None:
    await lobby.post(alice, "/@/account/link/google")
    await lobby.post(alice, "/@/account/link/github")
    asked = [lobby.world.ops[name].started[-1].hints.get("prompt") for name in ("google", "github")]
    assert asked == ["select_account", None]


@pytest.mark.parametrize("client", ["plain", "drive"])
async def test_a_client_of_credentials_links_nothing(lobby: Lobby, alice: Browser, client: str) -> None:
    assert (await lobby.post(alice, f"/@/account/link/{client}")).status == 404


async def test_a_provider_that_is_down_leads_back_to_the_account(lobby: Lobby, alice: Browser) -> None:
    def down(start: Start) -> Flow[str]:
        yield from ()
        raise ProviderUnavailable("down")

    lobby.world.ops["github"].start = down  # type: ignore[method-assign]  # it can't be reached
    reply = await lobby.post(alice, "/@/account/link/github")
    assert (reply.status, "/@/account" in Inert(reply.text).links) == (503, True)


# Removing


async def test_a_linked_account_can_be_removed(lobby: Lobby, alice: Browser) -> None:
    await link(lobby, alice)
    form = {"issuer": OCTOCAT.issuer, "subject": OCTOCAT.subject}
    assert (await lobby.post(alice, "/@/account/unlink", form)).status == 303
    again = await lobby.tell(alice, "/@/account/unlink", form)
    assert (again.status, again.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"issuer": "https://op.example", "subject": "alice"}, 409, "account_in_use"),
        ({"issuer": "https://op.example", "subject": "bob"}, 404, "not_found"),
        ({"issuer": "https://op.example"}, 400, "bad_request"),
        ({}, 400, "bad_request"),
    ],
)
async def test_what_can_not_be_removed_stays(
    lobby: Lobby, alice: Browser, form: dict[str, str], status: int, code: str
) -> None:
    await link(lobby, alice)
    await lobby.browser().sign_in("bob")
    reply = await lobby.tell(alice, "/@/account/unlink", form)
    assert (reply.status, reply.json["code"]) == (status, code)
    assert len(lobby.world.store.people._accounts) == 3


# Leaving


async def test_deleting_asks_then_deletes_everything(lobby: Lobby, alice: Browser) -> None:
    other = lobby.browser()
    await other.sign_in("alice")
    question = await lobby.get(alice, "/@/account/delete")
    assert Inert(question.text).forms == ["/@/account/delete"]
    done = await lobby.post(alice, "/@/account/delete")
    assert (done.status, "Your account is deleted" in done.text) == (200, True)
    assert alice.handle is None
    assert not await other.has_session()
    await lobby.world.signin.close()
    assert sorted(lobby.world.ops["google"].revoked) == [
        "google-alice-1 for good",
        "google-alice-2 for good",
    ]
    assert lobby.world.store.people.kept == {}
    assert lobby.world.store.grants._kept == {}


async def test_signing_out_everywhere(lobby: Lobby, alice: Browser) -> None:
    other = lobby.browser()
    await other.sign_in("alice")
    reply = await lobby.post(alice, "/@/account/signout", headers=OWN)
    assert (reply.status, reply.headers["location"]) == (303, "/@/signedout")
    assert alice.handle is None
    assert not await other.has_session()
    assert len(lobby.world.store.people.kept) == 1


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/@/account", {"GET", "HEAD"}),
        ("/@/account/register", {"GET", "HEAD", "POST"}),
        ("/@/account/register/cancel", {"POST"}),
        ("/@/account/link", {"GET", "HEAD", "POST"}),
        ("/@/account/link/github", {"POST"}),
        ("/@/account/unlink", {"POST"}),
        ("/@/account/export", {"GET", "HEAD"}),
        ("/@/account/delete", {"GET", "HEAD", "POST"}),
        ("/@/account/signout", {"POST"}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_path_takes_its_methods_and_no_other(
    lobby: Lobby, path: str, methods: set[str], method: str
) -> None:
    reply = await lobby.ask(path, method, OWN, await lobby.browser().visit())
    assert (reply.status == 405) is (method not in methods)
    assert reply.status < 500
    if reply.status == 405:
        assert {one.strip() for one in reply.headers["allow"].split(",")} == methods
    else:
        assert_guarded(reply)
