"""The devices on a person's own page: what is shown of them, and how they are signed out."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.unit.service.test_signin import Browser
from tests.unit.web.asgi import XSS, Inert
from tests.unit.web.lobby import JSON, Lobby
from tests.unit.web.test_app import assert_guarded
from vestibule.core.event import SESSION_CREATED, SESSION_ENDED, SESSION_NEW_DEVICE, SESSION_REVOKED_ALL
from vestibule.model import Device
from vestibule.service.registered_apps import NAMELESS, Registered
from vestibule.store.base_events import AuditFilter

ONE, OTHERS = "/@/account/devices/signout", "/@/account/devices/signout_others"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def lobby() -> Lobby:
    return Lobby()


@pytest.fixture
async def alice(lobby: Lobby) -> Browser:
    return await signed_in(lobby)


async def signed_in(lobby: Lobby, who: str = "alice") -> Browser:
    browser = lobby.browser()
    await browser.sign_in(who)
    return browser


async def devices(lobby: Lobby, browser: Browser) -> list[dict]:
    return (await lobby.get(browser, "/@/account", **JSON)).json["devices"]


async def told(lobby: Lobby) -> list[tuple[str, str]]:
    found = await lobby.devices.events._audit.list(AuditFilter())
    return [(event.action, event.actor) for event in reversed(found)]


async def phone_of(lobby: Lobby, browser: Browser, device: Device, service: str = "") -> str:
    """Another device of the same person; its session's id."""
    session = await browser.session()
    made, _ = await lobby.world.sessions.start(
        host="app.example",
        user_id=session.user_id,
        identities=session.identities,
        clients=(),
        device=device,
        now=lobby.world.clock.now() + 5,
    )
    if service:
        await lobby.world.sessions.update(made.id, lambda one: replace(one, made_by=service))
    return made.id


async def test_this_device_is_marked_and_has_no_button_of_its_own(lobby: Lobby, alice: Browser) -> None:
    reply = await lobby.get(alice, "/@/account")
    assert_guarded(reply)
    page = Inert(reply.text)
    words = " ".join(page.words)
    assert "Unknown browser" in words
    assert "This device" in words
    assert "192.0.2.1" in words
    assert not {ONE, OTHERS} & set(page.forms)


async def test_another_one_is_shown_with_its_button(lobby: Lobby, alice: Browser) -> None:
    await phone_of(lobby, alice, Device(user_agent=SAFARI, address="2001:db8::7"))
    reply = await lobby.get(alice, "/@/account")
    page = Inert(reply.text)
    words = " ".join(page.words)
    assert "Safari on iPhone" in words
    assert "2001:db8::7" in words
    assert words.index("This device") < words.index("Safari on iPhone")
    assert {ONE, OTHERS} <= set(page.forms)


async def test_programs_are_told_the_same_and_no_id_of_a_session(lobby: Lobby, alice: Browser) -> None:
    phone = await phone_of(lobby, alice, Device(user_agent=SAFARI, address="2001:db8::7"), service="billing")
    this, other = await devices(lobby, alice)
    assert (this["is_this"], this["browser"], this["address"]) == (True, "", "192.0.2.1")
    assert (other["is_this"], other["browser"], other["system"]) == (False, "Safari", "iPhone")
    assert (other["hosts"], other["made_by"]) == (["app.example"], "billing")
    assert other["created_at"] == "2027-01-15T08:00:05Z"
    shown = (await lobby.get(alice, "/@/account")).text + str((this, other))
    assert phone not in shown
    assert (await alice.session()).id not in shown
    assert "Made by the service billing" in shown


@pytest.mark.parametrize(("name", "shown"), [("Agent <b>7", "“Agent <b>7”"), (NAMELESS, "Safari on iPhone")])
async def test_an_app_that_registered_itself_has_its_own_name_in_quotation_marks(
    lobby: Lobby, alice: Browser, name: str, shown: str
) -> None:
    said = Registered(name=name, redirects=("http://localhost:1/cb",), registered_at=0.0)
    client_id = await lobby.programs.registered.register(await alice.visit(), said)
    phone = await phone_of(lobby, alice, Device(user_agent=SAFARI, address="2001:db8::7"))
    await lobby.world.sessions.update(phone, lambda one: replace(one, app=client_id))
    assert shown in " ".join(Inert((await lobby.get(alice, "/@/account")).text).words)
    (other,) = [one for one in await devices(lobby, alice) if not one["is_this"]]
    assert (other["app"], other["app_name"]) == (client_id, "" if name == NAMELESS else shown)


async def test_one_that_was_handed_on_is_a_device_with_its_hosts(lobby: Lobby, alice: Browser) -> None:
    await lobby.world.sessions.hand_on(
        await alice.session(), host="wiki.example", device=Device(), now=lobby.world.clock.now()
    )
    (this,) = await devices(lobby, alice)
    assert this["hosts"] == ["app.example", "wiki.example"]


