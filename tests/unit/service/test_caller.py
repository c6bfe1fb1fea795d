"""Who judges what stands in Authorization."""

from __future__ import annotations

import pytest

from tests.unit.service.callers import basic, bearer, caller, host_of
from vestibule.core.credential import NOTHING
from vestibule.core.route import Host
from vestibule.errors import CredentialRefused
from vestibule.model import Caller, Identity
from vestibule.service.caller import Callers

HOST = host_of(NOTHING)


class Judge:
    """Takes what begins with a mark."""

    def __init__(self, mark: bytes) -> None:
        self.mark = mark
        self.asked: list[bytes] = []
        self.known: Caller | None = None
        self.found: Caller | None = caller()

    def takes(self, host: Host, authorization: bytes) -> bool:
        self.asked.append(authorization)
        return authorization.startswith(self.mark)

    def peek(self, host: Host, authorization: bytes) -> Caller | None:
        assert self.takes(host, authorization)
        return self.known

    async def load(self, host: Host, authorization: bytes, address: str, now: float) -> Caller:
        assert self.takes(host, authorization)
        if self.found is None:
            raise CredentialRefused("no")
        return self.found


class World:
    def __init__(self) -> None:
        self.app_tokens = Judge(b"Bearer vst_")
        self.signed = Judge(b"Bearer eyJ")
        self.opaque = Judge(b"Bearer ")
        self.passwords = Judge(b"Basic ")
        self.gone: set[str] = set()
        self.callers = Callers(
            app_tokens=self.app_tokens,
            signed=self.signed,
            opaque=self.opaque,
            passwords=self.passwords,
            is_known=lambda identity: identity.subject not in self.gone,
        )

    async def judge(self, authorization: bytes) -> str:
        """Who judges it."""
        names = {"app_tokens": self.app_tokens, "signed": self.signed}
        names |= {"opaque": self.opaque, "passwords": self.passwords}
        for name, one in names.items():
            one.found = caller(name)
        if not self.callers.takes(HOST, authorization):
            return ""
        return (await self.callers.load(HOST, authorization, "", 0.0)).identities[0].subject


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("authorization", "judge"),
    [
        pytest.param(bearer("vst_app_x"), "app_tokens", id="app token"),
        pytest.param(bearer("eyJ.x.y"), "signed", id="JWT"),
        pytest.param(bearer("opaque"), "opaque", id="opaque"),
        pytest.param(basic("ann", "hunter2"), "passwords", id="user and password"),
        pytest.param(basic("anything", "vst_app_x"), "app_tokens", id="app token as password"),
        pytest.param(basic("vst_app_x", "x-oauth-basic"), "app_tokens", id="app token as user"),
        pytest.param(basic("vst_app_x", ""), "app_tokens", id="app token as user alone"),
        pytest.param(basic("", "eyJ.x.y"), "signed", id="JWT as password"),
        pytest.param(basic("eyJ.x.y", ""), "signed", id="JWT as user"),
        pytest.param(basic("vst_app_x", "hunter2"), "passwords", id="a user of a token's name"),
        pytest.param(b"Basic !!!", "passwords", id="what can't be read"),
        pytest.param(b"DPoP eyJ.x.y", "", id="another scheme"),
        pytest.param(b"Negotiate abc", "", id="yet another"),
        pytest.param(b"vst_app_x", "", id="no scheme"),
        pytest.param(b"", "", id="nothing"),
    ],
)
async def test_what_it_looks_like_says_who_judges_it(world: World, authorization: bytes, judge: str):
    assert await world.judge(authorization) == judge


async def test_a_password_is_shown_to_no_issuer(world: World):
    """Threat: every password of every person, sent to another server because it looks like a token."""
    await world.judge(basic("ann", "hunter2"))
    assert world.opaque.asked == []


async def test_a_token_that_is_refused_is_not_tried_as_a_password(world: World):
    world.app_tokens.found = None
    with pytest.raises(CredentialRefused):
        await world.callers.load(HOST, basic("ann", "vst_app_x"), "", 0.0)
    assert world.passwords.asked == []


async def test_what_nobody_takes_is_left_alone_and_never_judged(world: World):
    assert not world.callers.takes(HOST, b"Digest x")
    assert world.callers.peek(HOST, b"Digest x") is None
    with pytest.raises(CredentialRefused):
        await world.callers.load(HOST, b"Digest x", "", 0.0)


def test_without_judges_everything_is_left_alone():
    assert not Callers().takes(HOST, bearer("x"))
    assert not Callers().takes(HOST, basic("a", "b"))


def test_what_is_known_already_is_given_at_once(world: World):
    assert world.callers.peek(HOST, bearer("opaque")) is None
    world.opaque.known = caller()
    assert world.callers.peek(HOST, bearer("opaque")) is world.opaque.known


def test_the_choice_is_made_once_for_a_request(world: World):
    authorization = bearer("opaque")
    for _ in range(3):
        world.callers.takes(HOST, authorization)
    assert len(world.app_tokens.asked) == 1


def test_the_choice_of_one_request_is_not_anothers(world: World):
    assert world.callers.takes(HOST, bearer("opaque"))
    assert not world.callers.takes(HOST, b"Digest opaque")
    assert world.callers.takes(host_of(NOTHING, b"other"), bearer("opaque"))


async def test_who_is_gone_from_a_password_file_is_gone_from_their_tokens(world: World):
    """Threat: an app token that somebody made before they were taken out of the file."""
    left = Identity(client="google", issuer="https://accounts.google.com", subject="1")
    whole = Caller(id="x", kind="app_token", user_id="u1", identities=(caller("ann").identities[0], left))
    world.app_tokens.known = world.app_tokens.found = whole
    assert world.callers.peek(HOST, bearer("vst_x")) is whole
    world.gone.add("ann")
    peeked = world.callers.peek(HOST, bearer("vst_x"))
    assert peeked is not None
    assert peeked.identities == (left,)
    assert (await world.callers.load(HOST, bearer("vst_x"), "", 0.0)).identities == (left,)
