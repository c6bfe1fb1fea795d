"""Web addresses of people in one form, and where they say who signs them in."""

from __future__ import annotations

from typing import Any

import pytest

from vestibule.protocol.indieauth import PAGE_MAX_BYTES, Metadata, links, parse_metadata, profile_url


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        # the examples of section 3.2
        ("https://example.com/", "https://example.com/"),
        ("https://example.com/username", "https://example.com/username"),
        ("https://example.com/users?id=100", "https://example.com/users?id=100"),
        # section 3.4
        ("example.com", "https://example.com/"),
        ("  Example.COM ", "https://example.com/"),
        ("http://Example.com/Ann", "http://example.com/Ann"),
        ("https://example.com", "https://example.com/"),
        ("example.com./x", "https://example.com/x"),
        ("bücher.example", "https://xn--bcher-kva.example/"),
        ("localhost/ann", "https://localhost/ann"),
        ("ann.example/~ann/", "https://ann.example/~ann/"),
        ("https://example.com:/\n", "https://example.com/"),
    ],
)
def test_an_address_has_one_form(raw: str, url: str) -> None:
    assert profile_url(raw) == url


@pytest.mark.parametrize(
    "raw",
    [
        # the counter-examples of section 3.2
        "mailto:user@example.com",
        "https://example.com/foo/../bar",
        "https://example.com/#me",
        "https://user:pass@example.com/",
        "https://example.com:8443/",
        "https://172.28.92.51/",
        # and more
        "",
        "   ",
        "ann",
        "ftp://example.com/",
        "javascript://example.com/%0aalert(1)",
        "https://example.com/./x",
        "https://[::1]/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://exa mple.com/",
        "https://example.com\\@evil.example/",
        "https://example..com/",
        "https://-a.example/",
        "https://example.com/ü",
        "https://example.com/" + "x" * 2000,
        "https://@example.com/",
    ],
)
def test_what_can_not_be_a_persons_address(raw: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        profile_url(raw)


PAGE = "https://ann.example/about/"


def found(body: str = "", *, kind: str = "text/html; charset=utf-8", **headers: str) -> dict[str, str]:
    return links(PAGE, {"content-type": kind, **headers}, body.encode())


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (
            '<link rel="indieauth-metadata" href="/meta">',
            {},
            {"indieauth-metadata": "https://ann.example/meta"},
        ),
        ('<link rel="me authorization_endpoint" href="auth">', {}, {"authorization_endpoint": f"{PAGE}auth"}),
        # what visitors may write into many a page
        ('<a rel="authorization_endpoint" href="https://evil.example/">me, too</a>', {}, {}),
        (
            '<link rel="authorization_endpoint" href="/c"><a rel="indieauth-metadata" href="https://evil.example/">',
            {},
            {"authorization_endpoint": "https://ann.example/c"},
        ),
        (
            "<link rel=authorization_endpoint href=https://b.example/><LINK REL=authorization_endpoint HREF=/c>",
            {},
            {"authorization_endpoint": "https://b.example/"},
        ),
        (
            '<link rel="indieauth-metadata" href="/body">',
            {"link": '<https://h.example/m>; rel="indieauth-metadata"'},
            {"indieauth-metadata": "https://h.example/m"},
        ),
        (
            "",
            {"link": '</a>; rel="x", </b>; rel="other authorization_endpoint"; title="y"'},
            {"authorization_endpoint": "https://ann.example/b"},
        ),
        ('<link rel="authorization_endpoint" href="javascript:alert(1)">', {}, {}),
        ('<link rel="authorization_endpoint">', {}, {"authorization_endpoint": PAGE}),
        ('<!-- <link rel="authorization_endpoint" href="/c"> -->', {}, {}),
        ('<link rel="authorization_endpoint" href="http://[bad/">', {}, {}),
        ("<<<>>><link rel='", {}, {}),
        ("", {}, {}),
    ],
)
def test_the_first_of_each_link_counts(body: str, headers: Any, expected: dict[str, str]) -> None:
    assert found(body, **headers) == expected


def test_a_page_made_to_keep_the_gateway_busy_is_not_read_to_its_end() -> None:
    """Threat: whoever types an address chooses the page, and all other people wait while it is parsed."""
    link = b'<link rel="authorization_endpoint" href="/auth">'
    page = link + b"<" * 1_000_000
    assert links("https://ann.example/", {}, page) == {"authorization_endpoint": "https://ann.example/auth"}
    assert links("https://ann.example/", {}, b" " * PAGE_MAX_BYTES + link) == {}
    # What begins no tag hides none.
    assert links("https://ann.example/", {}, b"a < b <<" + link + b"<3") != {}
    assert links("https://ann.example/", {}, b"<!-- <" + link + b" -->") == {}


def test_only_a_page_is_read_for_links() -> None:
    assert found('<link rel="authorization_endpoint" href="/a">', kind="text/plain") == {}


URL = "https://auth.example/.well-known/oauth-authorization-server"
GOOD = {
    "issuer": "https://auth.example/",
    "authorization_endpoint": "https://auth.example/auth",
    "token_endpoint": "https://auth.example/token",
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
}


def test_metadata_names_issuer_and_endpoint() -> None:
    assert parse_metadata(GOOD, URL) == Metadata(
        authorization_endpoint="https://auth.example/auth", issuer="https://auth.example/", has_iss=True
    )


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.example/"},
        {"issuer": "https://auth.example/?x"},
        {"issuer": "https://auth.example/#x"},
        {"issuer": None},
        {"issuer": 5},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"code_challenge_methods_supported": ["plain"]},
    ],
)
def test_metadata_that_can_not_be_right_is_refused(change: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_metadata({**GOOD, **change}, URL)


def test_metadata_is_an_object() -> None:
    with pytest.raises(ValueError, match="object"):
        parse_metadata([GOOD], URL)
