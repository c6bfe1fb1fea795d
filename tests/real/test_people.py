"""People through the whole gateway, by two real providers: registering, linking, one's own page, being blocked."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from tests.ports import Ports
from tests.real.club import Club, Person, open_club

pytestmark = pytest.mark.real

Open = Callable[..., Awaitable[Club]]
FORM = """
people {
  registration = "form"
  terms_url    = "https://example.com/terms"
  field "company" {
    label    = "Company"
    required = true
  }
}
"""
FILLED = {"name": "Alice Liddell", "login": "alice", "company": "Wonderland", "terms": "yes"}


@pytest.fixture
async def opened(openid, gateway, ports: Ports) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def start(people: str = "", **options: str) -> Club:
            return await stack.enter_async_context(
                open_club(openid, gateway, ports, people=people, **options)
            )

        yield start


def says(text: str) -> str:
    """The words of a page, as a person reads them."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


# Who may in


async def test_closed_lets_nobody_new_in_and_says_so(opened: Open) -> None:
    club = await opened('people { registration = "closed" }')
    alice = club.person()
    answer = await alice.come("alice")
    assert answer.status == 403
    assert "No new accounts" in says(answer.text)
    assert "/@/signin?prompt=select_account" in answer.text
    assert await alice.id() == ""
    assert await club.users() == []


async def test_only_invited_people_get_in_once(opened: Open) -> None:
    club = await opened('people { registration = "invite" }')
    alice, mallory = club.person(), club.person()
    assert "By invitation only" in says((await alice.come("alice")).text)
    invitation = await club.invite(email="alice@example.com")
    # Mallory's provider says the same address, and doesn't say that it is verified.
    assert (await mallory.come("mallory")).status == 403
    user = await alice.sign_in("alice")
    status, used = await club.admin("GET", f"/invitations/{invitation}")
    assert (status, used["used_by"]) == (200, user)
    # The same address by another provider is another newcomer, and the invitation is used up.
    assert (await club.person().come("alice", "club")).status == 403
    assert await alice.sign_in("alice") == user


async def test_of_two_who_race_for_one_invitation_one_gets_in(opened: Open) -> None:
    club = await opened("people { allow_all_users = false }")
    await club.invite(email="alice@example.com")
    one, two = club.person(), club.person()
    callbacks = [
        await one.authorize(await one.begin("op"), "alice"),
        await two.authorize(await two.begin("club"), "alice"),
    ]
    answers = await asyncio.gather(one.get(callbacks[0]), two.get(callbacks[1]))
    assert sorted(answer.status for answer in answers) == [303, 403]
    assert len(await club.users()) == 1


async def test_an_expired_invitation_is_none(opened: Open) -> None:
    club = await opened("people { allow_all_users = false }")
    await club.invite(email="alice@example.com", expires_at=1_700_000_001.0)
    assert (await club.person().come("alice")).status == 403


async def test_only_verified_addresses_of_allowed_domains_get_in(opened: Open) -> None:
    club = await opened('people { allowed_domains = ["example.com"] }')
    assert await club.person().sign_in("bob")
    for who, provider in (("carol", "club"), ("eve", "club"), ("mallory", "op")):
        answer = await club.person().come(who, provider)
        assert (answer.status, "This address can’t be used here" in says(answer.text)) == (403, True)
    assert [user["email"] for user in await club.users()] == ["bob@example.com"]


async def test_two_callbacks_at_once_make_one_user(opened: Open) -> None:
    club = await opened()
    people = [club.person() for _ in range(6)]
    callbacks = [await one.authorize(await one.begin("op"), "alice") for one in people]
    answers = await asyncio.gather(
        *(one.get(callback) for one, callback in zip(people, callbacks, strict=True))
    )
    assert {answer.status for answer in answers} == {303}
    assert len({await one.id() for one in people}) == 1
    assert len(await club.users()) == 1


# The form


async def waiting(club: Club, who: str = "alice") -> Person:
    """A newcomer before the form."""
    person = club.person()
    answer = await person.come(who, rd="/deep")
    assert (answer.status, answer.location) == (303, "/@/account/register"), answer.text
    return person


