"""Taking over, moving and forging accounts: each attack of attacks.md sections O and S that people's own pages meet."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from tests.ports import Ports
from tests.real.club import JSON, Club, Person, open_club

pytestmark = pytest.mark.real

FORM = 'people { registration = "form" }'
POSTS = (
    "/@/account/register",
    "/@/account/register/cancel",
    "/@/account/link",
    "/@/account/link/club",
    "/@/account/unlink",
    "/@/account/delete",
    "/@/account/signout",
)
ELSEWHERE = (
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://evil.localhost", "Sec-Fetch-Site": "same-site"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "", "Sec-Fetch-Site": "same-origin"},
)


@pytest.fixture
async def club(openid, gateway, ports: Ports) -> AsyncIterator[Club]:
    async with open_club(openid, gateway, ports) as club:
        yield club


@pytest.fixture
async def form_club(openid, gateway, ports: Ports) -> AsyncIterator[Club]:
    async with open_club(openid, gateway, ports, people=FORM) as club:
        yield club


async def key_of(person: Person, who: str = "carol") -> str:
    """The key of an account that was proven and waits for its confirmation."""
    proven = await person.prove(who)
    assert proven.status == 303, proven.text
    return proven.location.partition("key=")[2]


async def test_s9_no_other_sites_form_acts_on_an_account(club: Club) -> None:
    """S9: a page of another site posts with the person's cookie, as a browser would send it."""
    alice = club.person()
    user = await alice.sign_in("alice")
    key = await key_of(alice)
    account = (await alice.account())["accounts"][0]
    form = {"key": key, "issuer": account["issuer"], "subject": account["subject"], "name": "x"}
    for path in POSTS:
        for headers in ELSEWHERE:
            answer = await alice.post(path, form, **headers)
            assert (answer.status, answer.headers.getall("Set-Cookie", [])) == (403, []), (path, headers)
    assert await alice.id() == user
    assert len((await alice.account())["accounts"]) == 1
    assert (await alice.post("/@/account/link", {"key": key})).status == 303


async def test_a_link_begun_in_one_browser_is_not_finished_in_another(club: Club) -> None:
    """O7, S2: Mallory has Alice's browser finish what Mallory began, to sign in as Alice later; and the reverse."""
    alice, mallory = club.person(), club.person()
    await alice.sign_in("alice")
    await mallory.sign_in("bob")
    begun = await mallory.post("/@/account/link/club")
    callback = await mallory.authorize(begun.headers["Refresh"].partition("url=")[2], "carol")
    assert (await alice.get(callback)).status == 400
    flow = {name: value for name, value in cookies_of(mallory).items() if "-flow-" in name}
    assert flow
    planted = {**cookies_of(alice), **flow}
    answer = await alice.get(callback, Cookie="; ".join(f"{name}={value}" for name, value in planted.items()))
    assert answer.status in {400, 403}
    # Nor is what Mallory proved herself confirmed by Alice.
    key = await key_of(mallory, "eve")
    assert (await alice.get(f"/@/account/link?key={key}")).status == 400
    assert (await alice.post("/@/account/link", {"key": key})).status == 400
    assert len((await alice.account())["accounts"]) == 1


def cookies_of(person: Person) -> dict[str, str]:
    return {one.key: one.value for one in person.visitor.cookie_jar if "vestibule" in one.key}


