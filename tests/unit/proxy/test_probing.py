"""The doctor's probe at the gateway: told what arrived, once; nobody gets through by it but where an edge asks."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.proxy.forward.stand import TRAEFIK, Stand
from tests.unit.proxy.plane import NOW_AT, RING, Plane
from vestibule.core import probe

pytestmark = pytest.mark.usefixtures("both_downstreams")


def made(host: str = "app.example", path: str = probe.OWN_PATH, *, life_s: float = 20) -> str:
    return probe.token_of(RING, host, path, NOW_AT + life_s, nonce=b"n" * 16)


GOOD = made()
OTHERS = made("other.example")
OLD = made(life_s=0)
GETS_THROUGH = made(path=probe.THROUGH_PATH)


def own(token: str) -> bytes:
    return f"{probe.OWN_PATH}?token={token}".encode()


def through(token: str) -> bytes:
    return f"{probe.THROUGH_PATH}?token={token}".encode()


def test_the_doctor_is_told_which_of_its_headers_arrived(plane):
    lines = [f"{name}: {value}".encode() for name, value in probe.FORGED]
    answer = plane.get(own(GOOD), *lines, b"Cookie: theme=dark", b"X-Mine: secret")
    assert answer.status == 200
    found = msgspec.json.decode(answer.body, type=probe.Answer)
    assert {one.name for one in found.arrived} == {name for name, _ in probe.FORGED}
    assert {one.state for one in found.arrived} == {"whole"}
    assert probe.is_proof(RING, GOOD, found.proof)
    assert b"secret" not in answer.body
    assert b"dark" not in answer.body


def test_an_untrusted_peer_is_the_client_whatever_is_forged(plane):
    answer = plane.get(own(GOOD), f"X-Forwarded-For: {probe.ADDRESS}".encode())
    found = msgspec.json.decode(answer.body, type=probe.Answer)
    assert found.client == found.peer != probe.ADDRESS
    assert not found.is_trusted


@pytest.mark.parametrize(
    "token",
    ["", "abc", OTHERS, OLD, GETS_THROUGH, f"{GOOD}&next=/admin", f"{GOOD}&token="],
    ids=["none", "made up", "another host's", "over", "another path's", "with more", "twice"],
)
def test_nobody_else_is_told_or_let_through(plane, token):
    answer = plane.get(own(token))
    assert answer.value(b"Own") == b"yes"  # the control plane's 404
    assert plane.get(through(token)).status in (302, 401)
    assert plane.backend.requests == []


def test_by_the_gateway_itself_nobody_gets_through_to_a_backend(plane):
    assert plane.get(through(GETS_THROUGH)).status in (302, 401)
    assert plane.backend.requests == []


def test_a_token_is_good_once(plane):
    assert plane.get(own(GOOD)).value(b"Own") is None
    assert plane.get(own(GOOD)).value(b"Own") == b"yes"


def test_to_an_edge_that_asks_about_one_path_it_is_said_yes_once_and_nobody_is_signed_in(loop):
    stand = Stand(loop)
    others = (
        b"/x?token=" + GETS_THROUGH.encode(),
        through(GOOD),
        through(OTHERS),
        through(GETS_THROUGH) + b"&a=b",
    )
    for target in others:
        assert (target, stand.ask(TRAEFIK, target).status) == (target, 401)
    assert stand.ask(TRAEFIK, through(GETS_THROUGH), method=b"POST").status == 401
    said = stand.ask(TRAEFIK, through(GETS_THROUGH))
    assert (said.status, said.value(b"User-Id") or b"") == (200, b"")
    # The same bytes on the same connection, for which an edge otherwise gets what was said before.
    assert stand.ask(TRAEFIK, through(GETS_THROUGH)).status == 401


def test_a_method_that_writes_is_told_nothing(plane):
    assert plane.get(own(GOOD), method=b"HEAD").value(b"Own") == b"yes"


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop)