async def test_the_form_makes_the_account_and_nothing_before_it_does(opened: Open) -> None:
    club = await opened(FORM)
    alice = await waiting(club)
    page = await alice.get("/@/account/register")
    assert page.status == 200
    assert 'value="Alice Ängström"' in page.text
    assert "Company" in page.text
    assert "https://example.com/terms" in page.text
    assert (await alice.id(), await club.users()) == ("", [])
    wrong = await alice.post("/@/account/register", {**FILLED, "name": "", "terms": ""})
    assert wrong.status == 422
    assert "Please fill this in" in says(wrong.text)
    assert 'value="Wonderland"' in wrong.text
    assert await club.users() == []
    done = await alice.post("/@/account/register", FILLED)
    assert (done.status, done.location) == (303, "/deep")
    user = await alice.id()
    [known] = await club.users()
    assert (known["id"], known["name"], known["email"]) == (user, "Alice Liddell", "alice@example.com")
    assert alice.cookie("-register") == ""
    # What was filled in outlives the next sign-in, which shows no form.
    assert await alice.sign_in("alice") == user
    account = await alice.account()
    assert (account["user"]["name"], account["user"]["profile"]["company"]) == ("Alice Liddell", "Wonderland")
    assert ["User-Name", "Alice%20Liddell"] in (await alice.get("/")).json["headers"]


async def test_an_app_registers_by_json(opened: Open) -> None:
    club = await opened(FORM)
    alice = await waiting(club)
    form = await alice.ask("GET", "/@/account/register", {"Accept": "application/json"})
    assert [one["name"] for one in form.json["fields"]] == ["name", "login", "company", "terms"]
    assert form.json["known"]["email"] == "alice@example.com"
    wrong = await alice.tell("/@/account/register", {"name": "A"})
    assert (wrong.status, wrong.headers["Content-Type"]) == (422, "application/problem+json")
    assert {(fault["path"], fault["code"]) for fault in wrong.json["faults"]} == {
        ("company", "missing"),
        ("terms", "not_accepted"),
    }
    made = await alice.tell("/@/account/register", {**FILLED, "terms": True})
    assert (made.status, made.json) == (201, {"user": {"id": await alice.id()}, "location": "/deep"})
    again = await alice.tell("/@/account/register", {**FILLED, "terms": True})
    assert (again.status, again.json["code"]) == (400, "registration_expired")


async def test_cancelling_leaves_nothing(opened: Open) -> None:
    club = await opened(FORM)
    alice = await waiting(club)
    key = alice.cookie("-register")
    assert (await alice.post("/@/account/register/cancel")).status == 303
    assert alice.cookie("-register") == ""
    again = await alice.post(
        "/@/account/register", FILLED, Cookie=f"vestibule-{club.gateway.port}-register={key}"
    )
    assert again.status == 400
    assert await club.users() == []
    assert key not in club.gateway.log


