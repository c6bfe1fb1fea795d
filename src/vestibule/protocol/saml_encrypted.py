"""What a provider encrypted for this service: assertions and NameIDs (saml-core section 6.1, XML Encryption 1.1).

The content key comes by RSA-OAEP; the content by AES-GCM, or by AES-CBC where a signature around it has been checked
already, since who may alter what CBC hides can ask for its text one octet at a time. RSA with the padding of PKCS #1
1.5, Triple DES, references to other places: refused, all of them and all that fails with the same code.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import quoteattr

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from lxml import etree

from vestibule.errors import ProviderInvalid
from vestibule.protocol import saml_xml
from vestibule.protocol.saml import RESPONSE_MAX_BYTES, Signer, refused
from vestibule.protocol.saml_xml import DS, XENC, XENC11, Element, attribute, children, needed, only

WRAPPED_MAX: Final = 8
"""Content keys that are tried: one for each receiver that the provider knows."""
_ELEMENT: Final = f"{XENC}Element"
_GCM_BYTES: Final[Mapping[str, int]] = {
    f"{XENC11}aes128-gcm": 16,
    f"{XENC11}aes192-gcm": 24,
    f"{XENC11}aes256-gcm": 32,
}
_CBC_BYTES: Final[Mapping[str, int]] = {
    f"{XENC}aes128-cbc": 16,
    f"{XENC}aes192-cbc": 24,
    f"{XENC}aes256-cbc": 32,
}
_OAEP_MGF1P: Final = f"{XENC}rsa-oaep-mgf1p"
_OAEP: Final = f"{XENC11}rsa-oaep"
_NONCE_BYTES: Final = 12
_BLOCK_BYTES: Final = 16
#: SHA-1 stands here alone of all places: OAEP asks nothing of its hash that SHA-1 has lost (RFC 8017 section 7.1)
_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    f"{DS}sha1": hashes.SHA1(),  # noqa: S303 - as above
    f"{XENC}sha256": hashes.SHA256(),
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashes.SHA384(),
    f"{XENC}sha512": hashes.SHA512(),
}
_MASKS: Final[Mapping[str, hashes.HashAlgorithm]] = {
    f"{XENC11}mgf1sha1": hashes.SHA1(),  # noqa: S303 - as above
    f"{XENC11}mgf1sha256": hashes.SHA256(),
    f"{XENC11}mgf1sha384": hashes.SHA384(),
    f"{XENC11}mgf1sha512": hashes.SHA512(),
}


def decrypted(element: Element, keys: Sequence[Signer], *, is_signed: bool) -> bytes:
    """The XML inside an EncryptedAssertion or EncryptedID; nothing of it has been read or believed.

    `is_signed`: what it stands in was signed, and the signature checked. Raises ProviderInvalid `saml_encrypted`.
    """
    try:
        return _by_itself(_decrypted(element, keys, is_signed=is_signed), element)
    except ProviderInvalid as exc:
        raise refused("saml_encrypted", exc.detail) from exc
    except (InvalidTag, UnsupportedAlgorithm, ValueError, binascii.Error):
        # Not chained, and without what went wrong: that is what an oracle would tell.
        raise refused("saml_encrypted") from None


def _decrypted(element: Element, keys: Sequence[Signer], *, is_signed: bool) -> bytes:
    data = needed(element, XENC, "EncryptedData")
    if attribute(data, "Type") not in {"", _ELEMENT}:
        raise refused("saml_encrypted", "something else than an element is encrypted")
    method = attribute(needed(data, XENC, "EncryptionMethod"), "Algorithm")
    size = _GCM_BYTES.get(method) or (_CBC_BYTES.get(method) if is_signed else None)
    if size is None:
        raise refused("saml_encrypted", f"{method[:100]} is not allowed here")
    content = _cipher_value(data)
    info = only(data, DS, "KeyInfo")
    wrapped = [
        *(children(info, XENC, "EncryptedKey") if info is not None else ()),
        *children(element, XENC, "EncryptedKey"),
    ]
    for one in wrapped[:WRAPPED_MAX]:
        for signer in keys:
            key = _unwrapped(one, signer)
            if len(key) == size:
                return _opened(content, key, method)
    raise refused("saml_encrypted", "no key here opens it")


def _by_itself(opened: bytes, place: Element) -> bytes:
    """The one element as a document of its own, which it may not be: prefixes may be declared around it.

    Spec: XML Encryption 1.1 section 4.5.2. Threat: what closes the place it is read in, and goes on behind it.
    """
    declared = "".join(
        f" xmlns{f':{prefix}' if prefix else ''}={quoteattr(uri)}" for prefix, uri in place.nsmap.items()
    )
    head = f"<place{declared}>".encode()
    scope = saml_xml.parse(b"".join((head, opened.strip(), b"</place>")), max_bytes=2 * RESPONSE_MAX_BYTES)
    if len(scope) != 1 or scope.text or scope[0].tail:
        raise refused("saml_encrypted", "not exactly one element")
    return etree.tostring(scope[0], encoding="utf-8", xml_declaration=False)


def _unwrapped(encrypted_key: Element, signer: Signer) -> bytes:
    """The content key; empty where this key does not open it. Spec: XML Encryption 1.1 section 5.5.2."""
    method = needed(encrypted_key, XENC, "EncryptionMethod")
    algorithm = attribute(method, "Algorithm")
    if algorithm not in {_OAEP, _OAEP_MGF1P} or only(method, XENC, "OAEPparams") is not None:
        raise refused("saml_encrypted", f"{algorithm[:100]} is not allowed for keys")
    if not isinstance(signer.key, RSAPrivateKey):
        return b""
    digest = only(method, DS, "DigestMethod")
    mask = only(method, XENC11, "MGF")
    hashed = _HASHES.get(attribute(digest, "Algorithm") if digest is not None else f"{DS}sha1")
    masked = _MASKS.get(attribute(mask, "Algorithm") if mask is not None else f"{XENC11}mgf1sha1")
    if hashed is None or masked is None or (algorithm == _OAEP_MGF1P and mask is not None):
        raise refused("saml_encrypted", "a hash that is not allowed")
    try:
        return signer.key.decrypt(_cipher_value(encrypted_key), OAEP(MGF1(masked), hashed, None))
    except ValueError:
        return b""


def _cipher_value(parent: Element) -> bytes:
    value = needed(needed(parent, XENC, "CipherData"), XENC, "CipherValue")
    return b64decode("".join(saml_xml.text(value).split()), validate=True)


def _opened(content: bytes, key: bytes, method: str) -> bytes:
    if method in _GCM_BYTES:
        return AESGCM(key).decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], None)
    decryptor = Cipher(AES(key), CBC(content[:_BLOCK_BYTES])).decryptor()
    padded = decryptor.update(content[_BLOCK_BYTES:]) + decryptor.finalize()
    count = padded[-1] if padded else 0  # XML Encryption 1.1 section 5.2: the last octet alone says how many
    if not 0 < count <= _BLOCK_BYTES:
        raise refused("saml_encrypted")
    return padded[:-count]
