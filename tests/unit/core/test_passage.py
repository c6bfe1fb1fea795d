"""What a route does to requests and answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core.passage import (
    Heading,
    Rewrite,
    classes_of,
    fault_of,
    is_preflight,
    led_home,
    set_lines,
    without,
)
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, routes_of
from vestibule.core.template import NOBODY, Person, parse
from vestibule.errors import BadRequest, ClientError
from vestibule.model import Identity
from vestibule.protocol import url
from vestibule.protocol.h1 import parse_request_head
from vestibule.protocol.headers import class_of

BLUE = Person("u1", (Identity(client="okta", issuer="https://i", subject="1", claims={"team": "blue"}),))


# -- another path ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cut", "put", "came", "goes"),
    [
        ("/admin", "", "/admin", "/"),
        ("/admin", "", "/admin/", "/"),
        ("/admin", "", "/admin/users?x=/admin", "/users?x=/admin"),
        ("/admin", "", "/admin?", "/?"),
        ("/admin", "", "/admin/a%20b/", "/a%20b/"),
        ("/a/b", "", "/a/b/c", "/c"),
        ("/api", "/v2", "/api", "/v2"),
        ("/api", "/v2", "/api/", "/v2/"),
        ("/api", "/v2", "/api/x?y", "/v2/x?y"),
        ("/api", "/v2/{claim.team}", "/api/x", "/v2/blue/x"),
        ("", "/v2", "/", "/v2/"),
        ("", "/v2", "/x", "/v2/x"),
        ("", "/v2", "*", "*"),
        ("/admin", "", "/admin/x;y=1/z", "/x;y=1/z"),
    ],
)
def test_the_prefix_goes_and_something_stands_in_its_place(cut, put, came, goes):
    rewrite = Rewrite(cut=cut.encode(), put=parse(put))
    target = rewrite.target(url.canonical(came.encode()), BLUE)
    assert target.full == goes.encode()
    assert url.canonical(target.full) == target


@pytest.mark.parametrize("team", ["", ".", "..", "a/b", "a;b", "%2e", ["a", "b"]])
def test_p1_a_claim_that_is_no_segment_leads_nowhere(team):
    rewrite = Rewrite(cut=b"/api", put=parse("/v2/{claim.team}"))
    identity = Identity(client="okta", issuer="https://i", subject="1", claims={"team": team})
    with pytest.raises(ClientError) as told:
        rewrite.target(url.canonical(b"/api/x"), Person("u1", (identity,)))
    assert (told.value.status, told.value.code) == (403, "claim_missing")
    with pytest.raises(ClientError):
        rewrite.target(url.canonical(b"/api/x"), NOBODY)


SEGMENT = st.text(alphabet="ab/.;%2eEfFcC5\\~ _-é?", max_size=12)
HOST = Host(
    name=b"app.example",
    title="",
    clients={},
    **dict(
        zip(
            ("routes", "depth"),
            routes_of(
                Route(prefix=prefix, backend=Backend(), policy=policy_of(allow=()))
                for prefix in (b"", b"/a", b"/a/b", b"/%20")
            ),
            strict=True,
        )
    ),
)


@given(st.lists(SEGMENT, max_size=6), st.sampled_from(["", "/v2", "/v2/{claim.team}"]))
def test_what_was_decided_on_less_the_prefix_is_what_goes_on_and_is_canonical(segments, put):
    raw = "/" + "/".join(["a", *segments]).replace(" ", "%20")
    try:
        came = url.canonical(raw.encode("utf-8"))
    except BadRequest:
        return
    route = HOST.route(came.path)
    if HOST.route(came.plain) is not route:
        return  # refused before anything is rewritten
    rewrite = Rewrite(cut=route.prefix, put=parse(put))
    goes = rewrite.target(came, BLUE)
    front = put.replace("{claim.team}", "blue").encode()
    assert url.canonical(goes.full) == goes
    assert goes.path in (front + came.path.removeprefix(route.prefix), b"/")
    assert goes.query == came.query


# -- header lines ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["X-Team", "x-team", "X_Team", "x.team", "X~TEAM", "X-TEAM", "X!Team"])
def test_h2_what_a_route_sets_the_client_can_send_in_no_spelling(spelling):
    headings = (Heading(name="X-Team", value=parse("{claim.team}")),)
    lines = [f"{spelling}: evil".encode(), b"Accept: */*"]
    assert without(lines, classes_of(headings)) == [b"Accept: */*"]
    assert set_lines(headings, BLUE, {}) == [b"X-Team: blue"]


def test_h3_a_header_without_a_value_is_left_out_and_stays_removed():
    headings = (Heading(name="X-Team", value=parse("{claim.team}")), Heading(name="X-Old"))
    lines = [b"X-Team: evil", b"x_old: 1", b"Accept: */*"]
    assert without(lines, classes_of(headings)) == [b"Accept: */*"]
    assert set_lines(headings, NOBODY, {}) == []


REFUSED = (
    *("Host", "Content-Length", "transfer_encoding", "Connection", "Upgrade", "TE", "Trailer", "Keep-Alive"),
    *("Expect", "Proxy", "X-Http-Method-Override", "Sec-WebSocket-Key", "Proxy-Authorization"),
)
SAID = (
    *("Proxy-Session", "proxy_provider", "Proxy-Assertion", "User-Id", "USER.EMAIL", "User-Groups", "Cookie"),
    *("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"),
)
FREE = (
    *("X-Team", "Authorization", "Remote-User", "X-Auth-Request-User", "X-Forwarded-Prefix", "X-Real-Ip"),
    *("Accept-Encoding", "Origin", "X-Script-Name"),
)


@pytest.mark.parametrize("name", REFUSED)
def test_what_frames_a_request_can_neither_be_set_nor_removed(name):
    assert fault_of(name, is_removed=False, is_answer=False)
    assert fault_of(name, is_removed=True, is_answer=False)


@pytest.mark.parametrize("name", SAID)
def test_what_the_gateway_says_can_be_kept_from_a_backend_and_not_made_up(name):
    assert fault_of(name, is_removed=False, is_answer=False)
    assert not fault_of(name, is_removed=True, is_answer=False)


@pytest.mark.parametrize("name", FREE)
def test_all_else_can_be_set(name):
    assert not fault_of(name, is_removed=False, is_answer=False)
    assert not fault_of(name, is_removed=True, is_answer=False)


@pytest.mark.parametrize(
    "name",
    [
        *("Content-Length", "transfer-encoding", "Connection", "Upgrade", "Trailer", "Content-Encoding"),
        *("Content-Range", "Sec-WebSocket-Accept", "Keep-Alive"),
    ],
)
def test_p4_an_answers_framing_can_neither_be_set_nor_removed(name):
    assert fault_of(name, is_removed=False, is_answer=True)
    assert fault_of(name, is_removed=True, is_answer=True)


def test_cookies_of_an_answer_can_be_removed_and_not_made():
    assert fault_of("Set-Cookie", is_removed=False, is_answer=True)
    assert not fault_of("Set-Cookie", is_removed=True, is_answer=True)
    assert not fault_of("X-Frame-Options", is_removed=False, is_answer=True)


@pytest.mark.parametrize(
    ("location", "leads"),
    [
        ("http://app.internal:3000/x?y#z", "https://app.example/x?y#z"),
        ("HTTPS://App.Internal:3000", "https://app.example"),
        ("http://app.internal:3000?y", "https://app.example?y"),
        *[
            (place, place)
            for place in (
                *("/x", "x", "//app.internal:3000/x", "http://app.internal/x", "http://app.internal:30000/x"),
                *(
                    "http://app.internal:3000.evil.example/",
                    "http://u@app.internal:3000/x",
                    "https://other/x",
                ),
                *("http://app.internal:3000\\@evil.example/", "ftp://app.internal:3000/", ""),
            )
        ],
    ],
)
def test_h8_a_backend_asked_for_by_another_name_leads_nobody_there(location, leads):
    lines = [b"Server: x", f"location: {location}".encode()]
    made = led_home(lines, b"Host: app.internal:3000", b"https://app.example")
    assert made[0] == lines[0]
    assert made[1].lower() == f"location: {leads}".encode().lower()
    assert made[1] == lines[1] or leads != location


def test_classes_are_those_of_the_names():
    assert classes_of((Heading(name="X-A"), Heading(name="x_b"))) == {class_of("X-A"), class_of("X-B")}


# -- preflights -----------------------------------------------------------------------------------

ASKS = (b"Origin: https://a.example", b"Access-Control-Request-Method: PUT")


def head(method: bytes, *lines: bytes):
    return parse_request_head(b"\r\n".join((method + b" /x HTTP/1.1", b"Host: app.example", *lines)))


def test_a_preflight_is_known_by_what_it_asks():
    assert is_preflight(head(b"OPTIONS", *ASKS))
    assert is_preflight(head(b"OPTIONS", *ASKS, b"Access-Control-Request-Headers: x-a"))


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        (b"OPTIONS", ()),
        (b"OPTIONS", ASKS[:1]),
        (b"OPTIONS", ASKS[1:]),
        (b"OPTIONS", (b"Origin:", ASKS[1])),
        (b"GET", ASKS),
        (b"POST", (*ASKS, b"X-Http-Method-Override: OPTIONS")),
        (b"OPTIONS", (*ASKS, b"Content-Length: 2")),
        (b"OPTIONS", (*ASKS, b"Transfer-Encoding: chunked")),
        (b"OPTIONS", (*ASKS, b"Connection: Upgrade", b"Upgrade: websocket")),
    ],
)
def test_p2_nothing_else_is_a_preflight(method, lines):
    assert not is_preflight(head(method, *lines))