async def test_of_two_who_send_the_form_at_once_one_makes_the_account(opened: Open) -> None:
    club = await opened(FORM)
    alice = await waiting(club)
    answers = await asyncio.gather(*(alice.post("/@/account/register", FILLED) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [303, 400, 400, 400, 400]
    assert len(await club.users()) == 1


async def test_the_same_newcomer_in_two_browsers_becomes_one_user(opened: Open) -> None:
    club = await opened(FORM)
    one, two = await waiting(club), await waiting(club)
    assert (await one.post("/@/account/register", FILLED)).status == 303
    assert (await two.post("/@/account/register", {**FILLED, "name": "Other"})).status == 303
    assert await one.id() == await two.id()
    assert [user["name"] for user in await club.users()] == ["Alice Liddell"]


# Linking


async def test_a_linked_account_is_another_way_to_the_same_person(opened: Open) -> None:
    club = await opened()
    alice = club.person()
    user = await alice.sign_in("alice")
    proven = await alice.prove("carol")
    assert proven.status == 303
    assert proven.location.startswith("/@/account/link?key=")
    page = await alice.get(proven.location)
    assert "carol@club.example at Club" in says(page.text)
    assert len((await alice.account())["accounts"]) == 1
    done = await alice.post("/@/account/link", page.hidden)
    assert (done.status, done.location) == (303, "/@/account")
    account = await alice.account()
    assert [one["kind"] for one in account["accounts"]] == ["oidc", "oidc"]
    assert account["offers"] == []
    assert await alice.id() == user
    assert await club.person().sign_in("carol", "club") == user
    assert len(await club.users()) == 1


async def test_somebody_elses_account_is_never_moved(opened: Open) -> None:
    club = await opened()
    carol, alice = club.person(), club.person()
    carols, alices = await carol.sign_in("carol", "club"), await alice.sign_in("alice")
    answer = await alice.prove("carol")
    assert (answer.status, "belongs to somebody else" in says(answer.text)) == (403, True)
    assert len((await alice.account())["accounts"]) == 1
    assert await club.person().sign_in("carol", "club") == carols != alices


async def test_an_account_that_came_to_belong_to_somebody_before_the_confirmation_stays_theirs(
    opened: Open,
) -> None:
    club = await opened()
    alice = club.person()
    await alice.sign_in("alice")
    page = await alice.get((await alice.prove("carol")).location)
    carols = await club.person().sign_in("carol", "club")
    assert (await alice.post("/@/account/link", page.hidden)).status == 403
    assert await club.person().sign_in("carol", "club") == carols


async def test_signing_in_elsewhere_while_signed_in_links_nothing(opened: Open) -> None:
    club = await opened()
    alice = club.person()
    user = await alice.sign_in("alice")
    assert (await alice.come("carol", "club")).status == 303
    assert await alice.id() == user
    assert len((await alice.account())["accounts"]) == 1
    assert await club.person().sign_in("carol", "club") != user


async def test_an_account_can_be_removed_but_not_the_one_in_use_and_not_the_last(opened: Open) -> None:
    club = await opened()
    alice = club.person()
    await alice.sign_in("alice")
    await alice.link("carol")
    elsewhere = club.person()
    await elsewhere.sign_in("carol", "club")
    office, other = (await alice.account())["accounts"]
    assert (office["can_be_removed"], other["can_be_removed"]) == (False, True)

    def of(account: dict[str, str]) -> dict[str, str]:
        return {"issuer": account["issuer"], "subject": account["subject"]}

    assert "signed in with that account" in says((await alice.post("/@/account/unlink", of(office))).text)
    assert (await alice.post("/@/account/unlink", of(other))).status == 303
    assert await elsewhere.id() == ""
    assert (await alice.post("/@/account/unlink", of(other))).status == 404
    assert len((await alice.account())["accounts"]) == 1


async def test_addresses_link_where_both_are_verified_and_the_operator_allows_it(opened: Open) -> None:
    club = await opened("people { link_verified_emails = true }")
    user = await club.person().sign_in("alice")
    assert await club.person().sign_in("eve", "club") != user  # says the address, unverified
    assert await club.person().sign_in("mallory") != user
    assert await club.person().sign_in("alice", "club") == user
    assert len(await club.users()) == 3


async def test_the_same_address_is_another_person_where_the_operator_says_nothing(opened: Open) -> None:
    club = await opened()
    assert await club.person().sign_in("alice") != await club.person().sign_in("alice", "club")


async def test_a_provider_is_not_believed_about_addresses_outside_its_domains(opened: Open) -> None:
    club = await opened("people { link_verified_emails = true }", more='email_domains = ["club.example"]')
    user = await club.person().sign_in("alice")
    impostor = club.person()
    assert await impostor.sign_in("alice", "club") != user
    assert (await impostor.account())["user"]["email"] == ""


# One's own page


async def test_the_account_page_says_who_one_is_and_asks_to_sign_in_before(opened: Open) -> None:
    club = await opened()
    alice = club.person()
    to_sign_in = await alice.get("/@/account")
    assert (to_sign_in.status, to_sign_in.location) == (303, "/@/signin?rd=%2F%40%2Faccount")
    await alice.sign_in("alice")
    page = await alice.get("/@/account")
    text = says(page.text)
    assert (page.status, page.headers["Cache-Control"]) == (200, "no-store")
    for words in ("Alice Ängström", "alice@example.com", "admins", "Office", "Club", "Delete my account"):
        assert words in text
    assert "<script" not in page.text


async def test_data_is_exported_without_tokens_and_deleted_with_everything(opened: Open) -> None:
    club = await opened("people { allow_all_users = false }")
    await club.invite(email="alice@example.com")
    alice, elsewhere = club.person(), club.person()
    user = await alice.sign_in("alice")
    await elsewhere.sign_in("alice")
    export = await alice.get("/@/account/export")
    assert export.headers["Content-Disposition"] == 'attachment; filename="account.json"'
    assert export.json["user"]["id"] == user
    assert [one["email"] for one in export.json["accounts"]] == ["alice@example.com"]
    assert len(export.json["sessions"]) == 2
    assert [one["email"] for one in export.json["invitations"]] == ["alice@example.com"]
    assert export.json["app_tokens"] == []
    for canary in ("token", alice.cookie(str(club.gateway.port)), "eyJ"):
        assert canary not in export.text.replace('"app_tokens"', "")
    assert "can’t be undone" in says((await alice.get("/@/account/delete")).text)
    deleted = await alice.post("/@/account/delete")
    assert "Your account is deleted" in says(deleted.text)
    assert (await alice.id(), await elsewhere.id(), await club.users()) == ("", "", [])
    async with asyncio.timeout(60):  # revocations go in the background
        while club.office.counts().get("POST /token/revocation", 0) < 2:
            await asyncio.sleep(0.05)
    assert (await alice.come("alice")).status == 403  # a newcomer again, and the invitation is used up


async def test_signing_out_everywhere_ends_every_session(opened: Open) -> None:
    club = await opened()
    alice, elsewhere = club.person(), club.person()
    await alice.sign_in("alice")
    await elsewhere.sign_in("alice")
    assert (await alice.post("/@/account/signout")).location == "/@/signedout"
    assert (await alice.id(), await elsewhere.id()) == ("", "")


# Being blocked


async def test_blocking_ends_sessions_and_open_connections_at_once(opened: Open, ports: Ports) -> None:
    async def talk(connection):
        await connection.send("hello")
        await connection.wait_closed()

    port = ports.take()
    async with serve(talk, "127.0.0.1", port):
        club = await opened(backend=f"127.0.0.1:{port}")
        alice, bob = club.person(), club.person()
        user = await alice.sign_in("alice")
        await bob.sign_in("bob")
        cookies = {one.key: one.value for one in alice.visitor.cookie_jar}
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items() if "vestibule" in name)
        async with connect(
            f"ws://app.localhost:{club.gateway.port}/",
            additional_headers={"Cookie": cookie},
            host="127.0.0.1",
            port=club.gateway.port,
            proxy=None,
        ) as socket:
            assert await socket.recv() == "hello"
            status, blocked = await club.admin("POST", f"/users/{user}/block")
            assert (status, blocked["disabled"]) == (200, True)
            assert await alice.id() == ""
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 30)
        answer = await alice.come("alice")
        assert (answer.status, "switched off" in says(answer.text)) == (403, True)
        assert await bob.id()
        assert (await club.admin("POST", f"/users/{user}/unblock"))[0] == 200
        assert await alice.sign_in("alice") == user


