"""Certificates as ACME has to do with them: what asks for one, what comes, what proves a name by TLS-ALPN-01."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier

from vestibule.protocol import base64url
from vestibule.protocol.acme import AcmeSyntaxError

ALPN: Final = "acme-tls/1"
"""The protocol by which an authority asks for a proof (RFC 8737 section 6.2)."""
CHAIN_MAX: Final = 10
_IDENTIFIER: Final = ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""id-pe-acmeIdentifier (RFC 8737 section 6.1)."""
_OCTETS_32: Final = bytes((0x04, 0x20))
"""DER: an OCTET STRING of 32 bytes follows."""
_PROOF_DAYS: Final = 7


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the first certificate of a chain."""

    names: tuple[str, ...]
    """In lower case."""
    not_before_at: float
    not_after_at: float
    fingerprint: str
    """SHA-256, hexadecimal."""
    renewal_id: str
    """By which the authority knows it (RFC 9773 section 4.1); empty where it says too little of itself."""
    issuer: str


def request_for(name: str, key: EllipticCurvePrivateKey) -> bytes:
    """The request for a certificate (PKCS #10, DER) as `finalize` takes it (RFC 8555 section 7.4)."""
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.add_extension(names, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def leaf_of(chain_pem: bytes) -> Leaf:
    """What the chain is for. Raises AcmeSyntaxError."""
    return _leaf(_first(chain_pem))


def checked(chain_pem: bytes, name: str, key: EllipticCurvePrivateKey, now: float) -> Leaf:
    """What came, once it is what was asked for: this name, this key, good now. Raises AcmeSyntaxError.

    Does NOT look at who signed it: that is the authority's matter, and the clients'.
    """
    first = _first(chain_pem)
    leaf = _leaf(first)
    if leaf.names != (name,):
        raise AcmeSyntaxError(f"it is for {', '.join(leaf.names) or 'no name'}")
    if first.public_key() != key.public_key():
        raise AcmeSyntaxError("it is for another key")
    if leaf.not_after_at <= now:
        raise AcmeSyntaxError("it is over already: compare the clocks")
    return leaf


def proof_of(
    name: str, authorization: str, key: EllipticCurvePrivateKey, *, serial: int, now: datetime
) -> bytes:
    """The certificate (PEM) that shows this key authorization by TLS-ALPN-01 (RFC 8737 section 3)."""
    digest = hashlib.sha256(authorization.encode("ascii")).digest()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME proof")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_PROOF_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(_IDENTIFIER, _OCTETS_32 + digest), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def key_pem_of(key: EllipticCurvePrivateKey) -> bytes:
    """The private key, PKCS #8, PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_of(pem: bytes) -> EllipticCurvePrivateKey:
    """The key in this PEM. Raises AcmeSyntaxError."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as exc:
        raise AcmeSyntaxError("not a private key") from exc
    if not isinstance(key, EllipticCurvePrivateKey):
        raise AcmeSyntaxError("not a key on a curve")
    return key


def _first(chain_pem: bytes) -> x509.Certificate:
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
    except ValueError as exc:
        raise AcmeSyntaxError("not a chain of certificates") from exc
    if len(chain) > CHAIN_MAX:
        raise AcmeSyntaxError("a chain longer than any")
    return chain[0]


def _leaf(first: x509.Certificate) -> Leaf:
    try:
        found = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, ValueError):
        names = ()
    return Leaf(
        names=names,
        not_before_at=first.not_valid_before_utc.timestamp(),
        not_after_at=first.not_valid_after_utc.timestamp(),
        fingerprint=first.fingerprint(hashes.SHA256()).hex(),
        renewal_id=_renewal_id(first),
        issuer=first.issuer.rfc4514_string(),
    )


def _renewal_id(first: x509.Certificate) -> str:
    try:
        extension = first.extensions.get_extension_for_oid(ExtensionOID.AUTHORITY_KEY_IDENTIFIER).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    if not isinstance(extension, x509.AuthorityKeyIdentifier) or extension.key_identifier is None:
        return ""
    number = first.serial_number
    # As DER has integers: big-endian, with a zero in front where the first bit is set.
    serial = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return f"{base64url.encode(extension.key_identifier)}.{base64url.encode(serial)}"
