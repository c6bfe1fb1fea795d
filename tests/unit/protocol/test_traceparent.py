"""Which trace a request is part of, and what those asked next are told."""

from __future__ import annotations

import pytest

from vestibule.protocol.h1 import parse_request_head
from vestibule.protocol.traceparent import MADE_BYTES, Span, begun, span_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
GOOD = f"traceparent: 00-{TRACE}-{PARENT}-01".encode()
RANDOM = "12" * MADE_BYTES
MADE = Span(RANDOM, "", f"traceparent: 00-{'12' * 16}-{'12' * 8}-01".encode())


def test_a_trace_goes_on_and_the_gateway_is_the_parent_of_what_comes_next():
    told = f"traceparent: 00-{TRACE}-{'12' * 8}-01\r\ntracestate: a=1".encode()
    assert span_of([GOOD, b"tracestate: a=1"], RANDOM) == (TRACE + "12" * 8, PARENT, told)


def test_a_trace_begins_where_none_is_named():
    assert span_of([], RANDOM) == MADE
    assert begun(bytes.fromhex(RANDOM)) == MADE.lines


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (f"00-{TRACE}-{PARENT}-00", (TRACE, "00")),
        (f"00-{TRACE}-{PARENT}-ff", (TRACE, "01")),
        (f"01-{TRACE}-{PARENT}-01-more", (TRACE, "01")),
        (f"cc-{TRACE}-{PARENT}-01", (TRACE, "01")),
    ],
    ids=["not sampled", "other flags", "a later version", "without more"],
)
def test_flags_and_later_versions(value, trace):
    span = span_of([b"Traceparent: " + value.encode()], RANDOM)
    assert (span.span[:32], span.lines.decode()[-2:]) == trace


@pytest.mark.parametrize(
    "value",
    [
        "",
        TRACE,
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-1",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00 {TRACE} {PARENT} 01",
    ],
)
def test_what_is_malformed_is_no_trace_and_its_state_goes_with_it(value):
    assert span_of([b"traceparent: " + value.encode(), b"tracestate: a=1"], RANDOM) == MADE


def test_two_are_none():
    assert span_of([GOOD, GOOD], RANDOM) == MADE


def test_a_state_alone_is_nothing():
    assert span_of([b"tracestate: a=1"], RANDOM) == MADE


def test_no_line_of_the_clients_goes_on_by_itself():
    head = parse_request_head(
        b"\r\n".join((b"GET / HTTP/1.1", b"Host: a", GOOD, b"TraceState: b=2", b"A: b"))
    )
    assert head.trace == [GOOD, b"TraceState: b=2"]
    assert head.lines == [b"A: b"]