async def test_a_confirmation_is_neither_replayed_nor_guessed_nor_raced(club: Club) -> None:
    alice = club.person()
    await alice.sign_in("alice")
    key = await key_of(alice)
    for guess in ("", "A" * 43, secrets.token_urlsafe(32), key[:-1], key + "A", key.swapcase()):
        assert (await alice.post("/@/account/link", {"key": guess})).status == 400
    answers = await asyncio.gather(*(alice.post("/@/account/link", {"key": key}) for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [303, 400, 400, 400, 400, 400]
    account = (await alice.account())["accounts"][1]
    removed = {"issuer": account["issuer"], "subject": account["subject"]}
    assert (await alice.post("/@/account/unlink", removed)).status == 303
    assert (await alice.post("/@/account/link", {"key": key})).status == 400
    assert len((await alice.account())["accounts"]) == 1


async def test_two_who_link_the_same_account_at_once_do_not_share_it(club: Club) -> None:
    alice, bob = club.person(), club.person()
    users = [await alice.sign_in("alice"), await bob.sign_in("bob")]
    keys = [await key_of(alice), await key_of(bob)]
    answers = await asyncio.gather(
        alice.post("/@/account/link", {"key": keys[0]}), bob.post("/@/account/link", {"key": keys[1]})
    )
    assert sorted(answer.status for answer in answers) == [303, 403]
    winner = users[[answer.status for answer in answers].index(303)]
    assert await club.person().sign_in("carol", "club") == winner


async def test_an_address_takes_no_account_over(openid, gateway, ports: Ports) -> None:
    """O1, O2 (nOAuth): the same address, unverified or verified elsewhere, is another person."""
    people = "people { link_verified_emails = true }"
    async with open_club(openid, gateway, ports, people=people) as club:
        alice = await club.person().sign_in("alice")
        # unverified at either provider
        assert await club.person().sign_in("mallory", "op") != alice
        assert await club.person().sign_in("eve", "club") != alice
        # and the other way round: who came first with an unverified address gets nobody's account later
        eve = await club.person().sign_in("eve", "club")
        assert await club.person().sign_in("alice", "club") == alice != eve


async def test_somebody_elses_registration_cookie_is_good_for_nothing_but_theirs(form_club: Club) -> None:
    alice, mallory = form_club.person(), form_club.person()
    for person, who in ((alice, "alice"), (mallory, "mallory")):
        answer = await person.come(who)
        assert answer.location == "/@/account/register"
    name = f"vestibule-{form_club.gateway.port}-register"
    stolen = alice.cookie("-register")
    # sent twice: none counts
    both = f"{name}={mallory.cookie('-register')}; {name}={stolen}"
    stranger = form_club.person()  # whose jar is empty: what is sent is what stands here
    assert (await stranger.get("/@/account/register", Cookie=both)).status == 400
    for guess in ("A" * 43, stolen[:-1], stolen.swapcase(), secrets.token_urlsafe(32), '"', "%00"):
        answer = await stranger.get("/@/account/register", Cookie=f"{name}={guess}")
        assert answer.status == 400
    assert (await mallory.post("/@/account/register", {"name": "Mallory"})).status == 303
    assert (await alice.post("/@/account/register", {"name": "Alice"})).status == 303
    users = {user["name"]: user for user in await form_club.users()}
    assert set(users) == {"Mallory", "Alice"}
    assert users["Mallory"]["email"] == ""
    assert users["Alice"]["id"] == await alice.id()


async def test_parked_answers_are_neither_guessed_nor_replayed_nor_taken_elsewhere(
    openid, gateway, ports: Ports
) -> None:
    async with open_club(openid, gateway, ports) as club:
        carol, mallory = club.person(), club.person()
        callback = await carol.authorize(await carol.begin("club", "/deep"), "carol")
        query = callback.partition("?")[2]
        sent = dict(part.split("=", 1) for part in query.split("&"))
        form = {name: value.replace("%3A", ":").replace("%2F", "/") for name, value in sent.items()}
        provider = {"Origin": club.club.issuer, "Sec-Fetch-Site": "cross-site"}
        parked = await mallory.post("/@club/callback", form, **provider)
        assert parked.status == 303
        place = parked.location
        # Who sent the form, and who guesses, get nothing by it.
        assert (await mallory.get(place)).status == 400
        guessed = place.replace("parked=", f"parked={secrets.token_urlsafe(32)}&x=")
        assert (await carol.get(guessed)).status == 400
        assert await carol.id() == ""
        # A guess in Carol's own browser has spoilt nothing: her flow's cookie was cleared, her flow wasn't used.
        again = await carol.authorize(await carol.begin("club", "/deep"), "carol")
        form = {
            name: value.replace("%3A", ":").replace("%2F", "/")
            for name, value in (part.split("=", 1) for part in again.partition("?")[2].split("&"))
        }
        place = (await mallory.post("/@club/callback", form, **provider)).location
        answers = await asyncio.gather(*(carol.get(place) for _ in range(4)))
        assert {answer.status for answer in answers} <= {303, 400}
        assert [answer.status for answer in answers].count(303) >= 1
        assert await carol.id()
        assert (await mallory.get(place)).status == 400
        assert await mallory.id() == ""
        # Without a state of ours nothing is kept at all.
        assert (await mallory.post("/@club/callback", {"state": "x", "code": "y"}, **provider)).status == 400
        too_large = await mallory.post("/@club/callback", {**form, "x": "y" * 70_000}, **provider)
        assert too_large.status == 413


async def test_a_session_that_is_not_fresh_changes_no_account(club: Club) -> None:
    """A handle that was stolen is not enough: only coming back from the provider makes a session fresh."""
    alice = club.person()
    await alice.sign_in("alice")
    database = club.gateway.directory / "state" / "vestibule.db"
    assert database.exists()
    # Adding credentials of another account leaves the time of the sign-in alone.
    before = (await alice.account())["signed_in_at"]
    await asyncio.sleep(1.1)
    assert (await alice.come("carol", "club")).status == 303
    assert (await alice.account())["signed_in_at"] == before
    assert (await alice.come("alice")).status == 303
    assert (await alice.account())["signed_in_at"] > before


async def test_nobody_reads_an_account_without_its_session(club: Club) -> None:
    alice, stranger = club.person(), club.person()
    await alice.sign_in("alice")
    for path in ("/@/account", "/@/account/export", "/@/account/delete", "/@/account/link?key=x"):
        answer = await stranger.ask("GET", path, JSON)
        assert answer.status == 401
        assert "alice" not in answer.text
    answer = await alice.ask("GET", "/@/account", {**JSON, "Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
