"""The token endpoint: who asks too much in vain waits, whatever it is that they ask."""

from __future__ import annotations

import base64

import pytest

from tests.unit.web.asgi import RING, Reply
from tests.unit.web.lobby import FORM, Lobby
from vestibule.core.access import Access, seal
from vestibule.core.app import DEVICE_CODE, App, hash_of
from vestibule.model import Secret
from vestibule.service.authorizing import REFUSED_MAX, WINDOW_S

SECRET = "a-secret-of-at-least-32-characters-0"
APPS = (
    App(id="ios", hosts=("app.example",), grants=frozenset({"code", "refresh"})),
    App(id="cli", hosts=("app.example",), grants=frozenset({"device", "refresh"})),
    App(id="partner", hosts=("app.example",), secrets=(hash_of(Secret(SECRET)),)),
)
WRONG = {"grant_type": "authorization_code", "client_id": "ios", "code": "x"}


class Program:
    """What asks, and where."""

    def __init__(self) -> None:
        self.lobby = Lobby(apps=APPS)

    async def post(self, path: str = "/@/token", **form: str) -> Reply:
        return await self.lobby.post(self.lobby.browser(), path, form, FORM)

    async def in_vain(self, times: int, **form: str) -> None:
        for _ in range(times):
            assert (await self.post(**(form or WRONG))).status in {400, 401}


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.mark.parametrize("path", ["/@/token", "/@/revoke", "/@/introspect", "/@/device/code"])
async def test_who_asks_in_vain_again_and_again_waits_everywhere(program: Program, path: str) -> None:
    await program.in_vain(REFUSED_MAX)
    reply = await program.post(path, client_id="ios", token="x")
    assert (reply.status, reply.json["error"]) == (429, "slow_down")
    assert 0 < int(reply.headers["retry-after"]) <= WINDOW_S
    assert reply.headers["cache-control"] == "no-store"
    program.lobby.world.clock.move(WINDOW_S)
    assert (await program.post(**WRONG)).status == 400


async def test_who_tries_secrets_waits(program: Program) -> None:
    for number in range(REFUSED_MAX):
        reply = await program.post("/@/introspect", client_id="partner", client_secret=str(number), token="x")
        assert reply.status == 401
    reply = await program.post("/@/introspect", client_id="partner", client_secret=SECRET, token="x")
    assert reply.status == 429


async def test_what_goes_well_and_what_must_be_waited_for_are_not_in_vain(program: Program) -> None:
    for _ in range(REFUSED_MAX + 1):
        assert (await program.post("/@/revoke", client_id="ios", token="x")).status == 200
    told = (await program.post("/@/device/code", client_id="cli")).json
    asked = {"grant_type": DEVICE_CODE, "client_id": "cli", "device_code": told["device_code"]}
    await program.in_vain(REFUSED_MAX - 1)
    for _ in range(5):
        assert (await program.post(**asked)).json["error"] == "authorization_pending"
        program.lobby.world.clock.move(5.0)
    await program.in_vain(1)
    assert (await program.post(**asked)).status == 429


async def test_of_a_token_that_is_over_there_is_nothing_to_end_and_nobody_needs_a_name(
    program: Program,
) -> None:
    """A job that cleans up late is not refused, nor counted; a text that nobody gave is still looked at by name."""
    now = program.lobby.world.clock.now()
    said = Access(host="app.example", app="deploy", machine="deploy", subject="1", expires_at=now)
    over = seal(RING, said, nonce=b"n" * 12)
    for _ in range(REFUSED_MAX + 1):
        reply = await program.post("/@/revoke", token=over)
        assert (reply.status, reply.json) == (200, {})
    for text in (over[:-4] + "AAAA", "x"):
        assert (await program.post("/@/revoke", token=text)).json["error"] == "invalid_client"


async def test_a_wrong_secret_in_a_header_is_told_by_which_scheme_to_come(program: Program) -> None:
    basic = base64.b64encode(b"partner:wrong").decode()
    headers = {**FORM, "Authorization": f"Basic {basic}"}
    browser = program.lobby.browser()
    reply = await program.lobby.post(browser, "/@/token", {"grant_type": "refresh_token"}, headers)
    assert (reply.status, reply.json["error"]) == (401, "invalid_client")
    assert reply.headers["www-authenticate"] == 'Basic realm="apps"'
