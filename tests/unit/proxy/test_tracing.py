"""Traces: what a backend and an API are told of them, and what the records say."""

from __future__ import annotations

import re

import pytest

from tests.unit.proxy.plane import Plane
from tests.unit.proxy.test_calling import Api
from vestibule.observe.traffic import PATH_MAX_BYTES, Kind

pytestmark = pytest.mark.usefixtures("both_downstreams")

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
LINE = f"traceparent: 00-{TRACE}-{PARENT}-01".encode()
VALUE = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-01")


@pytest.fixture
def plane(loop) -> Plane:
    return Plane(loop)


def sent(request) -> tuple[str, str]:
    """Trace and span that somebody was told of."""
    [value] = request.values(b"traceparent")
    found = VALUE.fullmatch(value)
    return found[1].decode(), found[2].decode()


def test_a_request_without_a_trace_begins_one(plane):
    plane.get(b"/public")
    [record] = plane.traffic.ring
    assert (record.trace_id, record.span_id) == sent(plane.backend.requests[-1])
    assert record.parent_id == ""


def test_each_request_has_a_span_of_its_own_however_often_its_lines_came(plane):
    client = plane.client()
    for _ in range(4):
        client.send(b"GET /public HTTP/1.1\r\nHost: app.example\r\n\r\n")
        plane.backend.look()
    assert len({record.span_id for record in plane.traffic.ring}) == 4
    assert len({record.trace_id for record in plane.traffic.ring}) == 4


def test_a_trace_goes_on_with_the_gateway_in_between(plane):
    for _ in range(3):
        plane.get(b"/public", LINE, b"tracestate: a=1")
        record, got = plane.traffic.ring[-1], plane.backend.requests[-1]
        assert (record.trace_id, record.parent_id) == (TRACE, PARENT)
        assert sent(got) == (TRACE, record.span_id)
        assert got.values(b"tracestate") == [b"a=1"]


@pytest.mark.parametrize("line", [b"traceparent: x", LINE + b"00", LINE + b"\r\n" + LINE], ids=range(3))
def test_what_is_no_trace_is_replaced(plane, line):
    plane.get(b"/public", line, b"tracestate: a=1")
    assert sent(plane.backend.requests[-1])[0] != TRACE
    assert plane.backend.requests[-1].values(b"tracestate") == []


def test_what_nobody_else_was_asked_for_has_a_trace_only_if_it_came_with_one(plane):
    plane.get(b"/private")
    assert plane.traffic.ring[-1].trace_id == ""
    plane.get(b"/private", LINE)
    assert plane.traffic.ring[-1].trace_id == TRACE


def test_a_call_is_part_of_the_trace_that_its_backend_passes_on(loop):
    api = Api(loop)
    for _ in range(2):  # by lines that are familiar, too
        api.get(b"/v1/x", LINE)
        record = api.plane.traffic.ring[-1]
        assert (record.kind, record.trace_id, record.parent_id) == (Kind.CALL, TRACE, PARENT)
        assert sent(api.api.requests[-1]) == (TRACE, record.span_id)


def test_a_record_says_who_asked_and_how_long_the_backend_took(plane):
    plane.get(b"/a", cookie=plane.sign_in("ada@app.example"))
    [record] = plane.traffic.ring
    assert (record.kind, record.name, record.route) == (Kind.HOST, b"app.example", b"")
    assert (record.person, record.user_id) == ("ada@app.example", plane.session.user_id)
    assert record.provider == plane.session.identities[0].client
    assert record.backend_s > 0


def test_a_record_keeps_no_more_of_a_long_path_than_it_may(plane):
    path = b"/" + b"x" * (PATH_MAX_BYTES + 100)
    plane.get(path, cookie=plane.sign_in("ada@app.example"))
    assert plane.backend.requests[-1].target.startswith(path)
    assert plane.traffic.ring[-1].path == path[:PATH_MAX_BYTES]
