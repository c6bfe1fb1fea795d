"""Signed tokens: published vectors hold, and every known way around a signature is refused (attacks.md O4)."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from vestibule.model import Secret
from vestibule.protocol import jose
from vestibule.protocol.jose import SigningKey, TokenError, UnknownKeyError

# RFC 7515 appendix A.2 and A.3: the same claims by RS256 and ES256.
CLAIMS = {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
RFC_PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
RFC_RSA: dict[str, Any] = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs"
    "D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV"
    "MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}
RFC_RS256 = (
    "eyJhbGciOiJSUzI1NiJ9."
    + RFC_PAYLOAD
    + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8"
    "W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN938"
    "3LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN"
    "_IoypGlUPQGe77Rw"
)
RFC_EC: dict[str, Any] = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
RFC_ES256 = (
    "eyJhbGciOiJFUzI1NiJ9."
    + RFC_PAYLOAD
    + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)
# RFC 8037 appendix A: its payload is no JSON object, so the signature alone is tried.
RFC_ED25519 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC_EDDSA = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
)


def b64(raw: bytes | Mapping[str, Any] | str) -> str:
    if isinstance(raw, Mapping):
        raw = json.dumps(raw)
    raw = raw.encode() if isinstance(raw, str) else raw
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize(
    ("token", "key", "algorithm"), [(RFC_RS256, RFC_RSA, "RS256"), (RFC_ES256, RFC_EC, "ES256")]
)
def test_the_examples_of_rfc_7515(token: str, key: dict[str, Any], algorithm: str) -> None:
    assert jose.verify(token, (key,), algorithms=(algorithm,)).claims == CLAIMS
    flipped = token[:-3] + ("A" if token[-3] != "A" else "B") + token[-2:]
    with pytest.raises(TokenError, match="does not hold"):
        jose.verify(flipped, (key,), algorithms=(algorithm,))


def test_the_example_of_rfc_8037() -> None:
    signed, signature = RFC_EDDSA
    assert jose._holds("EdDSA", RFC_ED25519, signed.encode(), unb64(signature))
    assert not jose._holds("EdDSA", RFC_ED25519, signed.encode() + b".", unb64(signature))


RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED = ed25519.Ed25519PrivateKey.generate()
_HASH = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk_of(key: Any, **more: Any) -> dict[str, Any]:
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.key_size + 7) // 8
        numbers = public.public_numbers()
        return {
            "kty": "EC",
            "crv": f"P-{key.key_size}",
            "x": number(numbers.x, size),
            "y": number(numbers.y, size),
            **more,
        }
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw()), **more}


def signature_by(key: Any, algorithm: str, signed: bytes) -> bytes:
    """Made with cryptography alone: another hand than the code that is tried."""
    if isinstance(key, rsa.RSAPrivateKey):
        digest = _HASH[algorithm[2:]]()
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        return key.sign(signed, pss if algorithm.startswith("PS") else padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(_HASH[algorithm[2:]]())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(signed)


def token_of(
    key: Any, algorithm: str, *, claims: Any = None, raw_header: str | None = None, **header: Any
) -> str:
    raw = b64(raw_header) if raw_header is not None else b64({"alg": algorithm, **header})
    signed = f"{raw}.{b64({'sub': 'a'} if claims is None else claims)}"
    return f"{signed}.{b64(signature_by(key, algorithm, signed.encode()))}"


EVERY = [
    *((name, RSA) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ("ES256", P256),
    ("ES384", P384),
    ("ES512", P521),
    ("EdDSA", ED),
]


@pytest.mark.parametrize(("algorithm", "key"), EVERY, ids=[name for name, _ in EVERY])
def test_every_algorithm_holds_with_its_key_and_with_no_other(algorithm: str, key: Any) -> None:
    token = token_of(key, algorithm, kid="k")
    found = jose.verify(token, (jwk_of(key, kid="k", use="sig", alg=algorithm),), algorithms=jose.ALGORITHMS)
    assert found.claims == {"sub": "a"}
    assert found.header == {"alg": algorithm, "kid": "k"}
    others = tuple(jwk_of(other) for _, other in EVERY if other is not key)
    with pytest.raises(UnknownKeyError):
        jose.verify(token, others, algorithms=jose.ALGORITHMS)
    for other in {name for name, _ in EVERY} - {algorithm}:
        renamed = f"{b64({'alg': other, 'kid': 'k'})}.{token.split('.', 1)[1]}"
        with pytest.raises(TokenError):
            jose.verify(renamed, (jwk_of(key, kid="k"),), algorithms=jose.ALGORITHMS)
    with pytest.raises(TokenError, match="not accepted"):
        jose.verify(token, (jwk_of(key),), algorithms=jose.ALGORITHMS - {algorithm})


def test_eddsa_takes_a_key_named_by_rfc_9864() -> None:
    assert jose.verify(token_of(ED, "EdDSA"), (jwk_of(ED, alg="Ed25519"),), algorithms=("EdDSA",))


PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
DER = RSA.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
OPEN = set(jose.ALGORITHMS) | {
    "none",
    "HS256",
    "HS384",
    "HS512",
    "ES256K",
    "RSA1_5",
    "dir",
    "PBES2-HS256+A128KW",
}


def hmac_token(secret: bytes, **header: Any) -> str:
    signed = f"{b64({'alg': 'HS256', **header})}.{b64({'sub': 'a'})}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


GOOD = token_of(RSA, "RS256", kid="k")
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
ATTACKER = rsa.generate_private_key(65537, 2048)

ATTACKS = {
    **{f"alg {name!r} unsigned": f"{b64({'alg': name})}.{PAYLOAD}." for name in ("none", "None", "NONE", "nOnE", "")},
    **{f"alg {name!r} with a signature": f"{b64({'alg': name})}.{PAYLOAD}.{SIGNATURE}" for name in ("none", "nOnE", "RS256 ", "rs256", "RS1")},
    "alg absent": f"{b64({'kid': 'k'})}.{PAYLOAD}.{SIGNATURE}",
    "alg null": f"{b64({'alg': None})}.{PAYLOAD}.{SIGNATURE}",
    "alg list": f"{b64({'alg': ['RS256']})}.{PAYLOAD}.{SIGNATURE}",
    "alg number": f"{b64({'alg': 256})}.{PAYLOAD}.{SIGNATURE}",
    "alg twice": token_of(RSA, "RS256", raw_header='{"alg":"none","alg":"RS256"}'),
    "HMAC with the public key as PEM": hmac_token(PEM, kid="k"),
    "HMAC with the public key as DER": hmac_token(DER, kid="k"),
    "HMAC with the JWK's text": hmac_token(json.dumps(jwk_of(RSA, kid="k")).encode(), kid="k"),
    "HMAC with the modulus": hmac_token(jwk_of(RSA)["n"].encode(), kid="k"),
    "HMAC with nothing": hmac_token(b"", kid="k"),
    "key in the header (jwk)": token_of(ATTACKER, "RS256", jwk=jwk_of(ATTACKER)),
    "key in the header (jwk) under a known kid": token_of(ATTACKER, "RS256", kid="k", jwk=jwk_of(ATTACKER, kid="k")),
    "jku": token_of(ATTACKER, "RS256", kid="k", jku="https://evil.example/jwks"),
    "x5u": token_of(ATTACKER, "RS256", kid="k", x5u="https://evil.example/cert"),
    "x5c": token_of(ATTACKER, "RS256", kid="k", x5c=["MIIB"]),
    "crit": token_of(RSA, "RS256", kid="k", crit=["exp"], exp=1),
    "crit empty": token_of(RSA, "RS256", kid="k", crit=[]),
    "b64 false": token_of(RSA, "RS256", kid="k", b64=False),
    "b64 false and crit": token_of(RSA, "RS256", kid="k", b64=False, crit=["b64"]),
    "zip": token_of(RSA, "RS256", kid="k", zip="DEF"),
    "enc": token_of(RSA, "RS256", kid="k", enc="A256GCM"),
    "kid a path": token_of(RSA, "RS256", kid="../../dev/null"),
    "kid SQL": token_of(RSA, "RS256", kid="' UNION SELECT 'x"),
    "kid empty": token_of(RSA, "RS256", kid=""),
    "kid number": token_of(RSA, "RS256", kid=1),
    "kid null": token_of(RSA, "RS256", kid=None),
    "kid list": token_of(RSA, "RS256", kid=["k"]),
    "kid twice": token_of(RSA, "RS256", raw_header='{"alg":"RS256","kid":"x","kid":"k"}'),
    "another's signature": token_of(ATTACKER, "RS256", kid="k"),
    "another payload": f"{HEADER}.{b64({'sub': 'b'})}.{SIGNATURE}",
    "no signature": f"{HEADER}.{PAYLOAD}.",
    "signature cut": GOOD[:-4],
    "signature longer": GOOD + "AAAA",
    "signature of zeros": f"{HEADER}.{PAYLOAD}.{'A' * len(SIGNATURE)}",
    "two parts": f"{HEADER}.{PAYLOAD}",
    "four parts": f"{GOOD}.x",
    "five parts (JWE)": f"{HEADER}.x.y.z.w",
    "JSON form": json.dumps({"payload": PAYLOAD, "protected": HEADER, "signature": SIGNATURE}),
    "JSON form, general": json.dumps({"payload": PAYLOAD, "signatures": [{"protected": HEADER, "signature": SIGNATURE}]}),
    "empty": "",
    "dots": "..",
    "padding": f"{HEADER}=.{PAYLOAD}.{SIGNATURE}==",
    "white space": f" {GOOD}",
    "line end": f"{GOOD}\n",
    "inner line end": f"{HEADER}.{PAYLOAD}\n.{SIGNATURE}",
    "standard base64": GOOD.replace("-", "+").replace("_", "/") + "+",
    "not ASCII": GOOD + "é",
    "full-width": GOOD.replace(".", "．"),
    "NUL": GOOD + "\0",
    "header not JSON": f"{b64('alg')}.{PAYLOAD}.{SIGNATURE}",
    "header a list": f"{b64('[]')}.{PAYLOAD}.{SIGNATURE}",
    "header not UTF-8": f"{b64(bytes([0xFF]))}.{PAYLOAD}.{SIGNATURE}",
    "header nested deep": f"{b64('[' * 9000)}.{PAYLOAD}.{SIGNATURE}",
    "claims not JSON": token_of(RSA, "RS256", kid="k", claims="x"),
    "claims a list": token_of(RSA, "RS256", kid="k", claims="[]"),
    "claims NaN": token_of(RSA, "RS256", kid="k", claims='{"exp":NaN}'),
    "claims Infinity": token_of(RSA, "RS256", kid="k", claims='{"exp":Infinity}'),
    "claims twice": token_of(RSA, "RS256", kid="k", claims='{"sub":"a","sub":"b"}'),
    "claims nested deep": token_of(RSA, "RS256", kid="k", claims='{"a":' + "[" * 9000),
    "claims a token again": token_of(RSA, "RS256", kid="k", cty="JWT", claims=GOOD),
    "too long": token_of(RSA, "RS256", kid="k", claims={"a": "x" * jose.MAX_TOKEN_BYTES}),
    "500 KB header": f"{'A' * 500_000}.{PAYLOAD}.{SIGNATURE}",
    "PBES2": f"{b64({'alg': 'PBES2-HS256+A128KW', 'p2c': 10**9, 'p2s': 'x', 'enc': 'A128GCM'})}.x.y.z.w",
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_not_signed_by_the_issuer_is_refused(name: str) -> None:
    keys = (
        jwk_of(RSA, kid="k"),
        jwk_of(P256, kid="e"),
        {"kty": "oct", "k": b64(PEM), "kid": "k"},
        {"kty": "oct", "k": "", "kid": "k"},
    )
    assert jose.verify(GOOD, keys, algorithms=OPEN).claims == {"sub": "a"}
    with pytest.raises(TokenError) as caught:
        jose.verify(ATTACKS[name], keys, algorithms=OPEN)
    assert PAYLOAD not in str(caught.value)


@pytest.mark.parametrize(("algorithm", "key"), [("ES256", P256), ("ES384", P384), ("ES512", P521)])
def test_forged_ecdsa_signatures_are_refused(algorithm: str, key: ec.EllipticCurvePrivateKey) -> None:
    """Psychic signatures (CVE-2022-21449), numbers out of range, DER instead of the raw form."""
    header, payload, signature = token_of(key, algorithm).split(".")
    size = (key.key_size + 7) // 8
    raw = unb64(signature)
    r, s = int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big")
    order = {
        256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        384: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        521: 2**521 - 2**260 + 0xA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    }[key.key_size]
    der = key.sign(f"{header}.{payload}".encode(), ec.ECDSA(_HASH[algorithm[2:]]()))
    pairs = [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (order, order),
        (order, 0),
        (0, order),
        (order - 1, 1),
        (r, 0),
        (r, order),
        (s, r),
    ]
    forged = [a.to_bytes(size, "big") + b.to_bytes(size, "big") for a, b in pairs]
    for attempt in (*forged, der, raw[1:], raw[:-1], raw + b"\0", b"\0" + raw, b"\0", raw[:size], raw * 2):
        with pytest.raises(TokenError):
            jose.verify(f"{header}.{payload}.{b64(attempt)}", (jwk_of(key),), algorithms=(algorithm,))


#: Points of small order on Curve25519, encoded (canonical ones): with such a "key", one signature fits many messages.
SMALL_ORDER = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)


def test_forged_ed25519_signatures_are_refused() -> None:
    header, payload, signature = token_of(ED, "EdDSA").split(".")
    raw = unb64(signature)
    order = 2**252 + 27742317777372353535851937790883648493
    malleable = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    points = [bytes.fromhex(point) + bytes(32) for point in SMALL_ORDER]
    for attempt in (bytes(64), malleable, raw[:63], raw + b"\0", raw[32:] + raw[:32], *points):
        with pytest.raises(TokenError):
            jose.verify(f"{header}.{payload}.{b64(attempt)}", (jwk_of(ED),), algorithms=("EdDSA",))


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"use": "SIG"},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"key_ops": 7},
        {"alg": "RS512"},
        {"alg": "RSA-OAEP"},
        {"alg": ["RS256"]},
        {"key_ops": "verify"},
        {"kty": "rsa"},
        {"kty": "oct"},
        {"kty": "EC"},
        {"kid": "other"},
        {"n": ""},
        {"n": "AQAB"},
        {"n": "!"},
        {"n": None},
        {"n": 7},
        {"n": number((1 << 9000) + 1)},
        {"n": number((1 << 1024) + 1)},
        {"e": "AQ"},
        {"e": "Ag"},
        {"e": "AA"},
        {"e": ""},
        {"e": number((1 << 40) + 1)},
    ],
    ids=lambda change: repr(change)[:40],
)
def test_a_key_that_may_not_or_cannot_verify_does_not_and_does_not_kill_the_set(
    change: dict[str, Any],
) -> None:
    bad = jwk_of(RSA, kid="k") | change
    with pytest.raises(TokenError):
        jose.verify(GOOD, (bad,), algorithms=("RS256",))
    assert jose.verify(GOOD, (bad, jwk_of(RSA, kid="k")), algorithms=("RS256",))


def test_rubbish_in_a_set_is_passed_over() -> None:
    rubbish: Any = (
        {},
        {"kty": "RSA"},
        {"kty": ["RSA"], "kid": "k"},
        "x",
        None,
        7,
        {"kty": "RSA", "kid": "k"},
        jwk_of(P256, kid="k"),
    )
    assert jose.verify(GOOD, (*rubbish, jwk_of(RSA, kid="k")), algorithms=("RS256",))
    with pytest.raises(UnknownKeyError):
        jose.verify(GOOD, (), algorithms=("RS256",))


def test_a_small_rsa_key_is_not_used() -> None:
    small = rsa.generate_private_key(65537, 1024)
    with pytest.raises(TokenError):
        jose.verify(token_of(small, "RS256"), (jwk_of(small),), algorithms=("RS256",))


def test_private_members_of_a_published_key_have_no_say() -> None:
    leaked = jwk_of(RSA, kid="k", d="AQAB", p="AQAB", x5c=["x"])
    assert jose.verify(GOOD, (leaked,), algorithms=("RS256",))


@pytest.mark.parametrize(
    ("kid", "key_ids", "code"),
    [
        ("k", ["k"], None),
        ("k", ["j", "k"], None),
        ("k", [None], None),
        ("k", ["j", None], None),
        ("k", ["j"], "key"),
        ("k", ["K"], "key"),
        (None, ["j"], None),
        (None, [None], None),
        (None, [None, "j"], "kid"),
        (None, ["i", "j"], "kid"),
        (None, [None, None], "kid"),
        ("k", [None, None], "kid"),
        ("k", ["k", "k"], None),
    ],
)
def test_the_key_is_chosen_by_its_name(kid: str | None, key_ids: list[str | None], code: str | None) -> None:
    token = token_of(RSA, "RS256") if kid is None else token_of(RSA, "RS256", kid=kid)
    keys = [jwk_of(RSA) if name is None else jwk_of(RSA, kid=name) for name in key_ids]
    if code:
        with pytest.raises(TokenError) as caught:
            jose.verify(token, keys, algorithms=("RS256",))
        assert caught.value.code == code
        assert isinstance(caught.value, UnknownKeyError) is (code == "key")
    else:
        assert jose.verify(token, keys, algorithms=("RS256",))


def test_two_keys_of_one_name_are_both_tried_and_never_without_end() -> None:
    other = jwk_of(ATTACKER, kid="k")
    assert jose.verify(GOOD, (other, jwk_of(RSA, kid="k")), algorithms=("RS256",))
    with pytest.raises(TokenError):
        jose.verify(GOOD, (*[other] * jose.MAX_TRIES, jwk_of(RSA, kid="k")), algorithms=("RS256",))


def test_the_name_of_the_key_is_read_without_a_key() -> None:
    assert jose.key_id_of(GOOD) == "k"
    assert jose.key_id_of(RFC_RS256) is None
    with pytest.raises(TokenError):
        jose.key_id_of("x")


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(RFC_ES256) - 1))
    char = data.draw(st.sampled_from("ABCDabcd0189-_.=+ \n"))
    changed = RFC_ES256[:at] + char + RFC_ES256[at + 1 :]
    if changed != RFC_ES256:
        with pytest.raises(TokenError):
            jose.verify(changed, (RFC_EC,), algorithms=("ES256",))


@given(
    st.text(max_size=80)
    | st.lists(st.text("eyJhbGciOi_-", max_size=20), min_size=3, max_size=3).map(".".join)
)
def test_no_text_ends_in_anything_but_a_refusal(token: str) -> None:
    with pytest.raises(TokenError):
        jose.verify(token, (RFC_EC, RFC_RSA), algorithms=jose.ALGORITHMS)


def pem_of(key: Any, form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8) -> Secret:
    return Secret(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode())


@pytest.mark.parametrize(
    ("key", "algorithm", "form"),
    [
        (P256, "ES256", serialization.PrivateFormat.PKCS8),
        (P256, "ES256", serialization.PrivateFormat.TraditionalOpenSSL),
        (RSA, "RS256", serialization.PrivateFormat.PKCS8),
        (RSA, "RS256", serialization.PrivateFormat.TraditionalOpenSSL),
    ],
)
def test_what_is_signed_here_holds_everywhere(
    key: Any, algorithm: Any, form: serialization.PrivateFormat
) -> None:
    signing = SigningKey.load(pem_of(key, form), algorithm=algorithm, kid="1")
    token = signing.sign({"sub": "é", "n": 1}, kind="at+jwt").reveal()
    found = jose.verify(token, (jwk_of(key, kid="1"),), algorithms=(algorithm,))
    assert found.claims == {"sub": "é", "n": 1}
    assert found.header == {"alg": algorithm, "typ": "at+jwt", "kid": "1"}
    assert jose.verify(token, (signing.public_jwk(),), algorithms=(algorithm,))
    assert signing.public_jwk() == jwk_of(key, kid="1", use="sig", alg=algorithm)
    assert not {"d", "p", "q"} & set(signing.public_jwk())
    assert repr(signing) == f"SigningKey({algorithm}, kid='1')"


@pytest.mark.parametrize(
    ("pem", "algorithm"),
    [
        (Secret(""), "ES256"),
        (Secret("s3cret"), "RS256"),
        (pem_of(RSA), "ES256"),
        (pem_of(P256), "RS256"),
        (pem_of(P384), "ES256"),
        (pem_of(rsa.generate_private_key(65537, 1024)), "RS256"),
        (Secret(PEM.decode()), "RS256"),
        (Secret(pem_of(RSA).reveal()[:300]), "RS256"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_without_being_shown(pem: Secret, algorithm: Any) -> None:
    with pytest.raises(ValueError, match="not a private key") as caught:
        SigningKey.load(pem, algorithm=algorithm, kid="1")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("change", [{"n": 7}, {"use": "enc"}, {"kty": "EC"}, {"alg": "RS512"}, {"e": "Ag"}])
def test_a_key_that_cannot_be_meant_leaves_no_doubt(change: dict[str, Any]) -> None:
    assert jose.verify(token_of(RSA, "RS256"), (jwk_of(RSA) | change, jwk_of(RSA)), algorithms=("RS256",))


CODES = {
    "alg 'none' unsigned": "alg",
    "no signature": "signature",
    "alg 'none' with a signature": "alg",
    "alg absent": "alg",
    "alg list": "alg",
    "alg twice": "malformed",
    "HMAC with the public key as PEM": "alg",
    "HMAC with nothing": "alg",
    "key in the header (jwk)": "signature",
    "key in the header (jwk) under a known kid": "signature",
    "jku": "signature",
    "crit": "crit",
    "b64 false": "header",
    "b64 false and crit": "crit",
    "zip": "header",
    "kid SQL": "key",
    "kid list": "malformed",
    "another's signature": "signature",
    "another payload": "signature",
    "five parts (JWE)": "malformed",
    "claims twice": "malformed",
    "too long": "malformed",
    "PBES2": "malformed",
}


@pytest.mark.parametrize(("name", "code"), CODES.items(), ids=CODES.keys())
def test_each_refusal_has_its_code(name: str, code: str) -> None:
    with pytest.raises(TokenError) as caught:
        jose.verify(ATTACKS[name], (jwk_of(RSA, kid="k"),), algorithms=OPEN)
    assert caught.value.code == code
