"""What a hostile OpenID provider may tell, one lie at a time, and the code by which each is refused.

A lie is the code and what it changes of `rogue.Speaker`. Codes are stable: they stand in the log and in alarms.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.real.rogue import (
    KEY,
    Answer,
    Later,
    answering,
    broken_off,
    encoded,
    jwk_of,
    late,
    signed_by_key,
    streaming,
)


def signed(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token, signed by whatever."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{text}.{encoded(sign(text.encode()))}"


PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def by_public_key_as_secret(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Threat: the public key, which everybody has, taken for a shared secret."""
    return signed(header | {"alg": "HS256"}, claims, lambda raw: hmac.digest(PEM, raw, hashlib.sha256))


def by_pss(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """With the published key, by an algorithm the metadata don't name."""
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return signed(header | {"alg": "PS256"}, claims, lambda raw: KEY.sign(raw, pss, hashes.SHA256()))


def by_another_key(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """With a key that is not published."""
    return signed(header, claims, lambda raw: OTHER_KEY.sign(raw, padding.PKCS1v15(), hashes.SHA256()))


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """With nothing."""
    return signed(header, claims, lambda _: b"")


def with_a_claim_twice(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Signed well, and read as two people by two readers."""
    raw = json.dumps(claims).removesuffix("}") + ', "sub": "alice"}'
    text = f"{encoded(json.dumps(header).encode())}.{encoded(raw.encode())}"
    return f"{text}.{encoded(KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def own_key() -> dict[str, Any]:
    """The other key, as a token may bring it along."""
    return jwk_of(OTHER_KEY)


class Lie(NamedTuple):
    """One way to lie."""

    code: str
    """Of the refusal; empty for what is odd and no lie: it signs in."""
    changes: Mapping[str, Any]


def lie(code: str, **changes: Any) -> Lie:
    """Refused with the code; the changes are attributes of `Speaker`."""
    return Lie(code, changes)


HOUR = 3600
HALF_GIGABYTE = {"chunk": b" " * 65536, "times": 8000}

ID_TOKENS = {
    "truth": lie(""),
    "no-id-token": lie("no_id_token", tokens={"id_token": ...}),
    "alg-none": lie("id_token_alg", header={"alg": "none"}, sign=unsigned),
    "alg-none-signed": lie("id_token_alg", header={"alg": "none"}),
    "alg-none-mixed-case": lie("id_token_alg", header={"alg": "NonE"}, sign=unsigned),
    "alg-missing": lie("id_token_alg", header={"alg": None}),
    "alg-confusion": lie("id_token_alg", sign=by_public_key_as_secret),
    "alg-not-promised": lie("id_token_alg", sign=by_pss),
    "alg-of-another-key-type": lie(
        "id_token_key",
        header={"alg": "ES256"},
        metadata={"id_token_signing_alg_values_supported": ["RS256", "ES256"]},
    ),
    "crit": lie("id_token_crit", header={"crit": ["exp"]}),
    "b64": lie("id_token_header", header={"b64": False}),
    "zip": lie("id_token_header", header={"zip": "DEF"}),
    "other-key": lie("id_token_signature", sign=by_another_key),
    "key-in-the-header": lie("id_token_signature", header={"jwk": own_key()}, sign=by_another_key),
    "jku": lie("id_token_signature", header={"jku": "http://127.0.0.1:1/jwks"}, sign=by_another_key),
    "unsigned": lie("id_token_signature", sign=unsigned),
    "unknown-kid": lie("id_token_key", header={"kid": "made-up"}),
    "two-keys-without-kid": lie("id_token_kid", header={"kid": None}, keys=[jwk_of(KEY), jwk_of(OTHER_KEY)]),
    "kid-of-two-keys-without": lie("id_token_kid", keys=[jwk_of(OTHER_KEY), jwk_of(KEY)]),
    "one-key-without-kid": lie("", header={"kid": None}, keys=[jwk_of(KEY)]),
    "kid-a-list": lie("id_token_malformed", header={"kid": ["one"]}),
    "encrypted": lie("id_token_malformed", sign=lambda h, c: signed_by_key(h, c) + ".AA.AA"),
    "claim-twice": lie("id_token_malformed", sign=with_a_claim_twice),
    "token-too-long": lie("token_answer_malformed", claims={"more": "x" * 100_000}),
    "logout-token": lie(
        "id_token_typ", claims={"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}
    ),
    "access-token": lie("id_token_typ", header={"typ": "at+jwt"}),
    "iss-wrong": lie("id_token_iss", claims={"iss": "https://accounts.google.com"}),
    "iss-missing": lie("id_token_iss", claims={"iss": ...}),
    "iss-list": lie("id_token_iss", claims={"iss": ["https://accounts.google.com"]}),
    "aud-wrong": lie("id_token_aud", claims={"aud": "other"}),
    "aud-missing": lie("id_token_aud", claims={"aud": ...}),
    "aud-nested": lie("id_token_aud", claims={"aud": [["app"]]}),
    "azp-missing": lie("id_token_azp", claims={"aud": ["app", "other"]}),
    "azp-wrong": lie("id_token_azp", claims={"aud": ["app", "other"], "azp": "other"}),
    "azp-of-another": lie("id_token_azp", claims={"azp": "other"}),
    "azp-right": lie("", claims={"aud": ["app", "other"], "azp": "app"}),
    "sub-missing": lie("id_token_sub", claims={"sub": ...}),
    "sub-empty": lie("id_token_sub", claims={"sub": ""}),
    "sub-number": lie("id_token_sub", claims={"sub": 1}),
    "sub-control": lie("id_token_sub", claims={"sub": "alice\x00"}),
    "sub-too-long": lie("id_token_sub", claims={"sub": "x" * 300}),
    "iat-missing": lie("id_token_iat", claims={"iat": ...}),
    "iat-far-past": lie("id_token_iat", claims={"iat": Later(-24 * HOUR)}),
    "iat-future": lie("id_token_iat", claims={"iat": Later(HOUR)}),
    "iat-text": lie("id_token_iat", claims={"iat": "now"}),
    "nonce-wrong": lie("id_token_nonce", claims={"nonce": "another"}),
    "nonce-missing": lie("id_token_nonce", claims={"nonce": ...}),
    "nonce-empty": lie("id_token_nonce", claims={"nonce": ""}),
    "nonce-list": lie("id_token_nonce", claims={"nonce": ["x"]}),
    "at-hash": lie("id_token_at_hash", claims={"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    "c-hash": lie("id_token_c_hash", claims={"c_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    "s-hash": lie("id_token_s_hash", claims={"s_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    "expired": lie("id_token_expired", claims={"exp": Later(-HOUR)}),
    "exp-missing": lie("id_token_expired", claims={"exp": ...}),
    "exp-text": lie("id_token_expired", claims={"exp": "never"}),
    "not-yet": lie("id_token_not_yet", claims={"nbf": Later(HOUR)}),
}

ANSWERS = {
    "callback-iss-wrong": lie("answer_iss", callback={"iss": "https://accounts.google.com"}),
    "callback-iss-missing": lie(
        "answer_iss", metadata={"authorization_response_iss_parameter_supported": True}
    ),
    "callback-no-code": lie("answer_code", callback={"code": ...}),
    "callback-code-blank": lie("answer_code", callback={"code": "a b"}),
    "callback-error-strange": lie("answer_error", callback={"code": ..., "error": "\u202e<b>"}),
    "token-type": lie("token_answer_type", tokens={"token_type": "mac"}),
    "token-missing": lie("token_answer_empty", tokens={"access_token": ...}),
    "token-list": lie("token_answer_malformed", tokens={"access_token": ["x"]}),
    "token-with-line-end": lie("token_answer_malformed", tokens={"access_token": "x\r\nX-Admin: 1"}),
    "token-error-strange": lie(
        "answer_error", instead={"/token": answering(b'{"error": {"a": 1}}', status=400)}
    ),
    "token-answer-none": lie("token_answer_status", instead={"/token": answering(b"{}", status=418)}),
    "userinfo-sub": lie("userinfo_sub", userinfo={"sub": "alice"}),
    "userinfo-sub-missing": lie("userinfo_sub", userinfo={"sub": ...}),
    "userinfo-sub-number": lie("userinfo_sub", userinfo={"sub": 1}),
    "groups-text": lie("claim_invalid", claims={"groups": "admins"}),
    "groups-mixed": lie("claim_invalid", claims={"groups": ["ok", 1]}),
    "groups-with-line-end": lie("claim_invalid", claims={"groups": ["a\r\nUser-Id: 1"]}),
    "groups-surrogate": lie("claim_invalid", claims={"groups": ["\ud800"]}),
    "groups-of-userinfo": lie("claim_invalid", userinfo={"groups": {"admins": True}}),
    "groups-without-end": lie("claim_invalid", userinfo={"groups": [str(n) for n in range(6000)]}),
    "groups-none": lie("", claims={"groups": []}),
    "userinfo-not-there": lie("api_status", instead={"/me": answering(b"{}", status=404)}),
    "refresh-sub": lie("refresh_sub", refreshed={"sub": "alice"}),
    "refresh-nonce": lie("refresh_nonce", refreshed={"nonce": "another"}),
    "refresh-iss": lie("id_token_iss", refreshed={"iss": "https://accounts.google.com"}),
    "refresh-aud": lie("id_token_aud", refreshed={"aud": "other"}),
    "refresh-expired": lie("id_token_expired", refreshed={"exp": Later(-HOUR)}),
    "refresh-without-nonce": lie("", refreshed={"nonce": ...}),
}
#: these show when the tokens are refreshed, and not before
REFRESHES = tuple(name for name in ANSWERS if name.startswith("refresh-"))

METADATA = {
    "issuer-wrong": lie("wrong_issuer", metadata={"issuer": "https://accounts.google.com"}),
    "issuer-with-slash": lie("wrong_issuer", metadata={"issuer": "http://127.0.0.1/"}),
    "issuer-missing": lie("wrong_issuer", metadata={"issuer": ...}),
    "page-is-a-script": lie("metadata_endpoint", metadata={"authorization_endpoint": "javascript:alert(1)"}),
    "page-plain": lie("metadata_endpoint", metadata={"authorization_endpoint": "http://login.evil.example/"}),
    "page-with-a-user": lie(
        "metadata_endpoint", metadata={"authorization_endpoint": "https://u:p@evil.example/"}
    ),
    "token-endpoint-missing": lie("metadata_endpoint", metadata={"token_endpoint": ...}),
    "token-endpoint-file": lie("metadata_endpoint", metadata={"token_endpoint": "file:///etc/passwd"}),
    "token-endpoint-private": lie(
        "address_refused", metadata={"token_endpoint": "https://169.254.169.254/token"}
    ),
    "token-endpoint-plain": lie("http_refused", metadata={"token_endpoint": "http://10.0.0.1/token"}),
    "token-endpoint-mapped": lie(
        "address_refused", metadata={"token_endpoint": "https://[::ffff:169.254.169.254]/"}
    ),
    "token-endpoint-any": lie("address_refused", metadata={"token_endpoint": "https://0.0.0.0/token"}),
    "token-endpoint-odd": lie("url_refused", metadata={"token_endpoint": "https://2852039166/token"}),
    "keys-private": lie("address_refused", metadata={"jwks_uri": "https://169.254.169.254/jwks"}),
    "keys-of-another-port": lie("connection_failed", metadata={"jwks_uri": "https://127.0.0.1:1/jwks"}),
    "userinfo-private": lie("address_refused", metadata={"userinfo_endpoint": "https://10.0.0.1/me"}),
    "flow-implicit": lie("metadata_flow", metadata={"response_types_supported": ["id_token"]}),
    "alg-none-promised": lie(
        "metadata_alg", metadata={"id_token_signing_alg_values_supported": ["none", "HS256"]}
    ),
    "keys-no-list": lie("keys_missing", instead={"/jwks": answering(b'{"keys": {"a": 1}}')}),
    "keys-too-many": lie("keys_too_many", keys=[jwk_of(KEY, kid=str(n)) for n in range(101)]),
    "keys-huge": lie("answer_too_large", keys=[jwk_of(KEY, kid="one", more="x" * 600_000)]),
    "key-bad-among-good": lie(
        "", keys=[7, {"kty": "RSA", "kid": "one", "n": "!", "e": 3}, {"kty": ["RSA"]}, jwk_of(KEY, kid="one")]
    ),
}

FAR = "http://169.254.169.254/latest"
#: instead of any document: code, the answer, and the code where a form was posted, if it is another
BROKEN: Mapping[str, tuple[str, Answer, str]] = {
    "nested": ("answer_unreadable", answering(b"[" * 100_000), ""),
    "nested-objects": ("answer_unreadable", answering(b'{"a":' * 60_000 + b"1" + b"}" * 60_000), ""),
    "member-twice": ("answer_unreadable", answering(b'{"issuer": "a", "issuer": "b"}'), ""),
    "a-list": ("answer_shape", answering(b"[]"), ""),
    "no-text": ("answer_unreadable", answering(b"\xff\xfe{}"), ""),
    "page": ("answer_type", answering(b"{}", content_type="text/html"), ""),
    "large": ("answer_too_large", streaming(**HALF_GIGABYTE), ""),
    "late": ("provider_timeout", late(30), ""),
    "trickling": ("provider_timeout", streaming(b" ", times=600, pause_s=0.05), ""),
    "compressed": (
        "answer_compressed",
        answering(b"\x1f\x8b\x08" + bytes(30), **{"Content-Encoding": "gzip"}),
        "",
    ),
    "broken-off": ("connection_failed", broken_off, ""),
    "failing": ("provider_failing", answering(b"", status=500), ""),
    "busy": ("provider_failing", answering(b"{}", status=429, **{"Retry-After": "60"}), ""),
    "to-the-clouds-secrets": ("http_refused", answering(b"", status=307, Location=FAR), "redirect_refused"),
    "to-a-private-address": (
        "address_refused",
        answering(b"", status=302, Location="https://10.0.0.1/"),
        "redirect_refused",
    ),
    "to-nowhere": ("redirect_refused", answering(b"", status=302), ""),
    "in-circles": ("redirects_too_many", answering(b"", status=302, Location="?"), "redirect_refused"),
}
PLACES = {
    "metadata": "/.well-known/openid-configuration",
    "keys": "/jwks",
    "token": "/token",
    "userinfo": "/me",
}
DOCUMENTS = {
    f"{place}-{what}": lie((place == "token" and for_forms) or code, instead={path: answer})
    for what, (code, answer, for_forms) in BROKEN.items()
    for place, path in PLACES.items()
}

LIES: Mapping[str, Lie] = ID_TOKENS | ANSWERS | METADATA | DOCUMENTS
