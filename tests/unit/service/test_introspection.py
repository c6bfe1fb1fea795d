"""Opaque tokens: whom they are shown to, and what its answer means (attacks.md O11)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.protocol.test_access_token import CLAIMS, ISSUER
from tests.unit.service.callers import CI, Internet, People, basic, bearer, host_of, proofs_of, signed
from tests.unit.service.conftest import Clock
from vestibule.core.credential import NOTHING, Accepted, Issuer
from vestibule.core.route import Host
from vestibule.errors import CredentialRefused, ProviderInvalid, ProviderUnavailable, TooManyTries
from vestibule.model import Caller, Secret
from vestibule.providers.kit import PostForm, Reply
from vestibule.service.introspection import NONE_S, NONES_MAX, WINDOW_S, Opaque
from vestibule.service.proof import LIFE_S

URL = "https://idp.example/introspect"
AS = Issuer(
    name="as",
    url=ISSUER,
    audience=("https://api.example",),
    introspection_url=URL,
    client_id="gateway",
    client_secret=Secret("hunter2"),
)
HOST = host_of(Accepted(issuers=(AS,)))
ACTIVE = {"active": True, "token_type": "Bearer", **CLAIMS}


def reply(document: Any, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(document).encode())


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.internet = Internet()
        self.internet.reply = reply(ACTIVE)
        self.opaque = Opaque(proofs_of(People(), self.clock), self.internet, now=self.clock.now)

    async def load(self, token: str = "opaque", host: Host = HOST, address: str = "192.0.2.1") -> Caller:
        return await self.opaque.load(host, bearer(token), address, self.clock.now())

    async def refused(self, token: str = "opaque", **more: Any) -> CredentialRefused:
        with pytest.raises(CredentialRefused) as told:
            await self.load(token, **more)
        return told.value


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("host", "authorization", "taken"),
    [
        pytest.param(HOST, bearer("opaque"), True, id="opaque"),
        pytest.param(HOST, bearer("a.b"), True, id="two parts"),
        pytest.param(HOST, bearer(signed()), False, id="a JWT that is verified here"),
        pytest.param(HOST, bearer(signed(iss="https://other.example")), False, id="another's JWT"),
        pytest.param(HOST, bearer("vst_app_x"), False, id="a token of this gateway's own"),
        pytest.param(HOST, basic("ann", "hunter2"), False, id="a password"),
        pytest.param(HOST, b"Bearer", False, id="nothing"),
        pytest.param(host_of(Accepted(issuers=(CI,))), bearer("opaque"), False, id="nobody to ask"),
        pytest.param(host_of(NOTHING), bearer("opaque"), False, id="host without issuers"),
        pytest.param(
            host_of(Accepted(issuers=(replace(AS, verifies=False),))),
            bearer(signed()),
            True,
            id="asked about all",
        ),
        pytest.param(
            host_of(Accepted(issuers=(replace(AS, verifies=False),))),
            bearer(signed(iss="https://other.example")),
            False,
            id="asked about all of its own",
        ),
    ],
)
def test_what_is_taken(world: World, host: Host, authorization: bytes, taken: bool):
    assert world.opaque.takes(host, authorization) is taken


async def test_the_issuer_is_asked_as_its_client_and_told_the_whole_token(world: World):
    await world.load("opaque")
    (ask,) = world.internet.asked
    assert isinstance(ask, PostForm)
    assert (ask.url, ask.basic) == (URL, ("gateway", Secret("hunter2")))
    assert dict(ask.form) == {"token": "opaque", "token_type_hint": "access_token"}
    assert "opaque" not in repr(ask)


async def test_the_client_may_show_its_secret_in_the_form(world: World):
    posting = host_of(Accepted(issuers=(replace(AS, client_auth="client_secret_post"),)))
    await world.load(host=posting)
    (ask,) = world.internet.asked
    assert ask.basic is None
    assert dict(ask.form)["client_secret"] == "hunter2"


async def test_what_it_says_is_who_comes(world: World):
    world.internet.reply = reply({**ACTIVE, "scope": "read", "groups": ["staff"]})
    caller = await world.load()
    (identity,) = caller.identities
    assert (caller.kind, caller.scopes, caller.expires_at) == (
        "introspection",
        {"read"},
        world.clock.now() + 300,
    )
    assert (identity.client, identity.issuer, identity.subject, identity.groups) == (
        "as",
        ISSUER,
        "alice",
        ("staff",),
    )


async def test_a_clients_own_token_is_no_persons(world: World):
    """Threat: a client that registers as `alice` (RFC 9068 section 5)."""
    nobodys = {name: value for name, value in ACTIVE.items() if name != "sub"}
    world.internet.reply = reply({**nobodys, "client_id": "alice"})
    assert (await world.load()).identities[0].subject == "client:alice"


async def test_what_it_said_holds_for_a_minute(world: World):
    for _ in range(3):
        await world.load()
    assert len(world.internet.asked) == 1
    world.clock.move(LIFE_S)
    world.internet.reply = reply({"active": False})
    await world.refused()


async def test_o11_another_token_is_asked_about_however_much_is_the_same(world: World):
    long = "x" * 9000
    await world.load(long + "a")
    world.internet.reply = reply({"active": False})
    await world.refused(long + "b")
    await world.refused(long)
    assert len(world.internet.asked) == 3


@pytest.mark.parametrize(
    "document",
    [{"active": False}, {}, {"active": "true"}, {**ACTIVE, "active": False}],
)
async def test_a_token_that_is_not_active_is_refused(world: World, document: Any):
    world.internet.reply = reply(document)
    error = await world.refused()
    assert "not active" in error.detail
    assert error.message == "it is not good here"


async def test_a_token_that_the_issuer_asks_nobody_about_is_refused(world: World):
    world.internet.reply = reply({"error": "invalid_request"}, 400)
    assert "not active" in (await world.refused()).detail


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"aud": "https://other.example"}, "aud"),
        ({"iss": "https://other.example"}, "iss"),
        ({"exp": 1}, "expired"),
        ({"token_type": "refresh_token"}, "typ"),
        ({"cnf": {}}, "cnf"),
    ],
)
async def test_o11_one_that_is_active_and_not_for_here_is_refused(
    world: World, members: dict[str, Any], why: str
):
    world.internet.reply = reply({**ACTIVE, **members})
    assert f"as: {why}:" in (await world.refused()).detail


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply({"error": "invalid_client"}, 401), id="refuses this gateway"),
        pytest.param(reply({}, 403), id="forbids"),
        pytest.param(reply({}, 404), id="is not there"),
        pytest.param(reply([ACTIVE]), id="no object"),
        pytest.param(Reply(200, {}, b"<html>"), id="no JSON"),
        pytest.param(Reply(200, {"content-type": "text/html"}, json.dumps(ACTIVE).encode()), id="a page"),
    ],
)
async def test_an_answer_that_says_nothing_of_the_token_is_the_issuers_fault(world: World, answer: Reply):
    world.internet.reply = answer
    with pytest.raises(ProviderInvalid) as told:
        await world.load()
    assert "opaque" not in str(told.value) + told.value.detail


async def test_an_issuer_that_is_away_lets_nobody_in_and_nobody_waits_for_it(world: World):
    world.internet.reply = ProviderUnavailable("away")
    for _ in range(NONES_MAX + 1):
        with pytest.raises(ProviderUnavailable):
            await world.load()
    world.internet.reply = reply(ACTIVE)
    await world.load()


async def test_a_token_that_is_none_is_not_asked_about_again_at_once(world: World):
    world.internet.reply = reply({"active": False})
    await world.refused()
    world.clock.move(NONE_S - 1)
    await world.refused()
    assert len(world.internet.asked) == 1
    world.clock.move(1)
    await world.refused()
    assert len(world.internet.asked) == 2


async def test_who_sends_token_after_token_that_is_none_waits(world: World):
    world.internet.reply = reply({"active": False})
    for number in range(NONES_MAX):
        await world.refused(f"made-up-{number}", address=f"2001:db8::{number:x}")
    with pytest.raises(TooManyTries) as told:
        await world.load("made-up", address="2001:db8::1")
    assert told.value.retry_after_s == WINDOW_S
    assert len(world.internet.asked) == NONES_MAX
    await world.refused("made-up", address="192.0.2.1")


async def test_a_token_that_is_known_to_be_good_does_not_wait(world: World):
    await world.load("good")
    world.internet.reply = reply({"active": False})
    for number in range(NONES_MAX):
        await world.refused(f"made-up-{number}")
    await world.load("good")


async def test_o12_many_at_once_are_many_tries(world: World) -> None:
    """Threat: the issuer asked as often as somebody can open connections, before the first answer is there."""
    world.internet.reply = reply({"active": False})
    tries = [world.load(f"none-{number}") for number in range(4 * NONES_MAX)]
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert len(world.internet.asked) == NONES_MAX
    assert [type(one) for one in found].count(TooManyTries) == 3 * NONES_MAX


async def test_many_at_once_that_are_good_count_as_none(world: World) -> None:
    for batch in range(3):
        tries = [world.load(f"good-{batch}-{number}") for number in range(NONES_MAX)]
        assert len({caller.id for caller in await asyncio.gather(*tries)}) == NONES_MAX
    world.internet.reply = reply({}, 500)
    for number in range(2 * NONES_MAX):
        with pytest.raises(ProviderInvalid):
            await world.load(f"away-{number}")
