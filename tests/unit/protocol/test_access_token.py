"""Access tokens: which are believed, and as what (attacks.md O5, O11)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from vestibule.model import Secret
from vestibule.protocol import base64url
from vestibule.protocol.access_token import (
    SUBJECT_MAX_CHARS,
    Expected,
    check_introspected,
    expiry_of,
    issuer_of,
    scopes_of,
    verify,
)
from vestibule.protocol.jose import ALGORITHMS, SigningKey, TokenError, UnknownKeyError

NOW = 1_800_000_000.0
ISSUER = "https://idp.example"
AUDIENCE = ("https://api.example",)


def signing_key(kid: str = "k1") -> SigningKey:
    raw = ec.generate_private_key(ec.SECP256R1())
    pem = raw.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return SigningKey.load(Secret(pem.decode()), algorithm="ES256", kid=kid)


KEY = signing_key()
KEYS = (KEY.public_jwk(),)
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "https://api.example",
    "sub": "alice",
    "exp": int(NOW) + 300,
    "iat": int(NOW) - 10,
}
EXPECTED = Expected(issuer=ISSUER, audience=AUDIENCE, now=NOW)


def token(kind: str = "at+jwt", /, *, without: str = "", **claims: Any) -> str:
    whole = {name: value for name, value in {**CLAIMS, **claims}.items() if name != without}
    return KEY.sign(whole, kind=kind).reveal()


def why(raw: str, expected: Expected = EXPECTED) -> str:
    """The code it is refused with; empty for one that is believed."""
    try:
        verify(raw, KEYS, expected, algorithms=("ES256",))
    except TokenError as error:
        return error.code
    return ""


def test_a_token_is_believed_with_its_claims():
    assert verify(token(scope="read write"), KEYS, EXPECTED, algorithms=("ES256",)) == {
        **CLAIMS,
        "scope": "read write",
    }


GOOD: dict[str, str] = {
    "plain typ": token("JWT"),
    "typ as a media type": token("application/at+jwt"),
    "typ in another case": token("AT+JWT"),
    "one of many audiences": token(aud=["x", "https://api.example"]),
    "expired within the skew": token(exp=int(NOW) - 59),
    "made within the skew": token(iat=int(NOW) + 59, nbf=int(NOW) + 59),
    "made long ago": token(iat=0),
    "without a time of making": token(without="iat"),
    "time with a fraction": token(exp=NOW + 0.5),
    "Keycloak's access token": token("JWT", typ="Bearer"),
    "Cognito's access token": token("JWT", token_use="access"),
    "ID token for an audience that is written": token("JWT", nonce="n", at_hash="h", typ="ID"),
    "longest subject": token(sub="x" * SUBJECT_MAX_CHARS),
}


@pytest.mark.parametrize("raw", GOOD.values(), ids=GOOD)
def test_o5_what_fits_is_believed(raw: str):
    assert why(raw) == ""


BAD: dict[str, tuple[str, str]] = {
    "another issuer": (token(iss="https://evil.example"), "iss"),
    "issuer with a slash": (token(iss=ISSUER + "/"), "iss"),
    "issuer in another case": (token(iss="https://IDP.example"), "iss"),
    "issuer in a list": (token(iss=[ISSUER]), "iss"),
    "no issuer": (token(without="iss"), "iss"),
    "another audience": (token(aud="https://other.example"), "aud"),
    "audience with a slash": (token(aud="https://api.example/"), "aud"),
    "part of the audience": (token(aud="https://api"), "aud"),
    "no audience": (token(without="aud"), "aud"),
    "empty audiences": (token(aud=[]), "aud"),
    "audiences that are not texts": (token(aud=["https://api.example", 7]), "aud"),
    "audience in an object": (token(aud={"https://api.example": 1}), "aud"),
    "expired": (token(exp=int(NOW) - 60), "expired"),
    "never expiring": (token(without="exp"), "expired"),
    "expiry as text": (token(exp=str(int(NOW) + 300)), "expired"),
    "expiry as truth": (token(exp=True), "expired"),
    "expiry beyond all times": (token(exp=10**18), "expired"),
    "not yet good": (token(nbf=int(NOW) + 61), "not_yet"),
    "not yet made": (token(iat=int(NOW) + 61), "not_yet"),
    "time of making as text": (token(iat="now"), "not_yet"),
    "no subject": (token(without="sub"), "sub"),
    "empty subject": (token(sub=""), "sub"),
    "subject that is a number": (token(sub=7), "sub"),
    "subject with a line end": (token(sub="a\nb"), "sub"),
    "subject with a blank": (token(sub="alice "), "sub"),
    "subject too long": (token(sub="x" * (SUBJECT_MAX_CHARS + 1)), "sub"),
    "logout token": (token("logout+jwt", events={}), "typ"),
    "DPoP proof": (token("dpop+jwt"), "typ"),
    "security event": (token("secevent+jwt"), "typ"),
    "introspection answer": (token("token-introspection+jwt"), "typ"),
    "plain JWT with events": (token("JWT", events={"x": {}}), "use"),
    "Keycloak's refresh token": (token("JWT", typ="Refresh"), "use"),
    "Keycloak's offline token": (token("JWT", typ="Offline"), "use"),
    "Keycloak's logout token": (token("JWT", typ="Logout"), "use"),
    "bound to a key": (token(cnf={"jkt": "x"}), "cnf"),
    "bound to a certificate": (token(cnf={"x5t#S256": "x"}), "cnf"),
    "bound to nothing that is said": (token(cnf={}), "cnf"),
}


@pytest.mark.parametrize(("raw", "code"), BAD.values(), ids=BAD)
def test_o5_what_does_not_fit_is_refused_by_the_check_it_fails(raw: str, code: str):
    assert why(raw) == code


ID_TOKENS = {
    "nonce": token("JWT", nonce="n"),
    "at_hash": token("JWT", at_hash="h"),
    "Keycloak's": token("JWT", typ="ID"),
    "Cognito's": token("JWT", token_use="id"),
}


@pytest.mark.parametrize("raw", ID_TOKENS.values(), ids=ID_TOKENS)
def test_o5_an_id_token_is_no_access_token_where_no_audience_is_written(raw: str):
    assert why(raw, Expected(issuer=ISSUER, audience=(), now=NOW)) == "use"


def test_without_an_issuer_or_an_audience_to_expect_the_keys_decide():
    anybody = Expected(issuer="", audience=(), now=NOW)
    assert why(token(iss="https://other.example", aud="x"), anybody) == ""
    assert why(token(iss=7, without="aud"), anybody) == ""


def forged(header: dict[str, Any], signature: str = "") -> str:
    parts = [base64url.encode(json.dumps(part).encode()) for part in (header, CLAIMS)]
    return ".".join([*parts, signature])


SIGNED = token()
OTHERS = signing_key("k1").sign(CLAIMS, kind="at+jwt").reveal()
FORGED: dict[str, tuple[str, str]] = {
    "alg none": (forged({"alg": "none"}), "alg"),
    "alg nOnE": (forged({"alg": "nOnE"}), "alg"),
    "HMAC": (forged({"alg": "HS256", "kid": "k1"}, "AAAA"), "alg"),
    "algorithm not of this issuer": (forged({"alg": "RS256", "kid": "k1"}, "AAAA"), "alg"),
    "key in the header": (
        forged({"alg": "ES256", "kid": "k1", "jwk": signing_key().public_jwk()}, "AAAA"),
        "signature",
    ),
    "another's key of the same name": (OTHERS, "signature"),
    "r = s = 0": (forged({"alg": "ES256", "kid": "k1"}, base64url.encode(bytes(64))), "signature"),
    "crit": (forged({"alg": "ES256", "crit": ["exp"]}, "AAAA"), "crit"),
    "truncated by a character": (SIGNED[:-1], "malformed"),
    "truncated by a byte": (SIGNED[:-2], "signature"),
    "truncated to half a signature": (SIGNED[:-42], "signature"),
    "truncated to no signature": (SIGNED[: SIGNED.rindex(".") + 1], "signature"),
    "truncated to two parts": (SIGNED[: SIGNED.rindex(".")], "malformed"),
    "claims of another": (".".join([*token(sub="bob").split(".")[:2], SIGNED.split(".")[2]]), "signature"),
    "encrypted": ("eyJhbGciOiJkaXIifQ..a.b.c", "malformed"),
    "too long": (SIGNED + "A" * 16384, "malformed"),
}


@pytest.mark.parametrize(("raw", "code"), FORGED.values(), ids=FORGED)
def test_o4_what_the_issuer_did_not_sign_is_refused(raw: str, code: str):
    assert why(raw) == code


def test_o6_an_unknown_key_is_told_apart_so_that_the_set_may_be_fetched_anew():
    raw = signing_key("k2").sign(CLAIMS).reveal()
    with pytest.raises(UnknownKeyError):
        verify(raw, KEYS, EXPECTED, algorithms=sorted(ALGORITHMS))


def test_o4_a_key_is_used_with_its_own_algorithm_only():
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key().public_numbers()
    whole = [base64url.encode(n.to_bytes((n.bit_length() + 7) // 8, "big")) for n in (numbers.n, numbers.e)]
    other = {"kty": "RSA", "kid": "k1", "n": whole[0], "e": whole[1]}
    with pytest.raises(UnknownKeyError):
        verify(SIGNED, (other,), EXPECTED, algorithms=sorted(ALGORITHMS))


# -- whose it is, before anything is verified ---------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "issuer"),
    [
        (SIGNED, ISSUER),
        (token(without="iss"), ""),
        (token(iss=7), ""),
        ("opaque", None),
        ("a.b.c", None),
        ("vst_abc", None),
        ("", None),
        (forged({"alg": "none"}), ISSUER),
        (SIGNED[: SIGNED.rindex(".")], None),
        (SIGNED + "A" * 16384, None),
    ],
)
def test_the_issuer_is_read_to_choose_who_verifies(raw: str, issuer: str | None):
    assert issuer_of(raw) == issuer


# -- introspection ------------------------------------------------------------------------------

ACTIVE: dict[str, Any] = {"active": True, "token_type": "Bearer", **CLAIMS}


def introspected(expected: Expected = EXPECTED, *, without: str = "", **members: Any) -> str:
    document = {name: value for name, value in {**ACTIVE, **members}.items() if name != without}
    try:
        return "" if check_introspected(document, expected) == document else "inactive"
    except TokenError as error:
        return error.code


@pytest.mark.parametrize(
    ("members", "without", "code"),
    [
        ({}, "", ""),
        ({"token_type": "bearer"}, "", ""),
        ({}, "iss", ""),
        ({}, "exp", ""),
        ({}, "iat", ""),
        ({"client_id": "robot"}, "sub", ""),
        ({"active": False}, "", "inactive"),
        ({"active": "true"}, "", "inactive"),
        ({"active": 1}, "", "inactive"),
        ({}, "active", "inactive"),
        ({"iss": "https://other.example"}, "", "iss"),
        ({"iss": None}, "", "iss"),
        ({"aud": "https://other.example"}, "", "aud"),
        ({}, "aud", "aud"),
        ({}, "token_type", "typ"),
        ({"token_type": "DPoP"}, "", "typ"),
        ({"token_type": "refresh_token"}, "", "typ"),
        ({"typ": "Refresh"}, "", "use"),
        ({"token_use": "refresh_token"}, "", "use"),
        ({"cnf": {"jkt": "x"}}, "", "cnf"),
        ({"exp": int(NOW) - 60}, "", "expired"),
        ({"exp": "soon"}, "", "expired"),
        ({"nbf": int(NOW) + 61}, "", "not_yet"),
        ({}, "sub", "sub"),
        ({"sub": "", "client_id": "robot"}, "", "sub"),
    ],
)
def test_o11_what_introspection_says_is_checked_too(members: dict[str, Any], without: str, code: str):
    assert introspected(without=without, **members) == code


@pytest.mark.parametrize("document", [None, [], "active", True, [{"active": True}], {}])
def test_an_answer_that_is_no_object_is_no_token(document: Any):
    assert check_introspected(document, EXPECTED) is None


def test_without_an_audience_to_expect_the_issuer_decides_what_is_good_here():
    assert introspected(Expected(issuer=ISSUER, audience=(), now=NOW), without="aud") == ""


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "read write"}, {"read", "write"}),
        ({"scope": "read  read "}, {"read"}),
        ({"scp": "read"}, {"read"}),
        ({"scp": ["read", "write", 7]}, {"read", "write"}),
        ({"scope": "read", "scp": ["write"]}, {"read", "write"}),
        ({"scope": {"read": 1}}, set()),
        ({"scope": ""}, set()),
        ({}, set()),
    ],
)
def test_scopes_are_read_in_every_form_they_have(claims: dict[str, Any], scopes: set[str]):
    assert scopes_of(claims) == scopes


def test_when_it_ends_is_known_where_it_is_said():
    assert expiry_of(CLAIMS) == NOW + 300
    assert expiry_of({"exp": "soon"}) is None
    assert expiry_of({}) is None
