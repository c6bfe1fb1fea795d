"""Signed tokens (RFC 7515 JWS in compact form, RFC 7517 JWK, RFC 7518, RFC 8037), by joserfc's algorithms.

The token is taken apart here, once and strictly, and only then is a signature looked at. What decides is
never the token: the algorithm must be on the caller's list and fit the type of a key the caller gave; keys,
and places to fetch keys from, that stand in the header (`jwk`, `x5c`, `jku`, `x5u`) are never read. There is
no `none`, no HMAC (a public key must never serve as a shared secret), no encryption, no compression, no JSON
form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from vestibule.model import Secret
from vestibule.protocol import base64url
from vestibule.protocol.document import without_twins

MAX_TOKEN_BYTES = 16 * 1024
MAX_KEYS = 100
#: Keys tried for one token: those of one `kid`, or of fitting type where the token names none.
MAX_TRIES = 8
_RSA_BITS = range(2048, 8192 + 1)

#: What a key must be for an algorithm: `kty`, and `crv` where there are several.
_KEY_OF = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
#: All that is spoken. `EdDSA` here is Ed25519.
ALGORITHMS = frozenset(_KEY_OF)

#: Signed by nothing it is still a token of that form, so that what refuses it is its algorithm.
_COMPACT_RE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
#: Header members that change what is signed or how it is read; a reader that ignores them is fooled.
_REFUSED_MEMBERS = frozenset({"b64", "zip", "enc"})


class TokenError(ValueError):
    """The token can't be believed; the text says why, and holds nothing of it.

    Codes: `malformed`, `alg`, `crit`, `header`, `key`, `kid`, `signature`.
    """

    def __init__(self, why: str, code: str = "malformed") -> None:
        super().__init__(why)
        self.code = code


class UnknownKeyError(TokenError):
    """No key of the set fits the token: the set may be out of date."""

    def __init__(self) -> None:
        super().__init__("no key of the issuer fits", "key")


class Verified(msgspec.Struct, frozen=True):
    """A token whose signature holds; nothing is said of its claims."""

    header: dict[str, Any]
    claims: dict[str, Any]


def key_id_of(token: str) -> str | None:
    """The `kid` a token names, unverified: good for choosing keys only. Raises: TokenError."""
    header = _header(_parts(token)[0])
    kid: str | None = header.get("kid")
    return kid


def unverified(token: str) -> dict[str, Any]:
    """The claims of a token that nobody has verified: good for choosing who does only. Raises: TokenError."""
    raw_header, raw_claims, _ = _parts(token)
    _header(raw_header)
    return _object(raw_claims, "claims")


def verify(token: str, keys: Sequence[Mapping[str, Any]], *, algorithms: Collection[str]) -> Verified:
    """The header and claims of a token that one of `keys` has signed.

    `keys` are JWK dicts as fetched; unusable ones are passed over. `algorithms` is what this issuer may use;
    only those of `ALGORITHMS` count. A key serves when its type fits the algorithm, its `use`, `key_ops` and
    `alg` allow it, and its `kid` is the token's (or, where none has that one, when it is the only one that fits).

    Raises: TokenError; UnknownKeyError when no key fits. Spec: RFC 7515 section 5.2, RFC 8725.
    Not checked: issuer, audience, times, or what kind of token it is.
    """
    raw_header, raw_claims, raw_signature = _parts(token)
    header = _header(raw_header)
    algorithm = header["alg"]
    if algorithm not in algorithms or algorithm not in ALGORITHMS:
        raise TokenError("signed with an algorithm that is not accepted", "alg")
    candidates = _candidates(keys, algorithm, header.get("kid"))
    if not candidates:
        raise UnknownKeyError
    signature = _decoded(raw_signature)
    signed = f"{raw_header}.{raw_claims}".encode("ascii")
    if not any(_holds(algorithm, key, signed, signature) for key in candidates):
        raise TokenError("the signature does not hold", "signature")
    return Verified(header, _object(raw_claims, "claims"))


class SigningKey:
    """A private key that signs tokens; its repr shows none of it."""

    __slots__ = ("_key", "algorithm", "kid")

    def __init__(self, key: ECKey | RSAKey, algorithm: Literal["ES256", "RS256"], kid: str) -> None:
        self._key = key
        self.algorithm = algorithm
        self.kid = kid

    @classmethod
    def load(cls, pem: Secret, *, algorithm: Literal["ES256", "RS256"], kid: str) -> SigningKey:
        """The key in a PEM text (PKCS #8, PKCS #1, SEC 1), unencrypted. Raises: ValueError, mute."""
        try:
            raw = load_pem_private_key(pem.reveal().encode("ascii"), password=None)
        except (ValueError, TypeError):
            raw = None
        # Outside the handler, for what went wrong may quote what was read.
        if (
            algorithm == "ES256"
            and isinstance(raw, EllipticCurvePrivateKey)
            and raw.curve.name == "secp256r1"
        ):
            return cls(ECKey.import_key(raw), algorithm, kid)
        if algorithm == "RS256" and isinstance(raw, RSAPrivateKey) and raw.key_size in _RSA_BITS:
            return cls(RSAKey.import_key(raw), algorithm, kid)
        raise ValueError(f"not a private key for {algorithm} in PEM form")

    def sign(self, claims: Mapping[str, Any], *, kind: str = "JWT") -> Secret:
        """The claims as a token in compact form; `kind` is its `typ`."""
        header = {"alg": self.algorithm, "typ": kind, "kid": self.kid}
        signed = f"{base64url.encode(_json(header))}.{base64url.encode(_json(claims))}"
        signature = _model(self.algorithm).sign(signed.encode("ascii"), self._key)
        return Secret(f"{signed}.{base64url.encode(signature)}")

    def public_jwk(self) -> dict[str, Any]:
        """The public half, as it stands in a key set."""
        public = self._key.as_dict(private=False)
        return {**public, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, kid={self.kid!r})"


def _parts(token: str) -> tuple[str, str, str]:
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenError("too long")
    found = _COMPACT_RE.fullmatch(token)
    if not found:
        raise TokenError("not a signed token in compact form")
    return found[1], found[2], found[3]


def _header(raw: str) -> dict[str, Any]:
    header = _object(raw, "header")
    if not isinstance(header.get("alg"), str):
        raise TokenError("its header names no algorithm", "alg")
    if not isinstance(header.get("kid", ""), str):
        raise TokenError("its header is malformed")
    if "crit" in header:
        raise TokenError("its header asks for what is not understood", "crit")
    if not _REFUSED_MEMBERS.isdisjoint(header):
        raise TokenError("its header asks for what is not understood", "header")
    return header


def _candidates(keys: Sequence[Any], algorithm: str, kid: str | None) -> list[Mapping[str, Any]]:
    """The keys to try: those the token names, or the one there is where no name tells.

    Spec: OpenID Connect Core 1.0 section 10.1: with several keys, a token must name its own.
    """
    fitting = [key for key in keys[:MAX_KEYS] if isinstance(key, Mapping) and _fits(key, algorithm)]
    if kid is not None:
        if named := [key for key in fitting if key.get("kid") == kid]:
            return named[:MAX_TRIES]
        fitting = [key for key in fitting if "kid" not in key]
    usable = [key for key in fitting if _is_usable(key)]
    if len(usable) > 1:
        raise TokenError("it doesn't tell which of several keys it is signed with", "kid")
    return usable


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    """True for a key of the type the algorithm needs that isn't said to be for something else (RFC 7517)."""
    kty, crv = _KEY_OF[algorithm]
    operations: Any = key.get("key_ops", ["verify"])
    named: Any = key.get("alg", algorithm)
    return (
        key.get("kty") == kty
        and (crv is None or key.get("crv") == crv)
        and key.get("use", "sig") == "sig"
        and (named == algorithm or (named == "Ed25519" and algorithm == "EdDSA"))
        and isinstance(operations, list)
        and "verify" in operations
    )


def _holds(algorithm: str, jwk: Mapping[str, Any], signed: bytes, signature: bytes) -> bool:
    """True when this key has made the signature; a key that can't be used has made none."""
    try:
        holds: bool = _model(algorithm).verify(signed, signature, _public_key(jwk))
    except (JoseError, ValueError, TypeError, KeyError):
        return False
    return holds


def _is_usable(jwk: Mapping[str, Any]) -> bool:
    try:
        _public_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError):
        return False
    return True


