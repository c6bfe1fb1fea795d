"""ACME on the wire (RFC 8555): what is sent, signed, and what comes back. Pure: bytes in, values out.

Members that aren't known are passed over, as section 7.1 has it; those that are must have their type.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from vestibule.protocol import base64url

CONTENT_TYPE: Final = "application/jose+json"
CHAIN_TYPE: Final = "application/pem-certificate-chain"
PROBLEM: Final = "urn:ietf:params:acme:error:"
CHALLENGE_PATH: Final = b"/.well-known/acme-challenge/"
#: base64url; at least 128 bits (section 8), and no longer than any authority's
TOKEN_RE: Final = re.compile(r"[A-Za-z0-9_-]{22,256}", re.ASCII)
_COORDINATE_BYTES: Final = 32
_MEMBER_MAX: Final = 64
T = TypeVar("T")


class AcmeSyntaxError(ValueError):
    """What came is not what RFC 8555 says; the text says what, and quotes little of it."""


class Meta(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a directory says of itself."""

    terms_of_service: str = ""
    external_account_required: bool = False


class Directory(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the resources of an authority are (section 7.1.1)."""

    new_nonce: str
    new_account: str
    new_order: str
    renewal_info: str = ""
    """RFC 9773; empty: it suggests no renewals."""
    meta: Meta = Meta()


class Identifier(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a certificate is for."""

    type: str
    value: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What went wrong (RFC 7807, section 6.7)."""

    type: str = ""
    detail: str = ""
    identifier: Identifier | None = None
    subproblems: tuple[Problem, ...] = ()

    @property
    def kind(self) -> str:
        """Without what all ACME problems begin with: `badNonce`; empty for any other."""
        return self.type.removeprefix(PROBLEM) if self.type.startswith(PROBLEM) else ""

    @property
    def first(self) -> Problem:
        """The one below it that says most, where it is only their sum."""
        return self.subproblems[0] if self.kind == "compound" and self.subproblems else self


class Order(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Section 7.1.3."""

    status: str
    authorizations: tuple[str, ...] = ()
    finalize: str = ""
    certificate: str = ""
    error: Problem | None = None


class Challenge(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Section 8."""

    type: str
    url: str
    status: str
    token: str = ""
    error: Problem | None = None


class Authorization(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Section 7.1.4."""

    identifier: Identifier
    status: str
    challenges: tuple[Challenge, ...] = ()
    wildcard: bool = False

    def challenge(self, kind: str) -> Challenge | None:
        """The one of this kind; None where the authority doesn't offer it."""
        return next((one for one in self.challenges if one.type == kind), None)

    @property
    def error(self) -> Problem | None:
        """Why it failed."""
        return next((one.error for one in self.challenges if one.error is not None), None)


class _Window(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    start: datetime
    end: datetime


class _RenewalInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    suggested_window: _Window
    explanation_url: str = msgspec.field(name="explanationURL", default="")


class Renewal(msgspec.Struct, frozen=True):
    """When the authority suggests to renew (RFC 9773 section 4.2)."""

    start_at: float
    end_at: float
    explanation: str
    """Where people can read why; empty: nowhere."""


# -- what comes ---------------------------------------------------------------------------------


def read(body: bytes, kind: type[T]) -> T:
    """The document. Raises AcmeSyntaxError."""
    try:
        found = msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as exc:  # ValidationError too
        raise AcmeSyntaxError(f"not {kind.__name__.lower()}: {exc}") from exc
    if isinstance(found, Authorization) and len(found.challenges) > _MEMBER_MAX:
        raise AcmeSyntaxError("more challenges than any authority offers")
    return found


def read_problem(body: bytes) -> Problem:
    """The problem document; an empty one where the body is none."""
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        return Problem()


def read_renewal(body: bytes) -> Renewal:
    """The suggestion. Raises AcmeSyntaxError, also for a window that ends before it begins."""
    info = read(body, _RenewalInfo)
    window = info.suggested_window
    if window.start.tzinfo is None or window.end.tzinfo is None or window.end <= window.start:
        raise AcmeSyntaxError("not a window of time")
    return Renewal(window.start.timestamp(), window.end.timestamp(), info.explanation_url)


def retry_after_s(value: str, now: float) -> float | None:
    """How long to wait by a Retry-After (RFC 9110 section 10.2.3); None where it says nothing."""
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


# -- what is sent -------------------------------------------------------------------------------


def jwk_of(key: EllipticCurvePrivateKey) -> dict[str, str]:
    """The public key as a JWK with the members that its thumbprint is made of (RFC 7638 section 3.2), in order."""
    numbers = key.public_key().public_numbers()
    x, y = (base64url.encode(one.to_bytes(_COORDINATE_BYTES, "big")) for one in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def signed(
    key: EllipticCurvePrivateKey, url: str, payload: dict[str, Any] | None, *, nonce: str, account: str = ""
) -> bytes:
    """A request's body: a flattened JWS (section 6.2) by ES256; `payload` None: POST-as-GET.

    `account`: the account's URL; empty: the key itself is sent, which only a new account does.
    """
    head: dict[str, Any] = {"alg": "ES256", "nonce": nonce, "url": url}
    head |= {"kid": account} if account else {"jwk": jwk_of(key)}
    protected = base64url.encode(msgspec.json.encode(head))
    body = "" if payload is None else base64url.encode(msgspec.json.encode(payload))
    r, s = decode_dss_signature(key.sign(f"{protected}.{body}".encode(), ECDSA(hashes.SHA256())))
    signature = b"".join(one.to_bytes(_COORDINATE_BYTES, "big") for one in (r, s))
    return _flattened(protected, body, signature)


def bound(key: EllipticCurvePrivateKey, url: str, *, key_id: str, hmac_key: bytes) -> dict[str, str]:
    """The new account's binding to one that the authority knows (section 7.3.4), by HS256."""
    protected = base64url.encode(msgspec.json.encode({"alg": "HS256", "kid": key_id, "url": url}))
    body = base64url.encode(msgspec.json.encode(jwk_of(key)))
    mac = hmac.digest(hmac_key, f"{protected}.{body}".encode(), "sha256")
    found: dict[str, str] = msgspec.json.decode(_flattened(protected, body, mac))
    return found


def _flattened(protected: str, payload: str, signature: bytes) -> bytes:
    return msgspec.json.encode(
        {"protected": protected, "payload": payload, "signature": base64url.encode(signature)}
    )


def new_account(email: str, binding: dict[str, str] | None) -> dict[str, Any]:
    """The payload of a new account; whoever orders has agreed to the authority's terms."""
    payload: dict[str, Any] = {"termsOfServiceAgreed": True}
    if email:
        payload["contact"] = [f"mailto:{email}"]
    if binding is not None:
        payload["externalAccountBinding"] = binding
    return payload


def new_order(name: str, replaces: str = "") -> dict[str, Any]:
    """The payload of a new order; `replaces`: which certificate it is to renew (RFC 9773 section 5)."""
    payload: dict[str, Any] = {"identifiers": [{"type": "dns", "value": name}]}
    if replaces:
        payload["replaces"] = replaces
    return payload


def key_authorization(token: str, key: EllipticCurvePrivateKey) -> str:
    """What is shown by HTTP-01, and what the other proofs are made of (section 8.1). Raises AcmeSyntaxError.

    Threat: a token that is a path, or a line of its own.
    """
    if TOKEN_RE.fullmatch(token) is None:
        raise AcmeSyntaxError("not a token")
    thumbprint = hashlib.sha256(msgspec.json.encode(jwk_of(key))).digest()
    return f"{token}.{base64url.encode(thumbprint)}"


def record_of(authorization: str) -> str:
    """The TXT record that DNS-01 shows for this key authorization (section 8.4)."""
    return base64url.encode(hashlib.sha256(authorization.encode("ascii")).digest())


def record_name_of(name: str) -> str:
    """Where that record stands, without a dot at the end; a wildcard's is its parent's."""
    return f"_acme-challenge.{name.removeprefix('*.')}"
