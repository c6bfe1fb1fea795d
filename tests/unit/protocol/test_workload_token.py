"""Tokens of platforms: what each kind's documented one comes to, and every way to be no good."""

from __future__ import annotations

from typing import Any

import pytest

from vestibule.protocol.jose import TokenError
from vestibule.protocol.workload_token import Expected, check, expiry_of

NOW = 1_800_000_000.0
AUDIENCE = "https://app.example.com"
EXPECTED = Expected(issuers=("https://issuer.example",), audience=(AUDIENCE,), age_s=3600.0, now=NOW)
GOOD: dict[str, Any] = {
    "iss": "https://issuer.example",
    "aud": AUDIENCE,
    "sub": "build",
    "iat": NOW - 10,
    "nbf": NOW - 10,
    "exp": NOW + 300,
    "jti": "one",
}
GONE = object()


def said(**claims: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **claims}.items() if value is not GONE}


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "JWT"}, {}),
        ({}, {}),
        ({"typ": "JOSE"}, {"iat": GONE, "nbf": GONE}),
        ({"typ": "at+jwt"}, {}),
        ({}, {"aud": ["https://other.example", AUDIENCE]}),
        ({}, {"nbf": NOW + 30, "exp": NOW - 30}),
        ({}, {"jti": GONE}),
        ({}, {"nonce": "x", "at_hash": "y"}),
    ],
    ids=["jwt", "no type", "svid", "access token", "two audiences", "clocks apart", "no id", "id token"],
)
def test_a_good_one(header: dict[str, Any], claims: dict[str, Any]) -> None:
    found = said(**claims)
    check(header, found, EXPECTED)
    assert expiry_of(found) == found["exp"]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://issuer.example/"}, "iss"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": ["https://issuer.example"]}, "iss"),
        ({"iss": GONE}, "iss"),
        ({"aud": "https://github.com/acme"}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": GONE}, "aud"),
        ({"aud": [AUDIENCE, 1]}, "aud"),
        ({"aud": {AUDIENCE: 1}}, "aud"),
        ({"events": {}}, "use"),
        ({"token_use": "refresh"}, "use"),
        ({"typ": "Logout"}, "use"),
        ({"cnf": {"jkt": "x"}}, "cnf"),
        ({"sub": GONE}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 1}, "sub"),
        ({"sub": "a\nb"}, "sub"),
        ({"sub": " a"}, "sub"),
        ({"sub": "x" * 513}, "sub"),
        ({"exp": NOW - 60}, "expired"),
        ({"exp": GONE}, "expired"),
        ({"exp": str(int(NOW + 300))}, "expired"),
        ({"exp": True}, "expired"),
        ({"exp": 1e300}, "expired"),
        ({"nbf": NOW + 61}, "not_yet"),
        ({"iat": NOW + 61}, "not_yet"),
        ({"iat": "now"}, "not_yet"),
        ({"iat": NOW - 3660}, "age"),
        ({"iat": GONE, "exp": NOW + 3660}, "age"),
    ],
)
def test_whatever_is_not_as_it_must_be_refuses_it(claims: dict[str, Any], code: str) -> None:
    with pytest.raises(TokenError) as refused:
        check({"typ": "JWT"}, said(**claims), EXPECTED)
    assert refused.value.code == code


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", 1, None])
def test_a_token_of_another_kind_is_none(kind: object) -> None:
    with pytest.raises(TokenError) as refused:
        check({"typ": kind}, GOOD, EXPECTED)
    assert refused.value.code == "typ"


@pytest.mark.parametrize("jti", [GONE, "", 1, "x" * 513])
def test_one_that_is_good_once_must_have_an_id(jti: object) -> None:
    expected = Expected(issuers=(), audience=(AUDIENCE,), age_s=3600.0, now=NOW, once=True)
    check({}, GOOD, expected)
    with pytest.raises(TokenError) as refused:
        check({}, said(jti=jti), expected)
    assert refused.value.code == "jti"


@pytest.mark.parametrize(
    ("subject", "is_good"),
    [
        ("spiffe://example.org/web", True),
        ("spiffe://example.org.evil.example/web", False),
        ("spiffe://evil.example/spiffe://example.org/", False),
        ("spiffe://example.org", False),
        ("web", False),
    ],
)
def test_another_trust_domains_workload_is_not_ours(subject: str, is_good: bool) -> None:
    expected = Expected(
        issuers=(), audience=(AUDIENCE,), age_s=3600.0, now=NOW, subject_start="spiffe://example.org/"
    )
    found = said(sub=subject, iss=GONE)
    if is_good:
        check({}, found, expected)
        return
    with pytest.raises(TokenError) as refused:
        check({}, found, expected)
    assert refused.value.code == "sub"
