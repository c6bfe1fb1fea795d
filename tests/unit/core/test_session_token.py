"""The session's handle in a signed token."""

from __future__ import annotations

import msgspec
import pytest

from vestibule.core import session_token
from vestibule.core.seal import Key, KeyRing
from vestibule.protocol import base64url

OLD, NEW = Key("k1", b"1" * 32), Key("k2", b"2" * 32)
RING = KeyRing((NEW, OLD))
HANDLE = "h" * 43
NOW = 1_800_000_000.0


def written(ring: KeyRing = RING, handle: str = HANDLE, domain: str = "example.com") -> bytes:
    return session_token.write(ring, handle, domain=domain, now=NOW, expires_at=NOW + 60.5).encode()


def read(raw: bytes, ring: KeyRing = RING, domain: str = "example.com") -> str | None:
    return session_token.read(ring, raw, domain=domain)


def part(raw: bytes, number: int) -> dict[str, object]:
    decoded = base64url.decode(raw.split(b".")[number].decode())
    assert decoded is not None
    return msgspec.json.decode(decoded, type=dict[str, object])


def signed(header: object, claims: object, ring: KeyRing = RING) -> bytes:
    """A token of ours in all but what it says."""
    body = b".".join(base64url.encode(msgspec.json.encode(each)).encode() for each in (header, claims))
    return body + b"." + base64url.encode(ring.mac("session-token", body)).encode()


def test_the_handle_comes_out_as_it_went_in() -> None:
    assert read(written()) == HANDLE


def test_it_names_the_session_and_nobody() -> None:
    raw = written()
    assert part(raw, 0) == {"alg": "HS256", "typ": "vestibule-session+jwt", "kid": "k2"}
    assert part(raw, 1) == {"aud": "example.com", "sid": HANDLE, "iat": int(NOW), "exp": int(NOW) + 60}


def test_an_older_key_of_the_ring_still_reads_and_no_other_does() -> None:
    assert read(written(KeyRing((OLD,)))) == HANDLE
    assert read(written(), KeyRing((OLD,))) is None


HEADER = {"alg": "HS256", "typ": session_token.TYPE, "kid": "k2"}
CLAIMS = {"aud": "example.com", "sid": HANDLE}


def test_what_the_cases_below_change_is_good() -> None:
    assert read(signed(HEADER, CLAIMS)) == HANDLE


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HANDLE.encode(), id="a bare handle"),
        pytest.param(b"..", id="dots"),
        pytest.param(b"\xff.\xff.\xff", id="no text"),
        pytest.param(written() + b"A", id="longer"),
        pytest.param(written()[:-1], id="shorter"),
        pytest.param(written() + b"=", id="padded"),
        pytest.param(written().rpartition(b".")[0] + b".", id="without mac"),
        pytest.param(b"A" + written()[1:], id="another header"),
        pytest.param(b"x." + written(), id="four parts"),
        pytest.param(signed({**HEADER, "alg": "none"}, CLAIMS), id="alg none"),
        pytest.param(signed({**HEADER, "typ": "JWT"}, CLAIMS), id="another type"),
        pytest.param(signed({}, CLAIMS), id="no type"),
        pytest.param(signed([], CLAIMS), id="header is no object"),
        pytest.param(signed(HEADER, {**CLAIMS, "aud": "example.org"}), id="another domain"),
        pytest.param(signed(HEADER, {"sid": HANDLE}), id="no domain"),
        pytest.param(signed(HEADER, {**CLAIMS, "sid": "short"}), id="no handle"),
        pytest.param(signed(HEADER, {**CLAIMS, "sid": 7}), id="a number for a handle"),
        pytest.param(signed(HEADER, "claims"), id="claims are no object"),
        pytest.param(signed(HEADER, {**CLAIMS, "more": "x" * 1024}), id="too long"),
    ],
)
def test_anything_else_is_none(raw: bytes) -> None:
    assert read(raw) is None


def test_a_mark_of_the_same_ring_for_something_else_is_none() -> None:
    body = written().rpartition(b".")[0]
    assert read(body + b"." + base64url.encode(RING.mac("flow-state", body)).encode()) is None


@pytest.mark.parametrize(
    ("realm", "audience"), [("app.example", "app.example"), (".example.com", "example.com")]
)
def test_a_token_is_for_a_host_or_a_domain(realm: str, audience: str) -> None:
    assert session_token.audience_of(realm) == audience


@pytest.mark.parametrize(
    ("raw", "is_one"),
    [
        pytest.param(written(), True, id="ours"),
        pytest.param(written()[:-4] + b"AAAA", True, id="says that it is"),
        pytest.param(signed({"alg": "ES256", "typ": "JWT"}, CLAIMS), False, id="an issuer's"),
        pytest.param(signed(["x"], CLAIMS), False, id="no header"),
        pytest.param(HANDLE.encode(), False, id="a handle"),
        pytest.param(b"a.b.c", False, id="three parts"),
        pytest.param(b"..", False, id="nothing"),
        pytest.param(written() + b".x", False, id="four parts"),
    ],
)
def test_what_says_that_it_is_one_is_known_before_it_is_checked(raw: bytes, is_one: bool) -> None:
    assert session_token.is_one(raw) is is_one


@pytest.mark.parametrize(
    "header", [b"[" * 700, b"[" * 40_000, b'{"typ":' * 6000], ids=lambda one: f"{len(one)} bytes"
)
def test_a_header_of_a_depth_without_end_is_none_of_ours(header: bytes) -> None:
    """Threat: anybody's request, at which the gateway fails; each with a stack in the log."""
    raw = base64url.encode(header).encode() + b".e30.x"
    assert not session_token.is_one(raw)
    assert read(raw) is None
