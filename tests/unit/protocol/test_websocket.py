"""The WebSocket handshake: a tunnel opens only when both sides mean it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.errors import BackendError, BadRequest
from vestibule.protocol import websocket

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ASK = [b"Sec-WebSocket-Key: " + KEY, b"Sec-WebSocket-Version: 13"]
ANSWER = [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + ACCEPT]


def test_the_example_of_the_rfc() -> None:
    assert websocket.accept_of(KEY) == ACCEPT
    assert websocket.key_of(b"GET", [*ASK, b"Origin: http://example.com"]) == KEY
    websocket.check_answer(KEY, ASK, ANSWER)


@pytest.mark.parametrize(
    ("method", "lines", "status"),
    [
        (b"POST", ASK, 400),
        (b"get", ASK, 400),
        (b"GET", [], 426),
        (b"GET", ASK[:1], 426),
        (b"GET", [ASK[0], b"Sec-WebSocket-Version: 8"], 426),
        (b"GET", [ASK[0], b"Sec-WebSocket-Version: 13, 8"], 426),
        (b"GET", [ASK[0], ASK[1], ASK[1]], 426),
        (b"GET", [ASK[0], b"Sec-WebSocket-Version: 013"], 426),
        (b"GET", ASK[1:], 400),
        (b"GET", [*ASK, ASK[0]], 400),
        (b"GET", [ASK[1], b"Sec-WebSocket-Key:"], 400),
        (b"GET", [ASK[1], b"Sec-WebSocket-Key: x"], 400),
        (b"GET", [ASK[1], b"Sec-WebSocket-Key: " + KEY[:-2]], 400),
        (b"GET", [ASK[1], b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="], 400),
        (b"GET", [ASK[1], b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA"], 400),
        (b"GET", [ASK[1], b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25-ZQ=="], 400),
    ],
)
def test_a_request_that_is_no_handshake_is_refused(method: bytes, lines: list[bytes], status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        websocket.key_of(method, lines)
    assert caught.value.status == status


@given(st.binary(min_size=16, max_size=16))
def test_every_real_key_is_taken(raw: bytes) -> None:

    key = base64.b64encode(raw)
    assert websocket.key_of(b"GET", [b"sec-websocket-version:13", b"SEC-WEBSOCKET-KEY:" + key]) == key


@pytest.mark.parametrize(
    "answered",
    [
        [],
        ANSWER[1:],
        [ANSWER[0], ANSWER[2]],
        ANSWER[:2],
        [b"Upgrade: h2c", *ANSWER[1:]],
        [b"Upgrade: websocket, h2c", *ANSWER[1:]],
        [ANSWER[0], *ANSWER],
        [ANSWER[0], b"Connection: close", ANSWER[2]],
        [*ANSWER, ANSWER[2]],
        [*ANSWER[:2], b"Sec-WebSocket-Accept: x"],
        [*ANSWER[:2], b"Sec-WebSocket-Accept: " + ACCEPT.lower()],
        [*ANSWER, b"Sec-WebSocket-Protocol: chat"],
    ],
)
def test_a_101_that_is_none_of_websocket_is_refused(answered: list[bytes]) -> None:
    with pytest.raises(BackendError):
        websocket.check_answer(KEY, ASK, answered)


@pytest.mark.parametrize(
    ("offered", "chosen", "fits"),
    [
        ([b"chat, superchat"], [b"superchat"], True),
        ([b"chat", b"superchat"], [b"superchat"], True),
        ([b"chat"], [], True),
        ([], [b"chat"], False),
        ([b"chat"], [b"Chat"], False),
        ([b"chat"], [b"chat", b"chat"], False),
        ([b"chat, b"], [b"chat, b"], False),
        ([b"chat"], [b""], False),
    ],
)
def test_the_protocol_is_one_of_those_offered(
    *, offered: list[bytes], chosen: list[bytes], fits: bool
) -> None:
    asked = [b"Sec-WebSocket-Protocol: " + value for value in offered]
    answered = [*ANSWER, *(b"Sec-WebSocket-Protocol: " + value for value in chosen)]
    if fits:
        websocket.check_answer(KEY, asked, answered)
    else:
        with pytest.raises(BackendError):
            websocket.check_answer(KEY, asked, answered)


def test_upgrade_words_are_compared_without_case() -> None:
    websocket.check_answer(KEY, ASK, [b"upgrade:WebSocket", b"CONNECTION: keep-alive, UPGRADE", ANSWER[2]])


@pytest.mark.parametrize(
    ("origin", "base_url", "own"),
    [
        (b"https://app.example", "https://app.example", True),
        (b"HTTPS://App.Example", "https://app.example", True),
        (b"https://app.example", "https://app.example:443/", True),
        (b"http://localhost:8000", "http://localhost:8000", True),
        (b"https://friend.example", "https://app.example", True),
        (b"", "https://app.example", False),
        (b"null", "https://app.example", False),
        (b"http://app.example", "https://app.example", False),
        (b"https://app.example:8443", "https://app.example", False),
        (b"https://app.example.evil.example", "https://app.example", False),
        (b"https://evilapp.example", "https://app.example", False),
        (b"https://sub.app.example", "https://app.example", False),
        (b"https://app.example/", "https://app.example", False),
        (b"https://app.example, https://evil.example", "https://app.example", False),
        (b"https://user@app.example", "https://app.example", False),
        (b"http://localhost:8001", "http://localhost:8000", False),
        (b"https://\xe9", "https://app.example", False),
    ],
)
def test_origins(*, origin: bytes, base_url: str, own: bool) -> None:
    assert websocket.is_own_origin(origin, base_url, frozenset({"https://friend.example"})) is own