async def test_one_is_signed_out_and_the_others_stay(lobby: Lobby, alice: Browser) -> None:
    phone = await signed_in(lobby)
    tablet = await signed_in(lobby)
    lobby.world.clock.move(1)
    others = [one for one in await devices(lobby, phone) if not one["is_this"]]
    (tablets,) = [one for one in await devices(lobby, tablet) if one["is_this"]]
    assert tablets["id"] in [one["id"] for one in others]
    reply = await lobby.post(alice, ONE, {"id": tablets["id"]})
    assert (reply.status, reply.headers["location"]) == (303, "/@/account")
    assert (await tablet.visit()).session is None
    assert (await phone.visit()).session is not None
    assert (await alice.visit()).session is not None


async def test_signing_out_this_one_by_its_id_takes_the_cookie_too(lobby: Lobby, alice: Browser) -> None:
    (this,) = await devices(lobby, alice)
    reply = await lobby.tell(alice, ONE, {"id": this["id"]})
    assert reply.json == {"signed_out": 1}
    assert alice.handle is None


@pytest.mark.parametrize("id_", ["x", "A" * 22, "é"])
async def test_one_that_is_gone_already_is_no_fault(lobby: Lobby, alice: Browser, id_: str) -> None:
    assert (await lobby.tell(alice, ONE, {"id": id_})).json == {"signed_out": 0}
    assert (await alice.visit()).session is not None


async def test_one_that_is_not_named_is(lobby: Lobby, alice: Browser) -> None:
    assert (await lobby.post(alice, ONE)).status == 400


async def test_nobody_signs_out_a_device_of_somebody_elses(lobby: Lobby, alice: Browser) -> None:
    bob = await signed_in(lobby, "bob")
    (his,) = await devices(lobby, bob)
    (hers,) = await devices(lobby, alice)
    assert his["id"] != hers["id"]
    assert (await lobby.tell(alice, ONE, {"id": his["id"]})).json == {"signed_out": 0}
    assert (await bob.visit()).session is not None


async def test_all_others_are_signed_out_and_this_one_stays(lobby: Lobby, alice: Browser) -> None:
    others = [await signed_in(lobby) for _ in range(3)]
    bob = await signed_in(lobby, "bob")
    assert (await lobby.tell(alice, OTHERS, {})).json == {"signed_out": 3}
    assert [(await one.visit()).session for one in others] == [None, None, None]
    assert (await alice.visit()).session is not None
    assert (await bob.visit()).session is not None
    assert len(await devices(lobby, alice)) == 1


async def test_an_old_sign_in_is_fresh_enough(lobby: Lobby, alice: Browser) -> None:
    other = await signed_in(lobby)
    lobby.world.clock.move(7200)
    assert (await lobby.tell(alice, OTHERS, {})).json == {"signed_out": 1}
    assert (await other.visit()).session is None


async def test_what_was_done_is_told_with_who_did_it(lobby: Lobby, alice: Browser) -> None:
    user = f"user {(await alice.session()).user_id}"
    await signed_in(lobby)
    await lobby.tell(alice, OTHERS, {})
    await lobby.post(alice, "/@/account/signout")
    assert await told(lobby) == [
        (SESSION_CREATED, user),
        (SESSION_CREATED, user),
        (SESSION_ENDED, user),
        (SESSION_ENDED, user),
        (SESSION_REVOKED_ALL, user),
    ]


async def test_a_browser_that_signs_in_gets_its_cookie_and_a_new_one_is_told_once(lobby: Lobby) -> None:
    first, second = lobby.browser(), lobby.browser()
    for browser in (first, second, first, second):
        state = await browser.begin()
        reply = await lobby.get(browser, f"/@google/callback?state={state}&code=alice")
        assert reply.status == 303
        assert "__Host-vestibule-device" in browser.cookies
    assert [action for action, _ in await told(lobby)].count(SESSION_NEW_DEVICE) == 1


async def test_the_export_has_what_is_remembered_and_what_happened(lobby: Lobby) -> None:
    browser = lobby.browser()
    state = await browser.begin()
    await lobby.get(browser, f"/@google/callback?state={state}&code=alice")
    export = (await lobby.get(browser, "/@/account/export")).json
    assert [one["networks"] for one in export["devices"]] == [["192.0.2.0/24"]]
    assert [one["action"] for one in export["events"]] == [SESSION_CREATED]


@pytest.mark.parametrize("evil", XSS)
async def test_what_a_browser_says_of_itself_is_text(lobby: Lobby, alice: Browser, evil: str) -> None:
    await phone_of(lobby, alice, Device(user_agent=evil, address=evil), service=evil)
    Inert((await lobby.get(alice, "/@/account")).text)
