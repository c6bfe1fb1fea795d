"""What the demo's app makes of the headers it gets."""

from __future__ import annotations

import pytest

from vestibule.demo.app import handed_on, shown, signed_in, who


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"Proxy-Provider": "demo", "Proxy-Session": "x"}, True),
        ({"Proxy-Provider": "other, demo", "Proxy-Session": "x"}, True),
        ({"Proxy-Provider": "demonstration", "Proxy-Session": "x"}, False),
        ({"Proxy-Provider": "demo"}, False),
        ({"Proxy-Session": "x"}, False),
    ],
    ids=str,
)
def test_somebody_is_signed_in_when_the_gateway_says_so(headers, expected):
    assert signed_in(headers) is expected


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"User-Name": "Chiara%20Mu%C3%B1oz", "User-Login": "chiara"}, "Chiara Muñoz"),
        ({"User-Login": "chiara"}, "chiara"),
        ({"User-Email": "c@example.org"}, "c@example.org"),
        ({}, ""),
    ],
    ids=str,
)
def test_who_is_there_is_the_best_name_decoded(headers, name):
    assert who(headers) == name


def test_the_session_handle_and_cookies_are_cut_short_and_the_gateways_headers_come_first():
    sent = (
        ("User-Agent", "x"),
        ("Forwarded", "for=x"),
        ("Cookie", "c" * 40),
        ("Proxy-Session", "s" * 90),
        ("User-Id", "7"),
    )
    assert [(row["name"], row["value"], row["ours"]) for row in shown(sent)] == [
        ("Proxy-Session", "ssssssssss… (90 characters)", True),
        ("User-Id", "7", True),
        ("Forwarded", "for=x", True),
        ("User-Agent", "x", False),
        ("Cookie", "cccccccccc… (40 characters)", False),
    ]


def test_the_handle_and_the_trace_of_a_request_go_along_with_the_calls_for_it_and_nothing_else_does():
    sent = {
        "Proxy-Session": "x",
        "traceparent": "00-1",
        "tracestate": "a=b",
        "Cookie": "c",
        "User-Email": "e",
    }
    assert handed_on(sent) == {"Proxy-Session": "x", "traceparent": "00-1", "tracestate": "a=b"}
    assert handed_on({"Cookie": "c"}) == {}
