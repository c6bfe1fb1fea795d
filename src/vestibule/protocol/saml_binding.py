"""How SAML messages travel: in a URL, deflated, or in a form (saml-bindings sections 3.4 and 3.5)."""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from vestibule.protocol import saml_signature, saml_xml
from vestibule.protocol.saml import MESSAGE_MAX_BYTES, RESPONSE_MAX_BYTES, Form, Signer, refused

Kind = Literal["SAMLRequest", "SAMLResponse"]
_KINDS: Final = ("SAMLRequest", "SAMLResponse")
_DEFLATE: Final = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_RSA: Final[Mapping[str, hashes.HashAlgorithm]] = {
    f"{_MORE}rsa-sha256": hashes.SHA256(),
    f"{_MORE}rsa-sha384": hashes.SHA384(),
    f"{_MORE}rsa-sha512": hashes.SHA512(),
}
_ECDSA: Final[Mapping[str, hashes.HashAlgorithm]] = {
    f"{_MORE}ecdsa-sha256": hashes.SHA256(),
    f"{_MORE}ecdsa-sha384": hashes.SHA384(),
    f"{_MORE}ecdsa-sha512": hashes.SHA512(),
}


class Redirected(msgspec.Struct, frozen=True, kw_only=True):
    """A message that came in a URL, as far as it is read without believing it."""

    kind: str
    xml: bytes
    relay_state: str = ""
    algorithm: str = ""
    signature: bytes = b""
    """Empty where it is not signed."""
    signed: bytes = b""
    """The part of the query that the signature is about, in the spelling it came in."""


def redirect_url(
    location: str, xml: bytes, *, kind: Kind, relay_state: str = "", signer: Signer | None = None
) -> str:
    """The URL to send the browser to, signed where there is a signer. Spec: saml-bindings section 3.4.4.1."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    message = b64encode(packed.compress(xml) + packed.flush()).decode("ascii")
    query = f"{kind}={quote(message, safe='')}"
    if relay_state:
        query += f"&RelayState={quote(relay_state, safe='')}"
    if signer is not None:
        is_rsa = isinstance(signer.key, RSAPrivateKey)
        query += f"&SigAlg={quote(_MORE + ('rsa-sha256' if is_rsa else 'ecdsa-sha256'), safe='')}"
        query += f"&Signature={quote(b64encode(_signature(query.encode('ascii'), signer)), safe='')}"
    return f"{location}{'&' if '?' in location else '?'}{query}"


def _signature(octets: bytes, signer: Signer) -> bytes:
    if isinstance(signer.key, RSAPrivateKey):
        return signer.key.sign(octets, PKCS1v15(), hashes.SHA256())
    # DER, as Java's providers read it: the specification names RSA and DSA alone
    return signer.key.sign(octets, ECDSA(hashes.SHA256()))


def post_form(
    location: str, xml: bytes, *, kind: Kind, relay_state: str = "", signer: Signer | None = None
) -> Form:
    """The form that carries the message, its root signed where there is a signer. Spec: saml-bindings 3.5.4."""
    if signer is not None:
        root = saml_xml.parse(xml, max_bytes=MESSAGE_MAX_BYTES)
        xml = saml_signature.sign(root, signer)
    fields: list[tuple[str, str]] = [(kind, b64encode(xml).decode("ascii"))]
    if relay_state:
        fields.append(("RelayState", relay_state))
    return Form(location, tuple(fields))


def posted(text: str, *, max_bytes: int = RESPONSE_MAX_BYTES) -> bytes:
    """The XML in a form's field, lines broken or not. Raises ProviderInvalid `saml_size`, `saml_encoding`."""
    if len(text) > max_bytes * 3 // 2:
        raise refused("saml_size", f"{len(text)} characters")
    return _unbased("".join(text.split()).encode("utf-8", "replace"))


