"""Questions that are nearly Envoy's: refused, or read in the one meaning they have."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.check_request import check
from vestibule.errors import BadRequest
from vestibule.protocol.ext_authz import read_check

NAMES = st.text(alphabet="abc-_.XYZ", min_size=1, max_size=12).map(str.lower)
VALUES = st.text(max_size=20)


@given(
    method=st.text(max_size=8),
    path=st.text(max_size=30),
    host=st.text(max_size=20),
    headers=st.dictionaries(NAMES, VALUES, max_size=8),
)
def test_what_was_written_is_read(method, path, host, headers):
    found = read_check(check(method=method, path=path, host=host, headers=headers))
    assert (found.method.decode(), found.path.decode(), found.host.decode()) == (method, path, host)
    assert {name.decode(): value.decode() for name, value in found.headers} == headers


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(message):
    with contextlib.suppress(BadRequest):
        read_check(message)


@given(st.data())
def test_a_spoiled_question_is_refused_or_read(data):
    message = bytearray(check(path="/admin", headers={"cookie": "a=b", "x-a": "1"}))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(message) - 1))
        message[at] = data.draw(st.integers(0, 255))
    del message[data.draw(st.integers(0, len(message))) :]
    try:
        found = read_check(bytes(message))
    except BadRequest:
        return
    assert len({name for name, _ in found.headers}) == len(found.headers)
