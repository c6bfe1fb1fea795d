"""Cookies: ours are found exactly once or not at all, and nobody behind the gateway sees or sets them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol import cookie
from vestibule.protocol.cookie import Cookies, Taken

NAME = b"__Host-vestibule"


@pytest.mark.parametrize(
    ("headers", "values", "repeated"),
    [
        ([], {}, set()),
        ([b""], {}, set()),
        ([b"a=1"], {b"a": b"1"}, set()),
        ([b"a=1; b=2"], {b"a": b"1", b"b": b"2"}, set()),
        ([b"a=1;b=2"], {b"a": b"1", b"b": b"2"}, set()),
        ([b"a=1", b"b=2"], {b"a": b"1", b"b": b"2"}, set()),
        ([b"a=1;;; b=2;"], {b"a": b"1", b"b": b"2"}, set()),
        ([b"a="], {b"a": b""}, set()),
        ([b"a=b=c"], {b"a": b"b=c"}, set()),
        ([b'a="1; b=2"'], {b"a": b'"1', b"b": b'2"'}, set()),
        ([b'a="1"'], {b"a": b'"1"'}, set()),
        ([b" a = 1 "], {b"a": b"1"}, set()),
        ([b"a"], {}, set()),
        ([b"=a"], {}, set()),
        ([b"A=1; a=2"], {b"A": b"1", b"a": b"2"}, set()),
        ([b"a=1; a=1"], {}, {b"a"}),
        ([b"a=1; a=2; a=3; b=4"], {b"b": b"4"}, {b"a"}),
        ([b"a=1", b"a=2"], {}, {b"a"}),
        ([b"a=1; a"], {b"a": b"1"}, set()),
        ([b"a=1, b=2"], {b"a": b"1, b=2"}, set()),
        ([b"$Version=1; a=2"], {b"$Version": b"1", b"a": b"2"}, set()),
    ],
)
def test_cookies_are_read_as_sent(
    headers: list[bytes], values: dict[bytes, bytes], repeated: set[bytes]
) -> None:
    assert cookie.parse(headers) == Cookies(values, frozenset(repeated))


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        (b"", Taken(None, False, b"")),
        (b"a=1; b=2", Taken(None, False, b"a=1; b=2")),
        (b"__Host-vestibule=x", Taken(b"x", False, b"")),
        (b"a=1; __Host-vestibule=x; b=2", Taken(b"x", False, b"a=1; b=2")),
        (b"__Host-vestibule=x; b=2", Taken(b"x", False, b"b=2")),
        (b"a=1;__Host-vestibule=x;b=2", Taken(b"x", False, b"a=1;b=2")),
        (b" __Host-vestibule = x ; b=2", Taken(b"x", False, b"b=2")),
        (b"__Host-vestibule=", Taken(b"", False, b"")),
        (b"__Host-vestibule", Taken(None, False, b"")),
        (b'__Host-vestibule="x"', Taken(b'"x"', False, b"")),
        (b"__Host-vestibule=x; __Host-vestibule=x", Taken(None, True, b"")),
        (b"__Host-vestibule=x; a=1; __Host-vestibule=y", Taken(None, True, b"a=1")),
        (b"__Host-vestibule =x; __Host-vestibule=y", Taken(None, True, b"")),
        # another spelling is never taken for the handle, and never passed on
        (b"__host-vestibule=x", Taken(None, False, b"")),
        (b"__HOST-VESTIBULE=x; a=1", Taken(None, False, b"a=1")),
        (b"__Host-vestibule=x; __hOst-Vestibule=y", Taken(b"x", False, b"")),
        (b"__Host-vestibule-flow-abc=x; a=1", Taken(None, False, b"a=1")),
        (b"a=1; vestibule-8000-last=google; __Host-vestibule-last=x", Taken(None, False, b"a=1")),
        (b"__Secure-vestibule=x; vestibule-8000=y; vestibule-8000-flow-z=1", Taken(None, False, b"")),
        # Those of the admin pages on another port of this name: browsers send them to every port.
        (b"vestibule-admin-9000=x; a=1; Vestibule-Said-9000=y", Taken(None, False, b"a=1")),
        (b"Vestibule-9=1; vestibule-x=2; vestibule=3", Taken(None, False, b"vestibule-x=2; vestibule=3")),
        (b"x__Host-vestibule=1", Taken(None, False, b"x__Host-vestibule=1")),
        (b"theme=vestibule", Taken(None, False, b"theme=vestibule")),
        # RFC 2965: no attribute of it reaches a backend, and none changes how we read
        (b'$Version=1; a="x; __Host-vestibule=h; b=y"', Taken(b"h", False, b'a="x; b=y"')),
        (b"$Version=1; $Path=/; a=1", Taken(None, False, b"a=1")),
        (b"a=$1; b=2", Taken(None, False, b"a=$1; b=2")),
        (b"; ; __Host-vestibule=x; ;", Taken(b"x", False, b"")),
    ],
)
def test_our_cookie_is_taken_out(header: bytes, taken: Taken) -> None:
    assert cookie.take(header, NAME) == taken


def test_names_an_operator_chose_are_ours_when_told() -> None:
    also = frozenset({b"x-nuon-auth"})
    assert cookie.take(b"X-Nuon-Auth=t; a=1", b"X-Nuon-Auth", also) == Taken(b"t", False, b"a=1")
    assert cookie.take(b"x-NUON-auth=t; a=1", NAME, also).rest == b"a=1"
    assert cookie.take(b"X-Nuon-Auth=t", NAME).rest == b"X-Nuon-Auth=t"


_PIECES = st.sampled_from(
    [b"__Host-vestibule", b"__host-vestibule-flow-1", b"vestibule-80", b"$Version", b"a", b"b", b"=", b"x", b'"', b" ", b"\t", b";", b"; "]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=20).map(b"".join))
def test_nothing_of_ours_is_left_whichever_way_it_is_split(header: bytes) -> None:
    taken = cookie.take(header, NAME)
    assert cookie.take(taken.rest, NAME) == Taken(None, False, taken.rest)
    rest = cookie.parse([taken.rest])
    before = cookie.parse([header])
    assert not any(cookie.is_ours(name) for name in rest.values)
    assert taken.value == before.values.get(NAME)
    assert taken.is_repeated == (NAME in before.repeated)
    assert {name: value for name, value in before.values.items() if name in rest.values} == rest.values


@pytest.mark.parametrize(
    ("set_cookie", "ours"),
    [
        (b"sid=1; Path=/", False),
        (b"__Host-vestibule=1; Path=/", True),
        (b"__HOST-vestibule-flow-1=; Max-Age=0", True),
        (b"vestibule-8000=1", True),
        (b"vestibule-admin-9000=1", True),
        (b" __Secure-Vestibule =1", True),
        (b"=__Host-vestibule=1", True),
        (b"= __Host-vestibule=1", True),
        (b"==vestibule-1=1", True),
        (b"__Host-vestibule", True),
        (b"a=__Host-vestibule", False),
        (b"a=1; __Host-vestibule=1", False),
        (b"", False),
    ],
)
def test_a_backend_cannot_set_ours(set_cookie: bytes, *, ours: bool) -> None:
    assert cookie.sets_ours(set_cookie) is ours


def test_what_is_set() -> None:
    assert (
        cookie.build("__Host-vestibule", "abc_-.", secure=True)
        == "__Host-vestibule=abc_-.; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    assert (
        cookie.build("vestibule-8000", "x", secure=False, max_age_s=600, path="/@/", domain="example.com")
        == "vestibule-8000=x; Path=/@/; Domain=example.com; Max-Age=600; HttpOnly; SameSite=Lax"
    )
    assert cookie.clear("__Host-vestibule", secure=True) == (
        "__Host-vestibule=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=Lax"
    )


@pytest.mark.parametrize(
    ("name", "value", "options", "fault"),
    [
        ("a b", "x", {}, "name"),
        ("", "x", {}, "name"),
        ("a;b", "x", {}, "name"),
        ("a=b", "x", {}, "name"),
        ("é", "x", {}, "name"),
        ("a", "x;y", {}, "value"),
        ("a", "x y", {}, "value"),
        ("a", "x\r\nSet-Cookie: y", {}, "value"),
        ("a", 'x"', {}, "value"),
        ("a", "x,y", {}, "value"),
        ("a", "x\\", {}, "value"),
        ("a", "é", {}, "value"),
        ("a", "x" * 4096, {}, "size"),
        ("a", "x", {"path": "a"}, "path"),
        ("a", "x", {"path": "/;x"}, "path"),
        ("a", "x", {"domain": "a;b"}, "domain"),
        ("a", "x", {"domain": ".example.com"}, "domain"),
        ("a", "x", {"same_site": "lax"}, "same-site"),
        ("a", "x", {"same_site": "None", "secure": False}, "same-site"),
        ("__Host-a", "x", {"secure": False}, "prefix"),
        ("__host-a", "x", {"path": "/a"}, "prefix"),
        ("__Host-a", "x", {"domain": "example.com"}, "prefix"),
        ("__Secure-a", "x", {"secure": False}, "prefix"),
    ],
)
def test_what_a_browser_would_refuse_is_not_built(name: str, value: str, options: dict, fault: str) -> None:
    with pytest.raises(ValueError, match=f"bad {fault}$") as caught:
        cookie.build(name, value, **{"secure": True, **options})
    assert value not in str(caught.value) or value == "x"
