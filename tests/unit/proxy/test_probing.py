"""The doctor's probe at the gateway: told what arrived, let through one path, and nobody else is."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.proxy.plane import NOW_AT, RING, Plane
from vestibule.core import probe

GOOD = probe.token_of(RING, "app.example", NOW_AT + 30, nonce=b"n" * 16)
OTHERS = probe.token_of(RING, "other.example", NOW_AT + 30, nonce=b"n" * 16)
OLD = probe.token_of(RING, "app.example", NOW_AT, nonce=b"n" * 16)


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


@pytest.mark.parametrize("token", ["", "abc", OTHERS, OLD], ids=["none", "made up", "another host's", "over"])
def test_nobody_else_is_told_or_let_through(plane, token):
    answer = plane.get(own(token))
    assert answer.value(b"Own") == b"yes"  # the control plane's 404
    assert plane.get(through(token)).status in (302, 401)
    assert plane.backend.requests == []


def test_one_path_is_open_to_the_doctor_and_nobody_is_signed_in_by_it(plane):
    assert plane.get(through(GOOD), b"User-Email: " + probe.EMAIL.encode()).status == 200
    request = plane.backend.request
    assert probe.EMAIL.encode() not in plane.backend.got
    assert request.target.startswith(probe.THROUGH_PATH.encode())
    assert plane.get(f"/x?token={GOOD}".encode()).status in (302, 401)


def test_a_method_that_writes_is_told_nothing(plane):
    assert plane.get(own(GOOD), method=b"HEAD").value(b"Own") == b"yes"


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop)
