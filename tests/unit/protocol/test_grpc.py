"""gRPC's words: which requests are calls, how long they may take, how one is refused."""

from __future__ import annotations

import pytest

from vestibule.protocol.grpc import (
    PAST_DEADLINE,
    Status,
    is_grpc,
    refusal_lines,
    status_in,
    status_of,
    timeout_of,
)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;charset=x", True),
        (b"Application/GRPC+json", True),
        (b"application/grpc-web", False),
        (b"application/grpc-web+proto", False),
        (b"application/grpcx", False),
        (b"application/json", False),
        (b"", False),
    ],
)
def test_what_is_a_call(content_type: bytes, expected: bool):
    assert is_grpc(content_type) is expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1S", 1.0),
        (b"100m", 0.1),
        (b"5M", 300.0),
        (b"2H", 7200.0),
        (b"10u", 1e-5),
        (b"1n", 1e-9),
        (b"0S", 0.0),
        (b"99999999H", 99999999 * 3600.0),
        (b"100000000S", None),
        (b"1.5S", None),
        (b"-1S", None),
        (b"1", None),
        (b"S", None),
        (b"1s", None),
        (b"", None),
    ],
)
def test_how_long_a_call_may_take(value: bytes, seconds: float | None):
    assert timeout_of(value) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("http", "code", "expected"),
    [
        (401, "sign_in_required", Status.UNAUTHENTICATED),
        (403, "forbidden", Status.PERMISSION_DENIED),
        (404, "not_found", Status.NOT_FOUND),
        (405, "method_not_allowed", Status.UNIMPLEMENTED),
        (413, "body_too_large", Status.RESOURCE_EXHAUSTED),
        (429, "too_many_tries", Status.RESOURCE_EXHAUSTED),
        (500, "internal_error", Status.INTERNAL),
        (502, "backend_unavailable", Status.UNAVAILABLE),
        (503, "store_unavailable", Status.UNAVAILABLE),
        (504, "backend_timeout", Status.UNAVAILABLE),
        (504, PAST_DEADLINE, Status.DEADLINE_EXCEEDED),
        (418, "teapot", Status.UNKNOWN),
    ],
)
def test_which_status_an_answer_of_the_gateway_has(http: int, code: str, expected: Status):
    assert status_of(http, code) is expected


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("plain words, and more", b"plain words, and more"),
        ("100 %", b"100 %25"),
        ("ä\r\nx: y", b"%C3%A4%0D%0Ax: y"),
        ("x" * 999, b"x" * 300),
    ],
    ids=["plain", "percent", "line", "long"],
)
def test_a_refusal_says_why_in_one_line(message: str, told: bytes):
    assert refusal_lines(Status.PERMISSION_DENIED, message) == [
        b"Content-Type: application/grpc",
        b"grpc-status: 7",
        b"grpc-message: " + told,
    ]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"grpc-status: 16"], 16),
        ([b"x: 1", b"Grpc-Status:0", b"grpc-message: fine"], 0),
        ([b"grpc-status: 5", b"grpc-status: 16"], 5),
        ([b"grpc-status: "], None),
        ([b"grpc-status: -1"], None),
        ([b"grpc-status: " + b"1" * 5000], None),
        ([b"grpc-message: 16"], None),
        ([], None),
    ],
)
def test_which_status_lines_tell(lines: list[bytes], status: int | None):
    assert status_in(lines) == status
