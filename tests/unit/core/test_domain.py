"""Which hosts are of which domain, and what their one cookie is called."""

from __future__ import annotations

import pytest

from vestibule.core.domain import Domain, domain_of, is_within, realms_of


@pytest.mark.parametrize(
    ("host", "domain", "expected"),
    [
        ("example.com", "example.com", True),
        ("app.example.com", "example.com", True),
        ("a.b.example.com", "example.com", True),
        ("evilexample.com", "example.com", False),
        ("example.com.evil.test", "example.com", False),
        ("com", "example.com", False),
        ("", "example.com", False),
    ],
)
def test_a_host_is_in_a_domain_by_whole_labels(host: str, domain: str, expected: bool) -> None:
    assert is_within(host, domain) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("app.example.com", "outer"),
        ("example.com", "outer"),
        ("in.example.com", "inner"),
        ("app.in.example.com", "inner"),
        ("app.example.org", None),
    ],
)
def test_of_several_domains_the_longest_has_the_host(host: str, expected: str | None) -> None:
    domains = [("example.com", "outer"), ("in.example.com", "inner")]
    assert domain_of(host, domains) == domain_of(host, domains[::-1]) == expected


def test_one_cookie_makes_a_realm_that_no_host_is_called() -> None:
    shared = Domain(name="example.com", auth=b"auth.example.com", shares_cookie=True)
    assert (shared.realm, shared.cookie_domain) == (".example.com", "example.com")
    handed = Domain(name="example.com", auth=b"auth.example.com")
    assert (handed.realm, handed.cookie_domain) == ("", "")


@pytest.mark.parametrize(
    ("cookie", "secure", "expected"),
    [
        ("", True, "__Secure-vestibule"),
        ("", False, "vestibule-8000-domain"),
        ("X-Nuon-Auth", True, "X-Nuon-Auth"),
        ("X-Nuon-Auth", False, "X-Nuon-Auth"),
    ],
)
def test_the_one_cookie_is_called_as_no_hosts_own_is(cookie: str, secure: bool, expected: str) -> None:
    domain = Domain(name="example.com", auth=b"auth.example.com", shares_cookie=True, cookie=cookie)
    assert domain.cookie_name(8000, secure=secure) == expected


def test_browsers_share_no_cookie_of_a_name_without_a_dot() -> None:
    assert Domain(name="localhost", auth=b"localhost", shares_cookie=True).cookie_domain == ""


@pytest.mark.parametrize(
    ("host", "realms"),
    [
        ("app.example.com", ("app.example.com", ".app.example.com", ".example.com", ".com")),
        ("localhost", ("localhost", ".localhost")),
        (".example.com", (".example.com",)),
        ("", ("",)),
    ],
)
def test_sessions_that_are_good_at_a_host_are_its_own_and_those_of_its_domains(
    host: str, realms: tuple[str, ...]
):
    assert realms_of(host) == realms
