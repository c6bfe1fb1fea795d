"""Certificates with their keys as text (PEM): what they are good for, and what is wrong with them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from vestibule.core.certificate import Certificate, Source
from vestibule.model import Secret

TEXT_LIMIT_BYTES: Final = 1 << 20
CHAIN_MAX: Final = 10
RSA_BITS_MIN: Final = 2048
_ED: Final = (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
_BROKEN_HASHES: Final = (hashes.MD5, hashes.SHA1)
_CERTIFICATES_RE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\n?"
)


class PemError(ValueError):
    """It can't be used; the message says why, and holds nothing of the text."""


def read_pair(chain: bytes, key: bytes, source: Source) -> Certificate:
    """The certificate with its chain and key, from texts in which other things may stand, too (both may be one file).

    Raises: PemError for what no client would take, or nobody should use: a key that doesn't fit or is weak, a chain in
    another order, no name. When it is good from and until, and for whom, is for the caller to look at.
    """
    certificates = _certificates(chain)
    private = _key(key)
    own = certificates[0]
    if _public(own) != _spki(private.public_key()):
        if any(_public(one) == _spki(private.public_key()) for one in certificates[1:]):
            raise PemError("the chain stands in another order: the certificate of the key comes first")
        raise PemError("the key doesn't match the certificate")
    _check_strength(own, private)
    _check_order(certificates)
    names = names_of(own)
    if not names:
        raise PemError("the certificate names no host: browsers look at its subjectAltName alone")
    return Certificate(
        names=names,
        chain_pem=b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates),
        key_pem=Secret(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode("ascii")
        ),
        not_before_at=own.not_valid_before_utc.timestamp(),
        not_after_at=min(one.not_valid_after_utc.timestamp() for one in certificates),
        source=source,
        fingerprint=own.fingerprint(hashes.SHA256()).hex(),
    )


def read_authorities(text: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of authorities in a text. Raises: PemError for none, or one that is no authority's."""
    found = _certificates(text)
    for one in found:
        if not _is_authority(one):
            raise PemError(f"{subject_of(one)} is no authority's certificate: it may sign no others")
    return found


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The hosts it is for, in lower case, addresses in their one spelling (RFC 9525 section 6)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    names = found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*(name.lower().rstrip(".") for name in names), *map(str, addresses))


def subject_of(certificate: x509.Certificate) -> str:
    """Whose it is, for people: its subject (RFC 4514), else its first name."""
    return certificate.subject.rfc4514_string() or next(iter(names_of(certificate)), "a certificate")


def is_complete(chain_pem: bytes) -> bool:
    """False where clients can't get from it to a root by themselves, most likely: a single one, by somebody else.

    Some authority of a company signs with its root, and then that is all there is.
    """
    found = _certificates(chain_pem)
    return len(found) > 1 or found[0].issuer == found[0].subject


def _certificates(text: bytes) -> tuple[x509.Certificate, ...]:
    """All of a text, a key or words beside them left out."""
    if len(text) > TEXT_LIMIT_BYTES:
        raise PemError("it is larger than any certificate")
    blocks = _CERTIFICATES_RE.findall(text)
    if not blocks:
        raise PemError("it holds no certificate (-----BEGIN CERTIFICATE-----)")
    try:
        return tuple(map(x509.load_pem_x509_certificate, blocks))
    except ValueError:
        raise PemError("a certificate in it can't be read: it is damaged, or not whole") from None


def _key(text: bytes) -> Any:
    block = _key_block(text)
    try:
        return serialization.load_pem_private_key(block, None)
    except TypeError:
        raise PemError("the key is encrypted: openssl pkey -in KEY -out PLAIN takes that off") from None
    except (ValueError, UnsupportedAlgorithm):
        raise PemError("the key can't be read: it is damaged, not whole, or of an unknown kind") from None


def _key_block(text: bytes) -> bytes:
    start = text.find(b"PRIVATE KEY-----")
    if start < 0:
        raise PemError("it holds no private key (-----BEGIN PRIVATE KEY-----)")
    begin = text.rfind(b"-----BEGIN ", 0, start)
    end = text.find(b"PRIVATE KEY-----", start + 1)
    if begin < 0 or end < 0:
        raise PemError("the key is not whole")
    return text[begin : end + len(b"PRIVATE KEY-----")] + b"\n"


def _check_strength(own: x509.Certificate, key: Any) -> None:
    """Threat: who sees the certificate finds the key (FIPS 186-5; CA/Browser Forum BR section 6.1.5)."""
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < RSA_BITS_MIN:
            raise PemError(f"the key has {key.key_size} bits: RSA keys have {RSA_BITS_MIN} at least")
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            raise PemError(f"the key is on {key.curve.name}, which browsers don't know: prime256v1")
    elif not isinstance(key, _ED):
        raise PemError("the key is of a kind that TLS has no use for: make one with ECDSA or RSA")
    if isinstance(own.signature_hash_algorithm, _BROKEN_HASHES):
        raise PemError("the certificate is signed with SHA-1 or MD5, which nobody believes any more")


def _check_order(certificates: Sequence[x509.Certificate]) -> None:
    """Each was signed by the next (RFC 8446 section 4.4.2)."""
    if len(certificates) > CHAIN_MAX:
        raise PemError(f"the chain has {len(certificates)} certificates: that is a bundle of authorities")
    for one, issuer in itertools.pairwise(certificates):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            raise PemError(
                f"the chain stands in another order, or has a gap: {subject_of(one)} was not signed by the one "
                f"behind it, {subject_of(issuer)}"
            ) from None


def _is_authority(one: x509.Certificate) -> bool:
    try:
        return one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return one.version is x509.Version.v1 and one.issuer == one.subject
    except ValueError:
        return False


def _public(certificate: x509.Certificate) -> bytes:
    try:
        return _spki(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise PemError(f"the key of {subject_of(certificate)} is of an unknown kind") from None


def _spki(key: Any) -> bytes:
    found: bytes = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return found