def _public_key(jwk: Mapping[str, Any]) -> ECKey | OKPKey | RSAKey:
    """The key of the public members alone, whatever else stands in the JWK; raises when it can't be used.

    Threat: short RSA keys, which can be broken, and huge ones, which take seconds to use.
    """
    match jwk["kty"]:
        case "RSA":
            modulus, exponent = (int.from_bytes(_decoded(jwk[name]), "big") for name in ("n", "e"))
            if modulus.bit_length() not in _RSA_BITS or not 3 <= exponent < 1 << 32 or exponent % 2 == 0:
                raise TokenError("an RSA key of unfit size")
            return RSAKey.import_key({name: jwk[name] for name in ("kty", "n", "e")})
        case "EC":
            return ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")})
        case _:
            return OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")})


def _model(algorithm: str) -> Any:
    # Not `get_alg`: it warns of the name "EdDSA" (RFC 9864), which is what issuers still write.
    return JWSRegistry.algorithms[algorithm]


def _object(raw: str, what: str) -> dict[str, Any]:
    """The JSON object in one part. Threat: a member that stands there twice, read by two readers as two."""
    try:
        value = json.loads(_decoded(raw), object_pairs_hook=without_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise TokenError(f"its {what} can't be read")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _decoded(raw: Any) -> bytes:
    decoded = base64url.decode(raw) if isinstance(raw, str) else None
    if decoded is None:
        raise TokenError("not base64url")
    return decoded


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(value), separators=(",", ":"), ensure_ascii=False).encode("utf-8")