async def test_deleting_by_the_operator_ends_sessions_at_once(opened: Open) -> None:
    club = await opened()
    alice = club.person()
    user = await alice.sign_in("alice")
    assert (await club.admin("DELETE", f"/users/{user}"))[0] == 204
    assert await alice.id() == ""
    assert await alice.sign_in("alice") != user


# Answers by form


async def test_an_answer_by_form_signs_in_by_the_get_that_follows(opened: Open) -> None:
    club = await opened(more="form_post = true")
    carol = club.person()
    callback, form = await posted(carol, await carol.begin("club", "/deep"), "carol")
    parked = await carol.post(callback, form, Origin="null", **{"Sec-Fetch-Site": "cross-site"})
    assert (parked.status, "code" in parked.location) == (303, False)
    assert parked.headers.getall("Set-Cookie", []) == []
    done = await carol.get(parked.location)
    assert (done.status, done.location) == (303, "/deep"), done.text
    assert await carol.id()
    # Loaded again it leads where it led; in another browser it is nothing.
    assert (await carol.get(parked.location)).location == "/deep"
    assert (await club.person().get(parked.location)).status == 400


async def posted(person: Person, to: str, who: str) -> tuple[str, dict[str, str]]:
    """Where the provider has the browser post, and what."""
    here = to
    for _ in range(12):
        answer = await person.get(here)
        if answer.location:
            here = str(answer.url.join(type(answer.url)(answer.location, encoded=True)))
        elif found := re.search(r'<form method="post" action="([^"]+)"', answer.text):
            return html.unescape(found[1]), answer.hidden
        else:
            here = str(answer.url.join(type(answer.url)(f"?as={who}")))
    raise AssertionError(f"the provider never posts: {here}")