def _unbased(raw: bytes) -> bytes:
    try:
        return b64decode(raw, validate=True)
    except binascii.Error as exc:
        raise refused("saml_encoding", "it is no base64") from exc


def redirected(query: str, *, max_bytes: int = MESSAGE_MAX_BYTES) -> Redirected:
    """The message in a URL's query, which must be as it came, percent signs and all.

    Raises ProviderInvalid: `saml_encoding`, `saml_size`. Spec: saml-bindings section 3.4.4.1.
    Threat: a parameter that stands there twice, signed once and read the other time; what unpacks without end.
    """
    if len(query) > max_bytes:
        raise refused("saml_size", f"{len(query)} characters")
    raw: dict[str, str] = {}
    for part in query.split("&"):
        key, _, value = part.partition("=")
        if key in raw:
            raise refused("saml_encoding", "a parameter stands there twice")
        raw[key] = value
    kinds = [kind for kind in _KINDS if kind in raw]
    if len(kinds) != 1 or _value(raw, "SAMLEncoding") not in {"", _DEFLATE}:
        raise refused("saml_encoding", "not exactly one message")
    names = (kinds[0], "RelayState", "SigAlg")
    return Redirected(
        kind=kinds[0],
        xml=_inflated(_unbased(_value(raw, kinds[0]).encode("utf-8", "replace")), max_bytes),
        relay_state=_value(raw, "RelayState"),
        algorithm=_value(raw, "SigAlg"),
        signature=_unbased(_value(raw, "Signature").encode("utf-8", "replace")),
        signed="&".join(f"{name}={raw[name]}" for name in names if name in raw).encode("utf-8", "replace"),
    )


def _value(raw: Mapping[str, str], key: str) -> str:
    try:
        return unquote_to_bytes(raw.get(key, "").replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise refused("saml_encoding") from exc


def _inflated(packed: bytes, max_bytes: int) -> bytes:
    """Threat: a few kilobytes that unpack to gigabytes (CVE-2023-26483)."""
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        out = unpacking.decompress(packed, max_bytes + 1)
    except zlib.error as exc:
        raise refused("saml_encoding", "it is no DEFLATE") from exc
    if len(out) > max_bytes:
        raise refused("saml_size", "it unpacks to more than it may")
    if not unpacking.eof or unpacking.unused_data:
        raise refused("saml_encoding", "it is broken off, or more comes after it")
    return out


def check_query(message: Redirected, certificates: tuple[bytes, ...]) -> None:
    """Returns where one of the certificates' keys has signed the query.

    Raises ProviderInvalid: `saml_unsigned`, `saml_algorithm`, `saml_signature`. Spec: saml-bindings section 3.4.4.1.
    """
    if not message.signature or not message.algorithm:
        raise refused("saml_unsigned")
    if message.algorithm not in _RSA and message.algorithm not in _ECDSA:
        raise refused("saml_algorithm", message.algorithm[:100])
    if not any(_fits(message, der) for der in certificates[: saml_signature.CERTIFICATES_MAX]):
        raise refused("saml_signature")


def _fits(message: Redirected, der: bytes) -> bool:
    key = x509.load_der_x509_certificate(der).public_key()
    try:
        if isinstance(key, RSAPublicKey) and message.algorithm in _RSA:
            key.verify(message.signature, message.signed, PKCS1v15(), _RSA[message.algorithm])
            return True
        if isinstance(key, EllipticCurvePublicKey) and message.algorithm in _ECDSA:
            half, odd = divmod(len(message.signature), 2)
            signature = message.signature
            if (
                not odd and half == (key.key_size + 7) // 8
            ):  # the two numbers side by side (XML Signature 6.4.3)
                parts = (signature[:half], signature[half:])
                signature = encode_dss_signature(*(int.from_bytes(part) for part in parts))
            key.verify(signature, message.signed, ECDSA(_ECDSA[message.algorithm]))
            return True
    except InvalidSignature:
        pass
    return False
