"""Backends that are no servers, and no backend at all."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.helpers.exchange import FakeExchange
from vestibule.core.route import Backend
from vestibule.errors import BackendError, NotFound, VestibuleError
from vestibule.proxy.internal import Internals

NOTHING = cast("Any", None)


@pytest.mark.parametrize(
    ("backend", "error", "code"),
    [
        pytest.param(Backend(), NotFound, "no_backend", id="none"),
        pytest.param(Backend(internal="other"), BackendError, "backend_unavailable", id="unknown"),
    ],
)
def test_where_there_is_nothing_nothing_is_found(backend: Backend, error: type[VestibuleError], code: str):
    internals = Internals(NOTHING, NOTHING, NOTHING)
    with pytest.raises(error) as caught:
        internals.begin(FakeExchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), backend, [])
    assert caught.value.code == code
