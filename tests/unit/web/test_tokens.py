"""App tokens on a person's own page: who makes which, once, and who ends them."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from tests.unit.service.test_signin import Browser
from tests.unit.web.asgi import XSS, Inert, Reply
from tests.unit.web.lobby import JSON, Lobby
from tests.unit.web.test_app import assert_guarded
from vestibule.core.app_token import DAY_S, READS, is_token
from vestibule.core.domain import Domain
from vestibule.core.route import Host, RouteTable
from vestibule.model import AppToken
from vestibule.service.linking import FRESH_S
from vestibule.store.base_events import AuditFilter

PATH = "/@/account/tokens"
GOOD = {"name": "laptop", "path": "/alice/repo/", "reads": "yes", "days": "30"}


@pytest.fixture
def lobby() -> Lobby:
    lobby = Lobby()
    lobby.world.host = replace(lobby.world.host, app_tokens=True)
    return lobby


@pytest.fixture
async def alice(lobby: Lobby) -> Browser:
    browser = lobby.browser()
    await browser.sign_in("alice")
    return browser


async def key_of(lobby: Lobby, browser: Browser) -> str:
    reply = await lobby.get(browser, PATH)
    assert reply.status == 200
    key = re.search(r'name="key" value="([^"]+)"', reply.text)
    assert key
    return key[1]


async def made(lobby: Lobby, browser: Browser, **more: str) -> Reply:
    return await lobby.post(browser, PATH, {**GOOD, "key": await key_of(lobby, browser), **more})


async def kept(lobby: Lobby, browser: Browser) -> tuple[AppToken, ...]:
    return await lobby.minting.tokens.of_user((await browser.session()).user_id)


def text_of(reply: Reply) -> str:
    found = re.findall(r"vst_app_\w+", reply.text)
    assert len(found) == 1
    assert is_token(found[0])
    return found[0]


# Making one


async def test_a_token_is_made_as_the_form_says_and_shown_once(lobby: Lobby, alice: Browser) -> None:
    reply = await made(lobby, alice)
    assert reply.status == 201
    assert_guarded(reply)
    assert reply.headers["cache-control"] == "no-store"
    Inert(reply.text)
    text = text_of(reply)
    [token] = await kept(lobby, alice)
    assert (token.name, token.host, token.prefixes) == ("laptop", "app.example", ("/alice/repo",))
    assert token.methods == READS
    assert token.expires_at == lobby.world.clock.now() + 30 * DAY_S
    shown = await lobby.get(alice, "/@/account")
    assert "laptop" in shown.text
    assert text not in shown.text
    assert text not in repr(lobby.logged)
    assert [line["event"] for line in lobby.logged] == ["app_token_made"]


@pytest.mark.parametrize("path", ["", "/", " / "], ids=repr)
async def test_without_a_path_it_is_good_for_the_whole_host_and_all_methods_if_wanted(
    lobby: Lobby, alice: Browser, path: str
) -> None:
    assert (await made(lobby, alice, path=path, reads="")).status == 201
    [token] = await kept(lobby, alice)
    assert (token.prefixes, token.methods) == ((), ())


async def test_a_form_that_was_sent_makes_no_second_token(lobby: Lobby, alice: Browser) -> None:
    form = {**GOOD, "key": await key_of(lobby, alice)}
    assert (await lobby.post(alice, PATH, form)).status == 201
    again = await lobby.post(alice, PATH, form)
    assert again.status == 400
    assert "vst_app_" not in again.text
    assert len(await kept(lobby, alice)) == 1


async def test_a_form_is_good_in_its_own_session_only(lobby: Lobby, alice: Browser) -> None:
    other = lobby.browser()
    await other.sign_in("bob")
    form = {**GOOD, "key": await key_of(lobby, other)}
    assert (await lobby.post(alice, PATH, form)).status == 400
    assert await kept(lobby, alice) == ()


@pytest.mark.parametrize("key", ["", "x", "A" * 43], ids=repr)
async def test_without_the_form_there_is_no_token(lobby: Lobby, alice: Browser, key: str) -> None:
    assert (await lobby.post(alice, PATH, {**GOOD, "key": key})).status == 400
    assert await kept(lobby, alice) == ()


async def test_it_takes_a_fresh_sign_in_and_leads_back(lobby: Lobby, alice: Browser) -> None:
    key = await key_of(lobby, alice)
    lobby.world.clock.move(FRESH_S)
    page = await lobby.get(alice, PATH)
    assert page.status == 403
    assert "/@google/signin?prompt=login&amp;rd=%2F%40%2Faccount%2Ftokens" in page.text
    sent = await lobby.post(alice, PATH, {**GOOD, "key": key})
    assert sent.status == 403
    told = await lobby.get(alice, PATH, **JSON)
    assert (told.status, told.json["is_fresh"]) == (200, False)
    assert "key" not in told.json
    assert await kept(lobby, alice) == ()


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "x" * 101}, ["name"]),
        ({"name": "a\tb"}, ["name"]),
        ({"days": "366"}, ["days"]),
        ({"days": "0"}, ["days"]),
        ({"days": ""}, ["days"]),
        ({"days": "-1"}, ["days"]),
        ({"days": "٣"}, ["days"]),
        ({"path": "repo"}, ["path"]),
        ({"path": "/a/*"}, ["path"]),
        ({"path": "/a;b"}, ["path"]),
        ({"path": "/a/../../b%2F"}, ["path"]),
        ({"host": "other.example"}, ["host"]),
        ({"host": ""}, ["host"]),
        ({"name": "", "days": "x"}, ["name", "days"]),
    ],
    ids=repr,
)
async def test_what_is_wrong_stands_beside_its_field_and_the_form_stays_good(
    lobby: Lobby, alice: Browser, sent: dict[str, str], wrong: list[str]
) -> None:
    key = await key_of(lobby, alice)
    told = await lobby.tell(alice, PATH, {**GOOD, "key": key, **sent})
    assert told.status == 422
    assert {fault["path"] for fault in told.json["faults"]} == set(wrong)
    page = await lobby.post(alice, PATH, {**GOOD, "key": key, **sent})
    assert page.status == 422
    assert f'name="key" value="{key}"' in page.text
    assert await kept(lobby, alice) == ()
    assert (await lobby.post(alice, PATH, {**GOOD, "key": key})).status == 201


async def test_too_many_are_refused(lobby: Lobby, alice: Browser) -> None:
    for _ in range(100):
        await made(lobby, alice)
    reply = await made(lobby, alice)
    assert reply.status == 409
    assert len(await kept(lobby, alice)) == 100


async def test_programs_make_one_by_json(lobby: Lobby, alice: Browser) -> None:
    told = (await lobby.get(alice, PATH, **JSON)).json
    assert (told["items"], told["hosts"], told["max_days"]) == ([], ["app.example"], 365)
    reply = await lobby.tell(alice, PATH, {"key": told["key"], "name": "ci", "days": "7", "reads": True})
    assert reply.status == 201
    assert is_token(reply.json["token"])
    assert (reply.json["host"], reply.json["paths"], reply.json["methods"]) == (
        "app.example",
        [],
        list(READS),
    )
    [item] = (await lobby.get(alice, PATH, **JSON)).json["items"]
    assert item == {name: value for name, value in reply.json.items() if name != "token"}


# Where


async def test_a_host_that_takes_none_offers_none(lobby: Lobby, alice: Browser) -> None:
    lobby.world.host = replace(lobby.world.host, app_tokens=False)
    assert PATH not in (await lobby.get(alice, "/@/account")).text
    page = await lobby.get(alice, PATH)
    assert page.status == 200
    assert "<form" not in page.text
    told = (await lobby.get(alice, PATH, **JSON)).json
    assert told["hosts"] == []
    assert "key" not in told
    sent = await lobby.tell(alice, PATH, {**GOOD, "key": "x", "host": "app.example"})
    assert sent.status == 422


async def test_where_people_sign_in_for_a_domain_they_choose_among_its_hosts(
    lobby: Lobby, alice: Browser
) -> None:
    domain = Domain(name="example", auth=b"app.example")
    other = replace(domain, name="other", auth=b"auth.other")

    def host(name: str, domain: Domain | None, *, app_tokens: bool = True) -> Host:
        return Host(name=name.encode(), title="", clients={}, domain=domain, app_tokens=app_tokens)

    lobby.world.host = replace(lobby.world.host, domain=domain, app_tokens=False)
    table = RouteTable(
        (
            lobby.world.host,
            host("git.example", domain),
            host("dav.example", domain),
            host("closed.example", domain, app_tokens=False),
            host("git.other", other),
            host("alone.example", None),
        )
    )
    lobby.minting.use(table)
    page = await lobby.get(alice, PATH)
    assert re.findall(r"<option[^>]*>([^<]+)", page.text)[:2] == ["git.example", "dav.example"]
    assert "closed.example" not in page.text
    assert (await made(lobby, alice, host="dav.example")).status == 201
    assert (await made(lobby, alice, host="git.other")).status == 422
    assert [token.host for token in await kept(lobby, alice)] == ["dav.example"]


# Seeing and ending


async def test_the_page_lists_what_there_is(lobby: Lobby, alice: Browser) -> None:
    await made(lobby, alice)
    [token] = await kept(lobby, alice)
    text = (await lobby.get(alice, "/@/account")).text
    assert "app.example/alice/repo" in text
    assert "never used" in text
    assert "read only" in text
    assert "good until" in text
    await lobby.minting.tokens.seen(((token.id, lobby.world.clock.now()),))
    lobby.world.clock.move(31 * DAY_S)
    await alice.sign_in("alice")
    text = (await lobby.get(alice, "/@/account")).text
    assert "last used" in text
    assert "expired on" in text


async def test_names_are_escaped(lobby: Lobby, alice: Browser) -> None:
    name = "".join(char for char in XSS if char.isprintable())[:100]
    reply = await made(lobby, alice, name=name)
    assert reply.status == 201
    Inert(reply.text)
    Inert((await lobby.get(alice, "/@/account")).text)


async def test_one_is_revoked_by_its_owner_without_a_fresh_sign_in(lobby: Lobby, alice: Browser) -> None:
    await made(lobby, alice)
    [token] = await kept(lobby, alice)
    other = lobby.browser()
    await other.sign_in("bob")
    assert (await lobby.post(other, f"{PATH}/revoke", {"id": token.id})).status == 404
    lobby.world.clock.move(FRESH_S)
    assert (await lobby.post(alice, f"{PATH}/revoke", {})).status == 400
    reply = await lobby.post(alice, f"{PATH}/revoke", {"id": token.id})
    assert (reply.status, reply.headers["location"]) == (303, "/@/account")
    assert await kept(lobby, alice) == ()


async def test_the_export_and_the_account_for_programs_say_what_there_is(
    lobby: Lobby, alice: Browser
) -> None:
    text = text_of(await made(lobby, alice))
    for path in ("/@/account/export", "/@/account"):
        reply = await lobby.get(alice, path, **JSON)
        [token] = reply.json["app_tokens"]
        assert (token["name"], token["host"]) == ("laptop", "app.example")
        assert text not in reply.text


# Who may not


async def test_that_one_was_made_or_ended_stands_in_the_trail(lobby: Lobby, alice: Browser) -> None:
    user_id = (await alice.session()).user_id
    assert (await made(lobby, alice)).status == 201
    [token] = await kept(lobby, alice)
    await lobby.post(alice, f"{PATH}/revoke", {"id": token.id})
    ended, began = await lobby.world.store.audit.list(AuditFilter())
    told = {"name": "laptop", "host": "app.example", "paths": ["/alice/repo"]}
    assert (began.action, began.detail) == ("app_token.created", {"after": told})
    assert (ended.action, ended.detail) == ("app_token.revoked", {"before": told})
    for event in (began, ended):
        assert (event.target, event.user_id, event.actor) == (
            f"app token {token.id}",
            user_id,
            f"user {user_id}",
        )


async def test_nobody_makes_or_revokes_one_without_a_person(lobby: Lobby) -> None:
    browser = lobby.browser()
    assert (await lobby.get(browser, PATH)).status == 401
    assert (await lobby.post(browser, PATH, GOOD)).status == 401
    assert (await lobby.post(browser, f"{PATH}/revoke", {"id": "x"})).status == 401


@pytest.mark.parametrize("path", [PATH, f"{PATH}/revoke"])
async def test_pages_of_other_sites_make_and_revoke_none(lobby: Lobby, alice: Browser, path: str) -> None:
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    reply = await lobby.post(alice, path, {**GOOD, "key": await key_of(lobby, alice)}, foreign)
    assert (reply.status, await kept(lobby, alice)) == (403, ())
