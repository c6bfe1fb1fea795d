"""SAML 2.0's names, and the plain values that its messages are made of and read into (saml-core, saml-bindings).

What reads and writes XML stands beside this (`saml_xml` and on) and is imported where somebody signs in by SAML; this
module needs none of it.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from vestibule.errors import ProviderInvalid

PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
EMAIL: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
PASSWORD_PROTECTED: Final = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"  # noqa: S105
MFA: Final = "https://refeds.org/profile/mfa"

SKEW_S: Final = 90.0
"""How far the clocks of two honest machines are taken to differ."""
MAX_AGE_S: Final = 3600.0
"""A response comes straight from the provider: one made longer ago was kept by somebody."""
RESPONSE_MAX_BYTES: Final = 512 * 1024
MESSAGE_MAX_BYTES: Final = 64 * 1024
METADATA_MAX_BYTES: Final = 8 * 1024 * 1024
NAME_MAX_CHARS: Final = 1024
"""Of a NameID: longer ones are no names that a provider gives (persistent ones have 256, saml-core section 8.3.7)."""
RSA_MIN_BITS: Final = 2048
CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})

#: refused for want of a key that fits: the keys known here may be old ones
OF_OLD_KEYS: Final = frozenset({"saml_signature"})

_SPACE_RE: Final = re.compile(rb"[ \t\r\n]+")

CODES: Final[Mapping[str, str]] = {
    "saml_encoding": "it is not base64, not DEFLATE, not UTF-8, or a parameter stands there twice",
    "saml_size": "it is larger than any honest one, or unpacks to more",
    "saml_xml": "it is not well-formed XML",
    "saml_dtd": "it declares a document type or entities",
    "saml_comment": "a comment or a processing instruction stands in it",
    "saml_twins": "two elements have the same ID",
    "saml_shape": "an element is missing, stands there twice, or where none of its kind belongs",
    "saml_version": "it is not of SAML 2.0",
    "saml_unsigned": "neither the response nor the assertion is signed (or not the one that must be)",
    "saml_signature": "none of the provider's certificates fits the signature, or what was signed was altered",
    "saml_reference": "the signature is about something else than the element it stands in",
    "saml_transform": "the signature transforms what it signs in ways that are not allowed",
    "saml_algorithm": "the signature is made with an algorithm that is not allowed (SHA-1, HMAC, DSA …)",
    "saml_issuer": "somebody else than this provider issued it",
    "saml_destination": "it was sent to another address",
    "saml_recipient": "its subject may be confirmed at another address alone",
    "saml_audience": "it is for another service",
    "saml_in_response_to": "it answers another request, or none where one was made",
    "saml_issued": "it was made too long ago, or in the future",
    "saml_expired": "its time is over",
    "saml_early": "its time has not come",
    "saml_condition": "it has a condition that is unknown here",
    "saml_subject": "its subject is not confirmed by its bearer, or in more than one way",
    "saml_name_id": "its NameID is empty, too long, or has white space around it",
    "saml_authn": "it does not say how and when the person signed in, or says so twice",
    "saml_authn_context": "the person signed in by other means than was asked for",
    "saml_authn_instant": "the person signed in longer ago than was asked for",
    "saml_encrypted": "it can't be decrypted with the keys here, or by the algorithms allowed",
    "saml_plain": "the assertion is not encrypted, and must be",
    "saml_status": "it has no status that can be read",
    "saml_metadata": "the metadata can't be read, or are no identity provider's",
    "saml_metadata_entity": "the metadata are about another provider, or about several",
    "saml_metadata_expired": "the metadata were valid until a time that is over",
    "saml_metadata_keys": "the metadata hold no certificate that signatures may be checked with",
    "saml_metadata_url": "the metadata hold no address to sign in at, or one that is none for browsers",
    "saml_unsolicited": "nobody here asked for it, and its RelayState is not listed",
    "answer_replayed": "it came before",
}
"""Each refusal → what is wrong, for log and console; the person sees one calm page. Whoever keeps what has come says
the last two."""


class NameId(msgspec.Struct, frozen=True):
    """Whom a message is about, by the name that the provider has for them (saml-core section 2.2.3)."""

    value: str
    format: str = ""
    name_qualifier: str = ""
    sp_name_qualifier: str = ""


class Endpoint(msgspec.Struct, frozen=True):
    """Where messages of one binding go to, and their answers where these go elsewhere."""

    binding: str
    url: str
    response_url: str = ""


class Form(msgspec.Struct, frozen=True):
    """A message for the POST binding: a page's form with hidden fields (saml-bindings section 3.5)."""

    action: str
    fields: tuple[tuple[str, str], ...]


class Signer(msgspec.Struct, frozen=True):
    """A private key of this service with its certificate (DER): signs, and opens what was encrypted for it."""

    key: RSAPrivateKey | EllipticCurvePrivateKey
    certificate: bytes

    def __repr__(self) -> str:
        """Nothing of the key."""
        return "Signer(***)"


def refused(code: str, detail: str = "") -> ProviderInvalid:
    """The refusal by this code of `CODES`; `detail` is for the log alone, and never holds what was signed."""
    return ProviderInvalid("the provider's answer can't be believed", code=code, detail=detail or CODES[code])


def message_id(seed: bytes) -> str:
    """An `xs:ID` that is the same for the same seed, and tells nothing of it."""
    return "_" + hashlib.sha256(b"saml message id\0" + seed).hexdigest()


def certificate_of(text: str | bytes) -> bytes:
    """DER of the first certificate in PEM, or of one in bare base64 as metadata have it.

    Raises: ValueError for what is none, and for keys too weak to believe: RSA below 2048 bits, other curves than
    P-256, P-384 and P-521. Its validity is not asked about: metadata say whose key it is, no authority does
    (SAML V2.0 Metadata Interoperability Profile section 2.6.1).
    """
    raw = text.encode("ascii") if isinstance(text, str) else text
    try:
        if b"-----BEGIN" in raw:
            certificate = x509.load_pem_x509_certificate(raw)
        else:
            certificate = x509.load_der_x509_certificate(b64decode(_SPACE_RE.sub(b"", raw), validate=True))
        key = certificate.public_key()
    except binascii.Error as exc:
        raise ValueError("it is neither PEM nor base64") from exc
    except (x509.InvalidVersion, UnsupportedAlgorithm) as exc:  # which are no ValueErrors
        raise ValueError("it is of an unknown version, or its key of an unknown kind") from exc
    if isinstance(key, RSAPublicKey):
        if key.key_size < RSA_MIN_BITS:
            raise ValueError(f"its RSA key has {key.key_size} bits, and {RSA_MIN_BITS} are asked for")
    elif not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise ValueError("its key is neither RSA nor on P-256, P-384 or P-521")
    return certificate.public_bytes(Encoding.DER)


def signer_of(key_pem: bytes, certificate_pem: bytes) -> Signer:
    """The key with its certificate. Raises: ValueError where one can't be read, is too weak, or they don't fit."""
    der = certificate_of(certificate_pem)
    try:
        key = load_pem_private_key(key_pem, None)
    except TypeError as exc:
        raise ValueError("the private key is locked with a pass phrase") from exc
    except UnsupportedAlgorithm as exc:
        raise ValueError("the private key is of an unknown kind") from exc
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise ValueError("the private key is neither RSA nor on a curve")  # noqa: TRY004 - the file's fault
    if key.public_key() != x509.load_der_x509_certificate(der).public_key():
        raise ValueError("the certificate is of another key")
    return Signer(key, der)
