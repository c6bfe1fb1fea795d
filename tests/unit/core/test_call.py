"""Operations: which calls they name."""

from __future__ import annotations

import pytest

from vestibule.core.call import Call, Operation
from vestibule.core.listener import ListenAddress
from vestibule.core.route import Server

GET_USER = Operation(id="user", method=b"GET", segments=(b"v1", b"users", b""))
BELOW = Operation(id="below", segments=(b"v1", b"files"), rest=True)
ROOT = Operation(id="root", segments=(b"",), rest=False)


@pytest.mark.parametrize(
    ("operation", "method", "path", "expected"),
    [
        (GET_USER, b"GET", b"/v1/users/7", True),
        (GET_USER, b"POST", b"/v1/users/7", False),
        (GET_USER, b"GET", b"/v1/users", False),
        (GET_USER, b"GET", b"/v1/users/", False),
        (GET_USER, b"GET", b"/v1/users/7/keys", False),
        (GET_USER, b"GET", b"/v2/users/7", False),
        (GET_USER, b"GET", b"/V1/users/7", False),
        (BELOW, b"DELETE", b"/v1/files/a/b", True),
        (BELOW, b"GET", b"/v1/files", True),
        (BELOW, b"GET", b"/v1/filesystem", False),
        (BELOW, b"GET", b"/v1", False),
        (Operation(id="all", rest=True), b"GET", b"/any/thing", True),
    ],
)
def test_what_an_operation_names(operation: Operation, method: bytes, path: bytes, expected: bool) -> None:
    assert operation.matches(method, path) is expected


def test_the_first_operation_that_fits_is_the_calls() -> None:
    call = Call(
        id="api",
        listen=ListenAddress(host="127.0.0.1", port=1),
        endpoint=Server(host="api.example", port=443, tls=True),
        authority="api.example",
        operations=(GET_USER, BELOW, Operation(id="all", rest=True)),
    )
    found = call.operation(b"GET", b"/v1/users/7")
    assert found is GET_USER
    other = call.operation(b"PUT", b"/v1/users/7")
    assert other is not None
    assert other.id == "all"
