"""Targets, authorities and return addresses: every way known to make two readers see two things."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.errors import BadRequest
from vestibule.protocol import url
from vestibule.protocol.url import Authority, canonical, host_in

# Targets (raw, what is forwarded; None: refused).
SAME = (
    b"/",
    b"/?",
    b"/a",
    b"/a/",
    b"/a/b/c",
    b"/a.b/c.d",
    b"/a./b../c...",
    b"/.well-known/openid-configuration",
    b"/.a",
    b"/..a",
    b"/...",
    b"/a/.../b",
    b"/-",
    b"/_",
    b"/~user/",
    b"/a:b@c",
    b"/a,b=c&d+e$f!g'(h)*",
    b"/@google/signin",
    b"/a;b",
    b"/a;b=1;c=2/d",
    b"/a;x.y/b",
    b"/%20",
    b"/a%20b",
    b"/%C3%A9t%C3%A9",
    b"/%E2%82%AC",
    b"/%F0%9F%98%80",
    b"/%25",
    b"/100%25",
    b"/%2525",
    b"/job/feature%252Ffoo/1",
    b"/%3A%40%26%3D%2B%24%2C",
    b"/a%3Bb",
    b"/%3F",
    b"/a%3Fx=/public",
    b"/%23",
    b"/%5B%5D",
    b"/?a=b",
    b"/?a=b?c=d",
    b"/?/../..",
    b"/?x=%2F%5C%0A",
    b"/?x=%E9",
    b"/?x=/public",
    b"/admin?x=/public",
    b"/admin?;/public",
    b"/?a[0]=1&b={c}|d^e`f",
    b"/?x=http://evil.example//a",
    b"/?%2e%2e/",
    b"*",
)
REWRITTEN = (
    (b"/.", b"/"),
    (b"/..", b"/"),
    (b"/./", b"/"),
    (b"/../", b"/"),
    (b"/../..", b"/"),
    (b"/../../etc/passwd", b"/etc/passwd"),
    (b"/a/.", b"/a/"),
    (b"/a/./", b"/a/"),
    (b"/a/./b", b"/a/b"),
    (b"/a/..", b"/"),
    (b"/a/../", b"/"),
    (b"/a/../b", b"/b"),
    (b"/a/b/../..", b"/"),
    (b"/a/b/../../..", b"/"),
    (b"/a/b/../c/./d", b"/a/c/d"),
    (b"/a/b/..", b"/a/"),
    (b"/public/../admin/", b"/admin/"),
    (b"/public/./../admin", b"/admin"),
    (b"/%2e", b"/"),
    (b"/%2E%2E/admin", b"/admin"),
    (b"/%2e./admin", b"/admin"),
    (b"/.%2e/admin", b"/admin"),
    (b"/public/%2e%2e/admin", b"/admin"),
    (b"/public/%2E%2e/admin", b"/admin"),
    (b"/public/.%2E/admin", b"/admin"),
    (b"/public/%2e/admin", b"/public/admin"),
    (b"/public/%2e%2e", b"/"),
    (b"/a/%2e%2e%2e", b"/a/..."),
    (b"/../?x=..", b"/?x=.."),
    (b"//", b"/"),
    (b"///", b"/"),
    (b"//a", b"/a"),
    (b"//evil.example/x", b"/evil.example/x"),
    (b"/a//b", b"/a/b"),
    (b"/a///b//", b"/a/b/"),
    (b"//admin/", b"/admin/"),
    (b"/public//../admin", b"/admin"),
    (b"/.//admin", b"/admin"),
    (b"/..//admin", b"/admin"),
    (b"/./.././/admin", b"/admin"),
    (b"/a//?x=//", b"/a/?x=//"),
    (b"/%61dmin", b"/admin"),
    (b"/%41%5A%61%7a%30%39", b"/AZaz09"),
    (b"/%2d%5f%7e%2e", b"/-_~."),
    (b"/%7Euser", b"/~user"),
    (b"/a%2eb", b"/a.b"),
    (b"/%e2%82%ac", b"/%E2%82%AC"),
    (b"/%3a", b"/%3A"),
    (b"/a%3bb", b"/a%3Bb"),
    (b"/|", b"/%7C"),
    (b"/[x]", b"/%5Bx%5D"),
    (b"/{a}^`", b"/%7Ba%7D%5E%60"),
    (b'/"<>"', b"/%22%3C%3E%22"),
    (b"/;a/..", b"/"),
    (b"http://app.example", b"/"),
    (b"http://app.example/", b"/"),
    (b"http://app.example?x", b"/?x"),
    (b"http://app.example/a/../b?c", b"/b?c"),
    (b"HTTPS://APP.example:8443/a", b"/a"),
    (b"http://app.example//a", b"/a"),
    (b"http://app.example/http://evil.example/", b"/http:/evil.example/"),
)
FORBIDDEN_BYTES = (*range(0x21), 0x7F, 0x80, 0xA0, 0xC3, 0xFF, *b"#\\")
REFUSED = (
    # raw bytes no target may hold, in the path and in the query
    *(b"/a%cb" % byte for byte in FORBIDDEN_BYTES),
    *(b"/%c" % byte for byte in FORBIDDEN_BYTES),
    *(b"/a?b%cc" % byte for byte in FORBIDDEN_BYTES),
    # encoded control characters, slashes and backslashes in the path
    *(b"/a%%%02xb" % byte for byte in (*range(0x20), 0x7F)),
    b"/a%2fb",
    b"/a%2Fb",
    b"/%2f",
    b"/%2F%2Fevil.example",
    b"/%2e%2e%2fadmin",
    b"/..%2fadmin",
    b"/public%2f..%2fadmin",
    b"/%5c",
    b"/%5Cevil.example",
    b"/..%5cadmin",
    b"/public/..%5C..%5Cadmin",
    b"/?x=%00",
    b"/a?%00",
    # broken escapes
    b"/%",
    b"/%2",
    b"/%zz",
    b"/%2g",
    b"/%g2",
    b"/a%",
    b"/%%",
    b"/%%32%65",
    b"/%u002e",
    b"/%u2215",
    b"/%-1",
    b"/%+2",
    b"/% 2",
    b"/%0x",
    b"/?%",
    b"/?x=%",
    b"/?x=%2",
    b"/?x=100%",
    b"/?x=%zz",
    b"/?x=%u0041",
    # not UTF-8: overlong dots and slashes, surrogates, cut sequences, beyond U+10FFFF, Latin-1
    b"/%c0%ae%c0%ae/admin",
    b"/%C0%AF",
    b"/%c0%2e",
    b"/%c1%9c",
    b"/%e0%80%ae",
    b"/%e0%80%af",
    b"/%f0%80%80%ae",
    b"/%f8%80%80%80%ae",
    b"/%ed%a0%80",
    b"/%e2%82",
    b"/%f4%90%80%80",
    b"/%ff",
    b"/%fe%ff",
    b"/%80",
    b"/caf%e9",
    # dot segments in disguise
    b"/..;/admin",
    b"/.;/admin",
    b"/public/..;/admin",
    b"/public/..;jsessionid=1/admin",
    b"/public/..;a;b/admin",
    b"/public/.;x",
    b"/public/..;",
    b"/public/%2e%2e;/admin",
    b"/public/.%2e;x/admin",
    b"/public/..%3b/admin",
    b"/public/..%3B/admin",
    b"/public/..%253b/admin",
    b"/public/%252e%252e/admin",
    b"/public/%252E./admin",
    b"/public/.%252e/admin",
    b"/public/%252e/admin",
    b"/public/%25252e%25252e/admin",
    b"/public/%2525252525252e/admin",
    b"/public/..%252fadmin",
    b"/public/..%255cadmin",
    b"/public/%252e%252e%252fadmin",
    b"/public/%252e%252e%255cadmin",
    b"/public/x%252f..%252fadmin",
    # no form of a target
    b"",
    b"a",
    b"admin",
    b"?x",
    b"./a",
    b"../a",
    b"app.example:443",
    b"app.example/a",
    b"**",
    b"*/",
    b"*?x",
    b"\\admin",
    b"/\\admin",
    b"%2fadmin",
    b"http:",
    b"http:/a",
    b"http:///a",
    b"http://",
    b"http:a",
    b":80/a",
    b"ftp://app.example/",
    b"ws://app.example/",
    b"file:///etc/passwd",
    b"javascript:alert(1)",
    b"gopher://app.example/",
    b"http//app.example/",
    b"http://user@app.example/",
    b"http://app.example@evil.example/",
    b"http://user:pw@app.example/",
    b"http://app.example#/a",
    b"http://app.example/#a",
    b"http://app.example\\a",
    b"http://app.example:0/",
    b"http://app.example:65536/",
    b"http://app.example:/",
    b"http://[::1/",
    b"http://[::1%25lo]/",
    b"http://app..example/",
    b"http://app.example/%2f",
    b"http://app.example/..;/x",
)


def _table() -> list[tuple[bytes, bytes | None]]:
    return [*((raw, raw) for raw in SAME), *REWRITTEN, *((raw, None) for raw in REFUSED)]


def test_the_table_is_as_long_as_the_attack_list_asks() -> None:
    assert len({raw for raw, _ in _table()}) >= 300


@pytest.mark.parametrize(("raw", "forwarded"), _table(), ids=lambda value: repr(value)[1:])
def test_a_target_has_one_form_or_is_refused(raw: bytes, forwarded: bytes | None) -> None:
    if forwarded is None:
        with pytest.raises(BadRequest) as caught:
            canonical(raw)
        assert caught.value.status == 400
    else:
        target = canonical(raw)
        assert target.full == forwarded
        assert target.came == (b"" if raw == forwarded else raw)
        assert target.path + (b"?" + target.query if b"?" in forwarded else b"") == forwarded
        assert canonical(target.full).full == forwarded


_FRAGMENTS = st.sampled_from(
    [b"/", b"//", b".", b"..", b"%2e", b"%2E", b"%25", b"%2f", b"%5c", b"%3b", b";", b"a", b"b", b"admin", b"%61",
     b"%C3%A9", b"%c3", b"%c0%ae", b"?", b"#", b"\\", b"|", b"%", b"2e", b"252e", b"=", b"&", b"\x00", b" ", b":", b"@"]
)  # fmt: skip


@given(
    st.lists(_FRAGMENTS, max_size=14).map(b"".join).map(b"/".__add__)
    | st.binary(max_size=40).map(b"/".__add__)
)
def test_canonical_is_idempotent_and_leaves_nothing_to_resolve(raw: bytes) -> None:
    try:
        target = canonical(raw)
    except BadRequest:
        return
    again = canonical(target.full)
    assert again == msgspec.structs.replace(target, came=b"")
    assert target.full.isascii()
    assert not re.search(rb"[\x00-\x20\x7f#\\]", target.full)
    assert target.path.startswith(b"/")
    assert b"//" not in target.path
    decoded = target.path
    for _ in range(4):
        decoded = unquote_to_bytes(decoded)
        names = [segment.partition(b";")[0] for segment in re.split(rb"[/\\]", decoded)]
        assert b"." not in names
        assert b".." not in names


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"/a/b", b"/a/b"),
        (b"/a%20b", b"/a%20b"),
        (b"/admin;x/y", b"/admin/y"),
        (b"/admin;x=1;y=2/", b"/admin/"),
        (b"/;x/admin", b"/admin"),
        (b"/a/;/b", b"/a/b"),
        (b"/admin%3Bx/y", b"/admin/y"),
        (b"/a;", b"/a"),
        (b"/a?b;c", b"/a"),
    ],
    ids=repr,
)
def test_plain_is_the_path_of_servers_that_drop_parameters(raw: bytes, plain: bytes) -> None:
    assert canonical(raw).plain == plain


def test_an_absolute_target_tells_its_authority() -> None:
    named = canonical(b"http://APP.example.:8080/a").authority
    assert named == b"APP.example.:8080"
    assert url.authority(named) == Authority(b"app.example", 8080)
    assert canonical(b"/a").authority == b""


# Authorities (attacks.md P3).
LONG_LABEL = b"a" * 63
AUTHORITIES = (
    (b"app.example", (b"app.example", None)),
    (b"APP.Example", (b"app.example", None)),
    (b"app.example.", (b"app.example", None)),
    (b"app.example:80", (b"app.example", 80)),
    (b"app.example.:443", (b"app.example", 443)),
    (b"app.example:65535", (b"app.example", 65535)),
    (b"localhost", (b"localhost", None)),
    (b"localhost:8000", (b"localhost", 8000)),
    (b"my_app", (b"my_app", None)),
    (b"_dmarc.example", (b"_dmarc.example", None)),
    (b"xn--bcher-kva.example", (b"xn--bcher-kva.example", None)),
    (b"XN--BCHER-KVA.example", (b"xn--bcher-kva.example", None)),
    (b"a-b.example", (b"a-b.example", None)),
    (b"3com.example", (b"3com.example", None)),
    (b"1.example", (b"1.example", None)),
    (LONG_LABEL + b".example", (LONG_LABEL + b".example", None)),
    (b"127.0.0.1", (b"127.0.0.1", None)),
    (b"127.0.0.1:8000", (b"127.0.0.1", 8000)),
    (b"127.0.0.1.", (b"127.0.0.1", None)),
    (b"[::1]", (b"[::1]", None)),
    (b"[::1]:8000", (b"[::1]", 8000)),
    (b"[0:0:0:0:0:0:0:1]", (b"[::1]", None)),
    (b"[2001:DB8::00A]:443", (b"[2001:db8::a]", 443)),
    (b"[::ffff:127.0.0.1]", (b"[::ffff:7f00:1]", None)),
    *(
        (raw, None)
        for raw in (
            b"",
            b".",
            b"..",
            b".example",
            b"app..example",
            b"app.example..",
            b"-a.example",
            b"a-.example",
            b"a" * 64 + b".example",
            b".".join([LONG_LABEL] * 4),
            b":80",
            b"app.example:",
            b"app.example:0",
            b"app.example:080",
            b"app.example:65536",
            b"app.example:99999",
            b"app.example:8 0",
            b"app.example:+80",
            b"app.example:80:80",
            b"app.example:http",
            b"app.example, evil.example",
            b"app.example evil.example",
            b"app.example\t",
            b" app.example",
            b"app.example\x00",
            b"app.example/",
            b"app.example?x",
            b"app.example#x",
            b"app.example\\x",
            b"app.example%2e",
            b"app%2eexample",
            b"user@app.example",
            b"@app.example",
            b"app.example@evil.example",
            b"user:pw@app.example:80",
            "bücher.example".encode(),
            "ａｐｐ.example".encode(),
            "app。example".encode(),
            "app.exampleⓔ".encode(),
            b"app.ex\xe4mple",
            b"*.example",
            b"app$.example",
            b"1",
            b"127.1",
            b"2130706433",
            b"0x7f.1",
            b"0x7f000001",
            b"0177.0.0.1",
            b"127.0.0.01",
            b"127.0.0.256",
            b"127.0.0.1.1",
            b"app.1",
            b"app.0x1",
            b"::1",
            b"::1:80",
            b"[]",
            b"[:]",
            b"[::1",
            b"::1]",
            b"[::1]x",
            b"[::1]80",
            b"[::1%lo]",
            b"[::1%25lo]",
            b"[fe80::1%25eth0]",
            b"[v1.x]",
            b"[127.0.0.1]",
            b"[::1]:",
            b"[app.example]",
            b"[::g]",
        )
    ),
)


@pytest.mark.parametrize(("raw", "expected"), AUTHORITIES, ids=lambda value: repr(value)[:40])
def test_an_authority_has_one_spelling_or_is_refused(
    raw: bytes, expected: tuple[bytes, int | None] | None
) -> None:
    if expected is None:
        with pytest.raises(BadRequest):
            url.authority(raw)
    else:
        found = url.authority(raw)
        assert found == expected
        assert url.authority(found.host) == (expected[0], None)


# Return addresses (attacks.md S1).
BASE = "https://app.example"
HOSTS = frozenset({"b.example", "c.example:8443"})


def safe(rd: str, base_url: str = BASE) -> str | None:
    return url.safe_return(rd, base_url=base_url, hosts=HOSTS)


@pytest.mark.parametrize(
    ("rd", "expected"),
    [
        ("/", "/"),
        ("/a/b?c=d", "/a/b?c=d"),
        ("/a#b", "/a#b"),
        ("/#/inbox?x=1", "/#/inbox?x=1"),
        ("/a?u=http://x.example/", "/a?u=http://x.example/"),
        ("/a?u=//x.example", "/a?u=//x.example"),
        ("/a//b", "/a/b"),
        ("/a/../b", "/b"),
        ("/./x", "/x"),
        ("/.//evil.example", "/evil.example"),
        ("/..//evil.example", "/evil.example"),
        ("/a/..//evil.example", "/evil.example"),
        ("/%2e%2e//evil.example", "/evil.example"),
        ("/été?q=ü#ö", "/%C3%A9t%C3%A9?q=%C3%BC#%C3%B6"),
        ("/／evil.example", "/%EF%BC%8Fevil.example"),
        ("/@google/signin", "/@google/signin"),
        ("/user@evil.example", "/user@evil.example"),
        ("/http://evil.example", "/http:/evil.example"),
        ("/javascript:alert(1)", "/javascript:alert(1)"),
        ("https://app.example", "/"),
        ("https://app.example/", "/"),
        ("https://APP.example/a?b#c", "/a?b#c"),
        ("HTTPS://app.example:443/a", "/a"),
        ("https://app.example.", "/"),
        ("https://app.example?x=1", "/?x=1"),
        ("https://app.example#x", "/#x"),
        ("https://app.example//evil.example", "/evil.example"),
        ("https://b.example/x", "https://b.example/x"),
        ("https://B.example:443", "https://b.example/"),
        ("https://b.example//x", "https://b.example/x"),
        ("https://c.example:8443/x?y", "https://c.example:8443/x?y"),
        ("https://b.example/" + "é", "https://b.example/%C3%A9"),
    ],
)
def test_a_place_of_ours_is_where_to_return(rd: str, expected: str) -> None:
    assert safe(rd) == expected
    assert safe(expected) == expected


#: Shared with the differential test against a browser's parser (tests/real/test_url_node.py).
OPEN_REDIRECTS = (
    "",
    " ",
    "a",
    "?a",
    "#a",
    "./a",
    "../a",
    "evil.example",
    "//evil.example",
    "//evil.example/a",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "//\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/\r\n/evil.example",
    "\t//evil.example",
    "\n//evil.example",
    " //evil.example",
    " /a",
    "\x00//evil.example",
    "\x0b//evil.example",
    "/\x0b/evil.example",
    "/\x0c/evil.example",
    "/ /evil.example",
    "/\xa0/evil.example",
    "/\x85/evil.example",
    "/\u2028/evil.example",
    "/\u2029/evil.example",
    "/\ud800",
    "/a\nSet-Cookie: x=y",
    "/a\r\nLocation: //evil.example",
    "/%0d%0aLocation:%20//evil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%2f/evil.example",
    "/%2F%2Fevil.example",
    "/%5cevil.example",
    "/%5C%5Cevil.example",
    "/%00/evil.example",
    "/%",
    "/%zz",
    "/..;/evil.example",
    "/%252e%252e/x",
    "/a?x=%00",
    "/a\\b",
    "/?x=\\",
    "/#\\",
    "/#%zz",
    "//app.example",
    "//app.example@evil.example",
    "http:evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:////evil.example",
    "https:\\\\evil.example",
    "https:/\\evil.example",
    "https://evil.example",
    "HTTPS://EVIL.example",
    "http://app.example/",
    "http://b.example/",
    "https://app.example@evil.example",
    "https://app.example:443@evil.example",
    "https://app.example%40evil.example",
    "https://app.example%2eevil.example",
    "https://user@app.example/",
    "https://user:pw@b.example/",
    "https://@app.example/",
    "https://app.example\\.evil.example",
    "https://app.example\\@evil.example",
    "https://evil.example\\@app.example",
    "https://evil.example\\app.example",
    "https://evil.example#@app.example",
    "https://evil.example?@app.example",
    "https://evil.example;@app.example",
    "https://evil.example/app.example",
    "https://evil.example?https://app.example",
    "https://app.example.evil.example",
    "https://xapp.example",
    "https://evilapp.example",
    "https://app.example.evil.example/app.example",
    "https://sub.app.example",
    "https://sub.b.example",
    "https://b.example.evil.example",
    "https://xb.example",
    "https://b.example:8443/",
    "https://c.example/",
    "https://c.example:443/",
    "https://app.example:80/",
    "https://app.example:8443/",
    "https://app.example:0/",
    "https://app.example:/",
    "https://app.example:99999/",
    "https://app.example:443:443/",
    "https://app.example:evil.example/",
    "https://app.example..",
    "https://.app.example",
    "https://app。example",
    "https://ａｐｐ.example",
    "https://app.example／",
    "https://app.example／.evil.example",
    "https://evil.example／app.example",
    "https://ⓐpp.example",
    "https://app.example\u200b",
    "https://ap\u00adp.example",
    "https://app.example%00.evil.example",
    "https://app.example\x00.evil.example",
    "https://app.example\t.evil.example",
    "https://app.example\n.evil.example",
    "https://app.example evil.example",
    "https://app.example,evil.example",
    "https://[::1]/",
    "https://[app.example]/",
    "https://127.0.0.1/",
    "https://0x7f.1/",
    "https://2130706433/",
    "https://localhost/",
    "https://b.example/\\evil",
    "https://b.example/%2f",
    "h\nttps://evil.example",
    "java\nscript:alert(1)",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    " javascript:alert(1)",
    "\x01javascript:alert(1)",
    "javascript://app.example/%0aalert(1)",
    "javascript://app.example\nalert(1)",
    "vbscript:x",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD4=",
    "blob:https://app.example/1",
    "file:///etc/passwd",
    "ftp://app.example/",
    "ws://app.example/",
    "wss://app.example/",
    "about:blank",
    "view-source:https://app.example/",
    "mailto:a@app.example",
    "x-app://app.example/",
    "://app.example",
    ":",
    "@evil.example",
    ".evil.example",
    ";//evil.example",
    "/" + "a" * url.MAX_RETURN_BYTES,
    "/" + "é" * 1000,
    "https://" + "a" * 300 + ".example/",
)


@pytest.mark.parametrize("rd", OPEN_REDIRECTS, ids=lambda rd: ascii(rd)[1:40])
def test_no_address_leads_away(rd: str) -> None:
    assert safe(rd) is None


def test_on_plain_http_the_same_rules_hold_with_its_scheme_and_port() -> None:
    base = "http://localhost:8000"
    assert safe("/a", base) == "/a"
    assert safe("http://localhost:8000/a", base) == "/a"
    assert safe("http://b.example:8000/a", base) == "http://b.example:8000/a"
    assert safe("http://c.example:8443/a", base) == "http://c.example:8443/a"
    assert safe("http://b.example/a", base) is None
    assert safe("http://c.example:8000/a", base) is None
    assert safe("http://b.example/a", "http://app.example") == "http://b.example/a"
    assert safe("http://localhost/a", base) is None
    assert safe("http://localhost:8001/a", base) is None
    assert safe("https://localhost:8000/a", base) is None


@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from([*"/\\.:@?#%;ab \t\n", "//", "https:", "app.example", "%2f", "%5c"])).map(
        "".join
    )
)
def test_whatever_is_accepted_is_a_path_or_a_configured_origin(rd: str) -> None:
    place = safe(rd)
    if place is None:
        return
    assert place.isascii()
    assert not re.search(r"[\x00-\x20\\]", place)
    assert re.match(r"/(?!/)|https://(b\.example|c\.example:8443)/(?!/)", place)
    assert safe(place) == place


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/projects/group%2fname", b"/projects/group%2Fname"),
        (b"/a//b", b"/a//b"),
        (b"/o/x%5Cy", b"/o/x%5Cy"),
        (b"/a/./b%2Fc", b"/a/b%2Fc"),
    ],
)
def test_slashes_stay_as_they_are_where_asked(raw, path):
    assert canonical(raw, slashes=True).path == path


@pytest.mark.parametrize(
    "raw", [b"/a/..%2fb", b"/a%2F..", b"/a%5c..%5cb", b"/%2e%2e%2fb", b"/a%252F..%252Fb", b"/a%00"]
)
def test_hidden_dot_segments_are_refused_even_where_slashes_stay(raw):
    with pytest.raises(BadRequest):
        canonical(raw, slashes=True)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://app.example.com", "app.example.com"),
        ("https://app.example.com:8443/path:1", "app.example.com"),
        ("http://[::1]:8000", "[::1]"),
        ("app.example.com:8443", "app.example.com"),
        ("[::1]", "[::1]"),
        ("https://", ""),
        ("", ""),
    ],
)
def test_the_host_of_a_url_or_an_authority(text, host):
    assert host_in(text) == host
