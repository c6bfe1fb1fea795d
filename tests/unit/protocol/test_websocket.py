"""The WebSocket handshake: a tunnel opens only when both sides mean it; and where frames end."""

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


# -- frames ----------------------------------------------------------------------------------------------------------

FRAMES = {
    "empty": b"\x81\x00",
    "short": b"\x81\x03abc",
    "masked": b"\x82\x83mask" + b"xyz",
    "two bytes of length": b"\x82\x7e\x01\x00" + b"q" * 256,
    "eight bytes of length": b"\x82\x7f" + (70_000).to_bytes(8, "big") + b"w" * 70_000,
    "masked and long": b"\x82\xfe\x00\x80mask" + b"e" * 128,
    "ping": b"\x89\x01p",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_frame_ends_where_its_head_says(frame: bytes) -> None:
    for cut in {*range(min(len(frame), 16)), len(frame) - 1}:
        frames = websocket.Frames()
        frames.follow(frame[:cut])
        assert frames.is_between is (cut == 0)
        assert frames.follow_to_end(frame[cut:] + b"\x81") == len(frame) - cut
        assert frames.is_between


@given(
    st.lists(st.sampled_from(sorted(FRAMES)), min_size=1, max_size=6),
    st.lists(st.integers(1, 400), max_size=30),
)
def test_however_frames_are_cut_their_ends_are_known(names: list[str], cuts: list[int]) -> None:
    data = b"".join(FRAMES[name] for name in names)
    ends = {sum(len(FRAMES[name]) for name in names[:count]) for count in range(len(names) + 1)}
    frames, at = websocket.Frames(), 0
    for size in [*cuts, len(data)]:
        frames.follow(data[at : at + size])
        at = min(len(data), at + size)
        assert frames.is_between is (at in ends)
    assert not frames.has_closed


def test_what_goes_on_behind_the_bytes_has_no_end_in_them() -> None:
    frames = websocket.Frames()
    frames.follow(b"\x81\x05ab")
    assert frames.follow_to_end(b"cd") is None
    assert frames.follow_to_end(b"e\x81\x01x") == 1


def test_a_close_frame_says_why_and_is_known_again() -> None:
    assert websocket.close_frame(websocket.GOING_AWAY) == b"\x88\x02\x03\xe9"
    masked = websocket.close_frame(websocket.GOING_AWAY, b"\x01\x02\x03\x04")
    assert masked == b"\x88\x82\x01\x02\x03\x04\x02\xeb"
    for frame in (websocket.close_frame(1001), masked):
        frames = websocket.Frames()
        frames.follow(frame)
        assert frames.has_closed
        assert frames.is_between
