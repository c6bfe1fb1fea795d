"""Where providers say that a session is over: what they are answered, and what nobody else gets by it."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.unit.service.conftest import Away
from tests.unit.service.ending import Ender, token, with_ender
from tests.unit.web.asgi import Reply
from tests.unit.web.lobby import FORM, Lobby
from vestibule.model import RETRY_AFTER_S
from vestibule.service.logout import AWAY_S

BACK, FRONT = "/@google/backchannel", "/@google/frontchannel"
SERVER = {"Accept": "*/*"}
IN_A_FRAME = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}


class Hall(Lobby):
    """A lobby whose Google says when its sessions are over."""

    def __init__(self) -> None:
        super().__init__()
        self.ender: Ender = with_ender(self.world)

    async def told(self, raw: str = "", **says: str) -> Reply:
        """A logout token, posted by the provider's server: no cookie, no Origin."""
        sent = raw or token(self.world, **says).reveal()
        return await self.post(self.browser(), BACK, {"logout_token": sent}, SERVER)

    async def framed(self, **params: str) -> Reply:
        """Our page in a frame of the provider's."""
        return await self.get(self.browser(), f"{FRONT}?{urlencode(params)}", **IN_A_FRAME)


@pytest.fixture
def hall() -> Hall:
    return Hall()


def assert_kept_by_nobody(reply: Reply) -> None:
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.cookies == []


# -- back channel --------------------------------------------------------------------------------


async def test_a_logout_token_ends_the_session_and_is_answered_200(hall: Hall) -> None:
    alice = hall.browser()
    session = await alice.sign_in("alice@s-1")
    reply = await hall.told(sid="s-1")
    assert (reply.status, reply.json) == (200, {})
    assert_kept_by_nobody(reply)
    assert not await alice.has_session()
    [line] = [line for line in hall.logged if line["event"] == "signed_out_by_provider"]
    assert (line["session"], line["client"]) == (session.id, "google")


async def test_the_same_again_and_one_for_nobody_are_answered_200_too(hall: Hall) -> None:
    raw = token(hall.world, sid="s-1").reveal()
    assert [(await hall.told(raw)).status for _ in range(3)] == [200, 200, 200]


async def test_it_is_taken_from_anywhere_and_no_cookie_counts(hall: Hall) -> None:
    """Threat: a page that posts a form here, with the person's cookie."""
    bob = hall.browser()
    await bob.sign_in("bob@s-2")
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    reply = await hall.post(bob, BACK, {"logout_token": "nonsense"}, headers)
    assert reply.status == 400
    assert_kept_by_nobody(reply)
    assert await bob.has_session()


async def test_one_that_is_not_believed_is_400_in_json(hall: Hall) -> None:
    for reply in (await hall.told("nonsense"), await hall.post(hall.browser(), BACK, {}, SERVER)):
        assert reply.status == 400
        assert reply.headers["content-type"] == "application/json"
        assert reply.json["error"] == "invalid_request"
        assert "nonsense" not in reply.text
        assert_kept_by_nobody(reply)
    assert [line["code"] for line in hall.logged] == ["logout_token_malformed", "bad_request"]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        pytest.param("application/json", b'{"logout_token": "x"}', 400, id="JSON"),
        pytest.param(FORM["Content-Type"], b"logout_token=a&logout_token=b", 400, id="two of them"),
        pytest.param(FORM["Content-Type"], b"logout_token=" + b"x" * 65536, 413, id="too much"),
        pytest.param(FORM["Content-Type"], b"logout_token=%ff", 400, id="no text"),
    ],
)
async def test_what_is_no_form_with_one_token_is_refused(
    hall: Hall, content_type: str, body: bytes, status: int
) -> None:
    visit = await hall.browser().visit()
    reply = await hall.ask(BACK, "POST", {"Content-Type": content_type}, visit, body)
    assert (reply.status, reply.json["error"]) == (status, "invalid_request")


async def test_a_provider_without_logout_is_501_and_one_that_is_none_404(hall: Hall) -> None:
    form = {"logout_token": token(hall.world, sid="s-1").reveal()}
    for path, status in (("/@github/backchannel", 501), ("/@nobody/backchannel", 404)):
        assert (await hall.post(hall.browser(), path, form, SERVER)).status == status


async def test_what_cannot_be_known_now_is_503_and_may_come_again(hall: Hall) -> None:
    alice = hall.browser()
    await alice.sign_in("alice@s-1")
    hall.ender.is_down = True
    down = await hall.told(sid="s-1")
    hall.ender.is_down = False
    hall.world.clock.move(AWAY_S)
    store, away = hall.world.store.sessions, Away(hall.world.store.sessions)
    hall.world.sessions._store, away.is_away = away, True  # type: ignore[assignment]
    gone = await hall.told(sid="s-1")
    hall.world.sessions._store = store
    for reply in (down, gone):
        assert (reply.status, reply.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
        assert_kept_by_nobody(reply)
    assert (await hall.told(sid="s-1")).status == 200
    assert not await alice.has_session()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_it_is_posted(hall: Hall, method: str) -> None:
    reply = await hall.ask(BACK, method, SERVER, await hall.browser().visit())
    assert reply.status == 405


# -- front channel -------------------------------------------------------------------------------


async def test_a_frame_of_the_provider_ends_the_session_without_any_cookie(hall: Hall) -> None:
    alice = hall.browser()
    await alice.sign_in("alice@s-1")
    reply = await hall.framed(iss="https://op.example", sid="s-1")
    assert reply.status == 200
    assert_kept_by_nobody(reply)
    assert not await alice.has_session()


async def test_its_page_may_be_framed_by_the_provider_alone(hall: Hall) -> None:
    reply = await hall.framed(iss="https://op.example", sid="s-9")
    policy = dict(one.strip().split(" ", 1) for one in reply.headers["content-security-policy"].split(";"))
    assert policy["frame-ancestors"] == "https://op.example"
    assert policy["default-src"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "x-frame-options" not in reply.headers


@pytest.mark.parametrize(
    "params",
    [{}, {"iss": "https://op.example"}, {"sid": "s-1"}, {"iss": "https://evil.example", "sid": "s-1"}],
    ids=["neither", "no sid", "no issuer", "another issuer"],
)
async def test_without_both_names_a_frame_ends_nothing_and_is_framed_by_nobody(
    hall: Hall, params: dict[str, str]
) -> None:
    alice = hall.browser()
    await alice.sign_in("alice@s-1")
    reply = await hall.get(alice, f"{FRONT}?{urlencode(params)}", **IN_A_FRAME)
    assert reply.status == 400
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert await alice.has_session()


async def test_the_cookie_of_the_ended_session_goes_and_no_other(hall: Hall) -> None:
    """Where the site is the provider's neighbour, a browser sends it along."""
    alice, bob = hall.browser(), hall.browser()
    await alice.sign_in("alice@s-1")
    await bob.sign_in("bob@s-2")
    query = urlencode({"iss": "https://op.example", "sid": "s-1"})
    assert (await hall.get(bob, f"{FRONT}?{query}", **IN_A_FRAME)).cookies == []
    await alice.sign_in("alice@s-3")
    reply = await hall.get(alice, f"{FRONT}?{query.replace('s-1', 's-3')}", **IN_A_FRAME)
    assert [cookie.partition("=")[0] for cookie in reply.cookies] == [alice.site.cookie]
    assert "Max-Age=0" in reply.cookies[0]
    assert alice.handle is None


async def test_head_ends_nothing(hall: Hall) -> None:
    alice = hall.browser()
    await alice.sign_in("alice@s-1")
    target = f"{FRONT}?{urlencode({'iss': 'https://op.example', 'sid': 's-1'})}"
    assert (await hall.ask(target, "HEAD", {}, await alice.visit())).status == 405
    assert await alice.has_session()
